"""Where that lies whose depth no stereo tells: as its surroundings, or where it hides nothing of other photos."""

import torch
from jaxtyping import Bool, Float
from torch import Tensor
from torch.nn import functional as F

from fewview.cameras import Cameras
from fewview.stereo import Stereo, box_means
from fewview.views import at_places

BEYOND, MOST = 1.5, 0.9  # the first depth tried: so many times the quantile of depths that are sure
TRIED, APART = 8, 1.5  # depths, each so many times the last
FARTHER = 0.01  # cost of each further depth, in shares of the other photos
TOLERANCE = 0.05  # of a z-depth, by which a point must lie before a surface to hide it
RELAXED = 50  # steps of the membrane, after it was spread from coarse to fine
SMOOTH = 7  # pixels of a square over which costs are averaged


@torch.no_grad()
def with_backdrop(found: Stereo, cameras: Cameras) -> Float[Tensor, "n height width"]:
    """Depths, of which those that are not sure span the gap between those that are, or lie behind them all.

    The nearest of these that hides nothing which other photos surely show: else what is behind an object in one photo
    would stand before it in the photos from the other side.
    """
    depths = found.depth.clone()
    for i, sure in enumerate(found.sure):
        if bool(sure.any()):
            beyond = BEYOND * depths[i][sure].quantile(MOST) * APART ** torch.arange(TRIED).to(depths)
            tried = torch.cat([spanned(depths[i], sure)[None], beyond[:, None, None].expand(-1, *sure.shape)])
            costs = box_means(_hidden(found, cameras, i, depths=tried), SMOOTH)
            costs += FARTHER * torch.arange(len(tried)).to(costs)[:, None, None]
            depths[i] = torch.where(sure, depths[i], tried.gather(0, costs.argmin(0)[None])[0])
    return depths


def spanned(depth: Float[Tensor, "h w"], sure: Bool[Tensor, "h w"]) -> Float[Tensor, "h w"]:
    """The z-depths, and where they are not sure those of a membrane of inverse depth between the sure ones.

    In inverse depth a plane is linear in pixels, so that planes with gaps go on as planes. Some pixel must be sure.
    """
    inverse = _pushed(torch.where(sure, 1 / depth, 0.0)[None, None], sure.to(depth)[None, None])
    for _ in range(RELAXED):
        mean = F.avg_pool2d(F.pad(inverse, (1, 1, 1, 1), mode="replicate"), 3, 1)
        inverse = torch.where(sure, inverse, mean)
    return 1 / inverse[0, 0]


def _pushed(values: Float[Tensor, "1 1 h w"], weights: Float[Tensor, "1 1 h w"]) -> Float[Tensor, "1 1 h w"]:
    """Values, which are 0 where weights are, with those of the next coarser level where they have none."""
    if bool(weights.all()):
        return values
    shape = values.shape[-2:]
    pooled, known = (F.avg_pool2d(x, 2, ceil_mode=True, count_include_pad=False) for x in (values, weights))
    coarse = _pushed(pooled / known.clamp(min=1e-6), (known > 0).to(known))
    return torch.where(weights > 0, values, F.interpolate(coarse, shape, mode="bilinear"))


def _hidden(found: Stereo, cameras: Cameras, i: int, *, depths: Float[Tensor, "k h w"]) -> Float[Tensor, "k h w"]:
    """In which share of the other photos that show it a pixel's point at a depth is before a surface that is sure."""
    points = torch.stack([cameras[i].unproject(depth) for depth in depths]).reshape(1, -1, 3)
    hides, shown = torch.zeros(2, points.shape[1]).to(depths)
    for j in range(len(cameras)):
        if j != i:
            places, z, inside = (x[0] for x in cameras[j : j + 1].locate(points))
            maps = torch.stack([found.depth[j], found.sure[j].to(depths)])
            surface, sure = at_places(maps[None], places[None], "nearest")[0]
            behind = (sure > 0) & (z > surface * (1 + TOLERANCE))
            hides += inside & (sure > 0) & (z < surface * (1 - TOLERANCE))
            shown += inside & ~behind
    return (hides / shown.clamp(min=1)).reshape(depths.shape)
