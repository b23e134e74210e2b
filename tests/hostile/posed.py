"""Photos with cameras: every layout that `fewview reconstruct` reads, and what may be wrong with it."""

import json
import math
import shutil
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import worlds
from data.test_blender import write_split
from data.test_co3d import read_annotations, write_annotations, write_set
from data.test_colmap import to_binary
from data.test_realestate10k import film
from hostile.kit import (
    Damage,
    Reader,
    any_file,
    edited,
    grown,
    json_file,
    labelled,
    picture_file,
    put,
    replaced,
    without,
    zeros,
)

from fewview.data.colmap import write_colmap
from fewview.data.realestate10k import write_clip

SIZE = 16
OUTSIDE = {"absolute path": "/etc/hostname", "path upwards": "../secret.png", "path up and down": "a/../../secret.png"}
ODD_NAMES = {
    **OUTSIDE,
    "NUL in a name": "images/\0.png",
    "half a character in a name": "images/\ud800.png",
    "line break in a name": "images/0\n00.png\x1b[2J",
    "endless name": "x" * 10_000,
    "name of the folder": ".",
}


def inspect(folder: Path, out: Path) -> list[object]:
    return ["inspect", folder, "-o", out / "picture.png"]


# transforms.json and its kin


def transforms(root: Path) -> None:
    worlds.write_transforms(root, worlds.photograph(worlds.ring(3, SIZE)))


def frame(file: str = "transforms.json", index: int = 1, **entries: object) -> Damage:
    """Other values in one frame of a transforms.json."""
    return edited(file, lambda data: data["frames"][index].update(entries))


def pose(row: int, column: int, value: object, file: str = "transforms.json") -> Damage:
    return edited(file, put("frames", 1, "transform_matrix", row, column, value=value))


def poses(file: str) -> dict[str, Damage]:
    """What may be wrong with poses and names of a transforms.json, whatever stands beside it."""
    return {
        "NaN pose": pose(0, 3, math.nan, file),
        "infinite pose": pose(2, 3, -math.inf, file),
        "far pose": pose(1, 3, 1e300, file),
        "pose of integers": pose(0, 3, 10**400, file),
        "singular pose": frame(file, transform_matrix=[[0.0] * 4] * 4),
        "pose of text": frame(file, transform_matrix="1" * 16),
        "nested pose": frame(file, transform_matrix=json.loads("[" * 500 + "]" * 500)),
        "names as numbers": frame(file, file_path=7),
        **{case: frame(file, file_path=name) for case, name in ODD_NAMES.items()},
    }


def everywhere(**entries: object) -> Damage:
    return edited("transforms.json", lambda data: [each.update(entries) for each in data["frames"]])


NERFSTUDIO = Reader(
    transforms,
    inspect,
    {
        **without(json_file("transforms.json"), "a folder", "a pipe"),  # which make a folder of photos of it
        **poses("transforms.json"),
        **picture_file("images/001.png"),
        **labelled("mask", picture_file("masks/001.png")),
        **{f"mask: {case}": frame(mask_path=name) for case, name in ODD_NAMES.items()},
        "mask of a number": frame(mask_path=1),
        "zero focal length": frame(fl_x=0),
        "vanishing focal length": everywhere(fl_x=1e-300, fl_y=1e-300),
        "endless focal length": frame(fl_x=1e300),
        "focal length of text": frame(fl_y="20"),
        "far centre": frame(cx=-1e300),
        "NaN centre": frame(cy=math.nan),
        "angle of a circle": edited("transforms.json", lambda data: _angle(data, 2 * math.pi)),
        "no angle": edited("transforms.json", lambda data: _angle(data, 0)),
        "huge size": frame(w=10**12, h=10**12),
        "negative size": frame(w=-SIZE, h=-SIZE),
        "size beyond 64 bits": frame(w=2**70),
        "lens of infinity": frame(k1=math.inf),
        "lens of text": frame(k2="0.1"),
        "a terabyte": grown("transforms.json"),
    },
)


