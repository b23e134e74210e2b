"""Sequences and clips, CO3Dv2 and RealEstate10K, and what may be wrong with them."""

import json
import math
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import worlds
from data.test_co3d import read_annotations, write_annotations, write_set
from data.test_realestate10k import film
from hostile.kit import (
    Damage,
    Reader,
    any_file,
    grown,
    labelled,
    picture_file,
    put,
    replaced,
    without,
    zeros,
)
from hostile.posed import ODD_NAMES, OUTSIDE, SIZE, inspect, lines, word

from fewview.data.realestate10k import write_clip

NOWHERE = str(Path(__file__).parent)  # a folder of no weights, which stops a command once its input is read


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
    return ["reconstruct", folder / "walk.txt", "-o", out, "--mask", "none", "--weights", NOWHERE]


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
    valid=NOWHERE,
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
    valid=NOWHERE,
    names="walk",
)
