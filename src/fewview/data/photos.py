"""Posed photographs in a folder: what the readers of transforms.json, COLMAP and CO3D share."""

import math
import os
import re
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path, PurePosixPath
from typing import TypeVar

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from fewview.cameras import Cameras, pixel_centres
from fewview.data.images import path_inside, read_image, read_mask
from fewview.data.lens import Lens
from fewview.data.names import Finder
from fewview.errors import InputError
from fewview.geometry.origin import NO_ORIGIN, Origin, origin_of, written
from fewview.views import Views

RIGID_TOLERANCE = 1e-3  # largest entry of R^T R - 1; printed poses keep 5 digits or more
FARTHEST = 1e9  # world units from the origin; squares of larger ones leave no digits of float32
LONGEST = 1e4  # focal length, its inverse, and distance of the principal point, in longer sides of the picture
SMALLEST = 1e-6  # factor of a pose's axes
OPAQUE = 0.999  # alpha from here on says nothing
SAME_PHOTO = 0.05  # mean absolute difference


@dataclass(frozen=True, eq=False)
class Photo:
    """One image file with its camera (batch shape ()) and perhaps a mask file; else alpha that varies is the mask.

    `camera` is the pinhole camera that is left once `lens` is undone. `upright` photos are turned by their EXIF tag.
    `scaled`: the file is a smaller or larger copy of the calibrated photo, and the camera has been scaled to it.
    """

    camera: Cameras
    image: Path
    mask: Path | None = None
    lens: Lens | None = field(default=None, kw_only=True)
    upright: bool = field(default=False, kw_only=True)
    scaled: bool = field(default=False, kw_only=True)

    @property
    def name(self) -> str:
        return self.image.name

    def read(self, *, opaque: bool = False) -> Views:
        """The photo at its own size without lens distortion, with batch shape ().

        Alpha that is 1 throughout is no mask, unless `opaque` says to keep it, for beside others it may be one.
        """
        image, mask = self.stored()
        if mask is not None and self.mask is None and not opaque and bool(mask.min() >= OPAQUE):
            mask = None
        if self.lens is not None:
            image = self.lens.undone(image, self.camera)
            mask = None if mask is None else self.lens.undone(mask, self.camera)
        return Views(image, self.camera, mask)

    def stored(self) -> tuple[Float[Tensor, "3 height width"], Float[Tensor, "1 height width"] | None]:
        """Colours and mask as the lens drew them."""
        size = (self.camera.height, self.camera.width)
        image, alpha = read_image(self.image, size, upright=self.upright)
        return image, alpha if self.mask is None else read_mask(self.mask, size)


P = TypeVar("P", bound=Photo)


@dataclass(frozen=True, eq=False)
class PhotoScene:
    """A Scene of photos, whose sizes may differ.

    `kind` says what the photos and cameras were read from. A split names the photos (by number) that are `inputs` and
    those that are `targets`, to be judged; without one both are empty. Coordinates of the input's world are those of
    the cameras plus `origin` (float64), which is zero unless the input is far from its own. `notes` are what a user
    should know of the reading, each half a sentence. `missing` are the numbers, in the input's own list, of photos that
    are not there. `cloud` is a file of points of the input's world, if it names one.
    """

    name: str
    photos: tuple[Photo, ...]
    kind: str = field(default="photos with cameras", kw_only=True)
    inputs: tuple[int, ...] = field(default=(), kw_only=True)
    targets: tuple[int, ...] = field(default=(), kw_only=True)
    origin: Origin = field(default=NO_ORIGIN, kw_only=True)
    notes: tuple[str, ...] = field(default=(), kw_only=True)
    missing: tuple[int, ...] = field(default=(), kw_only=True)
    cloud: Path | None = field(default=None, kw_only=True)

    def __len__(self) -> int:
        return len(self.photos)

    @property
    def cameras(self) -> list[Cameras]:
        return [photo.camera for photo in self.photos]

    @property
    def names(self) -> list[str]:
        """File names; with their folders, from the first that differs, where photos share a name."""
        names = [photo.name for photo in self.photos]
        return names if len(set(names)) == len(names) else distinct_names([photo.image for photo in self.photos])

    def describe(self) -> str:
        """What was found, such as "COLMAP model (text), 15 photos"."""
        split = f", of them {len(self.inputs)} inputs and {len(self.targets)} targets" if self.inputs else ""
        return "; ".join([f"{self.kind}, {counted(len(self), 'photo')}{split}", *self.notes])

    def common_size(self, indices: Sequence[int] | None = None) -> tuple[int, int]:
        """The smallest height and the smallest width of these photos, or all: the size that reads have unless told."""
        cameras = self.cameras if indices is None else [self.photos[i].camera for i in indices]
        return min(camera.height for camera in cameras), min(camera.width for camera in cameras)

    def read(self, indices: Sequence[int], size: tuple[int, int] | int | None = None) -> Views:
        """Photos scaled to cover (height, width), or a square, and cut about their centre; the cameras follow.

        Masks are kept where every photo has one.
        """
        height, width = (size, size) if isinstance(size, int) else size or self.common_size()
        views = Views.stack([cover(self.photos[i].read(opaque=True), height, width) for i in indices])
        if views.masks is None or any(self.photos[i].mask is not None for i in indices):
            return views
        return views.whole() if bool(views.masks.min() >= OPAQUE) else views


