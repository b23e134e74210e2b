import json
import math
import os
from pathlib import Path

import pytest
import torch
import worlds
from PIL import Image

from fewview.cameras import Cameras
from fewview.data import open_scene
from fewview.data.blender import open_blender
from fewview.data.nerfstudio import OPENGL_FLIP
from fewview.data.photos import PhotoScene
from fewview.errors import InputError

SIZE = 16


def write_split(root: Path, split: str, cameras: Cameras) -> None:
    """The files that NeRF's Blender script writes: pictures with alpha, and names without suffix."""
    (root / split).mkdir(parents=True)
    views = worlds.photograph(cameras)
    assert views.masks is not None
    frames = []
    for i in range(len(views)):
        pixels = (torch.cat([views.images[i], views.masks[i]]).permute(1, 2, 0) * 255).round().byte().numpy()
        Image.fromarray(pixels).save(root / split / f"r_{i}.png")
        pose = cameras.world_from_cam[i].double().numpy() @ OPENGL_FLIP
        frames.append({"file_path": f"./{split}/r_{i}", "rotation": 0.01, "transform_matrix": pose.tolist()})
    angle = 2 * math.atan(SIZE / 2 / cameras.intrinsics[0, 0, 0].item())
    (root / f"transforms_{split}.json").write_text(json.dumps({"camera_angle_x": angle, "frames": frames}))


@pytest.fixture
def root(tmp_path) -> Path:
    write_split(tmp_path, "train", worlds.ring(3, SIZE))
    write_split(tmp_path, "test", worlds.ring(2, SIZE, elevation=0.7))
    return tmp_path


def test_training_photos_are_inputs_and_test_photos_targets(root):
    scene = open_scene(root)
    assert isinstance(scene, PhotoScene) and scene.inputs == (0, 1, 2) and scene.targets == (3, 4)
    kind = "Blender scene (transforms_train.json and transforms_test.json)"
    assert scene.describe() == f"{kind}, 5 photos, of them 3 inputs and 2 targets"
    views = scene.read([1, 4])
    expected = Cameras.cat([worlds.ring(3, SIZE)[1:2], worlds.ring(2, SIZE, elevation=0.7)[1:]])
    torch.testing.assert_close(views.cameras.world_from_cam, expected.world_from_cam, atol=1e-5, rtol=0)
    torch.testing.assert_close(views.cameras.intrinsics, expected.intrinsics, atol=1e-4, rtol=0)
    assert views.masks is not None and 0.01 < views.masks.mean() < 0.9


def test_one_file_alone_is_its_own_photos(root):
    assert len(open_scene(root / "transforms_test.json")) == 2
    (root / "transforms_test.json").unlink()
    scene = open_blender(root)
    assert len(scene) == 3 and not scene.inputs and scene.kind == "Blender scene (transforms_train.json)"


def edit(change, split: str = "train"):
    def damage(root: Path) -> None:
        path = root / f"transforms_{split}.json"
        data = json.loads(path.read_text())
        change(data)
        path.write_text(json.dumps(data))

    return damage


def first(**values):
    return edit(lambda data: data["frames"][0].update(values))


def raw(text: bytes):
    return lambda root: (root / "transforms_train.json").write_bytes(text)


def truncated(root: Path) -> None:
    path = root / "train" / "r_0.png"
    path.write_bytes(path.read_bytes()[:-40])


def link_outside(root: Path) -> None:
    (root / "train" / "r_0.png").unlink()
    (root / "train" / "r_0.png").symlink_to("/etc/hostname")


def grown(root: Path) -> None:
    """A terabyte without content, which takes no room on disk."""
    os.truncate(root / "transforms_train.json", 2**40)


HOSTILE = {
    "a terabyte": (grown, "larger than"),
    "bad JSON": (raw(b"{'frames': []}"), "valid JSON"),
    "cut JSON": (raw(b'{"camera_angle_x": 0.69, "frames": [{"file_'), "valid JSON"),
    "not UTF-8": (raw(b"\xff\xfe\x00{"), "valid JSON"),
    "deep JSON": (raw(b'{"a":' * 200_000), "valid JSON"),
    "a number": (raw(b"7"), "must be an object"),
    "empty frames": (edit(lambda data: data.update(frames=[])), "has no frames"),
    "frames by name": (edit(lambda data: data.update(frames={})), "must be of type list"),
    "no angle": (edit(lambda data: data.pop("camera_angle_x")), "neither 'fl_x' nor"),
    "zero angle": (edit(lambda data: data.update(camera_angle_x=0.0)), "neither|positive"),
    "angle of half a turn": (edit(lambda data: data.update(camera_angle_x=math.pi)), "positive"),
    "negative angle": (edit(lambda data: data.update(camera_angle_x=-0.6)), "positive"),
    "NaN angle": (edit(lambda data: data.update(camera_angle_x=math.nan)), "finite"),
    "text as angle": (edit(lambda data: data.update(camera_angle_x="0.69")), "must be of type float"),
    "NaN pose": (first(transform_matrix=[[math.nan] * 4] * 4), "NaN or infinity"),
    "stretched pose": (first(transform_matrix=[[2, 0, 0, 0], [0, 1, 0, 0], [0, 0, 1, 0], [0, 0, 0, 1]]), "not a rota"),
    "absolute path": (first(file_path="/etc/hostname"), "not inside"),
    "path upwards": (first(file_path="../../train/r_0"), "not inside"),
    "missing photo": (first(file_path="./train/r_99"), "does not exist"),
    "link outside": (link_outside, "not inside"),
    "truncated photo": (truncated, "truncated or damaged"),
    "bad test file": (edit(lambda data: data.update(frames=[3]), "test"), "transforms_test.json: frame 0"),
}


@pytest.mark.parametrize("case", HOSTILE)
def test_malformed_sets_are_refused_by_name(root, case):
    damage, words = HOSTILE[case]
    damage(root)
    with pytest.raises(InputError, match=words) as caught:
        open_blender(root).read([0])
    assert str(root) in str(caught.value)
