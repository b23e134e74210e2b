"""Plane sweep: at which depth photos look alike."""

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional as F

from fewview.cameras import Cameras
from fewview.geometry.depths import log_depths
from fewview.views import Views

PLANES, PARTNERS, PATCH = 48, 4, 5
AGREED = 0.06  # of z-depth, by which two depth maps may differ and agree: planes lie some 5 % apart
UNSEEN = 0.25  # cost of a point that a partner does not see


@torch.no_grad()
def swept_depth(views: Views, near: float, far: float, *, planes: int = PLANES) -> Float[Tensor, "n height width"]:
    """The z-depth of each pixel at which a patch about it looks most alike in the nearest other views.

    Candidates are even in logarithm. A view without others is taken for a plane at their geometric mean.
    """
    depths = log_depths(near, far, torch.linspace(0, 1, planes))
    height, width = views.images.shape[-2:]
    places, found = views.cameras.centers, []
    for i in range(len(views)):
        partners = _partners(places, i, 1e-6 * near)
        if not partners:
            found.append(torch.full((height, width), (near * far) ** 0.5).to(places))
            continue
        costs = torch.stack([_cost(views, i, partners, depth) for depth in depths.tolist()])
        smooth = F.avg_pool2d(costs, PATCH, stride=1, padding=PATCH // 2, count_include_pad=False)
        found.append(depths.to(places)[smooth[:, 0].argmin(0)])
    return torch.stack(found)


@torch.no_grad()
def agreement(cameras: Cameras, depth: Float[Tensor, "n height width"]) -> Float[Tensor, "n height width"]:
    """In what share of the nearest other views the depth map agrees with each pixel's point, within AGREED of z.

    Where a patch has no pattern, or is hidden from the others, depths that only look alike mostly do not agree.
    1 for a view without others.
    """
    rays = cameras.rays()
    along = (rays.directions * cameras.forward[:, None, None]).sum(-1, keepdim=True)
    points = rays.origins + rays.directions * (depth[..., None] / along)
    size = depth.new_tensor([cameras.width, cameras.height])
    shares = []
    for i in range(len(cameras)):
        partners = _partners(cameras.centers, i, 1e-6 * float(depth.min()))
        if not partners:
            shares.append(torch.ones_like(depth[i]))
            continue
        pixels, z = cameras[partners].project(points[i].reshape(1, -1, 3))
        where = (2 * pixels / size - 1).reshape(len(partners), *depth.shape[1:], 2)
        there = F.grid_sample(depth[partners][:, None], where, mode="nearest", align_corners=False)[:, 0]
        z = z.reshape(there.shape)
        agree = (z > 0) & (where.abs() < 1).all(-1) & ((there / z.clamp(min=1e-12) - 1).abs() < AGREED)
        shares.append(agree.to(depth).mean(0))
    return torch.stack(shares)


def _partners(places: Float[Tensor, "n 3"], i: int, least: float) -> list[int]:
    """The nearest other views that stand at least so far from view i."""
    apart = (places - places[i]).norm(dim=-1)
    return [j for j in apart.argsort(stable=True).tolist() if j != i and apart[j] > least][:PARTNERS]


def _cost(views: Views, i: int, partners: list[int], depth: float) -> Float[Tensor, "1 height width"]:
    """Mean difference of colours of view i, at one depth, and its partners."""
    height, width = views.images.shape[-2:]
    camera = views.cameras[i]
    rays = camera.rays()
    along = (rays.directions * camera.forward).sum(-1, keepdim=True)
    points = (rays.origins + rays.directions * (depth / along)).reshape(1, -1, 3)
    pixels, z = views.cameras[partners].project(points)
    where = (2 * pixels / pixels.new_tensor([width, height]) - 1).reshape(-1, height, width, 2)
    seen = (z.reshape(-1, 1, height, width) > 0) & (where.abs() < 1).all(-1)[:, None]
    other = F.grid_sample(views.images[partners], where, align_corners=False, padding_mode="border")
    difference = (other - views.images[i]).abs().mean(1, keepdim=True)
    return torch.where(seen, difference, torch.full_like(difference, UNSEEN)).mean(0)
