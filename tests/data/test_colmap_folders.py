import json
import math
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from fewview.data import open_scene
from fewview.data.colmap_folders import count_images, find_models
from fewview.data.photos import PhotoScene
from fewview.errors import InputError

HEIGHT, WIDTH = 12, 16


def model(folder: Path, count: int, *, scale: int = 1, camera: str = "PINHOLE", numbers: str = "") -> Path:
    """A text model of cameras on an arc whose focal length is 20 at scale 1."""
    folder.mkdir(parents=True, exist_ok=True)
    numbers = numbers or f"{20 * scale} {20 * scale} {8 * scale} {6 * scale}"
    (folder / "cameras.txt").write_text(f"1 {camera} {WIDTH * scale} {HEIGHT * scale} {numbers}\n")
    rows = [f"{i + 1} {math.cos(i / 20)} 0 {math.sin(i / 20)} 0 0.1 0 3 1 {i}.png\n1.5 2.5 -1\n" for i in range(count)]
    (folder / "images.txt").write_text("".join(rows))
    return folder


def photos(folder: Path, count: int = 6, size: tuple[int, int] = (WIDTH, HEIGHT)) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    for i in range(count):
        Image.new("RGB", size, (i, 0, 0)).save(folder / f"{i}.png")
    return folder


def posed(path: Path) -> PhotoScene:
    scene = open_scene(path)
    assert isinstance(scene, PhotoScene)
    return scene


@pytest.mark.parametrize(
    ("place", "pictures"),
    [
        ("sparse/0", "images"),
        ("sparse/1", "images"),
        ("sparse", "images"),
        (".", "images"),
        ("colmap/sparse/0", "images"),
        ("colmap", "images"),
        ("dense/sparse", "images"),
        ("dense/sparse", "dense/images"),
        ("dense/0/sparse", "dense/0/images"),
        ("distorted/sparse/0", "images"),
        ("distorted/sparse/0", "input"),
        ("my run/model b", "images"),
        ("a/b/c", "a/images"),
    ],
)
def test_a_model_is_found_wherever_programs_leave_it(tmp_path, place, pictures):
    model(tmp_path / place, 3)
    photos(tmp_path / pictures)
    scene = posed(tmp_path)
    assert scene.kind == "COLMAP model (text)" and len(scene) == 3
    assert scene.photos[0].image == tmp_path / pictures / "0.png"


def test_undistorted_photos_lie_beside_their_own_model(tmp_path):
    photos(tmp_path / "images", size=(30, 20))
    model(tmp_path / "dense" / "sparse", 3)
    photos(tmp_path / "dense" / "images")
    assert posed(tmp_path).read([0]).images.shape[-2:] == (HEIGHT, WIDTH)


def test_the_largest_of_several_models_is_taken_and_the_others_are_named(tmp_path):
    photos(tmp_path / "images")
    for name, count in (("0", 2), ("1", 6), ("2", 4)):
        model(tmp_path / "sparse" / name, count)
    scene = posed(tmp_path)
    assert len(scene) == 6
    assert "sparse/1; smaller are sparse/2 (4), sparse/0 (2)" in scene.describe()


def test_of_models_of_one_size_the_first_is_taken(tmp_path):
    photos(tmp_path / "images")
    for name in ("0", "1", "10"):
        model(tmp_path / "sparse" / name, 3)
    assert "sparse/0; smaller are sparse/1 (3), sparse/10 (3)" in posed(tmp_path).describe()


@pytest.mark.parametrize("named", ["sparse/0", "sparse/0/cameras.txt", "sparse/0/images.txt"])
def test_a_model_may_be_named_itself(tmp_path, named):
    photos(tmp_path / "images")
    model(tmp_path / "sparse" / "0", 2)
    model(tmp_path / "sparse" / "1", 6)
    assert len(posed(tmp_path / named)) == 2


def test_coordinates_of_points_are_not_counted_as_images(tmp_path):
    folder = model(tmp_path, 3)
    text = (folder / "images.txt").read_text().replace("1.5 2.5 -1", "1.5 2.5 -1 " * 9)
    (folder / "images.txt").write_text("# a comment of more than ten words that ends in a name.png\n" + text)
    assert count_images(folder) == 3


def test_links_and_hidden_folders_are_not_searched(tmp_path):
    model(tmp_path / "elsewhere", 3)
    (tmp_path / "set").mkdir()
    (tmp_path / "set" / "link").symlink_to(tmp_path / "elsewhere")
    model(tmp_path / "set" / ".old", 3)
    assert find_models(tmp_path / "set") == []


@pytest.mark.parametrize("share", [2, 4, 8])
def test_downscaled_photos_alone_scale_the_camera(tmp_path, share):
    model(tmp_path / "sparse" / "0", 3, scale=share)
    photos(tmp_path / f"images_{share}")
    scene = posed(tmp_path)
    k = scene.cameras[0].intrinsics
    assert (k[0, 0], k[1, 1], k[0, 2], k[1, 2]) == (20, 20, 8, 6)
    assert "focal lengths are scaled" in scene.describe() and scene.read([0]).images.shape[-2:] == (HEIGHT, WIDTH)


