"""What a prior knows of a scene from where no photo was taken, and where that counts."""

from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from fewview.cameras import Cameras
from fewview.geometry.transforms import normalise
from fewview.views import Render, at_places

TOLERANCE = 0.03  # of z-depth, by which a point may lie behind the surface that a photo shows, and count as seen
SOLID = 0.5  # pixels of more alpha are surface


@dataclass(frozen=True, eq=False)
class PseudoViews:
    """Renderings of the prior's asset (batch shape (n,)) at the size that it knows, and how much each pixel counts."""

    seen: Render
    cameras: Cameras
    weights: Float[Tensor, "n 1 height width"]

    def __len__(self) -> int:
        return len(self.cameras)

    def __getitem__(self, i: int) -> tuple[Render, Cameras, Float[Tensor, "1 height width"]]:
        return self.seen[i], self.cameras[i], self.weights[i]


@torch.no_grad()
def pseudo_views(
    seen: Render, cameras: Cameras, by_photos: Render, *, photos: Cameras, floor: float = 0.15
) -> PseudoViews:
    """Pseudo views weighted by how little the photos saw of each pixel's surface.

    A point counts 1 - (1 - floor) c, where c is the largest cosine between the directions in which it is seen here and
    in a photo that sees it; `by_photos` is the asset seen by the `photos`, whose depth tells what they see. Pixels
    without surface count fully: nothing is to be put there.
    """
    points = cameras.unproject(seen.depth[:, 0])
    flat = points.reshape(1, -1, 3)
    here = normalise(cameras.centers[:, None, None] - points).reshape(-1, 3)
    best = torch.zeros(len(here)).to(here)
    for j in range(len(photos)):
        places, z, inside = photos[j : j + 1].locate(flat)
        depth, alpha = (at_places(x[j : j + 1], places, "nearest")[0, 0] for x in (by_photos.depth, by_photos.alpha))
        visible = inside[0] & (alpha > SOLID) & (z[0] < depth * (1 + TOLERANCE))
        there = normalise(photos.centers[j] - flat[0])
        best = torch.maximum(best, torch.where(visible, (here * there).sum(-1).clamp(min=0), torch.zeros_like(best)))
    known = best.reshape(seen.alpha.shape) * (seen.alpha > SOLID)
    return PseudoViews(seen, cameras, 1 - (1 - floor) * known)
