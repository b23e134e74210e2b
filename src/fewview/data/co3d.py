"""CO3Dv2 folders (github.com/facebookresearch/co3d, co3d/dataset/data_types.py), and sets written in their layout.

A category folder holds frame_annotations.jgz, set_lists/set_lists_<subset>.json and one folder a sequence. Cameras are
PyTorch3D's: row vectors, X_cam = X_world R + T, axes x left, y up, z forward, intrinsics in NDC.
"""

import gzip
import zlib
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from fewview.cameras import Cameras
from fewview.data.fields import array, field, parse_json
from fewview.data.images import is_file, path_inside, read_half_depth
from fewview.data.photos import Photo, PhotoScene, located, origin_notes, pinhole, resampled, rigid
from fewview.errors import InputError
from fewview.framing import crop_to_object
from fewview.views import Views

MAX_JSON_BYTES = 2**31
MIN_MASS = 1.0  # hidden challenge frames are black, with a black mask (co3d#58)


@dataclass(frozen=True, eq=False)
class Co3dPhoto(Photo):
    """A frame of a sequence; `depth_scale` turns the numbers of the depth file into world units."""

    frame_number: int = 0
    depth: Path | None = None
    depth_scale: float = 1.0


LEAST_FRAMES = 11  # the release of SparseFusion drops sequences with fewer


@dataclass(frozen=True, eq=False)
class Co3dScene(PhotoScene):
    """One sequence, its frames in order of time. `cameras` are those of the full photos, before cropping."""

    photos: tuple[Co3dPhoto, ...]
    category: str = ""
    size: int = 256
    crop: bool = True

    def read(self, indices: Sequence[int], size: tuple[int, int] | int | None = None) -> Views:
        """Square windows around the masks (mask > 0.4, context 0.3, black outside of the photo), `size` pixels wide.

        With crop=False the photos are scaled and cut about their centre instead.
        """
        size = size or self.size
        if not self.crop:
            return super().read(indices, size)
        if not isinstance(size, int):
            raise ValueError("crops around the object are square")
        return Views.stack([crop_to_object(Views.stack([self.photos[i].read()]), size)[0] for i in indices])

    def read_depth(self, indices: Sequence[int], cameras: Cameras) -> Float[Tensor, "frames 1 height width"]:
        """z-depth in world units as seen by the cameras that `read` returned for these indices; 0 is unknown."""
        depths = []
        for i, photo in enumerate(self.photos[j] for j in indices):
            if photo.depth is None:
                depths.append(torch.zeros(1, cameras.height, cameras.width))
                continue
            depth = read_half_depth(photo.depth) * photo.depth_scale
            if depth.shape[-2:] != (photo.camera.height, photo.camera.width):
                raise InputError(f"{photo.depth} has another size than its photo; fetch the sequence again.")
            depths.append(resampled(depth, photo.camera, cameras[i]))
        return torch.stack(depths)


def open_co3d(
    root: Path,
    category: str | None = None,
    subset: str | None = "fewview_train",
    *,
    split: str = "train",
    size: int = 256,
    crop: bool = True,
    min_frames: int = LEAST_FRAMES,
) -> list[Co3dScene]:
    """Sequences of one category, or of all below `root`, sorted by name.

    `subset` None takes every annotated frame. Sequences with fewer than `min_frames` frames are dropped (the release of
    SparseFusion drops those with 10 or fewer), and so are frames without a mask or with a black one.
    """
    categories = [category] if category is not None else _categories(root)
    scenes = []
    for name in categories:
        for sequence, photos in _category_photos(root, name, subset, split=split).items():
            if len(photos) >= min_frames:
                scenes.append(_scene(name, sequence, photos, size=size, crop=crop))
    return sorted(scenes, key=lambda scene: scene.name)


def open_part(root: Path, split: str, *, size: int, crop: bool = True) -> list[Co3dScene]:
    """The sequences that are learned from ("train") or held out ("test"); InputError where there are none."""
    subset, lists = ("fewview_train", "train") if split == "train" else ("fewview_dev", "test")
    scenes = open_co3d(root, None, subset, split=lists, size=size, crop=crop)
    if not scenes:
        what = f"no sequence of {LEAST_FRAMES} or more frames with masks in '{lists}' of its set lists {subset}"
        raise InputError(f"{root} has {what}; name a set with some, as `fewview data build` makes it.")
    return scenes


def open_sequence(folder: Path, *, size: int = 256, crop: bool = True) -> Co3dScene:
    """All annotated frames of the sequence in root/<category>/<sequence>."""
    category, sequence = folder.resolve().parts[-2:]
    photos = _category_photos(folder.resolve().parents[1], category, None, split="", only=sequence).get(sequence)
    if not photos:
        raise InputError(f"{folder} has no frames with a mask in ../frame_annotations.jgz; name another sequence.")
    return _scene(category, sequence, photos, size=size, crop=crop)


def read_jgz(path: Path) -> Any:
    """Gzipped JSON. A file that unpacks to over fifty times its size is refused: annotations shrink tenfold."""
    if not path.is_file():
        raise InputError(f"{path} does not exist; download the category's annotations.")
    limit = min(MAX_JSON_BYTES, 2**24 + 50 * path.stat().st_size)
    try:
        with gzip.open(path) as stream:
            text = stream.read(limit + 1)
    except (OSError, EOFError, zlib.error) as error:
        raise InputError(f"{path} is not a whole gzip file ({type(error).__name__}); fetch it again.") from None
    if len(text) > limit:
        raise InputError(f"{path} unpacks to more than {limit >> 20} MiB; it is no annotation file of CO3D.")
    return parse_json(text, path)


