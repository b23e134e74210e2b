"""Where nothing is to be sampled: outside of the photos' silhouettes; and where hardly: outside of imagined ones."""

import torch
from jaxtyping import Bool, Float
from torch import Tensor
from torch.nn import functional as F

from fewview.geometry.epipolar import sample_epipolar
from fewview.render.occupancy import Occupancy
from fewview.views import Views

REOPEN_EVERY = 8  # updates of the grid: so often the cells that imagined views call empty are sampled again


class Carving:
    """What silhouettes say of an occupancy grid.

    Photos are evidence: cells outside of their visual hull are never sampled. Imagined views may be wrong, and take
    what is black for empty, so their hull only guides: cells outside of it start closed, and at every eighth update of
    the grid all that the photos allow is opened again. What the field has grown there by then stays, as everywhere.
    """

    def __init__(self, occupancy: Occupancy, photos: Views, imagined: Views):
        self.occupancy = occupancy
        hull = visual_hull(photos, occupancy)
        guess = visual_hull(imagined, occupancy) if len(imagined) else None
        everywhere = torch.ones_like(occupancy.upper, dtype=torch.bool)
        self.allowed = everywhere if hull is None else hull
        self.doubted = torch.zeros_like(everywhere) if guess is None else self.allowed & ~guess
        occupancy.upper.masked_fill_(self.doubted, 0.0)
        self.apply(1)

    def apply(self, update: int) -> None:
        """After update number `update` (from 1) of the grid."""
        upper = self.occupancy.upper
        if update % REOPEN_EVERY == 0:
            opened = upper.clamp(min=self.occupancy.config.threshold)
            upper.copy_(torch.where(self.doubted, opened, upper))
        upper.masked_fill_(~self.allowed, 0.0)


@torch.no_grad()
def visual_hull(photos: Views, occupancy: Occupancy, *, threshold: float = 0.08) -> Bool[Tensor, "r r r"] | None:
    """Cells whose middle falls on (widened) foreground in every photo; None without masks."""
    if photos.masks is None:
        return None
    r, bound = occupancy.config.resolution, occupancy.config.bound
    axis = (torch.arange(r, device=photos.images.device) + 0.5) / r * 2 * bound - bound
    cells = torch.stack(torch.meshgrid(axis, axis, axis, indexing="ij"), dim=-1).reshape(1, -1, 3)
    pixels, depth = photos.cameras.project(cells.expand(len(photos), -1, -1))
    spread = _blur(photos, 2 * bound / r)
    height, width = photos.cameras.height, photos.cameras.width
    found, seen = sample_epipolar(spread[:, None], pixels[:, None], depth[:, None], height=height, width=width)
    edges = [photos.masks[..., i, :] for i in (0, -1)] + [photos.masks[..., i] for i in (0, -1)]
    cut = torch.stack([edge.flatten(1).amax(1) for edge in edges]).amax(0) > 0.5  # the object may go on outside
    inside = (found[:, 0, :, 0] > threshold) | (cut[:, None] & ~seen[:, 0])
    return inside.all(0).reshape(r, r, r)


def _blur(photos: Views, cell: float) -> Float[Tensor, "n 1 h w"]:
    """Masks widened by about one cell as seen from the photos' cameras."""
    assert photos.masks is not None
    pixels = cell * photos.cameras.intrinsics[:, 0, 0] / photos.cameras.centers.norm(dim=-1).clamp(min=1e-3)
    reach = int(pixels.max().ceil().clamp(1, 16))
    return F.max_pool2d(photos.masks, 2 * reach + 1, stride=1, padding=reach)