def _angle(data: dict[str, Any], angle: float) -> None:
    for each in data["frames"]:
        del each["fl_x"], each["fl_y"]
        each["camera_angle_x"] = angle


def blender(root: Path) -> None:
    write_split(root, "train", worlds.ring(3, SIZE))
    write_split(root, "test", worlds.ring(2, SIZE, elevation=0.7))


BLENDER = Reader(
    blender,
    inspect,
    {
        **json_file("transforms_train.json"),
        **labelled("test", json_file("transforms_test.json")),
        **poses("transforms_train.json"),
        **picture_file("train/r_1.png"),
        "angle of a circle": edited("transforms_train.json", put("camera_angle_x", value=7.0)),
        "negative angle": edited("transforms_test.json", put("camera_angle_x", value=-1.0)),
        "vanishing angle": edited("transforms_train.json", put("camera_angle_x", value=1e-300)),
        "angle of text": edited("transforms_train.json", put("camera_angle_x", value="0.7")),
    },
)


def split(root: Path) -> None:
    transforms(root)
    (root / "train_test_split_1.json").write_text('{"train_ids": [0, 2], "test_ids": [1]}')


def ids(train: object, test: object = (1,)) -> Damage:
    text = json.dumps({"train_ids": train, "test_ids": test})
    return replaced("train_test_split_1.json", text.encode())


SPLITS = Reader(
    split,
    lambda folder, out: inspect(folder / "train_test_split_1.json", out),
    {
        **json_file("train_test_split_1.json"),
        "huge number": ids([10**12]),
        "beyond 64 bits": ids([2**80]),
        "negative": ids([-1]),
        "text": ids(["0"]),
        "a fraction": ids([0.5]),
        "NaN": ids([math.nan]),
        "true": ids([True, 2]),
        "twice": ids([0, 0]),
        "in both": ids([0, 1]),
        "nobody": ids([]),
        "no list": ids("02"),
        "nested": ids([[[[0]]]]),
        "no cameras": lambda root: (root / "transforms.json").unlink(),
    },
)


# COLMAP


def colmap(root: Path) -> None:
    """A text model of photos with points."""
    views = worlds.photograph(worlds.ring(3, SIZE))
    names = ["a.png", "b.png", "inner/c d.png"]
    for name, image in zip(names, views.images):
        worlds.save_image(root / "images" / name, image)
    points = np.random.default_rng(0).normal(size=(5, 3))
    write_colmap(root / "sparse" / "0", [views.cameras[i] for i in range(3)], names, points)


MODEL = "sparse/0/"
CAMERAS, IMAGES, POINTS = (MODEL + name for name in ("cameras", "images", "points3D"))


def lines(name: str, change: Callable[[list[str]], object]) -> Damage:
    """A text file whose lines `change` has been at."""

    def damage(root: Path) -> None:
        found = (root / name).read_text().split("\n")
        change(found)
        (root / name).write_text("\n".join(found), errors="surrogateescape")

    return damage


def word(name: str, index: int, value: object, line: int = 0) -> Damage:
    """One word of a line of a text file."""

    def change(found: list[str]) -> None:
        words = found[line].split(" ")
        words[index] = str(value)
        found[line] = " ".join(words)

    return lines(name, change)


TEXT_NAMES = {case: name for case, name in ODD_NAMES.items() if case != "line break in a name" and "half" not in case}
COLMAP_TEXT = Reader(
    colmap,
    inspect,
    {
        **labelled("cameras", without(any_file(CAMERAS + ".txt"), "all but the end", "a folder", "a pipe")),
        **labelled("images", any_file(IMAGES + ".txt")),
        "points: noise": any_file(POINTS + ".txt")["noise"],
        **{case: word(IMAGES + ".txt", 9, name) for case, name in TEXT_NAMES.items()},
        "the same name twice": word(IMAGES + ".txt", 9, "b.png"),
        **picture_file("images/b.png"),
        "NaN pose": word(IMAGES + ".txt", 5, "nan"),
        "far pose": word(IMAGES + ".txt", 6, "1e300"),
        "no rotation": word(IMAGES + ".txt", 1, 17),
        "camera beyond 64 bits": word(IMAGES + ".txt", 8, 10**30),
        "camera of 10 000 digits": word(IMAGES + ".txt", 8, "1" * 10_000),
        "zero focal length": word(CAMERAS + ".txt", 4, 0),
        "vanishing focal length": word(CAMERAS + ".txt", 4, 1e-300),
        "endless focal length": word(CAMERAS + ".txt", 4, 1e300),
        "far centre": word(CAMERAS + ".txt", 6, -1e300),
        "huge size": word(CAMERAS + ".txt", 2, 10**12),
        "negative size": word(CAMERAS + ".txt", 3, -16),
        "NaN point": word(POINTS + ".txt", 1, "nan"),
        "a terabyte": grown(IMAGES + ".txt"),
    },
)


