import os
import struct
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from fewview.cameras import Cameras
from fewview.data.colmap import MODELS, ColmapModel, open_colmap, read_model, write_colmap
from fewview.data.lens import Lens
from fewview.errors import InputError

HEIGHT, WIDTH = 12, 16
POINTS = np.array([[0.1, -2.5, 3.0], [1e-3, 0, 7.25]])


def cameras() -> Cameras:
    centers = torch.tensor([[0.0, -1, -4], [3.0, 0, -3], [-2.0, 1, 3.5]])
    return Cameras.look_at(centers, torch.zeros(3), torch.tensor([0.0, -1, 0]), focal=20, height=HEIGHT, width=WIDTH)


def binary_cameras(cameras: list[tuple[int, int, int, int, list[float]]]) -> bytes:
    """(id, model, width, height, parameters) as COLMAP lays them out."""
    head = struct.pack("<Q", len(cameras))
    return head + b"".join(struct.pack(f"<IiQQ{len(c[4])}d", *c[:4], *c[4]) for c in cameras)


def binary_images(images: list[tuple[int, list[float], int, bytes]], points: int = 2) -> bytes:
    """(id, pose, camera, name), each with some 2D points."""
    tail = struct.pack("<Q", points) + struct.pack("<ddq", 1.5, 2.5, -1) * points
    return struct.pack("<Q", len(images)) + b"".join(
        struct.pack("<I7dI", key, *pose, camera) + name + b"\0" + tail for key, pose, camera, name in images
    )


def binary_points(points: np.ndarray, track: int = 2) -> bytes:
    tail = struct.pack("<d", 0.5) + struct.pack("<Q", track) + struct.pack("<ii", 1, 0) * track
    return struct.pack("<Q", len(points)) + b"".join(
        struct.pack("<Q3d3B", i, *point, 255, 0, 51) + tail for i, point in enumerate(points)
    )


@pytest.fixture
def root(tmp_path) -> Path:
    names = ["b.png", "a.png", "inner/c d.png"]
    for i, name in enumerate(names):
        path = tmp_path / "images" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (WIDTH, HEIGHT), (20 * i, 0, 0)).save(path)
    write_colmap(tmp_path / "sparse" / "0", [cameras()[i] for i in range(3)], names, points=POINTS)
    return tmp_path


def to_binary(root: Path) -> Path:
    """The same model as binary files."""
    folder = root / "sparse" / "0"
    model = read_model(folder)
    numbers = {name: i for i, (name, *_) in enumerate(MODELS)}
    rows = [(k, numbers[c.model], c.width, c.height, list(c.parameters)) for k, c in model.cameras.items()]
    (folder / "cameras.bin").write_bytes(binary_cameras(rows))
    images = [(i, list(image.pose), image.camera, image.name.encode()) for i, image in enumerate(model.images)]
    (folder / "images.bin").write_bytes(binary_images(images))
    (folder / "points3D.bin").write_bytes(binary_points(model.points))
    for path in folder.glob("*.txt"):
        path.unlink()
    return root


def check(model: ColmapModel) -> None:
    assert [image.name for image in model.images] == ["b.png", "a.png", "inner/c d.png"]
    np.testing.assert_array_equal(model.points, POINTS)


def test_a_written_model_is_read(root):
    check(read_model(root / "sparse" / "0"))
    scene = open_colmap(root)
    assert scene.name == root.name and scene.names == ["a.png", "b.png", "c d.png"]
    read, expected = Cameras.stack(scene.cameras), cameras()[[1, 0, 2]]
    torch.testing.assert_close(read.world_from_cam, expected.world_from_cam, atol=1e-5, rtol=0)
    torch.testing.assert_close(read.intrinsics, expected.intrinsics)
    assert (scene.read([0, 1]).images[:, 0, 0, 0] * 255).tolist() == pytest.approx([20, 0])


def test_binary_and_text_say_the_same(root):
    text = Cameras.stack(open_colmap(root).cameras)
    model = read_model(to_binary(root) / "sparse" / "0")
    check(model)
    np.testing.assert_allclose(model.colours, [[1, 0, 0.2]] * 2)
    binary = Cameras.stack(open_colmap(root).cameras)
    assert torch.equal(text.world_from_cam, binary.world_from_cam) and torch.equal(text.intrinsics, binary.intrinsics)


def test_a_pose_maps_the_world_to_the_camera(root):
    """From COLMAP's documentation: the projection of X is K (R(q) X + t), here with a quarter turn about z."""
    half = 0.5**0.5
    write_images(root, f"1 {half} 0 0 {half} 1 2 3 1 a.png\n\n")
    camera = open_colmap(root).cameras[0]
    pixels, depth = camera.project(torch.tensor([[1.0, 0, 0]]))  # turns to (0, 1, 0), moves to (1, 3, 3)
    assert depth.tolist() == pytest.approx([3])
    assert pixels[0].tolist() == pytest.approx([20 / 3 + 8, 20 + 6], abs=1e-4)


