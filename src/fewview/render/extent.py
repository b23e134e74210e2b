"""Where the mass of splats is: a ball that strays, skies and fog do not stretch, though they may be many."""

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from fewview.render.gaussians import Gaussians

SOLID, FEW = 0.5, 50  # splats below this opacity do not count for where things are, unless few are above it
HUGE = 4.0  # times the median area: larger splats (a dome of sky) weigh no more than this
FALL = 0.2  # a ball that is wider by a factor f must hold f^FALL times the mass, or the narrower one is taken
SLACK = 1.5  # splats within so many radii of that ball still belong to it
QUANTILE = 0.01  # share of the splats of the core that may lie outside of its box, and of its ball


@torch.no_grad()
def solid(gaussians: Gaussians) -> Gaussians:
    """The splats that count for where things are: those of more than half opacity, or all where these are few."""
    kept = gaussians.opacities > SOLID
    return gaussians[kept] if int(kept.sum()) > FEW else gaussians


@torch.no_grad()
def core(gaussians: Gaussians) -> Bool[Tensor, " n"]:
    """Which splats belong to the densest mass (opacity times area) around their weighted median.

    Of all balls around it the one is taken whose mass over radius^FALL is largest: a cluster that is farther off by a
    factor of 30 must hold as much as all before it to count.
    """
    means = gaussians.means.double()
    areas = gaussians.scales.double().sort(dim=-1).values[:, 1:].prod(dim=-1).clamp(min=1e-30)
    weights = gaussians.opacities.double().clamp(min=1e-9) * (areas / areas.median()).clamp(1 / HUGE, HUGE)
    centre = torch.stack([_weighted_median(means[:, axis], weights) for axis in range(3)])
    distances = (means - centre).norm(dim=-1)
    order = distances.argsort()
    mass, radii = weights[order].cumsum(0) / weights.sum(), distances[order]
    half = mass >= 0.5  # narrower balls would be a speck of it
    worth = torch.where(half, mass.log() - FALL * radii.clamp(min=1e-12).log(), -torch.inf)
    return distances <= SLACK * radii[worth.argmax()]


def ball(gaussians: Gaussians) -> tuple[Float[Tensor, "3"], Float[Tensor, ""]]:
    """Centre and radius of what `core` leaves of the solid splats: the middle of their box, and 99 % of them inside."""
    inner = solid(gaussians)
    means = inner.means[core(inner)]
    low, high = box(means, QUANTILE)
    centre = (low + high) / 2
    distances = (means - centre).norm(dim=-1).sort().values
    return centre, distances[_place(len(distances), 1 - QUANTILE)].clamp(min=1e-6)


def box(points: Float[Tensor, "n 3"], share: float) -> tuple[Float[Tensor, "3"], Float[Tensor, "3"]]:
    """The lowest and highest coordinates along each axis when that share of the points is left out at each end."""
    ordered = points.sort(dim=0).values
    return ordered[_place(len(points), share)], ordered[_place(len(points), 1 - share)]


def _place(count: int, share: float) -> int:
    return round((count - 1) * share)


def _weighted_median(values: Float[Tensor, " n"], weights: Float[Tensor, " n"]) -> Float[Tensor, ""]:
    order = values.argsort()
    mass = weights[order].cumsum(0)
    return values[order][torch.searchsorted(mass, mass[-1] / 2).clamp(max=len(values) - 1)]
