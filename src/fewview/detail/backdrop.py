"""Where the background lies, whose depth no stereo tells: where it hides nothing that other photos show."""

import torch
from jaxtyping import Float
from torch import Tensor

from fewview.cameras import Cameras
from fewview.stereo import Stereo, box_means
from fewview.views import at_places

BEYOND, MOST = 1.5, 0.9  # the first depth tried: so many times the quantile of depths that are sure
TRIED, APART = 8, 1.5  # depths, each so many times the last
FARTHER = 0.01  # cost of each further depth, in shares of the other photos
TOLERANCE = 0.05  # of a z-depth, by which a point must lie before a surface to hide it
SMOOTH = 7  # pixels of a square over which costs are averaged


@torch.no_grad()
def with_backdrop(found: Stereo, cameras: Cameras) -> Float[Tensor, "n height width"]:
    """Depths, of which those that are not sure lie behind those that are, and before no other photo's.

    Else what is behind an object in one photo would stand before it in the photos from the other side.
    """
    depths = found.depth.clone()
    for i, sure in enumerate(found.sure):
        if bool(sure.any()):
            tried = BEYOND * depths[i][sure].quantile(MOST) * APART ** torch.arange(TRIED).to(depths)
            costs = torch.stack([_hidden(found, cameras, i, depth=depth) for depth in tried])
            costs = box_means(costs, SMOOTH) + FARTHER * torch.arange(TRIED).to(costs)[:, None, None]
            depths[i] = torch.where(sure, depths[i], tried[costs.argmin(0)])
    return depths


def _hidden(found: Stereo, cameras: Cameras, i: int, *, depth: Float[Tensor, ""]) -> Float[Tensor, "height width"]:
    """In which share of the other photos that show it a pixel's point at a depth is before a surface that is sure."""
    points = cameras[i].unproject(depth.expand(found.depth.shape[-2:])).reshape(1, -1, 3)
    hides, shown = torch.zeros(2, points.shape[1]).to(depth)
    for j in range(len(cameras)):
        if j != i:
            places, z, inside = (x[0] for x in cameras[j : j + 1].locate(points))
            maps = torch.stack([found.depth[j], found.sure[j].to(depth)])
            surface, sure = at_places(maps[None], places[None], "nearest")[0]
            behind = (sure > 0) & (z > surface * (1 + TOLERANCE))
            hides += inside & (sure > 0) & (z < surface * (1 - TOLERANCE))
            shown += inside & ~behind
    return (hides / shown.clamp(min=1)).reshape(found.depth.shape[-2:])
