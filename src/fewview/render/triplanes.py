"""Features of points from three planes (Chan et al. 2022, arXiv:2112.07945, section 3): bilinear, then added."""

import torch
from jaxtyping import Float, Int
from torch import Tensor
from torch.nn.functional import grid_sample

AXES = ((0, 1), (0, 2), (1, 2))  # coordinates that run along a plane's columns and rows

Planes = Float[Tensor, "batch 3 channels rows columns"]
"""Planes (x, y), (x, z) and (y, z) of several boxes; pixel corners lie on the box's faces."""


def triplanes(
    planes: Float[Tensor, "batch 3 channels rows columns"], points: Float[Tensor, "n 3"], offsets: Int[Tensor, " ends"]
) -> Float[Tensor, "n channels"]:
    """Summed features at points of [-1, 1]^3; planes i own the points offsets[i]:offsets[i + 1].

    Beyond the outermost cell centres a plane goes on unchanged. Gradients flow to the planes alone. On a CPU in float32
    a compiled kernel runs, of which `triplanes_torch` is the slow twin.
    """
    if planes.device.type == "cpu" and planes.dtype == torch.float32:
        from fewview.render.triplanes_numba import SampleTriplanes

        return SampleTriplanes.apply(planes, points, offsets)  # pyright: ignore[reportReturnType]
    return triplanes_torch(planes, points, offsets)


def triplanes_torch(
    planes: Float[Tensor, "batch 3 channels rows columns"], points: Float[Tensor, "n 3"], offsets: Int[Tensor, " ends"]
) -> Float[Tensor, "n channels"]:
    """`triplanes` in plain PyTorch, on any device."""
    parts = []
    for i, own in enumerate(points.detach().split(offsets.diff().tolist())):
        grid = torch.stack([own[:, axes] for axes in AXES])[:, None].to(planes)
        found = grid_sample(planes[i], grid, padding_mode="border", align_corners=False)
        parts.append(found[:, :, 0].sum(0).T)
    return torch.cat(parts)
