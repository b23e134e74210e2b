"""Which pixels of a judged view the references have seen, from true depth: seen, occluded or out of their frames."""

from enum import IntEnum

import torch
from jaxtyping import Bool, Float, UInt8
from torch import Tensor

from fewview.cameras import Cameras
from fewview.geometry.epipolar import inside_image

TOLERANCE = 0.02  # of the depth: a point so much behind the surface that a reference shows is hidden from it


class Region(IntEnum):
    """What the references know of a pixel; UNKNOWN where the judged view has no true depth."""

    SEEN = 0
    OCCLUDED = 1
    OUTSIDE = 2
    UNKNOWN = 3

    @property
    def title(self) -> str:
        return ("seen", "occluded", "out of frame", "unknown")[self]


@torch.no_grad()
def classify(
    cameras: Cameras,
    depth: Float[Tensor, "batch height width"],
    references: Cameras,
    *,
    reference_depth: Float[Tensor, "k h w"],
    tolerance: float = TOLERANCE,
) -> UInt8[Tensor, "batch height width"]:
    """The `Region` of each pixel of views with z-depths (0 is unknown), given k references with theirs.

    A pixel is seen if some reference has its point in frame with no nearer surface before it, else occluded if some
    reference has it in frame, else out of frame. The surface is the farthest of the four pixels around the projection,
    so that slanted surfaces do not hide themselves; where a reference has no depth it hides nothing.
    """
    points = cameras.unproject(depth).flatten(0, 2)
    pixels, distance = references.project(points.expand(len(references), -1, -1))
    inside = inside_image(pixels, distance, height=references.height, width=references.width)
    surface = torch.stack([_farthest(z, at) for z, at in zip(reference_depth, pixels)])
    behind = (surface > 0) & (distance > surface * (1 + tolerance))
    seen, framed = (inside & ~behind).any(0), inside.any(0)
    region = torch.full_like(seen, Region.OUTSIDE, dtype=torch.uint8)
    region[framed], region[seen] = Region.OCCLUDED, Region.SEEN
    region[depth.flatten() <= 0] = Region.UNKNOWN
    return region.reshape(depth.shape)


def mask_of(regions: UInt8[Tensor, "*batch h w"], region: Region) -> Bool[Tensor, "*batch h w"]:
    """The pixels of one class."""
    return regions == int(region)


def _farthest(depth: Float[Tensor, "h w"], pixels: Float[Tensor, "n 2"]) -> Float[Tensor, " n"]:
    """The largest of the depths at the four pixel centres around image points; the border's beyond the last of them."""
    height, width = depth.shape
    column, row = (pixels - 0.5).floor().long().unbind(-1)
    found = [
        depth[(row + i).clamp(0, height - 1), (column + j).clamp(0, width - 1)] for i in (0, 1) for j in (0, 1)
    ]  # fmt: skip
    return torch.stack(found).amax(0)
