"""What is said where there are no photos: what lies there instead, and what to do with it."""

import json
from pathlib import Path

import numpy as np
import pytest
from data.test_far_worlds import HEIGHT, WIDTH, centres, photos, write_json
from PIL import Image
from test_cli import refused

from fewview.data import open_scene
from fewview.data.instead import instead_of_photos, missing
from fewview.errors import InputError


def put(root: Path, *names: str) -> Path:
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(b"x")
    return root


FOUND = {
    "an archive": (["photos.zip"], "unpack 'photos.zip'"),
    "an archive among others": (["notes.txt", "B.TAR"], "unpack 'B.TAR'"),
    "raw photos": (["a.CR2", "b.cr2", "c.dng"], "2 .cr2 files, which are not read; export them as JPEG"),
    "an animation": (["a.gif"], "1 .gif file, which"),
    "photos below": (["scan/a.jpg"], "name the folder {root}/scan,"),
    "cameras below": (["x/y/transforms.json", "x/notes.txt"], "name the folder {root}/x/y,"),
    "the upper of two": (["x/y/z/a.png", "b/a.png"], "name the folder {root}/b,"),
    "nothing": ([], "for it is empty"),
    "notes": (["notes.txt"], "no photos, no transforms.json and no COLMAP model"),
    "what is hidden": ([".thumbs/a.png"], "no photos, no transforms.json"),
    "too deep": (["1/2/3/4/a.png"], "no photos, no transforms.json"),
}


@pytest.mark.parametrize("case", FOUND)
def test_a_folder_without_photos_is_told_by_what_it_holds(tmp_path, case):
    names, words = FOUND[case]
    with pytest.raises(InputError, match=r"has (no|2|1) ") as refusal:
        open_scene(put(tmp_path, *names))
    assert words.format(root=tmp_path) in str(refusal.value)


def test_links_are_not_followed(tmp_path):
    put(tmp_path / "elsewhere", "a.png")
    (tmp_path / "here").mkdir()
    (tmp_path / "here" / "link").symlink_to(tmp_path / "elsewhere")
    assert "COLMAP" in instead_of_photos(tmp_path / "here")


@pytest.mark.parametrize("address", ["https://host/a/b.zip", "http://host/x", "s3://bucket/scan", "gs://b/x.ply"])
def test_an_address_is_known_by_its_beginning_though_paths_keep_one_slash(address, tmp_path, capsys):
    assert missing(Path(address)).startswith(f"{address} is an address, from which nothing")
    assert missing(tmp_path / "x") == f"{tmp_path / 'x'} does not exist"
    for words in (("inspect", address), ("export", address, "-o", tmp_path / "x.ply"), ("view", address)):
        assert f"{address} is an address" in refused(capsys, *words)


def test_a_number_of_one_has_a_word_of_its_own(tmp_path):
    places = centres(0.1, np.zeros(3))
    photos(tmp_path)
    write_json(tmp_path, places)
    file = tmp_path / "transforms.json"
    file.write_text(json.dumps({"w": 2 * WIDTH, "h": 2 * HEIGHT, **json.loads(file.read_text())}))
    assert "4 photos have another size" in open_scene(tmp_path).describe()
    for i in range(3):
        Image.new("RGB", (2 * WIDTH, 2 * HEIGHT)).save(tmp_path / "images" / f"{i}.png")
    assert "1 photo has another size" in open_scene(tmp_path).describe()


def test_a_folder_of_photos_in_place_of_a_scene_is_told_how_to_become_one(tmp_path, capsys):
    put(tmp_path / "photos", "images/a.png")
    put(tmp_path / "other", "notes.txt")
    for command in ("view", "render", "export"):
        words = (command, tmp_path / "photos") + (() if command == "view" else ("-o", tmp_path / "x.ply"))
        words = (*words[:-1], tmp_path / "x.mp4") if command == "render" else words
        assert f"`fewview reconstruct {tmp_path / 'photos'} -o OUT` makes one" in refused(capsys, *words)
    assert "name the results of `fewview reconstruct`" in refused(capsys, "view", tmp_path / "other")
