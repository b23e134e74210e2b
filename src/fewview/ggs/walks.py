"""Paths that scenes grow along, given or made, and what a chunk covers of them; photos cut to the networks' shape."""

import math
from dataclasses import replace

import torch

from fewview.cameras import Cameras
from fewview.errors import InputError
from fewview.geometry.transforms import axis_angle
from fewview.paths import interpolate
from fewview.views import Views

ZOOM = 1.25  # a path's field of view may differ from the photos' by this factor
WIDEST = 2.5  # the longer side of photos that a model is shown, in their shorter one, at most
SQUEEZE = 0.04  # two shapes that differ by less count as one: nothing is cut, pixels are not quite square
STROLL, GLANCE = 0.5, 0.35  # radius of the walk from one photo, in the world's unit; turn of the head, radians


def size_for(photos: Cameras, height: int, width: int, *, step: int) -> tuple[int, int]:
    """Height and width at which a model of `height` x `width` is shown photos: of their shape, with its shorter side.

    Sides are multiples of `step`, as the model's are. Of photos that are longer than WIDEST, the middle.
    """
    if _alike(photos.width / photos.height, width / height):
        return height, width
    short = min(height, width)
    aspect = min(WIDEST, max(photos.height, photos.width) / min(photos.height, photos.width))
    long = max(short, step * round(short * aspect / step))
    return (short, long) if photos.width > photos.height else (long, short)


def framed(views: Views, height: int, width: int) -> Views:
    """Photos without masks at height x width: whole, or of another shape, cut about their middle to this one."""
    h, w, top, left = window(views.cameras, height, width)
    return views.whole().cropped(left, top, h, w).resized(height, width)


def framed_cameras(cameras: Cameras, height: int, width: int) -> Cameras:
    """The cameras of `framed` photos."""
    h, w, top, left = window(cameras, height, width)
    return cameras.cropped(left, top, h, w).resized(height, width)


def window(cameras: Cameras, height: int, width: int) -> tuple[int, int, int, int]:
    """Height, width, top and left, in pixels of the cameras, of the largest window of the shape of height x width."""
    if _alike(cameras.width / cameras.height, width / height):
        return cameras.height, cameras.width, 0, 0
    scale = min(cameras.height / height, cameras.width / width)
    h, w = max(1, round(height * scale)), max(1, round(width * scale))
    return h, w, (cameras.height - h) // 2, (cameras.width - w) // 2


def _alike(aspect: float, other: float) -> bool:
    return abs(math.log(aspect / other)) < SQUEEZE


def checked_path(path: Cameras, given: Cameras) -> Cameras:
    """A path of one or more cameras with about the photos' field of view; InputError otherwise. Both are framed."""
    if len(path.shape) != 1 or len(path) < 1:
        raise InputError("The path has no camera; give it at least one, or leave it out for an automatic one.")
    if not (path.world_from_cam.isfinite().all() and path.intrinsics.isfinite().all()):
        raise InputError("The path has NaN or infinity in its cameras; write it again.")
    focal, usual = (c.intrinsics[:, [0, 1], [0, 1]] for c in (path, given))
    ratio = (focal / usual.median(0).values).log().abs().amax(-1)
    worst = int(ratio.argmax())
    if ratio[worst] > math.log(ZOOM):
        factor = float((focal[worst] / usual.median(0).values).mean())
        raise InputError(
            f"Camera {worst} of the path has {factor:.2f} times the photos' focal length (in image widths); "
            "give the path the photos' intrinsics."
        )
    return path


def automatic_path(given: Cameras, frames: int) -> Cameras:
    """Cameras strictly between the given ones, in their order; from a single one, a stroll about its place.

    The stroll is one round of a circle through the camera's place, half a unit of the world in radius, that leads to
    the right, forward and back by the left; the head turns towards the side where it is.
    """
    if frames < 1:
        raise InputError(f"A path of {frames} frames was asked for; ask for at least one.")
    if len(given) > 1:
        return interpolate(given, frames + 2)[1:-1]
    turn = torch.arange(1, frames + 1) * (2 * math.pi / (frames + 1))
    poses = []
    for angle in turn.tolist():
        pose = torch.eye(4)
        pose[:3, :3] = axis_angle(torch.tensor([0.0, 1.0, 0.0]), torch.tensor(GLANCE * math.sin(angle)))
        pose[:3, 3] = STROLL * torch.tensor([math.sin(angle), 0.0, 1 - math.cos(angle)])
        poses.append(pose)
    moved = given.world_from_cam @ torch.stack(poses).to(given.world_from_cam)
    return replace(given, world_from_cam=moved, intrinsics=given.intrinsics.expand(frames, 3, 3))


def pace_of(given: Cameras, path: Cameras, chunks: int) -> float:
    """The length that a chunk of the path covers on average, in units of the cameras' world.

    Of a path in one place, the spread of all cameras, else 1.
    """
    centers = torch.cat([given.centers, path.centers])
    spread = float(torch.cdist(centers, centers, compute_mode="donot_use_mm_for_euclid_dist").max())
    least = 1e-6 * (1 + float(centers.norm(dim=-1).max()))
    length = 0.0
    if len(path):
        start = (given.centers - path.centers[0]).norm(dim=-1).min()
        length = float(start + path.centers.diff(dim=0).norm(dim=-1).sum()) / max(chunks, 1)
    return length if length > least else spread if spread > least else 1.0