def colmap_binary(root: Path) -> None:
    colmap(root)
    to_binary(root)


def number(name: str, offset: int, layout: str, *values: float) -> Damage:
    """Numbers written over the bytes from `offset` on."""

    def change(data: bytes) -> bytes:
        packed = struct.pack(f"<{layout}", *values)
        return data[:offset] + packed + data[offset + len(packed) :]

    return replaced(name, change)


def renamed(old: bytes, new: bytes) -> Damage:
    return replaced(IMAGES + ".bin", lambda data: data.replace(old, new))


COLMAP_BINARY = Reader(
    colmap_binary,
    inspect,
    {
        **labelled("cameras", without(any_file(CAMERAS + ".bin"), "a folder", "a pipe")),
        **labelled("images", any_file(IMAGES + ".bin")),
        **{f"points: {case}": any_file(POINTS + ".bin")[case] for case in ("empty", "noise", "half of it", "a pickle")},
        "10^12 cameras": number(CAMERAS + ".bin", 0, "Q", 10**12),
        "2^64 images": number(IMAGES + ".bin", 0, "Q", 2**64 - 1),
        "10^12 points": number(POINTS + ".bin", 0, "Q", 10**12),
        "10^18 parameters": number(CAMERAS + ".bin", 12, "i", 2**31 - 1),
        "negative model": number(CAMERAS + ".bin", 12, "i", -1),
        "huge size": number(CAMERAS + ".bin", 16, "QQ", 2**64 - 1, 2**64 - 1),
        "zero focal length": number(CAMERAS + ".bin", 32, "d", 0),
        "NaN focal length": number(CAMERAS + ".bin", 32, "d", math.nan),
        "endless focal length": number(CAMERAS + ".bin", 32, "d", 1e300),
        "zero quaternion": number(IMAGES + ".bin", 12, "4d", 0, 0, 0, 0),
        "far pose": number(IMAGES + ".bin", 12 + 32, "d", 1e300),
        "NaN pose": number(IMAGES + ".bin", 12 + 32, "d", math.nan),
        "camera of nobody": number(IMAGES + ".bin", 12 + 56, "I", 2**32 - 1),
        "infinite point": number(POINTS + ".bin", 16, "d", math.inf),
        "absolute path": renamed(b"a.png", b"/etc/hostname"),
        "path upwards": renamed(b"a.png", b"../../secret.png"),
        "name of nothing": renamed(b"a.png", b""),
        "line break in a name": renamed(b"a.png", b"a\n\x1b[2J.png"),
        "name of other letters": renamed(b"a.png", b"\xed\xa0\x80.png"),
        "the same name twice": renamed(b"a.png", b"b.png"),
        "a terabyte": grown(IMAGES + ".bin"),
    },
)


# CO3Dv2


def annotation(change: Callable[[dict[str, Any]], object]) -> Damage:
    """Damage to the first frame's annotation."""

    def damage(root: Path) -> None:
        entries = read_annotations(root)
        change(entries[0])
        write_annotations(root, entries)

    return damage