def test_distortion_is_scaled_with_the_photo(tmp_path):
    model(tmp_path / "sparse" / "0", 3, scale=2, camera="SIMPLE_RADIAL", numbers="40 16 12 0.1")
    photos(tmp_path / "images_2")
    lens = posed(tmp_path).photos[0].lens
    assert lens is not None and lens.focal == (20, 20) and lens.centre == (8, 6) and lens.radial[0] == 0.1


def test_photos_of_another_shape_stay_refused(tmp_path):
    model(tmp_path / "sparse" / "0", 3)
    photos(tmp_path / "images", size=(WIDTH, 2 * HEIGHT))
    with pytest.raises(InputError, match="its camera says 16 x 12"):
        posed(tmp_path).read([0])


def test_some_missing_photos_are_left_out_with_a_count_and_many_are_refused(tmp_path):
    model(tmp_path / "sparse" / "0", 6)
    folder = photos(tmp_path / "images")
    (folder / "1.png").unlink()
    assert posed(tmp_path).names == ["0.png", "2.png", "3.png", "4.png", "5.png"]
    assert "1 listed photo is not there" in posed(tmp_path).describe()
    for i in (2, 3, 4):
        (folder / f"{i}.png").unlink()
    with pytest.raises(InputError, match=r"'1\.png', which does not exist"):
        open_scene(tmp_path)


BLANKS = {
    "trailing": "{a}\n\n{b}\n\n\n\n",
    "leading": "\n\n{a}\n\n{b}\n\n",
    "between": "{a}\n\n\n\n{b}\n\n",
    "after a comment": "# x\n\n# y\n{a}\n\n\n# z\n\n{b}\n",
    "last points left out": "{a}\n\n{b}",
    "with points": "\n{a}\n1 2 -1 3 4 -1\n\n\n{b}\n5 6 -1\n\n",
    "of Windows": "{a}\r\n\r\n\r\n{b}\r\n\r\n",
    "of spaces": "{a}\n  \n \t\n{b}\n \n",
}


@pytest.mark.parametrize("case", BLANKS)
def test_blank_lines_before_an_image_are_skipped(tmp_path, case):
    photos(tmp_path / "images")
    folder = model(tmp_path / "sparse" / "0", 2)
    text = BLANKS[case].format(a="1 1 0 0 0 0 0 3 1 0.png", b="2 1 0 0 0 0.5 0 3 1 1.png")
    (folder / "images.txt").write_bytes(text.encode())
    assert posed(tmp_path).names == ["0.png", "1.png"]


@pytest.mark.parametrize(("name", "numbers"), [("SIMPLE_FISHEYE", "20 8 6"), ("FISHEYE", "20 20 8 6")])
def test_equidistant_fisheyes_have_no_coefficients(tmp_path, name, numbers):
    photos(tmp_path / "images")
    model(tmp_path / "sparse" / "0", 2, camera=name, numbers=numbers)
    lens = posed(tmp_path).photos[0].lens
    assert lens is not None and lens.fisheye and not any(lens.radial) and lens.focal == (20, 20)


@pytest.mark.parametrize(
    ("name", "numbers"),
    [
        ("FOV", 5),
        ("THIN_PRISM_FISHEYE", 12),
        ("RAD_TAN_THIN_PRISM_FISHEYE", 16),
        ("SIMPLE_DIVISION", 4),
        ("DIVISION", 5),
        ("EUCM", 6),
        ("EQUIRECTANGULAR", 2),
        ("EQUIRECTANGULAR", 0),
    ],
)
def test_cameras_that_no_pinhole_holds_are_refused_by_name(tmp_path, name, numbers):
    photos(tmp_path / "images")
    model(tmp_path / "sparse" / "0", 2, camera=name, numbers="20 " * numbers or " ")
    with pytest.raises(InputError, match=f"model {name}; run colmap image_undistorter"):
        open_scene(tmp_path)


def test_a_model_that_is_refused_does_not_hide_other_cameras(tmp_path):
    photos(tmp_path / "images", 3)
    model(tmp_path / "sparse" / "0", 3, camera="FOV", numbers="20 20 8 6 0.9")
    with pytest.raises(InputError, match="FOV"):
        open_scene(tmp_path)
    down, right, back = np.array([0, 1, 0]), np.array([1, 0, 0]), np.array([0, 0, -1])
    tables = [np.column_stack([down, right, back, (i, 0, 0), (HEIGHT, WIDTH, 20)]) for i in range(3)]
    np.save(tmp_path / "poses_bounds.npy", np.array([[*table.ravel(), 1, 9.0] for table in tables]))
    scene = posed(tmp_path)
    assert scene.kind.startswith("LLFF") and "COLMAP model beside it is not readable" in scene.describe()
    (tmp_path / "transforms.json").write_text(json.dumps({"frames": []}))
    assert posed(tmp_path).kind.startswith("LLFF")
