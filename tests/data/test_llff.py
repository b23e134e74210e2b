import io
import os
import pickle
import struct
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from fewview.cameras import Cameras
from fewview.data import open_scene
from fewview.data.llff import open_llff
from fewview.data.photos import PhotoScene
from fewview.errors import InputError

HEIGHT, WIDTH, FOCAL = 12, 16, 20.0


def cameras() -> Cameras:
    centers = torch.tensor([[0.0, -1, -4], [3.0, 0, -3], [4.0, 1, 0.5]])
    return Cameras.look_at(centers, torch.zeros(3), torch.tensor([0.0, -1, 0]), focal=FOCAL, height=HEIGHT, width=WIDTH)


def rows() -> np.ndarray:
    """What LLFF writes for these cameras: columns down, right, backward, centre and (height, width, focal length)."""
    pose = cameras().world_from_cam.double().numpy()
    right, down, forward, centre = (pose[:, :3, i] for i in range(4))
    size = np.tile([HEIGHT, WIDTH, FOCAL], (3, 1))
    matrix = np.stack([down, right, -forward, centre, size], axis=-1)
    return np.concatenate([matrix.reshape(3, 15), np.tile([2.0, 9.0], (3, 1))], axis=1)


@pytest.fixture
def root(tmp_path) -> Path:
    (tmp_path / "images").mkdir()
    for i, name in enumerate(("IMG_1.JPG", "IMG_2.png", "b.png")):
        Image.new("RGB", (WIDTH, HEIGHT), (40 * i, 0, 0)).save(tmp_path / "images" / name)
    np.save(tmp_path / "poses_bounds.npy", rows())
    return tmp_path


def test_rows_are_cameras_in_the_order_of_the_names(root):
    for scene in (open_scene(root), open_scene(root / "poses_bounds.npy")):
        assert isinstance(scene, PhotoScene)
        assert scene.describe() == "LLFF poses (poses_bounds.npy), 3 photos"
        assert scene.names == ["IMG_1.JPG", "IMG_2.png", "b.png"]
        read = Cameras.stack(scene.cameras)
        torch.testing.assert_close(read.world_from_cam, cameras().world_from_cam)
        torch.testing.assert_close(read.intrinsics, cameras().intrinsics)
        assert (scene.read([2]).images[0, 0, 0, 0] * 255).item() == pytest.approx(80)


def test_the_columns_are_down_right_and_backward(root):
    """By hand: an identity matrix looks along -z of the third column, with x down and y to the right."""
    data = rows()
    data[0, :15] = np.array([[1, 0, 0, 0, HEIGHT], [0, 1, 0, 0, WIDTH], [0, 0, 1, 0, FOCAL]]).ravel()
    np.save(root / "poses_bounds.npy", data)
    pixels, depth = open_llff(root).cameras[0].project(torch.tensor([[0.1, 0.2, -2.0]]))
    assert pixels[0].tolist() == pytest.approx([8 + 20 * 0.1, 6 + 20 * 0.05]) and depth.tolist() == [2]


def test_smaller_copies_of_the_photos_scale_the_focal_length(root):
    (root / "images").rename(root / "images_4")
    data = rows()
    data[:, [4, 9, 14]] *= 4
    np.save(root / "poses_bounds.npy", data.astype(np.float32))
    torch.testing.assert_close(Cameras.stack(open_llff(root).cameras).intrinsics, cameras().intrinsics)


def header(text: str, data: bytes = b"\0" * 408) -> bytes:
    return b"\x93NUMPY\x01\x00" + struct.pack("<H", len(text) + 1) + text.encode() + b"\n" + data


def array(shape: str, kind: str = "<f8", data: bytes = b"\0" * 408):
    return raw(header(f"{{'descr': '{kind}', 'fortran_order': False, 'shape': {shape}, }}", data))


def raw(data: bytes):
    return lambda root: (root / "poses_bounds.npy").write_bytes(data)


def changed(change):
    def damage(root: Path) -> None:
        data = rows()
        np.save(root / "poses_bounds.npy", change(data) if change(data) is not None else data)

    return damage


