"""transforms.json, as Nerfstudio, instant-ngp and NeRF's Blender scenes have it (docs.nerf.studio, "Data conventions").

`transform_matrix` is world_from_cam with OpenGL axes: x right, y up, z backward. Intrinsics stand at the top or in each
frame, in pixels or as a field of view (intrinsics.py says which wins). Null and empty values are as good as absent.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from fewview.cameras import Cameras
from fewview.checkpoint import write_json
from fewview.data.fields import array, field, read_json, shown
from fewview.data.images import MissingFile, image_size, same_shape
from fewview.data.intrinsics import intrinsics, lens_of, present
from fewview.data.names import Finder, check_enough
from fewview.data.photos import (
    Photo,
    PhotoScene,
    counted,
    find_mask,
    located,
    origin_notes,
    pinhole,
    rigid,
    without_scale,
)
from fewview.errors import InputError

OPENGL_FLIP = np.diag([1.0, -1.0, -1.0, 1.0])
SPLIT = (("train_filenames",), ("test_filenames", "val_filenames"))  # inputs, targets; the first that is there

SHARES = (2, 4, 8)  # of downscaled copies of images/, which nerfstudio writes to images_2 and so on


@dataclass(frozen=True, eq=False)
class Listed:
    """The photos of one file that are there, with cameras in float64; inputs and targets by number; notes.

    `missing` are the numbers of those that are not there, and `cloud` a file of points.
    """

    photos: tuple[Photo, ...]
    inputs: tuple[int, ...]
    targets: tuple[int, ...]
    notes: tuple[str, ...]
    missing: tuple[int, ...] = ()
    cloud: Path | None = None


def open_transforms(path: Path) -> PhotoScene:
    """The photos of a transforms.json, or of the folder that holds one, in the file's order.

    Nerfstudio's `train_filenames` are the inputs, its `test_filenames` or `val_filenames` the targets.
    """
    file = path / "transforms.json" if path.is_dir() else path
    listed = read_photos(file)
    photos, origin = located(listed.photos)
    notes = (*listed.notes, *origin_notes(origin))
    scene = PhotoScene(file.resolve().parent.name, photos, kind=file.name, origin=origin, notes=notes)
    parts = {"inputs": listed.inputs, "targets": listed.targets, "missing": listed.missing}
    return replace(scene, cloud=listed.cloud, **parts)


def read_photos(file: Path, *, perhaps_none: bool = False) -> Listed:
    """What a file lists. Where few photos are missing, they are left out; with `perhaps_none`, all may be missing."""
    data = read_json(file)
    frames = field(data, "frames", list, where=str(file))
    if not frames:
        raise InputError(f"{file} has no frames; list at least one image.")
    finder, found, missing, scales = Finder(file.parent), [], {}, 0
    for i, frame in enumerate(frames):
        where = f"{file}: frame {i}"
        if not isinstance(frame, dict):
            raise InputError(f"{where} must be an object with file_path and transform_matrix.")
        try:
            photo, scale = _photo(finder, present(data), present(frame), where=where)
            found.append((frame.get("file_path"), photo))
            scales += scale != 1
        except MissingPhoto as error:
            missing[i] = error
    if perhaps_none and not found:
        return Listed((), (), (), (f"{file.name} has poses without pictures: a path for `render --path`",))
    notes = check_enough(len(found), list(missing.values()))
    photos = tuple(photo for _, photo in found)
    smaller = sum(scaled for photo in photos for scaled in [photo.scaled])
    if smaller:
        which = f"{counted(smaller, 'photo')} {'has' if smaller == 1 else 'have'} another size than {file.name} says"
        notes = (*notes, f"{which}, so focal lengths are scaled")
    if scales:
        notes = (*notes, f"the axes of {counted(scales, 'camera')} are scaled, which is taken off")
    cloud, unread = _cloud(data, finder)
    split = _split(data, [name for name, _ in found])
    return Listed(photos, *split, (*notes, *unread), tuple(missing), cloud)


def _cloud(data: dict[str, Any], finder: Finder) -> tuple[Path | None, tuple[str, ...]]:
    """The file of points that a transforms.json names, in the world of its poses; a note where it is not there.

    `applied_transform` and `applied_scale` say how that world was made of another one, and change nothing here.
    """
    name = data.get("ply_file_path")
    if not isinstance(name, str) or not name:
        return None, ()
    try:
        return finder.find(name, where=str(finder.root)), ()
    except InputError:
        return None, (f"its points {shown(name)} are not there",)


def write_transforms(
    path: Path, cameras: Sequence[Cameras], files: Sequence[str], *, masks: Sequence[str] = ()
) -> None:
    """A transforms.json for cameras of batch shape () and image files named relative to its folder."""
    frames = []
    for i, (camera, name) in enumerate(zip(cameras, files, strict=True)):
        k = camera.intrinsics.double()
        frame = {
            "file_path": name,
            "fl_x": float(k[0, 0]),
            "fl_y": float(k[1, 1]),
            "cx": float(k[0, 2]),
            "cy": float(k[1, 2]),
            "w": camera.width,
            "h": camera.height,
            "transform_matrix": (camera.world_from_cam.double().numpy() @ OPENGL_FLIP).tolist(),
        }
        frames.append(frame | ({"mask_path": masks[i]} if masks else {}))
    write_json(path, {"camera_model": "PINHOLE", "frames": frames})


class MissingPhoto(InputError):
    """A photo (and not a mask) that is listed and not there."""


def _split(data: dict[str, Any], names: list[Any]) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """Numbers of the inputs and targets that the file names; none of both unless it names some of each."""
    place = {_plain(name): i for i, name in enumerate(names)}
    listed = [next((data[key] for key in keys if isinstance(data.get(key), list)), []) for keys in SPLIT]
    parts = [tuple(sorted({place[_plain(name)] for name in part if _plain(name) in place})) for part in listed]
    inputs, targets = parts[0], tuple(i for i in parts[1] if i not in parts[0])
    return (inputs, targets) if inputs and targets else ((), ())


def _plain(name: object) -> str:
    return str(name).replace("\\", "/").removeprefix("./")


def _photo(finder: Finder, top: dict[str, Any], frame: dict[str, Any], *, where: str) -> tuple[Photo, float]:
    """The photo, and the factor that was taken off its camera's axes."""
    data, root = {**top, **frame}, finder.root
    image, share = _image(finder, field(data, "file_path", str, where=where), where)
    if "mask_path" in data:
        mask, _ = _or_copy(finder, field(data, "mask_path", str, where=where), where)
    else:
        mask = find_mask(root, image.relative_to(root).as_posix(), finder)
    size, said = _size(data, image, where, share=share)
    focal, centre = intrinsics(top, frame, said, where=where)
    scale = np.array([size[1] / said[1], size[0] / said[0]])
    focal, centre = focal * scale, centre * scale
    lens = lens_of(data, focal, centre, where=where)
    shape = (3, 4) if len(field(data, "transform_matrix", list, where=where)) == 3 else (4, 4)
    matrix, scale = without_scale(array(data, "transform_matrix", shape, where=where))
    pose = rigid(matrix, where=f"{where}: 'transform_matrix'")
    camera = pinhole(pose @ OPENGL_FLIP, focal, centre, size=size, where=where, dtype=torch.float64)
    camera = camera if lens is None else lens.pinhole(camera, where=where)
    return Photo(camera, image, mask, lens=lens, scaled=said != size), scale


