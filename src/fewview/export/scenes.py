"""Scenes that other programs made: files of splats, told apart by their endings."""

from pathlib import Path

from fewview.errors import InputError
from fewview.export.ply import read_ply
from fewview.export.splat import read_splat
from fewview.export.spz import read_spz
from fewview.render.asset import GaussianAsset

AXES = {sign + axis: tuple(s * float(axis == x) for x in "xyz") for sign, s in (("", 1), ("-", -1)) for axis in "xyz"}
"""Directions by name; files of splats do not say which one is up, and most have -y."""

READERS = {
    ".ply": read_ply,
    ".spz": read_spz,
    ".splat": read_splat,
}


def load_scene(path: Path) -> GaussianAsset:
    """The splats of a .ply, .spz or .splat file; InputError if it is none, damaged, or empty."""
    reader = READERS.get(path.suffix.lower())
    if reader is None:
        raise InputError(f"{path} ends in '{path.suffix}'; scenes are read from {', '.join(READERS)}.")
    return reader(path)