@pytest.mark.parametrize("place", ["sparse", "."])
def test_a_model_may_lie_one_level_higher(root, place):
    for path in (root / "sparse" / "0").iterdir():
        path.rename(root / place / path.name)
    assert len(open_colmap(root)) == 3


def test_masks_have_the_images_names(root):
    for name in ("a.png.png", "b.png", "inner/c d.png.png"):
        path = root / "masks" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.new("L", (WIDTH, HEIGHT), 128).save(path)
    masks = open_colmap(root).read([0, 1, 2]).masks
    assert masks is not None and masks.mean() == pytest.approx(128 / 255)


@pytest.mark.parametrize(
    ("model", "parameters", "focal"),
    [
        ("SIMPLE_PINHOLE", "20 8 6", (20, 20)),
        ("PINHOLE", "20 30 8 6", (20, 30)),
        ("SIMPLE_RADIAL", "20 8 6 0", (20, 20)),
        ("RADIAL", "20 8 6 0 0", (20, 20)),
        ("OPENCV", "20 30 8 6 0 0 0 0", (20, 30)),
        ("FULL_OPENCV", "20 30 8 6 0 0 0 0 0 0 0 0", (20, 30)),
    ],
)
def test_models_without_distortion_are_pinholes(root, model, parameters, focal):
    write_cameras(root, *[f"{i} {model} {WIDTH} {HEIGHT} {parameters}\n" for i in (1, 2, 3)])
    intrinsics = open_colmap(root).cameras[0].intrinsics
    expected = torch.tensor([[focal[0], 0, 8], [0, focal[1], 6], [0, 0, 1]])
    torch.testing.assert_close(intrinsics, expected.float())


@pytest.mark.parametrize(
    ("model", "numbers", "radial", "tangential"),
    [
        ("SIMPLE_RADIAL", "20 8 6 0.1", (0.1, 0, 0, 0, 0, 0), (0, 0)),
        ("RADIAL", "20 8 6 0.1 0.2", (0.1, 0.2, 0, 0, 0, 0), (0, 0)),
        ("OPENCV", "20 20 8 6 0.1 0.2 0.01 0.02", (0.1, 0.2, 0, 0, 0, 0), (0.01, 0.02)),
        ("FULL_OPENCV", "20 20 8 6 0.1 0.2 0.01 0.02 0.3 0.4 0.5 0.6", (0.1, 0.2, 0.3, 0.4, 0.5, 0.6), (0.01, 0.02)),
        ("OPENCV_FISHEYE", "20 20 8 6 0.1 0.2 0.3 0.4", (0.1, 0.2, 0.3, 0.4, 0, 0), (0, 0)),
        ("SIMPLE_RADIAL_FISHEYE", "20 8 6 0.1", (0.1, 0, 0, 0, 0, 0), (0, 0)),
        ("RADIAL_FISHEYE", "20 8 6 0.1 0.2", (0.1, 0.2, 0, 0, 0, 0), (0, 0)),
    ],
)
def test_lenses_are_undone_on_read(root, model, numbers, radial, tangential):
    write_cameras(root, *[f"{i} {model} {WIDTH} {HEIGHT} {numbers}\n" for i in (1, 2, 3)])
    photo = open_colmap(root).photos[0]
    assert photo.lens == Lens((20, 20), (8, 6), radial, tangential, "FISHEYE" in model)
    assert photo.camera.intrinsics[0, 0] != 20 and photo.read().images.shape == (3, HEIGHT, WIDTH)


def test_comments_and_missing_points_are_fine(root):
    path = root / "sparse" / "0" / "images.txt"
    path.write_text("# Image list\n# two lines each\n" + path.read_text())
    (root / "sparse" / "0" / "points3D.txt").unlink()
    assert len(open_colmap(root)) == 3 and len(read_model(root / "sparse" / "0").points) == 0


def write_cameras(root: Path, *lines: str) -> None:
    (root / "sparse" / "0" / "cameras.txt").write_text("".join(lines))


def write_images(root: Path, text: str) -> None:
    (root / "sparse" / "0" / "images.txt").write_text(text)


def camera(model: str, parameters: str, size: str = f"{WIDTH} {HEIGHT}"):
    return lambda root: write_cameras(root, *[f"{i} {model} {size} {parameters}\n" for i in (1, 2, 3)])


def image(line: str):
    return lambda root: write_images(root, line + "\n\n")


def binary(name: str, change):
    """Damage done to the bytes of one binary file."""

    def damage(root: Path) -> None:
        path = to_binary(root) / "sparse" / "0" / name
        path.write_bytes(change(path.read_bytes()))

    return damage