JGZ = "hydrant/frame_annotations.jgz"
CO3D = Reader(
    lambda root: write_set(root, frames=3),
    lambda folder, out: inspect(folder / "hydrant" / "1_2_3", out),
    {
        **without(any_file(JGZ), "a folder", "a pipe"),
        "a gzip bomb": replaced(JGZ, zeros(container=31)),
        "no list": lambda root: write_annotations(root, {"a": 1}),
        "no objects": lambda root: write_annotations(root, [[[]]]),
        "nested": lambda root: write_annotations(root, json.loads("[" * 900 + "]" * 900)),
        **{f"image: {case}": annotation(put("image", "path", value=name)) for case, name in ODD_NAMES.items()},
        **{f"mask: {case}": annotation(put("mask", "path", value=name)) for case, name in OUTSIDE.items()},
        "depth: absolute path": annotation(put("depth", "path", value="/etc/hostname")),
        **picture_file("hydrant/1_2_3/images/frame000001.png"),
        "NaN pose": annotation(put("viewpoint", "T", 1, value=math.nan)),
        "far pose": annotation(put("viewpoint", "T", 1, value=1e300)),
        "singular pose": annotation(put("viewpoint", "R", value=[[0.0] * 3] * 3)),
        "pose of text": annotation(put("viewpoint", "R", value="eye")),
        "vanishing focal length": annotation(put("viewpoint", "focal_length", value=[1e-300, 1e-300])),
        "endless focal length": annotation(put("viewpoint", "focal_length", value=[1e300, 1e300])),
        "NDC of a list": annotation(put("viewpoint", "intrinsics_format", value=["ndc_isotropic"])),
        "no viewpoint": annotation(put("viewpoint", value=None)),
        "size beyond 64 bits": annotation(put("image", "size", value=[1e300, 1e300])),
        "negative size": annotation(put("image", "size", value=[-40, -60])),
        "number of text": annotation(put("frame_number", value="0")),
        "name of a number": annotation(put("sequence_name", value=1)),
        "infinite depth": annotation(put("depth", "scale_adjustment", value=math.inf)),
        "mass of text": annotation(put("mask", "mass", value="much")),
    },
)


# RealEstate10K


def clip(root: Path) -> None:
    """Three frames with depth maps."""
    views = worlds.photograph(worlds.ring(3, SIZE))
    pictures = [image.movedim(0, -1).numpy() for image in views.images]
    depths = [np.full((SIZE, SIZE), 2.5)] * 3
    write_clip(
        root / "walk.txt",
        pictures,
        views.cameras,
        url="https://example.org",
        depths=depths,
        seconds=1e-6,
        suffix=".png",
    )


def clip_with_film(root: Path) -> None:
    clip(root)
    shutil.rmtree(root / "walk")
    film(root / "walk.mp4", 3)


CLIP_TEXT = {
    **without(any_file("walk.txt"), "all but the end"),
    "NaN": word("walk.txt", 1, "nan", line=2),
    "infinity": word("walk.txt", 10, "inf", line=2),
    "zero focal length": word("walk.txt", 1, 0, line=2),
    "vanishing focal length": word("walk.txt", 2, 1e-300, line=2),
    "endless focal length": word("walk.txt", 2, 1e300, line=2),
    "far centre": word("walk.txt", 3, 1e300, line=2),
    "far pose": word("walk.txt", 10, 1e300, line=2),
    "singular pose": lines("walk.txt", lambda found: found.__setitem__(2, "1 1 1 .5 .5 0 0" + " 0" * 12)),
    "too many numbers": lines("walk.txt", lambda found: found.__setitem__(2, found[2] + " 1")),
    "too few numbers": lines("walk.txt", lambda found: found.__setitem__(2, found[2][:-12])),
    "a word": word("walk.txt", 7, "one", line=2),
    "NUL": word("walk.txt", 7, "\0", line=2),
    "no frames": lines("walk.txt", lambda found: found.__delitem__(slice(1, None))),
    "a terabyte": grown("walk.txt"),
}


def of_clip(folder: Path, out: Path) -> list[object]:
    return ["reconstruct", folder / "walk.txt", "-o", out, "--mask", "none", "--weights", "nothing-of-this-name"]