def counted(number: int, noun: str) -> str:
    """1 photo, 2 photos."""
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"


def distinct_names(paths: Sequence[Path]) -> list[str]:
    """Names of files, behind those of their folders below the common one where two files have one name."""
    names = [path.name for path in paths]
    if len(set(names)) == len(set(paths)):
        return names
    root = os.path.commonpath([path.parent for path in paths])
    return [path.relative_to(root).as_posix() for path in paths]


def located(photos: Sequence[P]) -> tuple[tuple[P, ...], Origin]:
    """The photos with cameras in single precision, and the origin (in the input's world) that these count from.

    Cameras that are far away are centred while they are in float64.
    """
    if not photos:
        return (), NO_ORIGIN
    origin = origin_of(torch.stack([photo.camera.world_from_cam[:3, 3] for photo in photos]).double())
    return tuple(replace(photo, camera=counted_from(origin, photo.camera)) for photo in photos), origin


def counted_from(origin: Origin, camera: Cameras) -> Cameras:
    """A camera of the input's world (float64) in single precision, in the world that begins at `origin`."""
    moved = camera.world_from_cam.double().clone()
    moved[..., :3, 3] -= torch.tensor(origin, dtype=torch.float64)
    return replace(camera, world_from_cam=moved.float(), intrinsics=camera.intrinsics.float())


def origin_notes(origin: Origin) -> tuple[str, ...]:
    """What a user is told of an origin that is not the input's own."""
    return (f"far from the origin of its world, so coordinates count from {written(origin)}",) if any(origin) else ()


