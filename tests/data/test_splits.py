import json
from pathlib import Path

import pytest
import worlds

from fewview.data import open_scene
from fewview.data.nerfstudio import open_transforms
from fewview.data.photos import PhotoScene
from fewview.data.splits import find_splits, with_split
from fewview.errors import InputError

NAME = "train_test_split_3.json"


@pytest.fixture(scope="module")
def photos(tmp_path_factory) -> Path:
    return worlds.write_transforms(tmp_path_factory.mktemp("split"), worlds.photograph(worlds.ring(5, size=8)))


def split(photos: Path, tmp_path: Path, text: bytes) -> PhotoScene:
    """The photos with a split that lies elsewhere, so that the photos are made once."""
    (tmp_path / NAME).write_bytes(text)
    return with_split(open_transforms(photos), tmp_path / NAME)


def test_ids_are_frames_in_the_order_of_the_split(photos, tmp_path):
    scene = split(photos, tmp_path, b'{"train_ids": [4, 0, 2], "test_ids": [1]}')
    assert scene.inputs == (4, 0, 2) and scene.targets == (1,) and len(scene) == 5
    assert scene.describe() == f"transforms.json with {NAME}, 5 photos, of them 3 inputs and 1 targets"
    assert find_splits(tmp_path) == [NAME]


def test_a_named_split_is_read_with_the_scene_beside_it(photos):
    for name, first in ((NAME, 0), ("train_test_split_9.json", 3)):
        (photos / name).write_text(json.dumps({"train_ids": [first], "test_ids": [1]}))
    scene = open_scene(photos / "train_test_split_9.json")
    assert isinstance(scene, PhotoScene) and scene.inputs == (3,)
    scene = open_scene(photos)
    assert isinstance(scene, PhotoScene) and scene.inputs == ()


def ids(train: object, test: object) -> bytes:
    return json.dumps({"train_ids": train, "test_ids": test}).encode()


HOSTILE = {
    "bad JSON": (b"{train_ids: [0]}", "valid JSON"),
    "cut JSON": (b'{"train_ids": [0, 1', "valid JSON"),
    "not UTF-8": (b"\xff\xfe\xff", "valid JSON"),
    "deep JSON": (b"[" * 200_000, "valid JSON"),
    "endless number": (b'{"train_ids": [' + b"9" * 10_000 + b"]}", "valid JSON"),
    "a list": (b"[0, 1]", "must be an object"),
    "no train": (b'{"test_ids": [1]}', "lacks the key 'train_ids'"),
    "no test": (b'{"train_ids": [1]}', "lacks the key 'test_ids'"),
    "empty train": (ids([], [1]), "'train_ids' is empty"),
    "empty test": (ids([1], []), "'test_ids' is empty"),
    "too large": (ids([5], [1]), "holds 5; the scene has 5 frames"),
    "huge": (ids([2**200], [1]), "the scene has 5 frames"),
    "negative": (ids([-1], [1]), "holds -1"),
    "fraction": (ids([0.5], [1]), r"holds 0\.5"),
    "NaN": (b'{"train_ids": [NaN], "test_ids": [1]}', "holds nan"),
    "truth": (ids([True], [1]), "holds True"),
    "file names": (ids(["../0.png"], [1]), "holds '../0.png'"),
    "lists": (ids([[0]], [1]), r"holds \[0\]"),
    "a text": (ids("012", [1]), "must be of type list"),
    "twice": (ids([0, 0], [1]), "names a frame twice"),
    "in both": (ids([0, 1], [1, 2]), "frame 1 under 'train_ids' and 'test_ids'"),
}


@pytest.mark.parametrize("case", HOSTILE)
def test_malformed_splits_are_refused_by_name(photos, tmp_path, case):
    text, words = HOSTILE[case]
    with pytest.raises(InputError, match=words) as caught:
        split(photos, tmp_path, text)
    assert str(tmp_path / NAME) in str(caught.value)
