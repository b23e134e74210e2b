"""What a rendering is compared by: L1 and structural similarity with a photo, L1 with what a prior knows."""

import importlib.util

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional as F

from fewview.views import Render

WINDOW, DEVIATION = 11, 1.5  # pixels, of a Gaussian; Wang et al. 2004, section III.C
BLACK = 0.1  # the largest channel of pixels that look as where nothing is: they need no splats
C1, C2 = 0.01**2, 0.03**2  # same, for values in [0, 1]


def dissimilarity(a: Float[Tensor, "c h w"], b: Float[Tensor, "c h w"]) -> Float[Tensor, ""]:
    """1 - SSIM (Wang et al. 2004, Eq. 13), averaged over pixels and channels: 0 for equal images, at most 2.

    Beyond the border both images count as black.
    """
    plain = all(image.device.type == "cpu" and image.dtype == torch.float32 for image in (a, b))
    if not plain or b.requires_grad or importlib.util.find_spec("numba") is None:
        return dissimilarity_torch(a, b)
    from fewview.detail.similarity_numba import dissimilarity as compiled  # numba takes a second to import

    return compiled(a, b, taps=window(a), stable=(C1, C2))


def window(like: Tensor) -> Float[Tensor, " taps"]:
    """Weights of a Gaussian window along one axis; their sum is 1."""
    x = torch.arange(WINDOW, device=like.device, dtype=like.dtype) - WINDOW // 2
    weights = torch.exp(-0.5 * (x / DEVIATION).square())
    return weights / weights.sum()


def dissimilarity_torch(a: Float[Tensor, "c h w"], b: Float[Tensor, "c h w"]) -> Float[Tensor, ""]:
    """The slow twin of `dissimilarity`, differentiable in both images."""
    count = len(a)
    maps = torch.cat([a, b, a * a, b * b, a * b])[None]
    weights = window(a).expand(len(maps[0]), 1, 1, WINDOW)
    maps = F.conv2d(maps, weights, padding=(0, WINDOW // 2), groups=len(maps[0]))
    maps = F.conv2d(maps, weights.mT, padding=(WINDOW // 2, 0), groups=len(maps[0]))[0]
    mean_a, mean_b, square_a, square_b, product = maps.split(count)
    both = mean_a * mean_b
    squares = mean_a.square() + mean_b.square()
    upper = (2 * both + C1) * (2 * (product - both) + C2)
    return 1 - (upper / ((squares + C1) * (square_a + square_b - squares + C2))).mean()


def photo_loss(
    seen: Render, image: Float[Tensor, "3 h w"], mask: Float[Tensor, "1 h w"] | None, *, similarity: float, alpha: float
) -> Float[Tensor, ""]:
    """(1 - s) L1 + s (1 - SSIM), Eq. 7 of arXiv 2308.04079, and L1 of coverage and mask.

    `image` is black outside of the mask; a photo without one is opaque wherever it is not black.
    """
    loss = (1 - similarity) * (seen.image - image).abs().mean() + similarity * dissimilarity(seen.image, image)
    if mask is None:
        return loss + alpha * ((1 - seen.alpha) * (image.amax(0, keepdim=True) > BLACK)).mean()
    return loss + alpha * (seen.alpha - mask).abs().mean()


def prior_loss(seen: Render, wanted: Render, weights: Float[Tensor, "1 h w"], *, alpha: float) -> Float[Tensor, ""]:
    """L1 of colour and coverage, each pixel by its weight in [0, 1]."""
    colour = (weights * (seen.image - wanted.image).abs()).mean()
    return colour + alpha * (weights * (seen.alpha - wanted.alpha).abs()).mean()
