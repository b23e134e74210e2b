"""Scenes that other programs made: files of splats, told apart by their endings."""

from pathlib import Path

from fewview.errors import InputError
from fewview.export.compressed_ply import is_compressed, read_compressed_ply
from fewview.export.gltf_splats import read_gltf_splats
from fewview.export.ksplat import read_ksplat
from fewview.export.ply import read_ply
from fewview.export.sog import META, read_sog
from fewview.export.splat import read_splat
from fewview.export.spz import read_spz
from fewview.render.asset import GaussianAsset

AXES = {sign + axis: tuple(s * float(axis == x) for x in "xyz") for sign, s in (("", 1), ("-", -1)) for axis in "xyz"}
"""Directions by name. Files of splats have -y up by custom, and those that state another are turned so on read."""

READERS = {
    ".ply": lambda path: read_compressed_ply(path) if is_compressed(path) else read_ply(path),
    ".spz": read_spz,
    ".sog": read_sog,
    ".splat": read_splat,
    ".ksplat": read_ksplat,
    ".glb": read_gltf_splats,
    ".gltf": read_gltf_splats,
}
UNREAD = (".lcc", ".lcc2", ".rad")  # that another tool converts


def load_scene(path: Path, spz_axes: str | None = None) -> GaussianAsset:
    """The splats of a file; InputError if it is none, damaged, or empty. `spz_axes` are those of .spz, if it errs."""
    suffix = path.suffix.lower()
    if path.name.lower() == META:
        return read_sog(path)
    if suffix in UNREAD:
        raise InputError(
            f"{path} ends in '{path.suffix}', which is not read; `splat-transform {path} OUT.ply` converts it."
        )
    if suffix not in READERS:
        raise InputError(f"{path} ends in '{path.suffix}'; scenes are read from {', '.join(READERS)}.")
    return read_spz(path, spz_axes) if suffix == ".spz" else READERS[suffix](path)
