"""Splats at random, and a camera before them."""

from dataclasses import replace

import torch

from fewview.cameras import Cameras
from fewview.geometry.harmonics import COUNTS
from fewview.render.gaussians import Gaussians

FOCAL, SIZE = 40.0, 33  # an odd size: the axis meets the middle of pixel (16, 16)


def facing(size: int = SIZE, height: int | None = None) -> Cameras:
    """One camera at the origin that looks along +z with y down."""
    height = height or size
    pinhole = torch.tensor([[[FOCAL, 0, size / 2], [0, FOCAL, height / 2], [0, 0, 1]]])
    return Cameras(torch.eye(4)[None], pinhole, height, size)


def cloud(n: int, generator: torch.Generator, channels: int = 3) -> Gaussians:
    def normal(*shape):
        return torch.randn(*shape, generator=generator)

    means = normal(n, 3) * torch.tensor([1.0, 1.0, 0.5]) + torch.tensor([0, 0, 3.0])
    opacities = torch.rand(n, generator=generator) * 1.1 - 0.05
    return Gaussians(means, 0.1 * normal(n, 3).exp(), normal(n, 4), opacities.clamp(0, 1), normal(n, channels))


def glossy(gaussians: Gaussians, degree: int, generator: torch.Generator) -> Gaussians:
    """The same with harmonics, of which some colours are clipped at black."""
    if degree == 0:
        return gaussians
    shape = (len(gaussians), COUNTS[degree], gaussians.features.shape[1])
    return replace(gaussians, harmonics=0.5 * torch.randn(shape, generator=generator))
