"""A coarse grid of densities that tells rays where there is nothing to see (arXiv 2201.05989, appendix C)."""

from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn

from fewview.cameras import Rays
from fewview.render.sampling import Samples, jitter, near_far


@dataclass(frozen=True)
class OccupancyConfig:
    """A grid of resolution^3 cells over [-bound, bound]^3."""

    resolution: int = 64
    bound: float = 4.0  # the field's box, SparseFusion release
    decay: float = 0.95  # arXiv 2201.05989, appendix C
    rise: float = 0.25  # ours: how fast the lower envelope follows a density above it
    threshold: float = 0.1  # per unit length; a cell below it is skipped
    visited: float = 0.125  # share of all cells that an update visits at random, besides the occupied ones


class Occupancy(nn.Module):
    """Upper and lower envelopes of the density in each cell: where to look, and what surely hides the rest.

    The upper one rises at once and decays. The lower one falls at once and rises slowly, so that a cell which a surface
    cuts hides nothing. A new grid lets rays through everywhere.
    """

    upper: Tensor
    lower: Tensor

    def __init__(self, config: OccupancyConfig) -> None:
        super().__init__()
        self.config = config
        self.register_buffer("upper", torch.full((config.resolution,) * 3, config.threshold))
        self.register_buffer("lower", torch.zeros((config.resolution,) * 3))

    @property
    def level(self) -> float:
        """Cells of this density or more are sampled: the threshold, or the mean in a fog thinner than that."""
        mean = min(self.upper.mean().item(), self.upper.max().item())  # a rounded mean may exceed all
        return min(self.config.threshold, mean)

    @property
    def occupied(self) -> Bool[Tensor, "r r r"]:
        """Cells (x, y, z) that are sampled."""
        return self.upper >= self.level

    @torch.no_grad()
    def update(self, field, *, generator: torch.Generator | None = None, everywhere: bool = False) -> None:
        """Ask a RadianceField once in all cells, or in the occupied ones and a random share of the others."""
        flat, low = self.upper.view(-1), self.lower.view(-1)
        if everywhere:
            cells = torch.arange(len(flat), device=flat.device)
        else:
            lucky = jitter((len(flat),), flat, generator) < self.config.visited
            cells = (lucky | self.occupied.view(-1)).nonzero()[:, 0]
        r, bound = self.config.resolution, self.config.bound
        corner = torch.stack([cells // r**2, cells // r % r, cells % r], dim=-1)
        points = (corner + jitter((len(cells), 3), flat, generator)) / r * (2 * bound) - bound
        density, _ = field(points, torch.zeros_like(points))
        flat[cells] = torch.maximum(flat[cells] * self.config.decay, density)
        low[cells] = torch.minimum(torch.lerp(low[cells], density, self.config.rise), density)

    def box(self) -> Float[Tensor, "2 3"]:
        """Lower and upper corner of the smallest box of cells that holds everything occupied."""
        plane = self.occupied.any(dim=0)
        axes = (self.occupied.any(dim=2).any(dim=1), plane.any(dim=1), plane.any(dim=0))
        ends = [axis.nonzero() for axis in axes]
        low = torch.stack([end[0, 0] for end in ends])
        high = torch.stack([end[-1, 0] + 1 for end in ends])
        side = 2 * self.config.bound / self.config.resolution
        return torch.stack([low, high]) * side - self.config.bound


@dataclass(frozen=True)
class March:
    """How rays step through an occupancy grid: the step, and the optical depth (lower envelope) where they end."""

    step: float
    opaque: float
    min_near: float


def march(rays: Rays, occupancy: Occupancy, how: March, *, generator: torch.Generator | None = None) -> Samples:
    """Samples a step apart on flat rays, in occupied cells only; a ray's first step is cut short at random."""
    near, far = near_far(rays, occupancy.box(), how.min_near)
    start = near + how.step * jitter(tuple(near.shape), near, generator)
    if rays.origins.device.type == "cpu" and rays.origins.dtype == torch.float32:
        from fewview.render.volume_numba import march_numba

        return march_numba(rays, start, far, occupancy, how)
    return march_torch(rays, start, far, occupancy, how)


def march_torch(
    rays: Rays, start: Float[Tensor, " n"], far: Float[Tensor, " n"], occupancy: Occupancy, how: March
) -> Samples:
    """`march` in plain PyTorch, on any device: all steps of all rays, then those that count."""
    r, bound = occupancy.config.resolution, occupancy.config.bound
    steps = int(((far - start) / how.step).amax().clamp(min=0).item()) + 1
    distances = start[:, None] + torch.arange(steps, device=start.device) * how.step
    points = rays.origins[:, None] + distances[..., None] * rays.directions[:, None]
    x, y, z = ((points + bound) * (r / (2 * bound))).long().clamp(0, r - 1).unbind(-1)
    inside = (occupancy.upper[x, y, z] >= occupancy.level) & (distances < far[:, None])
    layers = occupancy.lower[x, y, z] * inside * how.step
    seen = inside & (layers.cumsum(dim=-1) - layers < how.opaque)
    chosen = distances[seen]
    counts = seen.sum(dim=-1)
    offsets = torch.cat([counts.new_zeros(1), counts.cumsum(0)])
    return Samples(chosen, torch.full_like(chosen, how.step), offsets)
