import json
import math
import os
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from fewview.cameras import Cameras
from fewview.data import check_reconstructable
from fewview.data.lens import Lens
from fewview.data.nerfstudio import open_transforms, write_transforms
from fewview.errors import InputError

HEIGHT, WIDTH = 12, 16


def cameras() -> Cameras:
    centers = torch.tensor([[0.0, -1, -4], [3.0, 0, -3], [4.0, 1, 0.5]])
    return Cameras.look_at(centers, torch.zeros(3), torch.tensor([0.0, -1, 0]), focal=20, height=HEIGHT, width=WIDTH)


def save(path: Path, value: int = 99, size: tuple[int, int] = (WIDTH, HEIGHT), mode: str = "RGB") -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new(mode, size, value if mode == "L" else (value,) * len(mode)).save(path)


@pytest.fixture
def root(tmp_path) -> Path:
    names = [f"images/{i}.png" for i in range(3)]
    for i, name in enumerate(names):
        save(tmp_path / name, 10 * i)
        save(tmp_path / "masks" / f"{i}.png", 200, mode="L")
    write_transforms(tmp_path / "transforms.json", [cameras()[i] for i in range(3)], names)
    return tmp_path


def edit(root: Path, change) -> None:
    """Rewrite transforms.json after `change(data, first frame)`."""
    path = root / "transforms.json"
    data = json.loads(path.read_text())
    change(data, data["frames"][0])
    path.write_text(json.dumps(data))


def strip(*keys: str):
    return lambda data, frame: [f.pop(key) for f in data["frames"] for key in keys]


def test_what_is_written_is_read(root):
    scene = open_transforms(root)
    assert scene.name == root.name and scene.names == ["0.png", "1.png", "2.png"]
    read = Cameras.stack(scene.cameras)
    torch.testing.assert_close(read.world_from_cam, cameras().world_from_cam)
    torch.testing.assert_close(read.intrinsics, cameras().intrinsics)
    views = scene.read([2, 0])
    assert views.images[:, 0, 0, 0].tolist() == pytest.approx([20 / 255, 0])
    torch.testing.assert_close(views.cameras.centers, cameras().centers[[2, 0]])


def test_poses_have_opengl_axes(tmp_path):
    """The identity looks along -z with +y up: a point ahead, to the right and above, is drawn there."""
    save(tmp_path / "a.png")
    frame = {"file_path": "a.png", "transform_matrix": np.eye(4).tolist(), "fl_x": 10, "cx": 8, "cy": 6}
    (tmp_path / "transforms.json").write_text(json.dumps({"frames": [frame]}))
    camera = open_transforms(tmp_path).cameras[0]
    pixels, depth = camera.project(torch.tensor([[0.2, 0.3, -1.0]]))
    assert pixels[0].tolist() == pytest.approx([10, 3]) and depth.tolist() == [1]


def test_the_field_of_view_stands_in_for_the_focal_length(root):
    edit(root, strip("fl_x", "fl_y", "cx", "cy", "w", "h"))
    edit(root, lambda data, frame: data.update(camera_angle_x=math.pi / 2))
    camera = open_transforms(root).cameras[1]
    expected = torch.tensor([[8.0, 0, 8], [0, 8, 6], [0, 0, 1]])
    torch.testing.assert_close(camera.intrinsics, expected)


def test_frames_override_the_top(root):
    edit(root, lambda data, frame: data.update(fl_x=1.0, w=1, h=1))
    torch.testing.assert_close(Cameras.stack(open_transforms(root).cameras).intrinsics, cameras().intrinsics)


def test_blender_leaves_the_suffix_out(root):
    edit(root, lambda data, frame: frame.update(file_path="./images/0"))
    assert open_transforms(root).names[0] == "0.png"