def huge(data: bytes) -> bytes:
    return struct.pack("<Q", 2**61) + data[8:]


def link_outside(root: Path) -> None:
    outside = root.parent / f"{root.name}.png"
    (root / "images" / "a.png").replace(outside)
    (root / "images" / "a.png").symlink_to(outside)


def grown(root: Path) -> None:
    """A terabyte without content, which takes no room on disk."""
    os.truncate(root / "sparse" / "0" / "points3D.txt", 2**40)


HOSTILE = {
    "a terabyte": (grown, "larger than"),
    "no model": (lambda root: [p.unlink() for p in (root / "sparse" / "0").iterdir()], "run COLMAP's mapper"),
    "no images file": (lambda root: (root / "sparse" / "0" / "images.txt").unlink(), r"images\.txt does not exist"),
    "no photos": (lambda root: (root / "images").rename(root / "photos"), "no folder 'images'"),
    "no registered images": (lambda root: write_images(root, "# none\n"), "no registered images"),
    "missing photo": (lambda root: (root / "images" / "a.png").unlink(), "does not exist"),
    "wrong size": (camera("PINHOLE", "20 20 8 6", "99 12"), "its camera says 99 x 12"),
    "absolute path": (image("1 1 0 0 0 0 0 0 1 /etc/hostname"), "not inside"),
    "path upwards": (image("1 1 0 0 0 0 0 0 1 ../sparse/0/cameras.txt"), "not inside"),
    "link outside": (link_outside, "not inside"),
    "NaN pose": (image("1 nan 0 0 0 0 0 0 1 a.png"), "no rigid pose"),
    "infinite place": (image("1 1 0 0 0 inf 0 0 1 a.png"), "no rigid pose"),
    "zero quaternion": (image("1 0 0 0 0 0 0 0 1 a.png"), "no registered images"),
    "text as number": (image("1 one 0 0 0 0 0 0 1 a.png"), "where numbers belong"),
    "short line": (image("1 1 0 0 0"), "is no image"),
    "unknown camera": (image("1 1 0 0 0 0 0 0 7 a.png"), "which the model lacks"),
    "folding lens": (camera("SIMPLE_RADIAL", "20 8 6 -9"), "folds the picture"),
    "other lens": (camera("FOV", "20 20 8 6 0.9"), "model FOV; run colmap image_undistorter"),
    "NaN in the lens": (camera("RADIAL", "20 8 6 0 nan"), "impossible intrinsics"),
    "huge size": (camera("RADIAL", "20 8 6 0.1 0", "9" * 40 + " 12"), "impossible intrinsics"),
    "unknown model": (camera("CYCLOPS", "20 8 6"), "is no camera"),
    "missing parameter": (camera("PINHOLE", "20 20 8"), "is no camera"),
    "negative focal": (camera("PINHOLE", "-20 20 8 6"), "impossible intrinsics"),
    "NaN focal": (camera("SIMPLE_PINHOLE", "nan 8 6"), "impossible intrinsics"),
    "zero size": (camera("PINHOLE", "20 20 8 6", "0 12"), "impossible intrinsics"),
    "NaN points": (
        lambda root: (root / "sparse" / "0" / "points3D.txt").write_text("1 nan 0 0 1 1 1 0\n"),
        "NaN or infinity",
    ),
    "binary as text": (lambda root: (root / "sparse" / "0" / "images.txt").write_bytes(b"\xff\0\x80" * 9), "UTF-8"),
    "huge camera count": (binary("cameras.bin", huge), "ends early"),
    "huge image count": (binary("images.bin", huge), "ends early"),
    "huge point count": (binary("points3D.bin", huge), "ends early"),
    "huge 2D points": (
        binary("images.bin", lambda data: data[:78] + struct.pack("<Q", 2**60) + data[86:]),
        "ends early",
    ),
    "empty binary": (binary("images.bin", lambda data: b""), "ends early"),
    "cut binary": (binary("images.bin", lambda data: data[:-60]), "ends early"),
    "endless name": (binary("images.bin", lambda data: data[:72] + b"x" * 300), "ends early"),
    "odd name": (binary("images.bin", lambda data: data.replace(b"a.png", b"\xff.png")), "not UTF-8"),
    "unknown binary model": (
        binary("cameras.bin", lambda data: data[:12] + b"\x63\0\0\0" + data[16:]),
        "unknown model",
    ),
}


@pytest.mark.parametrize("case", HOSTILE)
def test_malformed_models_are_refused_by_name(root, case):
    damage, words = HOSTILE[case]
    damage(root)
    with pytest.raises(InputError, match=words) as caught:
        open_colmap(root).read([0])
    assert str(root) in str(caught.value)