def put(row: int, column: int, value: float):
    def change(data: np.ndarray) -> np.ndarray:
        data[row, column] = value
        return data

    return changed(change)


class Exploit:
    def __reduce__(self):
        return Path.touch, (Path("/tmp/fewview-pickle-was-run"),)


def objects() -> bytes:
    stream = io.BytesIO()
    np.save(stream, np.array([[Exploit()] * 17], dtype=object), allow_pickle=True)
    return stream.getvalue()


def zipped() -> bytes:
    stream = io.BytesIO()
    np.savez(stream, rows())
    return stream.getvalue()


def link_outside(root: Path) -> None:
    (root / "images" / "b.png").unlink()
    (root / "images" / "b.png").symlink_to("/etc/hostname")


def truncated(root: Path) -> None:
    path = root / "images" / "IMG_1.JPG"
    path.write_bytes(path.read_bytes()[:-40])


def grown(root: Path) -> None:
    """Rows of zeros, many gigabytes that take no room on disk."""
    array(f"({2**32}, 17)", data=b"")(root)
    os.truncate(root / "poses_bounds.npy", (root / "poses_bounds.npy").stat().st_size + 2**32 * 17 * 8)


HOSTILE = {
    "gigabytes": (grown, "must be whole"),
    "empty": (raw(b""), "not a NumPy file"),
    "text": (raw(b"1 2 3\n" * 99), "not a NumPy file"),
    "pickle": (raw(pickle.dumps(Exploit())), "not a NumPy file"),
    "array of objects": (raw(objects()), "says .* of object"),
    "zip archive": (raw(zipped()), "not a NumPy file"),
    "huge shape": (array(f"({2**60}, 17)"), "must be whole"),
    "overflowing shape": (array(f"({2**64}, {2**64})"), "must be whole"),
    "negative shape": (array("(-3, -17)"), "must be of shape|must be whole"),
    "no rows": (array("(0, 17)", data=b""), "must be whole"),
    "other shape": (array("(17, 3)"), "must be whole"),
    "one row flat": (array("(51,)"), "must be whole"),
    "integers": (array("(3, 17)", "<i8"), "must be whole"),
    "structures": (array("(3, 17)", "V8"), "must be whole"),
    "code in the header": (raw(header("__import__('os').abort()")), "not a NumPy file"),
    "deep header": (raw(header("(" * 5000)), "not a NumPy file"),
    "odd version": (raw(b"\x93NUMPY\x09\x00" + b"\0" * 99), "not a NumPy file"),
    "truncated": (lambda root: array("(3, 17)", data=rows().tobytes()[:-9])(root), "must be whole"),
    "too long": (lambda root: array("(3, 17)", data=rows().tobytes() + b"\0")(root), "must be whole"),
    "NaN": (put(1, 3, np.nan), "NaN or infinity"),
    "infinity": (put(0, 16, np.inf), "NaN or infinity"),
    "stretched": (put(1, 0, 5.0), "not a rotation"),
    "negative focal": (put(0, 14, -20.0), "not positive"),
    "zero size": (put(0, 4, 0.0), "not positive"),
    "other aspect": (put(0, 9, 32.0), "row 0 says 32 x 12 pixels"),
    "too few poses": (changed(lambda data: data[:2]), "2 poses, but .* 3 photos"),
    "no photos": (lambda root: (root / "images").rename(root / "pictures"), "no folder 'images'"),
    "link outside": (link_outside, "not inside"),
    "truncated photo": (truncated, "truncated or damaged|not a readable image"),
}


@pytest.mark.parametrize("case", HOSTILE)
def test_malformed_sets_are_refused_by_name(root, case):
    damage, words = HOSTILE[case]
    damage(root)
    with pytest.raises(InputError, match=words) as caught:
        open_llff(root).read([0])
    assert str(root) in str(caught.value) and not Path("/tmp/fewview-pickle-was-run").exists()


def test_a_split_may_lie_beside_any_scene_with_cameras(root):
    (root / "train_test_split_2.json").write_text('{"train_ids": [0, 2], "test_ids": [1]}')
    scene = open_scene(root)
    assert isinstance(scene, PhotoScene) and scene.inputs == (0, 2) and "LLFF" in scene.kind
