"""The cameras of a transforms.json alone, such as a path to film along; its pictures need not exist."""

from pathlib import Path
from typing import Any

import numpy as np
import torch

from fewview.cameras import Cameras
from fewview.data.fields import array, field, read_json
from fewview.data.images import MAX_PIXELS, image_size
from fewview.data.intrinsics import intrinsics, present
from fewview.data.names import Finder
from fewview.data.photos import counted_from, pinhole, rigid, without_scale
from fewview.errors import InputError
from fewview.geometry.origin import NO_ORIGIN, Origin

FLIP = np.array([1.0, -1.0, -1.0, 1.0])  # from OpenGL's axes: y up, z backward
ORIGIN = "origin"  # what files of ours call it


def read_cameras(path: Path, *, origin: Origin | None = None, size: tuple[int, int] | None = None) -> Cameras:
    """Cameras of a transforms.json, whose images need not exist; all get the size of the first.

    They count from `origin`, by default the one that the file states. Frames that say no `w` and `h` have the size of
    their picture, where there is one, else `size` (height, width), which has the same field of view across.
    """
    data = read_json(path)
    frames, finder = field(data, "frames", list, where=str(path)), Finder(path.parent)
    if not frames:
        raise InputError(f"{path} has no frames; list at least one camera.")
    begin = origin_in(data, path) if origin is None else origin
    cameras = []
    for i, frame in enumerate(frames):
        where = f"{path}: frame {i}"
        if not isinstance(frame, dict):
            raise InputError(f"{where} must be an object with transform_matrix.")
        found = _camera(present(data), present(frame), (finder, size), where=where)
        cameras.append(counted_from(begin, found))
    return Cameras.stack([camera.resized(cameras[0].height, cameras[0].width) for camera in cameras])


def read_origin(path: Path) -> Origin:
    """The origin that a transforms.json of ours states, from which the files beside it count; zero unless it does."""
    return origin_in(read_json(path), path)


def origin_in(data: Any, path: Path) -> Origin:
    """The same of what the file holds."""
    if not isinstance(data, dict) or ORIGIN not in data:
        return NO_ORIGIN
    x, y, z = array(data, ORIGIN, (3,), where=str(path)).tolist()
    return x, y, z


def _camera(
    top: dict[str, Any], frame: dict[str, Any], sizes: tuple[Finder, tuple[int, int] | None], *, where: str
) -> Cameras:
    """One frame's camera, in float64."""
    data = {**top, **frame}
    height, width = _size(data, *sizes, where=where)
    focal, centre = intrinsics(top, frame, (height, width), where=where)
    matrix, _ = without_scale(array(data, "transform_matrix", (4, 4), where=where))
    pose = rigid(matrix, where=f"{where}: 'transform_matrix'")
    return pinhole(pose * FLIP, focal, centre, size=(height, width), where=where, dtype=torch.float64)


def _size(data: dict[str, Any], finder: Finder, size: tuple[int, int] | None, *, where: str) -> tuple[int, int]:
    """(height, width) in pixels."""
    if "w" in data and "h" in data:
        height, width = (int(field(data, key, float, where=where)) for key in ("h", "w"))
        if min(height, width) < 1 or height * width > MAX_PIXELS:
            raise InputError(f"{where} is {width} x {height} pixels; give it at least 1, and at most {MAX_PIXELS}.")
        return height, width
    name = data.get("file_path")
    found = finder.has(name) if isinstance(name, str) else None
    if found is not None:
        return image_size(finder.root / found)
    if size is None:
        raise InputError(f"{where} has no size; add 'w' and 'h', in pixels.")
    return size
