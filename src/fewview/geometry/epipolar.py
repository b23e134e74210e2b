"""Image features at the projections of 3D points (SparseFusion thesis A.1, "Epipolar Points Projector").

Image points (x, y) are in pixels of an image of size height x width, pixel centres at half-integers. A feature map of
any resolution covers the same rectangle [0, width] x [0, height].
"""

import torch
from jaxtyping import Bool, Float
from torch import Tensor


def inside_image(
    pixels: Float[Tensor, "*batch 2"], depth: Float[Tensor, "*batch"], *, height: int, width: int, near: float = 1e-3
) -> Bool[Tensor, "*batch"]:
    """Whether points of z-depth `depth` lie farther than `near` before the camera and project into the image."""
    x, y = pixels.unbind(-1)
    return (depth > near) & (x >= 0) & (x <= width) & (y >= 0) & (y <= height)


def sample_bilinear(
    features: Float[Tensor, "batch c h w"],
    pixels: Float[Tensor, "batch n 2"],
    *,
    height: int,
    width: int,
    corners: bool = False,
) -> Float[Tensor, "batch n c"]:
    """Features at image points; points outside take the nearest value of the border.

    The map covers the image, or with `corners` spans it from the map's first to its last pixel centre (align_corners).
    """
    grid = pixels * (2 / pixels.new_tensor([width, height])) - 1
    sampled = torch.nn.functional.grid_sample(
        features, grid[:, None].to(features.dtype), mode="bilinear", padding_mode="border", align_corners=corners
    )
    return sampled[:, :, 0].mT


def sample_epipolar(
    features: Float[Tensor, "batch views c h w"],
    pixels: Float[Tensor, "batch views n 2"],
    depth: Float[Tensor, "batch views n"],
    *,
    height: int,
    width: int,
    corners: bool = False,
) -> tuple[Float[Tensor, "batch views n c"], Bool[Tensor, "batch views n"]]:
    """Features at projected points and whether each is seen; features of unseen points, and their gradients, are zero.

    With `corners`, as the release of SparseFusion samples (`sample_bilinear`): all points count as seen, and those
    behind a camera or beside its image take what the border says. A transformer cannot tell that from evidence.
    """
    size = {"height": height, "width": width}
    seen = torch.ones_like(depth, dtype=torch.bool) if corners else inside_image(pixels, depth, **size)
    pixels = torch.where(seen[..., None], pixels, torch.zeros_like(pixels))
    flat = sample_bilinear(features.flatten(0, 1), pixels.flatten(0, 1), corners=corners, **size)
    sampled = flat.reshape(*seen.shape, features.shape[2])
    return torch.where(seen[..., None], sampled, torch.zeros_like(sampled)), seen
