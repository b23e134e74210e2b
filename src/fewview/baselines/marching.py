"""Rays through a field that reads photos: uniform samples, then finer ones where the first pass found something.

NeRF's hierarchical sampling (2003.08934, 5.2) on the renderer that all fields here share.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import torch
from jaxtyping import Float
from torch import Tensor

from fewview.cameras import Cameras, Rays
from fewview.render.sampling import importance_edges, pack, uniform_edges
from fewview.render.volume import composite


@runtime_checkable
class PointField(Protocol):
    """Density per unit of length (>= 0) and colours in [0, 1] of samples on rays, "b r d 3", near to far."""

    def __call__(
        self, points: Float[Tensor, "b r d 3"], directions: Float[Tensor, "b r 3"]
    ) -> tuple[Float[Tensor, "b r d"], Float[Tensor, "b r d 3"]]: ...


@dataclass(frozen=True)
class Sampling:
    """Where rays are asked, between s - reach and s + reach, with s the query camera's distance to the origin.

    The thesis' range for EFT (A.1), which all methods get here; never nearer than s / 10.
    """

    reach: float = 5.0
    coarse: int = 64
    fine: int = 16  # placed where the coarse pass found something
    near_depth: int = 0  # placed about the coarse pass' depth, normally distributed (PixelNeRF, B.1) ...
    spread: float = 0.01  # ... with this deviation


def rays_of(targets: Cameras, pixels: Float[Tensor, "b q n 2"]) -> Rays:
    """Rays of shape (b, q n)."""
    rays = targets.rays_at(pixels)
    return Rays(rays.origins.flatten(1, 2), rays.directions.flatten(1, 2))


def passes(fields: Sequence[PointField], rays: Rays, sampling: Sampling, *, generator: torch.Generator | None = None):
    """Colours and coverage "b r 4" of rays (batch "b r") by each field in turn, the later ones with more samples.

    Samples are jittered with a generator and in the middle of their intervals without one.
    """
    b, r = rays.shape
    flat = rays.flatten()
    distance = flat.origins.norm(dim=-1)
    near, far = torch.maximum(distance - sampling.reach, 0.1 * distance), distance + sampling.reach
    edges, hit = uniform_edges(near, far, sampling.coarse), torch.ones_like(near, dtype=torch.bool)
    seen = []
    for i, field in enumerate(fields):
        samples = pack(edges, hit, generator)
        along = samples.distances.view(b * r, -1, 1)
        points = flat.origins[:, None] + along * flat.directions[:, None]
        density, colours = field(points.unflatten(0, (b, r)), rays.directions)
        blended, alpha, depth, weights = composite(density.flatten().float(), colours.reshape(-1, 3).float(), samples)
        seen.append(torch.cat([blended, alpha[:, None]], dim=-1).unflatten(0, (b, r)))
        if i + 1 < len(fields):
            weights = weights.detach().view(b * r, -1)
            added = [importance_edges(edges, weights, sampling.fine, generator=generator)] if sampling.fine else []
            if sampling.near_depth:
                added.append(_about(depth.detach(), near, far, sampling=sampling, generator=generator))
            edges = torch.cat([edges, *added], dim=-1).sort(dim=-1).values
    return seen


def _about(
    depth: Float[Tensor, " n"],
    near: Float[Tensor, " n"],
    far: Float[Tensor, " n"],
    *,
    sampling: Sampling,
    generator: torch.Generator | None,
) -> Float[Tensor, "n k"]:
    """Distances normally distributed about a depth; without a generator at the quantiles."""
    k = sampling.near_depth
    if generator is None:
        normal = torch.special.ndtri((torch.arange(k) + 0.5) / k).expand(len(depth), k)
    else:
        normal = torch.randn(len(depth), k, generator=generator)
    drawn = depth[:, None] + sampling.spread * normal.to(depth)
    return torch.minimum(torch.maximum(drawn, near[:, None]), far[:, None])
