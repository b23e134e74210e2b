"""transforms.json in the words of many exporters: which of its numbers is the focal length, the centre and the size."""

import json
import math
from pathlib import Path

import numpy as np
import pytest
from data.test_far_worlds import opened
from PIL import Image

from fewview.data.photos import PhotoScene
from fewview.errors import InputError

HEIGHT, WIDTH = 24, 32
RADIAN, HALF_RADIAN = (16 / math.tan(angle / 2) for angle in (1.0, 0.5))


def scene(root: Path, top: dict, frame: dict | None = None, *, size=(WIDTH, HEIGHT), bom: bool = False) -> PhotoScene:
    """Two frames, of which the second has the words of `frame`."""
    (root / "images").mkdir(exist_ok=True)
    frames = []
    for i in range(2):
        Image.new("RGB", size, (i, 0, 0)).save(root / "images" / f"{i}.png")
        pose = np.eye(4)
        pose[0, 3] = i
        frames.append({"file_path": f"images/{i}.png", "transform_matrix": pose.tolist()})
    frames[1] |= frame or {}
    text = json.dumps({**top, "frames": frames}).encode()
    (root / "transforms.json").write_bytes(b"\xef\xbb\xbf" * bom + text)
    return opened(root)


def fov(degrees: float, side: float) -> float:
    return side / 2 / math.tan(math.radians(degrees) / 2)


CASES = {  # words of the file, of the second frame, and what the latter's fx, fy, cx, cy are
    "only the angle of the height, not square": ({"camera_angle_y": 1.0}, {}, (12 / math.tan(0.5),) * 2 + (16, 12)),
    "degrees of both axes before pixels": (
        {"x_fov": 60, "y_fov": 40, "fl_x": 1, "fl_y": 1}, {}, (fov(60, 32), fov(40, 24), 16, 12)),
    "null in the frame leaves the file's": ({"fl_x": 30, "fl_y": 31}, {"fl_x": None, "fl_y": None}, (30, 31, 16, 12)),
    "null and empty in the file leave the angle": (
        {"fl_x": None, "fl_y": "", "cx": None, "cy": [], "camera_angle_x": 1.0}, {}, (RADIAN, RADIAN, 16, 12)),
    "the frame's only word is of the height": ({"fl_x": 30, "fl_y": 31, "cx": 3}, {"fl_y": 40}, (40, 40, 3, 12)),
    "the frame's angle before all of the file's": (
        {"x_fov": 60, "fl_x": 30, "camera_angle_x": 1.0}, {"camera_angle_x": 0.5},
        (HALF_RADIAN, HALF_RADIAN, 16, 12)),
    "the frame's centre alone": ({"fl_x": 30}, {"cx": 10.5, "cy": 9.25}, (30, 30, 10.5, 9.25)),
    "whole numbers written as floats": ({"fl_x": 30, "w": 32.0, "h": 24.0, "cx": 16, "cy": 12}, {}, (30, 30, 16, 12)),
    "numbers for twice the size": (
        {"fl_x": 60, "fl_y": 62, "cx": 33, "cy": 25, "w": 64, "h": 48}, {}, (30, 31, 16.5, 12.5)),
    "angles at another size are angles still": (
        {"camera_angle_x": 1.0, "w": 64, "h": 48}, {}, (RADIAN, RADIAN, 16, 12)),
    "the frame's size before the file's": ({"fl_x": 60, "w": 32, "h": 24}, {"w": 64, "h": 48}, (30, 30, 16, 12)),
    "a size of width alone is none": ({"fl_x": 30, "w": 64}, {}, (30, 30, 16, 12)),
    "words that change nothing": (
        {"fl_x": 30, "aabb_scale": 16, "scale": 0.33, "offset": [0.5, 0.5, 0.5], "applied_scale": 3, "n_frames": None},
        {"sharpness": 99.5, "colmap_im_id": 7, "depth_file_path": "none.png"}, (30, 30, 16, 12)),
    "a principal point beside the picture": ({"fl_x": 30, "cx": -5, "cy": 40}, {}, (30, 30, -5, 40)),
    "a pinhole in small letters": (
        {"fl_x": 30, "camera_model": "simple_pinhole", "is_fisheye": None}, {}, (30, 30, 16, 12)),
    "coefficients that are null": ({"fl_x": 30, "k1": None, "k2": 0, "p1": 0.0, "p2": ""}, {}, (30, 30, 16, 12)),
}  # fmt: skip


@pytest.mark.parametrize("case", CASES)
def test_the_second_frame_has_the_numbers_that_count(tmp_path, case):
    top, frame, want = CASES[case]
    k = scene(tmp_path, top, frame).cameras[1].intrinsics
    assert (k[0, 0].item(), k[1, 1].item(), k[0, 2].item(), k[1, 2].item()) == pytest.approx(want, rel=1e-6)


@pytest.mark.parametrize(
    ("top", "words"),
    [
        ({"fl_x": "30"}, r"frame 0: 'fl_x' is '30'; it must be of type float"),
        ({"camera_angle_x": 0}, "a field of view must be positive, below 180 degrees"),
        ({"fl_x": 30, "w": 64, "h": 24}, r"says 64 x 24 pixels, but .*0\.png is 32 x 24"),
        ({"fl_x": 30, "camera_model": "EQUIRECTANGULAR"}, "'camera_model' is 'EQUIRECTANGULAR'"),
        ({"fl_x": 30, "k4": 0.1}, "lens coefficient k4"),
        ({"fl_x": 0, "camera_angle_x": 1.0}, r"focal length of 0 x 0 pixels"),
        ({}, "neither 'fl_x' nor 'camera_angle_x'"),
    ],
)
def test_what_cannot_be_right_is_refused_in_one_true_sentence(tmp_path, top, words):
    with pytest.raises(InputError, match=words):
        scene(tmp_path, top)


def test_a_byte_order_mark_is_no_part_of_the_file(tmp_path):
    assert scene(tmp_path, {"fl_x": 30}, bom=True).cameras[0].intrinsics[0, 0] == 30


def test_other_lenses_of_a_frame_are_its_own(tmp_path):
    found = scene(tmp_path, {"fl_x": 30, "k1": 0.1}, {"k1": 0.0})
    assert found.photos[0].lens is not None and found.photos[1].lens is None
