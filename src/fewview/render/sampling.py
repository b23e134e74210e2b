"""Where rays are sampled: intervals on rays, packed one ray after the other."""

from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from fewview.cameras import Rays


@dataclass(frozen=True, eq=False)
class Samples:
    """Ray r owns the intervals offsets[r]:offsets[r + 1], near to far; the field is asked at `distances` in them."""

    distances: Float[Tensor, " n"]
    lengths: Float[Tensor, " n"]
    offsets: Int[Tensor, " rays_and_one"]

    @property
    def rays(self) -> Int[Tensor, " n"]:
        """The ray of each interval."""
        counts = self.offsets.diff()
        return torch.repeat_interleave(torch.arange(len(counts), device=counts.device), counts)


def near_far(rays: Rays, box: Float[Tensor, "2 3"], min_near: float) -> tuple[Float[Tensor, " n"], Float[Tensor, " n"]]:
    """Distances at which flat rays enter and leave a box (lower and upper corner); equal where a ray misses it."""
    tiny = torch.full_like(rays.directions, 1e-9)
    slopes = torch.where(rays.directions.abs() < 1e-9, tiny, rays.directions)
    a, b = (box[0] - rays.origins) / slopes, (box[1] - rays.origins) / slopes
    near = torch.minimum(a, b).amax(dim=-1).clamp(min=min_near)
    return near, torch.maximum(torch.maximum(a, b).amin(dim=-1), near)


def jitter(shape: tuple[int, ...], like: Tensor, generator: torch.Generator | None) -> Tensor:
    """U(0, 1), or 0.5 everywhere without a generator, which lives on the CPU so that all devices draw the same."""
    if generator is None:
        return torch.full(shape, 0.5, dtype=like.dtype, device=like.device)
    return torch.rand(shape, generator=generator, dtype=like.dtype).to(like.device)


def uniform_edges(near: Float[Tensor, " n"], far: Float[Tensor, " n"], count: int) -> Float[Tensor, "n {count}+1"]:
    """Edges of `count` equal intervals."""
    fractions = torch.linspace(0, 1, count + 1, dtype=near.dtype, device=near.device)
    return near[:, None] + (far - near)[:, None] * fractions


def importance_edges(
    edges: Float[Tensor, "n edges"], weights: Float[Tensor, "n edges-1"], new: int, *, generator: torch.Generator | None
) -> Float[Tensor, "n {new}"]:
    """Distances distributed like the weights, constant within intervals (NeRF, arXiv 2003.08934, section 5.2)."""
    weights = weights + 1e-5
    cdf = weights.cumsum(dim=-1) / weights.sum(dim=-1, keepdim=True)
    cdf = torch.cat([torch.zeros_like(cdf[:, :1]), cdf], dim=-1)
    ranks = (torch.arange(new, device=edges.device) + jitter((len(edges), new), edges, generator)) / new
    right = torch.searchsorted(cdf, ranks, right=True).clamp(1, weights.shape[-1])
    low, high = cdf.gather(-1, right - 1), cdf.gather(-1, right)
    start, end = edges.gather(-1, right - 1), edges.gather(-1, right)
    return start + (end - start) * ((ranks - low) / (high - low).clamp(min=1e-12)).clamp(0, 1)


def pack(edges: Float[Tensor, "hits edges"], hit: Bool[Tensor, " rays"], generator: torch.Generator | None) -> Samples:
    """Samples of the rays that hit, at random in each interval, or in its middle without a generator."""
    lengths = edges.diff(dim=-1)
    distances = edges[:, :-1] + lengths * jitter(tuple(lengths.shape), lengths, generator)
    counts = hit.long() * lengths.shape[1]
    offsets = torch.cat([counts.new_zeros(1), counts.cumsum(0)])
    return Samples(distances.flatten(), lengths.flatten(), offsets)