def camera_from_pytorch3d(
    viewpoint: Any, height: int, width: int, *, where: str, dtype: torch.dtype = torch.float32
) -> Cameras:
    """The OpenCV camera of a CO3D viewpoint, in either of its NDC conventions.

    `ndc_isotropic` counts in halves of the shorter side, `ndc_norm_image_bounds` (the default of files that do not say)
    in halves of each side; in both the principal point grows to the left and up.
    """
    rotation = array(viewpoint, "R", (3, 3), where=where)
    translation = array(viewpoint, "T", (3,), where=where)
    focal = array(viewpoint, "focal_length", (2,), where=where)
    principal = array(viewpoint, "principal_point", (2,), where=where)
    convention = viewpoint.get("intrinsics_format", "ndc_norm_image_bounds")
    if convention not in ("ndc_isotropic", "ndc_norm_image_bounds"):
        raise InputError(f"{where}: 'intrinsics_format' is {convention!r}; use ndc_isotropic or ndc_norm_image_bounds.")
    if not (focal > 0).all() or height < 1 or width < 1:
        raise InputError(f"{where}: focal length and image size must be positive; remove this frame.")
    half = np.array([width, height]) / 2
    unit = np.full(2, half.min()) if convention == "ndc_isotropic" else half
    flip = np.array([-1.0, -1.0, 1.0])
    cam_from_world = rigid(np.column_stack([(rotation * flip).T, translation * flip]), where=f"{where}: the pose")
    world_from_cam, centre = np.linalg.inv(cam_from_world), half - principal * unit
    return pinhole(world_from_cam, focal * unit, centre, size=(height, width), where=where, dtype=dtype)


def _categories(root: Path) -> list[str]:
    names = sorted(path.parent.name for path in root.glob("*/frame_annotations.jgz"))
    if not names:
        raise InputError(f"{root} has no <category>/frame_annotations.jgz; name the root folder of a CO3Dv2 download.")
    return names


def _scene(category: str, sequence: str, photos: Sequence[Co3dPhoto], *, size: int, crop: bool) -> Co3dScene:
    placed, origin = located(sorted(photos, key=lambda photo: photo.frame_number))
    return Co3dScene(f"{category}/{sequence}", placed, category, size, crop, origin=origin, notes=origin_notes(origin))


def _category_photos(
    root: Path, category: str, subset: str | None, *, split: str, only: str | None = None
) -> dict[str, list[Co3dPhoto]]:
    """Frames by sequence; of the sequence `only`, if named."""
    path = root / category / "frame_annotations.jgz"
    entries = read_jgz(path)
    if not isinstance(entries, list):
        raise InputError(f"{path} must hold a list of frames.")
    wanted = None if subset is None else _set_list(root / category / "set_lists" / f"set_lists_{subset}.json", split)
    photos: dict[str, list[Co3dPhoto]] = defaultdict(list)
    for i, entry in enumerate(entries):
        where = f"{path}: frame {i}"
        sequence = field(entry, "sequence_name", str, where=where)
        if only not in (None, sequence):
            continue
        key = sequence, field(entry, "frame_number", int, where=where)
        name = field(field(entry, "image", dict, where=where), "path", str, where=where)
        if wanted is None or key in wanted or name in wanted:
            photo = _photo(root, entry, where)
            if photo is not None:
                photos[sequence].append(photo)
    return photos


def _set_list(path: Path, split: str) -> set[Any]:
    """Frames of a split, each by its path and by (sequence, frame number): either may be the one that matches."""
    if not path.is_file():
        known = sorted(p.stem.removeprefix("set_lists_") for p in path.parent.glob("set_lists_*.json"))
        raise InputError(f"{path} does not exist; the subsets here are {', '.join(known) or 'none'}.")
    lists = parse_json(path.read_bytes(), path)
    keys: set[Any] = set()
    for entry in field(lists, split, list, where=str(path)):
        match entry:
            case [str(sequence), int(number), str(name)]:
                keys |= {(sequence, number), name}
            case _:
                raise InputError(f"{path}: '{split}' holds {entry!r:.60}; entries are [sequence, frame number, path].")
    return keys


def _photo(root: Path, entry: dict[str, Any], where: str) -> Co3dPhoto | None:
    """The frame's files and camera; None where there is no foreground to see."""
    files = {
        key: field(entry, key, dict, where=where) for key in ("image", "mask", "depth") if entry.get(key) is not None
    }
    paths = {key: field(file, "path", str, where=where) for key, file in files.items()}
    if "mask" not in files or _is_black(files["mask"], where):
        return None
    height, width = array(files["image"], "size", (2,), where=where).astype(int).tolist()
    viewpoint = field(entry, "viewpoint", dict, where=where)
    camera = camera_from_pytorch3d(viewpoint, height, width, where=where, dtype=torch.float64)
    image, mask = (path_inside(root, paths[key], where=where) for key in ("image", "mask"))
    if "depth" not in files or not is_file(root / paths["depth"]):
        return Co3dPhoto(camera, image, mask, entry["frame_number"])
    scale = field(files["depth"], "scale_adjustment", float, where=where)
    depth = path_inside(root, paths["depth"], where=where)
    return Co3dPhoto(camera, image, mask, entry["frame_number"], depth, scale)


def _is_black(mask: dict[str, Any], where: str) -> bool:
    return mask.get("mass") is not None and field(mask, "mass", float, where=where) <= MIN_MASS
