"""COLMAP's models, as text and binary, and what may be wrong with them."""

import math
import struct
from pathlib import Path

import numpy as np
import worlds
from data.test_colmap import to_binary
from hostile.kit import (
    Damage,
    Reader,
    any_file,
    grown,
    labelled,
    picture_file,
    replaced,
    without,
)
from hostile.posed import ODD_NAMES, SIZE, inspect, word

from fewview.data.colmap import write_colmap

# COLMAP


def colmap(root: Path) -> None:
    """A text model of photos with points."""
    views = worlds.photograph(worlds.ring(3, SIZE))
    names = ["a.png", "b.png", "inner/c d.png"]
    for name, image in zip(names, views.images):
        worlds.save_image(root / "images" / name, image)
    points = np.random.default_rng(0).normal(size=(5, 3))
    write_colmap(root / "sparse" / "0", [views.cameras[i] for i in range(3)], names, points=points)


MODEL = "sparse/0/"
CAMERAS, IMAGES, POINTS = (MODEL + name for name in ("cameras", "images", "points3D"))


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