def _image(finder: Finder, name: str, where: str) -> tuple[Path, int]:
    try:
        return _or_copy(finder, name, where)
    except MissingFile as error:
        raise MissingPhoto(str(error)) from None


def _or_copy(finder: Finder, name: str, where: str) -> tuple[Path, int]:
    """The file of this name, or its copy in images_2, _4 or _8 (masks_2, ...), and how many times smaller that is."""
    try:
        return finder.find(name, where=where), 1
    except MissingFile:
        folder, _, rest = _plain(name).partition("/")
        for share in SHARES if folder in ("images", "masks") else ():
            found = finder.has(f"{folder}_{share}/{rest}")
            if found is not None:
                return finder.find(found, where=where), share
        raise


def _size(data: dict[str, Any], image: Path, where: str, *, share: int) -> tuple[tuple[int, int], tuple[float, float]]:
    """(height, width) of the photo, and those that the intrinsics are for: the file's words, if it says any.

    `share`: how many times smaller the photo is than the one that the file names.
    """
    stored = image_size(image)
    if "w" not in data or "h" not in data:
        return stored, (float(share * stored[0]), float(share * stored[1])) if share > 1 else stored
    said = height, width = field(data, "h", float, where=where), field(data, "w", float, where=where)
    if said in (stored, stored[::-1]):
        return (int(height), int(width)), said
    if not same_shape(stored, said):
        raise InputError(
            f"{where} says {width:g} x {height:g} pixels, but {image} is {stored[1]} x {stored[0]}; "
            "scale the image or the intrinsics."
        )
    return stored, said
