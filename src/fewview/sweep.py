"""Plane sweep: at which depth photos look alike."""

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional as F

from fewview.geometry.depths import log_depths
from fewview.views import Views

PLANES, PARTNERS, PATCH = 48, 4, 5
UNSEEN = 0.25  # cost of a point that a partner does not see


@torch.no_grad()
def swept_depth(views: Views, near: float, far: float, *, planes: int = PLANES) -> Float[Tensor, "n height width"]:
    """The z-depth of each pixel at which a patch about it looks most alike in the nearest other views.

    Candidates are even in logarithm. A view without others is taken for a plane at their geometric mean.
    """
    depths = log_depths(near, far, torch.linspace(0, 1, planes))
    height, width = views.images.shape[-2:]
    places = views.cameras.centers
    apart = (places[:, None] - places).norm(dim=-1)
    found = []
    for i in range(len(views)):
        order = apart[i].argsort(stable=True).tolist()
        partners = [j for j in order if j != i and apart[i, j] > 1e-6 * near][:PARTNERS]
        if not partners:
            found.append(torch.full((height, width), (near * far) ** 0.5).to(places))
            continue
        costs = torch.stack([_cost(views, i, partners, depth=depth) for depth in depths.tolist()])
        smooth = F.avg_pool2d(costs, PATCH, stride=1, padding=PATCH // 2, count_include_pad=False)
        found.append(depths.to(places)[smooth[:, 0].argmin(0)])
    return torch.stack(found)


def _cost(views: Views, i: int, partners: list[int], *, depth: float) -> Float[Tensor, "1 height width"]:
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
