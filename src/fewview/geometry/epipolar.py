"""Image features at the projections of 3D points (SparseFusion thesis A.1, "Epipolar Points Projector").

Image points (x, y) are in pixels of an image of size height x width, pixel centres at half-integers. A feature map of
any resolution covers the same rectangle [0, width] x [0, height].
"""

import torch
from jaxtyping import Bool, Float
from torch import Tensor


def ray_points(
    origins: Float[Tensor, "*batch 3"], directions: Float[Tensor, "*batch 3"], distances: Float[Tensor, "*#batch n"]
) -> Float[Tensor, "*batch n 3"]:
    """Points at given multiples of `directions` along rays."""
    return origins[..., None, :] + distances[..., None] * directions[..., None, :]


def inside_image(
    pixels: Float[Tensor, "*batch 2"], depth: Float[Tensor, "*batch"], *, height: int, width: int, near: float = 1e-3
) -> Bool[Tensor, "*batch"]:
    """Whether points of z-depth `depth` lie farther than `near` before the camera and project into the image."""
    x, y = pixels.unbind(-1)
    return (depth > near) & (x >= 0) & (x <= width) & (y >= 0) & (y <= height)


def sample_bilinear(
    features: Float[Tensor, "batch c h w"], pixels: Float[Tensor, "batch n 2"], *, height: int, width: int
) -> Float[Tensor, "batch n c"]:
    """Features at image points; points outside take the nearest value of the border."""
    grid = pixels * (2 / pixels.new_tensor([width, height])) - 1  # align_corners=False: -1 and 1 are the outer edges
    sampled = torch.nn.functional.grid_sample(
        features, grid[:, None].to(features.dtype), mode="bilinear", padding_mode="border", align_corners=False
    )
    return sampled[:, :, 0].mT


def sample_epipolar(
    features: Float[Tensor, "batch views c h w"],
    pixels: Float[Tensor, "batch views n 2"],
    depth: Float[Tensor, "batch views n"],
    *,
    height: int,
    width: int,
) -> tuple[Float[Tensor, "batch views n c"], Bool[Tensor, "batch views n"]]:
    """Features at projected points and whether each is seen; features of unseen points, and their gradients, are zero.

    The release of SparseFusion uses what the border pixels say for points behind a camera or beside its image; a
    transformer cannot tell such values from evidence, so they are masked here.
    """
    seen = inside_image(pixels, depth, height=height, width=width)
    pixels = torch.where(seen[..., None], pixels, torch.zeros_like(pixels))
    flat = sample_bilinear(features.flatten(0, 1), pixels.flatten(0, 1), height=height, width=width)
    sampled = flat.reshape(*seen.shape, features.shape[2])
    return torch.where(seen[..., None], sampled, torch.zeros_like(sampled)), seen


def sample_corners(
    features: Float[Tensor, "batch views c h w"],
    pixels: Float[Tensor, "batch views n 2"],
    depth: Float[Tensor, "batch views n"],
    *,
    height: int,
    width: int,
) -> tuple[Float[Tensor, "batch views n c"], Bool[Tensor, "batch views n"]]:
    """As the release of SparseFusion samples: its map spans the image from the first to the last pixel centre of the
    map (align_corners), all points count as seen, and those outside or behind take what the border says."""
    grid = pixels.flatten(0, 1) * (2 / pixels.new_tensor([width, height])) - 1
    flat = torch.nn.functional.grid_sample(
        features.flatten(0, 1),
        grid[:, None].to(features.dtype),
        mode="bilinear",
        padding_mode="border",
        align_corners=True,
    )
    return flat[:, :, 0].mT.reshape(*depth.shape, features.shape[2]), torch.ones_like(depth, dtype=torch.bool)
