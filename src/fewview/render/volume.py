"""Volume rendering: emission and absorption along rays (NeRF, arXiv 2003.08934, Eq. 3; background black).

Letters: an interval of length l and density s has opacity a = 1 - exp(-s l); light from it reaches the eye with weight
w = T a, where T is the product of 1 - a over the intervals before it.
"""

import math
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import torch
from jaxtyping import Float
from torch import Tensor

from fewview.cameras import Rays
from fewview.render.field import InstantNGP
from fewview.render.occupancy import March, Occupancy, march
from fewview.render.sampling import Samples, importance_edges, near_far, pack, uniform_edges

MIN_TRANSMITTANCE = 1e-4  # intervals behind it get no weight and no gradient (instant-ngp's value)


@runtime_checkable
class RadianceField(Protocol):
    """Density per unit length (>= 0) and features (colours in [0, 1]) at points seen along unit directions."""

    def __call__(
        self, points: Float[Tensor, "n 3"], directions: Float[Tensor, "n 3"]
    ) -> tuple[Float[Tensor, " n"], Float[Tensor, "n channels"]]: ...


@dataclass(frozen=True)
class VolumeConfig:
    """How rays are sampled inside [-bound, bound]^3."""

    bound: float = 4.0  # SparseFusion release
    min_near: float = 0.1  # same
    samples: int = 64  # same: uniform ones ...
    importance: int = 64  # same: ... and ones placed where the first found something; only without an occupancy grid
    steps: int = 256  # with an occupancy grid: steps along the box's diagonal
    opaque: float = 12.0  # with an occupancy grid: a ray ends at this optical depth by the grid's account

    @property
    def march(self) -> March:
        return March(2 * self.bound * math.sqrt(3) / self.steps, self.opaque, self.min_near)


@dataclass(frozen=True, eq=False)
class RayRender:
    """What rays see: premultiplied features, opacity in [0, 1], mean distance of what is seen (0 where empty)."""

    features: Float[Tensor, "rays channels"]
    alpha: Float[Tensor, " rays"]
    distance: Float[Tensor, " rays"]
    weights: Float[Tensor, " n"]  # of each interval
    samples: Samples


def render_rays(
    field: RadianceField,
    rays: Rays,
    config: VolumeConfig,
    *,
    occupancy: Occupancy | None = None,
    generator: torch.Generator | None = None,
) -> RayRender:
    """Render flat rays (n, 3). Samples are jittered with a generator and in the middle of intervals without one."""
    if occupancy is not None:
        samples = march(rays, occupancy, config.march, generator=generator)
    else:
        samples = _uniform_and_importance(field, rays, config, generator=generator)
    return _shade(field, rays, samples)


def _shade(field: RadianceField, rays: Rays, samples: Samples) -> RayRender:
    if isinstance(field, InstantNGP) and _fused(field, rays):
        from fewview.render.field_numba import shaded

        return RayRender(*shaded(field, rays, samples), samples)
    return RayRender(*shade(field, rays, samples), samples)


def _fused(field: InstantNGP, rays: Rays) -> bool:
    """Whether the kernels of `field_numba` apply: on a CPU, in float32, for rays that need no gradient."""
    tensors = rays.origins, rays.directions, field.grid.table
    moving = rays.origins.requires_grad or rays.directions.requires_grad
    return not moving and all(t.device.type == "cpu" and t.dtype == torch.float32 for t in tensors)


def shade(field: RadianceField, rays: Rays, samples: Samples) -> "Composite":
    """What rays see of any field that answers at points."""
    index = samples.rays
    directions = rays.directions.index_select(0, index)
    points = torch.addcmul(rays.origins.index_select(0, index), samples.distances[:, None], directions)
    density, features = field(points, directions)
    return composite(density, features, samples)


def _uniform_and_importance(
    field: RadianceField, rays: Rays, config: VolumeConfig, *, generator: torch.Generator | None
) -> Samples:
    box = rays.origins.new_tensor([[-config.bound] * 3, [config.bound] * 3])
    near, far = near_far(rays, box, config.min_near)
    hit = far > near
    edges = uniform_edges(near[hit], far[hit], config.samples)
    if config.importance:
        with torch.no_grad():
            weights = _shade(field, rays, pack(edges, hit, generator)).weights.view(-1, config.samples)
        new = importance_edges(edges, weights, config.importance, generator=generator)
        edges = torch.cat([edges, new], dim=-1).sort(dim=-1).values
    return pack(edges, hit, generator)


Composite = tuple[Tensor, Tensor, Tensor, Tensor]
"""features "rays channels", alpha " rays", distance " rays", weights " n"."""


def composite(density: Float[Tensor, " n"], features: Float[Tensor, "n channels"], samples: Samples) -> Composite:
    """Blend the intervals of each ray, front to back. On a CPU in float32 the kernels of `volume_numba` run."""
    if density.device.type == "cpu" and density.dtype == features.dtype == torch.float32:
        from fewview.render.volume_numba import CompositeRays

        blended, alpha, distance, weights = CompositeRays.apply(density, features, samples)
        return blended, alpha, distance / alpha.clamp(min=1e-6), weights
    return composite_torch(density, features, samples)


def composite_torch(density: Float[Tensor, " n"], features: Float[Tensor, "n channels"], samples: Samples) -> Composite:
    """`composite` in plain PyTorch, on any device: rays are padded to the longest."""
    counts, rays = samples.offsets.diff(), samples.rays
    place = torch.arange(len(rays), device=rays.device) - samples.offsets[rays]
    longest = int(counts.amax()) if len(counts) else 0
    padded = density.new_zeros(len(counts), longest).index_put((rays, place), density * samples.lengths)
    depth = padded.cumsum(dim=-1)
    before = torch.exp(padded - depth)
    weights = torch.where(before.detach() < MIN_TRANSMITTANCE, 0, before * -torch.expm1(-padded))[rays, place]
    blended = features.new_zeros(len(counts), features.shape[1]).index_add(0, rays, weights[:, None] * features)
    alpha = weights.new_zeros(len(counts)).index_add(0, rays, weights)
    distance = weights.new_zeros(len(counts)).index_add(0, rays, weights * samples.distances)
    return blended, alpha, distance / alpha.clamp(min=1e-6), weights