CLIP_FRAMES = Reader(
    clip,
    of_clip,
    {
        **CLIP_TEXT,
        **picture_file("walk/1.png"),
        "endless time": word("walk.txt", 0, 1e300, line=2),
        "negative time": word("walk.txt", 0, -1, line=2),
        "missing frame": lambda root: (root / "walk" / "1.png").unlink(),
    },
    valid="nothing-of-this-name",
    names="walk",
)
CLIP_FILM = Reader(
    clip_with_film,
    of_clip,
    {
        **CLIP_TEXT,
        **labelled("film", without(any_file("walk.mp4"), "all but the end")),
        "film of a frame less": lambda root: film(root / "walk.mp4", 2),
        "film of a frame more": lambda root: film(root / "walk.mp4", 4),
        "film that names another": replaced("walk.mp4", b"#EXTM3U\n#EXTINF:9,\n/etc/hostname\n#EXT-X-ENDLIST\n"),
        "missing film": lambda root: (root / "walk.mp4").unlink(),
    },
    valid="nothing-of-this-name",
    names="walk",
)


# LLFF


def llff(root: Path) -> None:
    """As LLFF writes them: columns down, right, backward, centre, then height, width and focal length."""
    views = worlds.photograph(worlds.ring(3, SIZE))
    for i, image in enumerate(views.images):
        worlds.save_image(root / "images" / f"{i}.png", image)
    world_from_cam = views.cameras.world_from_cam.double().numpy()
    right, down, forward, centre = (world_from_cam[:, :3, i] for i in range(4))
    size = np.tile([SIZE, SIZE, 1.4 * SIZE], (3, 1))
    matrix = np.stack([down, right, -forward, centre, size], axis=-1).reshape(3, 15)
    np.save(root / "poses_bounds.npy", np.concatenate([matrix, np.tile([2.0, 9.0], (3, 1))], axis=1))


NPY = "poses_bounds.npy"


def entries(*changes: tuple[object, object]) -> Damage:
    """Other values in the table."""

    def damage(root: Path) -> None:
        table = np.load(root / NPY)
        for place, value in changes:
            table[place] = value
        np.save(root / NPY, table)

    return damage


def header(text: str) -> Damage:
    """The table's numbers behind another header."""

    def change(data: bytes) -> bytes:
        return b"\x93NUMPY\x01\0" + struct.pack("<H", len(text) + 1) + text.encode() + b"\n" + data[128:]

    return replaced(NPY, change)


def objects(root: Path) -> None:
    from hostile.kit import Exploit

    np.save(root / NPY, np.array([[Exploit(root.parent)] * 17] * 3, dtype=object), allow_pickle=True)


SHAPED = "{'descr': '<f8', 'fortran_order': False, 'shape': %s, }"
LLFF = Reader(
    llff,
    inspect,
    {
        **without(any_file(NPY), "a folder", "a pipe"),
        "objects": objects,
        "10^12 rows": header(SHAPED % f"({10**12}, 17)"),
        "10^40 rows": header(SHAPED % f"({10**40}, 17)"),
        "negative rows": header(SHAPED % "(-3, 17)"),
        "rows of text": header(SHAPED % "('3', 17)"),
        "rows of fractions": header(SHAPED % "(3.0, 17)"),
        "nested header": header("[" * 3000),
        "text": header("{'descr': '<U2', 'fortran_order': False, 'shape': (3, 17), }"),
        "objects by the header": header("{'descr': '|O', 'fortran_order': False, 'shape': (3, 17), }"),
        "NaN pose": entries(((1, 3), math.nan)),
        "far pose": entries(((1, 3), 1e300)),
        "singular pose": entries(((1, slice(0, 12)), 0)),
        "zero focal length": entries(((1, 14), 0)),
        "endless focal length": entries(((1, 14), 1e300)),
        "vanishing focal length": entries(((1, 14), 1e-300)),
        "vanishing size": entries(((1, 4), 1e-300), ((1, 9), 1e-300)),
        "photo too many": lambda root: shutil.copy(root / "images" / "0.png", root / "images" / "9.png"),
        **picture_file("images/1.png"),
        "a terabyte": grown(NPY),
    },
)