def test_masks_come_from_mask_path_or_folder_or_alpha(root):
    save(root / "other.png", 100, mode="L")
    edit(root, lambda data, frame: frame.update(mask_path="other.png"))
    (root / "masks" / "1.png").rename(root / "masks" / "1.png.png")  # COLMAP's way
    (root / "masks" / "2.png").unlink()
    save(root / "images" / "2.png", 150, mode="RGBA")
    masks = open_transforms(root).read([0, 1, 2]).masks
    assert masks is not None
    assert (masks[:, 0, 0, 0] * 255).tolist() == pytest.approx([100, 200, 150])


def test_masks_are_dropped_where_one_lacks(root):
    (root / "masks" / "1.png").unlink()
    scene = open_transforms(root)
    assert scene.read([0, 1]).masks is None and scene.read([0, 2]).masks is not None


def test_photos_of_other_sizes_are_cut_to_the_common_one(root):
    """A camera's photo at twice the size shows the same pixels and has the same rays."""
    save(root / "images" / "0.png", 50, (2 * WIDTH, 2 * HEIGHT))
    save(root / "masks" / "0.png", 200, (2 * WIDTH, 2 * HEIGHT), "L")
    double = {"w": 2 * WIDTH, "h": 2 * HEIGHT, "fl_x": 40, "fl_y": 40, "cx": 16, "cy": 12}
    edit(root, lambda data, frame: frame.update(double))
    views = open_transforms(root).read([0, 1])
    torch.testing.assert_close(views.cameras.intrinsics, cameras().intrinsics[:2])
    assert views.images.shape == (2, 3, HEIGHT, WIDTH)


def test_a_square_is_cut_from_the_middle(root):
    ramp = np.tile(np.arange(WIDTH, dtype=np.uint8)[None, :, None], (HEIGHT, 1, 3))
    Image.fromarray(ramp).save(root / "images" / "0.png")
    views = open_transforms(root).read([0], 12)
    assert (views.images[0, 0, 0] * 255).tolist() == pytest.approx(list(range(2, 14)))
    assert views.cameras.intrinsics[0, 0, 2] == 6


def test_a_pose_printed_with_few_digits_becomes_a_rotation(root):
    edit(root, lambda data, frame: frame.update(transform_matrix=np.round(frame["transform_matrix"], 4).tolist()))
    rotation = open_transforms(root).cameras[0].world_from_cam[:3, :3]
    torch.testing.assert_close(rotation @ rotation.mT, torch.eye(3), atol=1e-6, rtol=0)


@pytest.mark.parametrize(
    ("words", "lens"),
    [
        ({"k1": -0.2, "p2": 0.01}, Lens((20, 20), (8, 6), (-0.2, 0, 0), (0, 0.01))),
        ({"camera_model": "OPENCV", "k1": 0.1, "k2": 0.2, "k3": 0.3}, Lens((20, 20), (8, 6), (0.1, 0.2, 0.3))),
        ({"camera_model": "FULL_OPENCV", "k4": 0.1}, Lens((20, 20), (8, 6), (0, 0, 0, 0.1, 0, 0))),
        ({"camera_model": "OPENCV_FISHEYE"}, Lens((20, 20), (8, 6), (0.0,) * 4, fisheye=True)),
        ({"is_fisheye": True, "k4": 0.1}, Lens((20, 20), (8, 6), (0, 0, 0, 0.1), fisheye=True)),
        ({"camera_model": "OPENCV", "k1": 0.0, "p1": 0.0}, None),
        ({"k1": 0, "is_fisheye": False}, None),
    ],
)
def test_lenses_are_opencvs(root, words, lens):
    edit(root, lambda data, frame: data.update(words))
    assert open_transforms(root).photos[1].lens == lens


