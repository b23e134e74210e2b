"""Where rays are sampled when density comes from a signed distance: until opacity is known (VolSDF, section 3.4)."""

import math
from collections.abc import Callable
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from fewview.cameras import Rays
from fewview.render.sampling import importance_edges, uniform_edges

BISECTIONS = 10  # of beta (Algorithm 1)
Distance = Callable[[Tensor], Tensor]
"""Signed distances " n" at points "n 3"."""


def bounded_edges(
    distance: Distance, rays: Rays, near: Float[Tensor, " n"], *, far: Float[Tensor, " n"], beta: Tensor, config: Any
) -> Float[Tensor, "n _"]:
    """Edges of `samples` intervals, drawn from the opacity of Algorithm 1, without gradients.

    Samples are added where the error may be, until it is at most `error` for `beta`, or `rounds` are over; what is
    drawn from is the opacity with the smallest beta for which the bound holds.
    """
    with torch.no_grad():
        along = uniform_edges(near, far, config.search - 1)
        d = _at(distance, rays, along)
        for i in range(config.rounds + 1):
            smoothest = safe_beta(along, d, beta, error=config.error)
            if i == config.rounds or bool((error_bound(along, d, beta).amax(-1) <= config.error).all()):
                break
            more = importance_edges(along, _error_terms(along, d, smoothest) + 1e-9, config.search, generator=None)
            along, order = torch.cat([along, more], dim=-1).sort(dim=-1)
            d = torch.cat([d, _at(distance, rays, more)], dim=-1).gather(-1, order)
        opacity = 1 - torch.exp(-optical_depth(along, d, smoothest))
        inner = importance_edges(along, opacity.diff(dim=-1).clamp(min=0), config.samples - 1, generator=None)
        return torch.cat([near[:, None], inner, far[:, None]], dim=-1).sort(dim=-1).values


def optical_depth(along: Float[Tensor, "n k"], d: Float[Tensor, "n k"], beta: Tensor) -> Float[Tensor, "n k"]:
    """The rectangle rule from the first sample up to each (Eq. 6)."""
    beta = beta.reshape(-1, 1)
    tail = 0.5 * torch.exp(-d.abs() / beta)
    density = torch.where(d > 0, tail, 1 - tail) / beta
    steps = density[:, :-1] * along.diff(dim=-1)
    return torch.cat([torch.zeros_like(steps[:, :1]), steps.cumsum(-1)], dim=-1)


def error_bound(along: Float[Tensor, "n k"], d: Float[Tensor, "n k"], beta: Tensor) -> Float[Tensor, "n k"]:
    """At each sample, what the opacity there may be wrong by at most: exp(-R) (exp(E) - 1) (Eq. 13)."""
    terms = _error_terms(along, d, beta)
    error = torch.cat([torch.zeros_like(terms[:, :1]), terms.cumsum(-1)], dim=-1)
    return torch.exp(-optical_depth(along, d, beta)) * torch.expm1(error.clamp(max=50))


def safe_beta(
    along: Float[Tensor, "n k"], d: Float[Tensor, "n k"], beta: Tensor, *, error: float
) -> Float[Tensor, " n"]:
    """The smallest beta >= `beta` of each ray for which the bound holds: by bisection, from one that is known to do
    (Lemma 2)."""
    high = (along.diff(dim=-1).square().sum(-1) / (4 * math.log1p(error))).sqrt()
    low = torch.minimum(beta.expand_as(high), high)
    good = error_bound(along, d, low).amax(-1) <= error
    high = torch.where(good, low, high)
    for _ in range(BISECTIONS):
        middle = (low + high) / 2
        good = error_bound(along, d, middle).amax(-1) <= error
        low, high = torch.where(good, low, middle), torch.where(good, middle, high)
    return high


def least_distance(along: Float[Tensor, "n k"], d: Float[Tensor, "n k"]) -> Float[Tensor, "n k-1"]:
    """A lower bound of |distance| in each interval, from its ends (Eq. 9-11): spheres around both, which are empty."""
    a, b = d[:, :-1].abs(), d[:, 1:].abs()
    length = along.diff(dim=-1)
    half = (a + b + length) / 2
    height = 2 * (half * (half - a) * (half - b) * (half - length)).clamp(min=0).sqrt() / length.clamp(min=1e-9)
    sharp = torch.minimum(a, b)
    far_apart = length.square() <= (a.square() - b.square()).abs()
    inside = torch.where(far_apart, sharp, height)
    crossing = d[:, :-1] * d[:, 1:] <= 0
    return torch.where(crossing | (a + b <= length), torch.zeros_like(a), inside)


def _error_terms(along: Float[Tensor, "n k"], d: Float[Tensor, "n k"], beta: Tensor) -> Float[Tensor, "n k-1"]:
    """length^2 exp(-d* / beta) / (4 beta^2) of each interval (Eq. 12)."""
    beta = beta.reshape(-1, 1)
    return along.diff(dim=-1).square() * torch.exp(-least_distance(along, d) / beta) / (4 * beta.square())


def _at(distance: Distance, rays: Rays, along: Float[Tensor, "n k"]) -> Float[Tensor, "n k"]:
    points = rays.origins[:, None] + along[..., None] * rays.directions[:, None]
    return distance(points.reshape(-1, 3)).reshape(along.shape)
