"""PSNR and LPIPS of the pixels of one class, and errors of depth."""

from dataclasses import dataclass
from math import log10

import torch
from jaxtyping import Bool, Float
from torch import Tensor
from torch.nn.functional import interpolate

from fewview.evaluation.metrics import PSNR_CAP
from fewview.nn.lpips import Lpips
from fewview.views import Render

OPAQUE = 0.5  # alpha above which a render has a surface, and so a depth
CLOSE = 1.25  # the usual bound of a depth's ratio to the truth (Eigen et al. 2014)


@dataclass(frozen=True)
class RegionScore:
    """Errors of the pixels of one class in one view. Sums of pixels add up; means of small classes would not."""

    pixels: int
    squared_error: float  # mean over pixels and channels
    lpips: float | None  # mean of the map over these pixels


@dataclass(frozen=True)
class DepthScore:
    """Rendered against true z-depth, over pixels that have both (alpha above a half)."""

    coverage: float  # share of the pixels of known depth that the render covers
    relative: float | None  # mean of |depth - truth| / truth; None where nothing is covered
    within: float | None  # share with a ratio to the truth below 1.25


def region_score(
    images: Float[Tensor, "3 h w"],
    truth: Float[Tensor, "3 h w"],
    mask: Bool[Tensor, "h w"],
    *,
    distances: Float[Tensor, "h w"] | None = None,
) -> RegionScore | None:
    """The score of an image's pixels in `mask`, with LPIPS where its map is given; None without pixels."""
    pixels = int(mask.sum())
    if pixels == 0:
        return None
    error = float((images - truth).square().mean(0)[mask].double().mean())
    return RegionScore(pixels, error, None if distances is None else float(distances[mask].double().mean()))


def decibels(squared_error: float) -> float:
    """PSNR of a mean squared error for data range 1, at most 100 dB."""
    return -10 * log10(max(squared_error, 10 ** (-PSNR_CAP / 10)))


@torch.no_grad()
def lpips_map(
    net: Lpips, images: Float[Tensor, "batch 3 height width"], truth: Float[Tensor, "batch 3 height width"]
) -> tuple[Float[Tensor, " batch"], Float[Tensor, "batch height width"]]:
    """LPIPS, and what it is the mean of: each slice's distances, bilinear to the images' size, summed.

    The maps are the spatial output of the lpips package; their means equal LPIPS but for the resampling. A pixel's
    value depends on its surroundings too (receptive fields reach tens of pixels), so a class' mean is softly bounded.
    """
    size = tuple(images.shape[-2:])
    values, maps = images.new_zeros(len(images)), images.new_zeros(len(images), 1, *size)
    for lin, a, b in zip(net.lins, net.slices(images), net.slices(truth)):
        distances = lin((a - b).square())
        values += distances.mean((1, 2, 3))
        maps += interpolate(distances, size, mode="bilinear", align_corners=False)
    return values, maps[:, 0]


def depth_score(render: Render, truth: Float[Tensor, "h w"]) -> DepthScore | None:
    """The score of one camera's render (batch shape empty or 1); None where no depth is known."""
    alpha, depth = (x.reshape(truth.shape) for x in (render.alpha, render.depth))
    known = truth > 0
    if not known.any():
        return None
    both = known & (alpha > OPAQUE)
    coverage = float(both.sum() / known.sum())
    if not both.any():
        return DepthScore(coverage, None, None)
    ratio = (depth[both] / truth[both]).double()
    close = torch.maximum(ratio, 1 / ratio.clamp(min=1e-9)) < CLOSE
    return DepthScore(coverage, float((ratio - 1).abs().mean()), float(close.double().mean()))
