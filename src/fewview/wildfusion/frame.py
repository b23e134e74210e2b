"""View space: the frame of one photo's own camera, in which WildFusion models objects, and cameras in it.

The frame is the object's: its origin is the object's middle, x points right in the photo, y down and z away from the
camera, and half the width of the photo (a square around the object) is 1 at the origin's depth. The input camera P0 is
fixed: it stands `DISTANCE` before the origin. A photo's real distance and focal length are never asked for, they only
change the perspective a little; depth is shifted and scaled into this frame by `canonical`.
"""

import math
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from fewview.cameras import Cameras

VIEW_ANGLE = math.radians(35)  # of P0, across; crops of the sets' photos have 20 to 48 degrees
DISTANCE = 1 / math.tan(VIEW_ANGLE / 2)
FRONT = 0.35  # how far the visible surface lies before the middle, on average: 2/3 of the radius for a ball
BOUND = 1.2  # half the side of the box that holds the object
MARGIN = 0.3  # of a crop, around the mask: framing.crop_to_object's context
SPREAD = 0.24  # standard deviation of z over the mask, the mean over photos of the sets (0.1 to 0.4 for 4 in 5)
TRUSTED = (30.0, 15.0)  # degrees to the sides, and up and down, of which the cameras of training show 3 in 4 and 4 in 5


@dataclass(frozen=True)
class Poses:
    """Where novel views are taken from while training: angles to the sides and upwards, normal, in radians."""

    yaw: float = 0.45
    pitch: float = 0.20
    most: float = 2.0  # standard deviations


def input_cameras(count: int, size: int) -> Cameras:
    """P0, so many times, with square images of `size` pixels."""
    return orbit(torch.zeros(count), torch.zeros(count), size)


def orbit(yaw: Float[Tensor, "*batch"], pitch: Float[Tensor, "*batch"], size: int) -> Cameras:
    """Cameras as far from the middle as P0 that look at it, from `yaw` to the right and `pitch` above it (radians)."""
    centres = DISTANCE * torch.stack([pitch.cos() * yaw.sin(), -pitch.sin(), -pitch.cos() * yaw.cos()], dim=-1)
    middle, up = torch.zeros(3).to(centres), torch.tensor([0.0, -1.0, 0.0]).to(centres)
    return Cameras.look_at(centres, middle, up, focal=size * DISTANCE / 2, height=size, width=size)


def in_box(points: Float[Tensor, "n 3"]) -> Float[Tensor, "n 3"]:
    """Coordinates in [-1, 1]^3 of the box that planes span, which is the part of P0's view around the middle.

    The first two are where P0 sees the point, so that the plane (x, y) lies on the photo, pixel on pixel. Beyond the
    photo's rim they leave [-1, 1].
    """
    away = points[:, 2:]
    return torch.cat([points[:, :2] * (DISTANCE / (away + DISTANCE)), away / BOUND], dim=1)


def novel_cameras(count: int, size: int, poses: Poses, *, generator: torch.Generator | None = None) -> Cameras:
    """Cameras P_nv drawn around P0."""
    angles = torch.randn(count, 2, generator=generator).clamp(-poses.most, poses.most)
    return orbit(angles[:, 0] * poses.yaw, angles[:, 1] * poses.pitch, size)


def swing(count: int, size: int, *, yaw: float = TRUSTED[0], pitch: float = TRUSTED[1] / 2) -> Cameras:
    """A closed film within trusted angles (degrees): once to the right and back to the left, up and down on the way."""
    turn = torch.arange(count) * (2 * math.pi / count)
    return orbit(math.radians(yaw) * turn.sin(), math.radians(pitch) * (2 * turn).sin(), size)


def canonical(
    depth: Float[Tensor, "*batch 1 h w"], mask: Float[Tensor, "*batch 1 h w"], scale: Float[Tensor, "*batch"]
) -> Float[Tensor, "*batch 1 h w"]:
    """z-depth (any unit; 0 is unknown) as z in view space, 0 outside of the mask.

    `scale` is the length of a unit of depth in view space: 2 / the width that the photo shows at the object's depth.
    """
    known = ((mask > 0.5) & (depth > 0)).to(depth)
    mean = (depth * known).sum((-3, -2, -1), keepdim=True) / known.sum((-3, -2, -1), keepdim=True).clamp(min=1)
    z = (depth - mean) * scale[..., None, None, None] - FRONT
    return z.clamp(-BOUND, BOUND) * known


def canonical_relative(depth: Float[Tensor, "1 h w"], mask: Float[Tensor, "1 h w"]) -> Float[Tensor, "1 h w"]:
    """The same of depth that is known up to scale and shift, as monocular models give it; finite, more is farther.

    The scale makes the spread over the mask that of the training photos: a guess, but one that no photo can better.
    """
    inside = mask > 0.5
    if not bool(inside.any()):
        return torch.zeros_like(depth)
    low, high = (depth[inside].quantile(q) for q in (0.02, 0.98))
    kept = depth.clamp(low, high)
    deviation = kept[inside].std(correction=0).clamp(min=1e-6 * (1 + high.abs()))
    return canonical(1 + kept - low, mask, SPREAD / deviation)