def test_photos_and_masks_are_undistorted_alike(root):
    """A disc about the principal point stays round and shrinks or grows with the mask."""
    y, x = np.mgrid[:96, :128] + 0.5
    disc = ((x - 64) ** 2 + (y - 48) ** 2 < 30**2).astype(np.uint8) * 255
    Image.fromarray(np.stack([disc] * 3, axis=-1)).save(root / "images" / "0.png")
    Image.fromarray(disc).save(root / "masks" / "0.png")
    wide = {"w": 128, "h": 96, "fl_x": 100, "fl_y": 100, "cx": 64, "cy": 48, "k1": -0.3, "k2": 0.05}
    edit(root, lambda data, frame: frame.update(wide))
    photo = open_transforms(root).photos[0]
    view = photo.read()
    assert view.masks is not None
    torch.testing.assert_close(view.images, view.masks.expand(3, -1, -1))
    assert photo.lens is not None
    edge = photo.lens.undistort(torch.tensor([[0.3, 0.0]]))[0, 0] * view.cameras.intrinsics[0, 0]
    assert (view.masks.sum() / math.pi).sqrt().item() == pytest.approx(edge.item(), abs=0.3)


def test_a_named_file_is_read(root):
    (root / "transforms.json").rename(root / "transforms_train.json")
    assert len(open_transforms(root / "transforms_train.json")) == 3


def raw(text: str):
    return lambda root: (root / "transforms.json").write_text(text)


def changed(change):
    return lambda root: edit(root, change)


def first(**values):
    return changed(lambda data, frame: frame.update(values))


def truncated(root: Path) -> None:
    noise = np.random.default_rng(0).integers(0, 255, (HEIGHT, WIDTH, 3), dtype=np.uint8)
    Image.fromarray(noise).save(root / "images" / "0.png")
    (root / "images" / "0.png").write_bytes((root / "images" / "0.png").read_bytes()[:300])


def link_outside(root: Path) -> None:
    outside = root.parent / f"{root.name}.png"
    (root / "images" / "0.png").replace(outside)
    (root / "images" / "0.png").symlink_to(outside)


def pose(row: int, column: int, value: float):
    return changed(lambda data, frame: frame["transform_matrix"][row].__setitem__(column, value))


def nested(depth: int) -> list:
    value: list = []
    for _ in range(depth):
        value = [value]
    return value


def circle(path: Path) -> None:
    path.unlink()
    path.symlink_to(path)


def mirrored(data, frame) -> None:
    frame["transform_matrix"] = np.diag([1, 1, -1, 1]).tolist()


def grown(root: Path) -> None:
    """A terabyte without content, which takes no room on disk."""
    os.truncate(root / "transforms.json", 2**40)


