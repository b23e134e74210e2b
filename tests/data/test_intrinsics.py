import math

import numpy as np
import pytest

from fewview.data.intrinsics import intrinsics, lens_of, present
from fewview.errors import InputError

SIZE = (32, 48)  # height, width
RIGHT = math.pi / 2  # its focal length is half of the side
AT_70 = 24 / math.tan(math.radians(35))

CASES = {
    "pixels": ({"fl_x": 50, "fl_y": 60}, {}, (50, 60)),
    "one number is for both axes": ({"fl_x": 50}, {}, (50, 50)),
    "height alone": ({"fl_y": 60}, {}, (60, 60)),
    "angle": ({"camera_angle_x": RIGHT}, {}, (24, 24)),
    "angle of the height alone": ({"camera_angle_y": RIGHT}, {}, (16, 16)),
    "both angles": ({"camera_angle_x": RIGHT, "camera_angle_y": RIGHT}, {}, (24, 16)),
    "degrees": ({"x_fov": 90}, {}, (24, 24)),
    "degrees of the height alone": ({"y_fov": 90}, {}, (16, 16)),
    "degrees of both": ({"x_fov": 90, "y_fov": 90}, {}, (24, 16)),
    "degrees before pixels": ({"x_fov": 90, "fl_x": 50}, {}, (24, 24)),
    "pixels before the angle": ({"fl_x": 50, "camera_angle_x": RIGHT}, {}, (50, 50)),
    "each axis by itself": ({"fl_x": 50, "camera_angle_y": RIGHT}, {}, (50, 16)),
    "frame's angle before the file's pixels": ({"fl_x": 50}, {"camera_angle_x": math.radians(70)}, (AT_70, AT_70)),
    "frame's degrees before the file's pixels": ({"fl_x": 50, "fl_y": 50}, {"x_fov": 70}, (AT_70, AT_70)),
    "frame's height before the file's pixels": ({"fl_x": 50, "fl_y": 50}, {"fl_y": 60}, (60, 60)),
    "frame's pixels before the file's angle": ({"camera_angle_x": RIGHT}, {"fl_x": 40}, (40, 40)),
    "null is absent": ({"fl_x": None, "camera_angle_x": RIGHT}, {"fl_x": None}, (24, 24)),
    "empty is absent": ({"fl_x": 50}, {"fl_x": "", "fl_y": [], "x_fov": {}}, (50, 50)),
}  # fmt: skip


@pytest.mark.parametrize("case", CASES)
def test_the_nearest_word_wins(case):
    top, frame, focal = CASES[case]
    found, centre = intrinsics(present(top), present(frame), SIZE, where="frame 0")
    np.testing.assert_allclose(found, focal, rtol=1e-12)
    assert centre.tolist() == [24, 16]


def test_the_principal_point_is_the_frames_then_the_files_then_the_middle():
    top = {"fl_x": 50, "cx": 20}
    assert intrinsics(top, {"cy": 10}, SIZE, where="w")[1].tolist() == [20, 10]
    assert intrinsics(top, {"cx": 21}, SIZE, where="w")[1].tolist() == [21, 16]


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ({}, "neither 'fl_x' nor"),
        ({"fl_x": None}, "neither 'fl_x' nor"),
        ({"fl_x": 0}, "must be positive"),
        ({"fl_x": 50, "fl_y": -1}, "must be positive"),
        ({"camera_angle_x": 0}, "below 180"),
        ({"camera_angle_x": 4}, "below 180"),
        ({"x_fov": 180}, "below 180"),
        ({"fl_x": "50"}, "of type float"),
        ({"x_fov": math.nan}, "finite"),
    ],
)
def test_impossible_focal_lengths_are_refused_by_name(words, said):
    with pytest.raises(InputError, match=said) as caught:
        intrinsics(present(words), {}, SIZE, where="set.json: frame 7")
    assert str(caught.value).startswith("set.json: frame 7")


@pytest.mark.parametrize("model", ["opencv", "OpenCV", "OPENCV", "pinhole", "Perspective"])
def test_models_are_known_in_any_case(model):
    lens = lens_of({"camera_model": model, "k1": 0.1}, np.array([9.0, 9]), np.array([4.0, 4]), where="w")
    assert lens is not None and not lens.fisheye and lens.radial[0] == 0.1


@pytest.mark.parametrize("model", ["opencv_fisheye", "Fisheye", "OPENCV_FISHEYE"])
def test_fisheyes_are_known_in_any_case(model):
    lens = lens_of({"camera_model": model}, np.array([9.0, 9]), np.array([4.0, 4]), where="w")
    assert lens is not None and lens.fisheye


@pytest.mark.parametrize("words", [{"camera_model": None}, {"camera_model": ""}, {"k1": None}, {"is_fisheye": None}])
def test_empty_words_on_the_lens_are_a_pinhole(words):
    assert lens_of(present(words), np.array([9.0, 9]), np.array([4.0, 4]), where="w") is None