def cover(view: Views, height: int, width: int) -> Views:
    """One view scaled until it covers height x width, then cut to it about its centre."""
    scale = max(height / view.cameras.height, width / view.cameras.width)
    larger = max(height, round(view.cameras.height * scale)), max(width, round(view.cameras.width * scale))
    view = view.resized(*larger)
    return view.cropped((larger[1] - width) // 2, (larger[0] - height) // 2, height, width)


def resampled(
    image: Float[Tensor, "channels h w"], camera: Cameras, target: Cameras
) -> Float[Tensor, "channels height width"]:
    """Nearest pixels of `image` as seen by a cut or rescaled version of its camera; 0 outside of the photo."""
    camera_from_target = camera.intrinsics @ target.cam_from_pixel
    pixels = pixel_centres(target.height, target.width) @ camera_from_target[:2, :2].mT + camera_from_target[:2, 2]
    grid = pixels * 2 / torch.tensor([camera.width, camera.height]) - 1
    return torch.nn.functional.grid_sample(image[None], grid[None], mode="nearest", align_corners=False)[0]


def find_mask(root: Path, name: str, finder: Finder | None = None) -> Path | None:
    """The mask of image `name` in root/masks: same path below images/, with .png for or after the suffix (COLMAP).

    Other suffixes of photos serve too, and for images_2/ so do masks_2/. `finder` is one of `root`, which reads folders
    once for many photos.
    """
    copies = re.match(r"images(_\d+)/", name)
    folders = [each for each in ("masks", f"masks{copies[1]}" if copies else "") if each and (root / each).is_dir()]
    if not folders:
        return None
    finder = finder or Finder(root)
    inner = PurePosixPath(name)
    inner = inner.relative_to(inner.parts[0]) if len(inner.parts) > 1 else inner
    stems = (f"{inner}.png", str(inner.with_suffix(".png")), str(inner), str(inner.with_suffix("")))
    places = (f"{folder}/{stem}" for folder in folders for stem in stems)
    found = next((found for place in places if (found := finder.has(place)) is not None), None)
    return None if found is None else path_inside(root, found, where=f"{root / name}: its mask")


def check_reconstructable(views: Views, *, where: str) -> None:
    """InputError unless the views can make a scene: two or more, finite, of different poses, each with foreground.

    A photo may be there twice (Middlebury's templeSR0001 and templeSR0011 are from one place), if not alone.
    """
    if len(views) < 2:
        raise InputError(f"{where} gives {len(views)} image; a reconstruction needs two or more from different places.")
    cameras = views.cameras
    values = [views.images, cameras.world_from_cam, cameras.intrinsics, views.masks]
    if not all(bool(value.isfinite().all()) for value in values if value is not None):
        raise InputError(f"{where} has NaN or infinity in its images or cameras; estimate the cameras again.")
    poses = cameras.world_from_cam.flatten(1)
    apart = torch.cdist(poses, poses, compute_mode="donot_use_mm_for_euclid_dist")
    same = (apart < 1e-6 * cameras.centers.abs().max().clamp(min=1)).triu(1)
    if len(views) > 2 and int(same.sum()) == len(views) * (len(views) - 1) // 2:
        raise InputError(f"{where} has the same camera for all of its {len(views)} images; give each its own pose.")
    for i, j in same.nonzero().tolist():
        if len(views) == 2 or (views.images[i] - views.images[j]).abs().mean() > SAME_PHOTO:
            raise InputError(f"{where} has the same camera for its images {i} and {j}; give each its own pose.")
    if views.masks is not None:
        empty = (views.masks.amax((1, 2, 3)) < 0.5).nonzero().flatten().tolist()
        if empty:
            raise InputError(f"{where} has an empty mask for its image {empty[0]}; mark the object or leave it out.")


def rigid(matrix: np.ndarray, *, where: str) -> np.ndarray:
    """A 3x4 or 4x4 pose as 4x4 with the nearest rotation; InputError where it is no rotation and translation."""
    pose = np.eye(4)
    pose[: len(matrix)] = matrix
    rotation = pose[:3, :3]
    off = np.abs(rotation.T @ rotation - np.eye(3)).max()
    if not off < RIGID_TOLERANCE or np.linalg.det(rotation) < 0 or np.abs(pose[3] - [0, 0, 0, 1]).max() > 1e-6:
        raise InputError(
            f"{where} is not a rotation and a translation (off by {off:.2g}); remove scale, shear and mirror."
        )
    if not np.abs(pose[:3, 3]).max() < FARTHEST:
        raise InputError(f"{where} is more than {FARTHEST:g} away from the origin; move the scene to the origin.")
    u, _, v = np.linalg.svd(rotation)
    pose[:3, :3] = u @ v
    return pose


def without_scale(matrix: np.ndarray) -> tuple[np.ndarray, float]:
    """A pose whose rotation Blender or Unreal multiplied by one factor, without it, and the factor; else 1.

    Where the camera stands does not change, for the factor is that of the camera's own axes.
    """
    size = math.hypot(*matrix[:3, 0].tolist())
    if abs(size - 1) < RIGID_TOLERANCE / 2 or not SMALLEST < size < 1 / SMALLEST:
        return matrix, 1.0
    turn = matrix[:3, :3] / size
    if np.abs(turn.T @ turn - np.eye(3)).max() > RIGID_TOLERANCE or np.linalg.det(turn) < 0:
        return matrix, 1.0
    return np.column_stack([np.vstack([turn, matrix[3:, :3]]), matrix[:, 3]]), size


def pinhole(
    world_from_cam: np.ndarray,
    focal: np.ndarray,
    centre: np.ndarray,
    *,
    size: tuple[int, int],
    where: str,
    dtype: torch.dtype = torch.float32,
) -> Cameras:
    """One camera (batch shape ()) from its pose, focal lengths and principal point (x, y), and (height, width).

    InputError where the intrinsics are those of no camera. Readers of worlds that may be far from their origin ask for
    float64, and for `located` afterwards.
    """
    sides = focal / max(size)
    if not ((sides > 1 / LONGEST) & (sides < LONGEST) & (np.abs(centre) < LONGEST * max(size))).all():
        raise InputError(
            f"{where} has focal lengths {focal[0]:g}, {focal[1]:g} and centre {centre[0]:g}, {centre[1]:g} "
            f"for {size[1]} x {size[0]} pixels, as no camera has; calibrate it again."
        )
    intrinsics = np.diag([*focal, 1.0])
    intrinsics[:2, 2] = centre
    return Cameras(torch.from_numpy(world_from_cam).to(dtype), torch.from_numpy(intrinsics).to(dtype), *size)