HOSTILE = {
    "a terabyte": (grown, "larger than"),
    "bad JSON": (raw("{'frames'}"), "valid JSON"),
    "not UTF-8": (lambda root: (root / "transforms.json").write_bytes(b"\xff\xfe{"), "valid JSON"),
    "deep JSON": (raw("[" * 100_000), "valid JSON"),
    "a list": (raw("[]"), "must be an object"),
    "no frames": (raw("{}"), "lacks the key 'frames'"),
    "empty frames": (raw('{"frames": []}'), "has no frames"),
    "odd frame": (raw('{"frames": [3]}'), "frame 0 must be an object"),
    "missing path": (changed(lambda data, frame: frame.pop("file_path")), "lacks the key 'file_path'"),
    "missing pose": (changed(lambda data, frame: frame.pop("transform_matrix")), "lacks the key 'transform_matrix'"),
    "missing focal": (changed(strip("fl_x", "fl_y")), "neither 'fl_x' nor"),
    "missing image": (lambda root: (root / "images" / "0.png").unlink(), "does not exist"),
    "missing mask": (first(mask_path="none.png"), "does not exist"),
    "absolute path": (first(file_path="/etc/hostname"), "not inside"),
    "path upwards": (first(file_path="../x.png"), "not inside"),
    "link outside": (link_outside, "not inside"),
    "NaN pose": (pose(0, 3, math.nan), "NaN or infinity"),
    "stretched pose": (pose(0, 0, 3.0), "not a rotation"),
    "mirrored pose": (changed(mirrored), "not a rotation"),
    "projective pose": (pose(3, 0, 0.5), "not a rotation"),
    "short pose": (first(transform_matrix=[[1, 0], [0, 1]]), "must be 4 x 4 numbers"),
    "ragged pose": (first(transform_matrix=[[1], [0, 1]]), "must be 4 x 4 numbers"),
    "text in pose": (pose(0, 0, "1"), "must be 4 x 4 numbers"),  # type: ignore[arg-type]
    "wrong size": (first(w=99), "says 99 x 12 pixels"),
    "zero focal": (first(fl_x=0.0), "must be positive"),
    "infinite focal": (first(fl_x=math.inf), "finite"),
    "text as focal": (first(fl_x="20"), "must be of type float"),
    "huge number": (first(fl_x=10**400), "must be of type float"),
    "folding lens": (first(k1=-9.0), "folds the picture"),
    "NaN in the lens": (first(k1=math.nan), "finite"),
    "huge lens": (first(k1=1e308, k2=1e308), "folds the picture"),
    "text in the lens": (first(p1="0"), "must be of type float"),
    "coefficient of another model": (first(k5=0.1), "k5, unknown to PINHOLE; undistort"),
    "tangential fisheye": (first(camera_model="OPENCV_FISHEYE", p1=0.1), "p1, unknown to OPENCV_FISHEYE; undistort"),
    "fisheye by number": (first(is_fisheye=1), "must be of type bool"),
    "panorama": (first(camera_model="EQUIRECTANGULAR"), "undistort"),
    "odd model": (first(camera_model=["OPENCV"]), "undistort"),
    "negative focal": (first(fl_x=-20.0), "must be positive"),
    "nested pose": (first(transform_matrix=nested(900)), "must be 4 x 4 numbers"),
    "circle of links": (lambda root: circle(root / "images" / "0.png"), "not inside|does not exist"),
    "endless name": (first(file_path="x" * 10_000), "does not exist"),
    "truncated image": (truncated, "truncated or damaged"),
    "mask of another size": (lambda root: save(root / "masks" / "0.png", 9, (5, 5), "L"), "5 x 5 pixels"),
}


@pytest.mark.parametrize("case", HOSTILE)
def test_malformed_sets_are_refused_by_name(root, case):
    damage, words = HOSTILE[case]
    damage(root)
    with pytest.raises(InputError, match=words) as caught:
        open_transforms(root).read([0])
    assert str(root) in str(caught.value)


def repeat_camera(root: Path) -> None:
    edit(root, lambda data, frame: data["frames"][1].update(transform_matrix=frame["transform_matrix"]))


@pytest.mark.parametrize(
    ("damage", "indices", "words"),
    [
        (lambda root: None, [0], "1 image"),
        (lambda root: None, [0, 0], "same camera for its images 0 and 1"),
        (repeat_camera, [0, 1], "same camera for its images 0 and 1"),
        (lambda root: save(root / "masks" / "2.png", 0, mode="L"), [0, 1, 2], "empty mask for its image 2"),
    ],
)
def test_what_cannot_be_reconstructed_is_said(root, damage, indices, words):
    damage(root)
    with pytest.raises(InputError, match=words):
        check_reconstructable(open_transforms(root).read(indices), where="scene")


def test_the_same_camera_under_two_photos_among_others_is_refused_and_a_photo_twice_is_not(root):
    scene = open_transforms(root)
    check_reconstructable(scene.read([0, 1, 2]), where="scene")
    check_reconstructable(scene.read([0, 1, 2, 2]), where="scene")
    repeat_camera(root)
    save(root / "images" / "1.png", 200)
    with pytest.raises(InputError, match="same camera for its images 0 and 1"):
        check_reconstructable(open_transforms(root).read([0, 1, 2]), where="scene")


def test_one_photo_many_times_is_refused(root):
    with pytest.raises(InputError, match="same camera for all of its 3 images"):
        check_reconstructable(open_transforms(root).read([1, 1, 1]), where="scene")


def test_nan_anywhere_is_not_reconstructable(root):
    views = open_transforms(root).read([0, 1])
    views.images[0, 0, 0, 0] = math.nan
    with pytest.raises(InputError, match="NaN"):
        check_reconstructable(views, where="scene")
