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
)

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
