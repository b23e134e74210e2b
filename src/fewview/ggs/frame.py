"""The frame that the networks see, and points of known depth in it.

Its axes and origin are the first reference camera's; its unit is the largest distance between any two of the input
cameras (references and targets). So nothing depends on the world's origin, orientation and scale.
"""

import torch
from jaxtyping import Float
from torch import Tensor

from fewview.cameras import Cameras


def world_from_norm(cameras: Cameras, *, metric: bool = False) -> Float[Tensor, "b 4 4"]:
    """The similarity that takes normalised coordinates of scenes with cameras "b m" to their worlds.

    Cameras that stand in one place tell no scale: the unit is the world's, as it is for `metric` worlds.
    """
    centers = cameras.centers - cameras.centers[:, :1]
    extent = (centers[:, :, None] - centers[:, None]).norm(dim=-1).amax((1, 2))
    least = 1e-6 * (1 + cameras.centers.norm(dim=-1).amax(1))
    unit = torch.where((extent > least) & (not metric), extent, torch.ones_like(extent))
    scale = torch.stack([unit, unit, unit, torch.ones_like(unit)], dim=-1)
    return cameras.world_from_cam[:, 0] * scale[:, None, :]


def norm_from_world(cameras: Cameras, *, metric: bool = False) -> Float[Tensor, "b 4 4"]:
    """Inverse of `world_from_norm`."""
    return torch.linalg.inv(world_from_norm(cameras, metric=metric))


def growth_frame(given: Cameras, unit: float) -> Float[Tensor, "4 4"]:
    """world_from_grown: the frame in which a scene grows. Its axes are the first photo's.

    Its unit is a pace, or a metre, so that thresholds that are lengths (the renderer's near plane, for one)
    do not depend on the world's scale.
    """
    return given.world_from_cam[0] * given.world_from_cam.new_tensor([unit, unit, unit, 1.0])


def points_at(cameras: Cameras, depths: Float[Tensor, "*batch h w"]) -> Float[Tensor, "*batch h w 3"]:
    """World points at given z-depths on the rays through the centres of an h x w grid of cells."""
    return cameras.resized(*depths.shape[-2:]).unproject(depths)


def depth_at_cells(depths: Float[Tensor, "*batch height width"], h: int, w: int) -> Float[Tensor, "*batch {h} {w}"]:
    """z-depths of the pixels next to the cells' centres: never a mean over an edge."""
    height, width = depths.shape[-2:]
    rows = ((torch.arange(h) + 0.5) * height / h).long()
    columns = ((torch.arange(w) + 0.5) * width / w).long()
    return depths[..., rows[:, None], columns]
