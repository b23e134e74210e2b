"""Samplers: pure functions (denoise, x, sigmas) -> x, from level sigmas[0] of x down to sigmas[-1].

All of it happens in the EDM frame, x = x0 + sigma * eps. There the probability-flow ODE is dx/dsigma = eps(x, sigma) =
(x - denoise(x, sigma)) / sigma (2206.00364 eq. 1, 3), and the transfer of DDIM and of PNDM, along which eps is
constant, is a straight line, x' = x + (sigma' - sigma) * eps (2010.02502 eq. 14): no alpha appears in this file.

`sigmas` descends strictly and need not end at 0. x has noise of level sigmas[0]: pure noise, or data noised part
of the way. Gradients flow unless the caller says torch.no_grad(). `generator` draws on its own device, so a CPU
generator gives the same noise wherever x lives; the samplers that draw nothing accept it, so that all are
interchangeable.
"""

import math
from collections import deque
from collections.abc import Callable
from itertools import pairwise

import torch
from jaxtyping import Float
from torch import Generator, Tensor

from fewview.diffusion.denoiser import Denoiser
from fewview.errors import InputError

Callback = Callable[[int, Tensor, Tensor], None]
"""(index of the step just taken, x after it, the estimate of x0 that it moved towards)."""

Batch = Float[Tensor, "batch *shape"]
Levels = Float[Tensor, " points"]
Random = Generator | None
Watch = Callback | None

Transfer = Callable[[Tensor, Tensor, float, float], Tensor]
"""(x, eps, its sigma, the next sigma) -> x at the next sigma."""

ADAMS_BASHFORTH = (  # newest slope first; classical, for equal steps
    (1.0,),
    (3 / 2, -1 / 2),
    (23 / 12, -16 / 12, 5 / 12),
    (55 / 24, -59 / 24, 37 / 24, -9 / 24),
)


def euler(denoise: Denoiser, x: Batch, sigmas: Levels, *, generator: Random = None, callback: Watch = None) -> Batch:
    """First-order steps along the ODE; the same as deterministic DDIM. One evaluation a step."""
    return _multistep(denoise, x, sigmas, transfer=_transfer(), order=1, callback=callback)


def heun(denoise: Denoiser, x: Batch, sigmas: Levels, *, generator: Random = None, callback: Watch = None) -> Batch:
    """Second-order steps along the ODE, with Euler for a step to 0 (2206.00364 algorithm 1). Two evaluations a step."""
    for step, (now, then) in enumerate(_intervals(sigmas)):
        eps = slope(denoise, x, now)
        if then > 0:
            eps = (eps + slope(denoise, x + (then - now) * eps, then)) / 2
        x0, x = x - now * eps, x + (then - now) * eps
        if callback:
            callback(step, x, x0)
    return x


def ddim(
    denoise: Denoiser, x: Batch, sigmas: Levels, *, eta: float = 0.0, generator: Random = None, callback: Watch = None
) -> Batch:
    """Deterministic at eta 0, ancestral at eta 1 (2010.02502 eq. 12, 16). One evaluation a step."""
    return _multistep(denoise, x, sigmas, transfer=_transfer(eta, generator), order=1, callback=callback)


def ddpm(denoise: Denoiser, x: Batch, sigmas: Levels, *, generator: Random = None, callback: Watch = None) -> Batch:
    """Ancestral: each x is drawn from the posterior q(x' | x, x0) (2006.11239 eq. 6-7). One evaluation a step."""
    return ddim(denoise, x, sigmas, eta=1.0, generator=generator, callback=callback)


def plms(
    denoise: Denoiser, x: Batch, sigmas: Levels, *, order: int = 4, generator: Random = None, callback: Watch = None
) -> Batch:
    """Pseudo linear multistep (2202.09778): Adams-Bashforth on the last `order` <= 4 slopes, improved Euler first.

    Its coefficients are those of equal steps, so it is of second order on any smooth spacing, and of third (the
    start-up's) where sigmas are evenly spaced. One evaluation a step, and one more in the first unless that goes to 0.
    """
    return _multistep(denoise, x, sigmas, transfer=_transfer(), order=order, callback=callback)


def plms_ancestral(
    denoise: Denoiser, x: Batch, sigmas: Levels, *, order: int = 4, generator: Random = None, callback: Watch = None
) -> Batch:
    """The sampler of SparseFusion's release: slopes of PLMS, but each x is drawn from the posterior, as in `ddpm`.

    Slopes of different noise do not extrapolate well: on a mixture of Gaussians it is unstable from pure noise in fewer
    than about 30 cosine-spaced steps (`clipped` does not mend that), and at 50 as far from the truth as `ddpm`.
    """
    return _multistep(denoise, x, sigmas, transfer=_transfer(1.0, generator), order=order, callback=callback)


def _multistep(
    denoise: Denoiser, x: Batch, sigmas: Levels, *, transfer: Transfer, order: int, callback: Watch
) -> Batch:
    """Steps along the Adams-Bashforth slope of up to `order` evaluations; the first is improved Euler if order > 1."""
    if not 1 <= order <= len(ADAMS_BASHFORTH):
        raise InputError(f"A multistep sampler got order {order}; give 1 to {len(ADAMS_BASHFORTH)}.")
    slopes: deque[Tensor] = deque(maxlen=order)  # newest first
    for step, (now, then) in enumerate(_intervals(sigmas)):
        slopes.appendleft(slope(denoise, x, now))
        if step == 0 and order > 1 and then > 0:
            eps = (slopes[0] + slope(denoise, transfer(x, slopes[0], now, then), then)) / 2
        else:
            weighted = [weight * slope for weight, slope in zip(ADAMS_BASHFORTH[len(slopes) - 1], slopes)]
            eps = sum(weighted[1:], start=weighted[0])
        x0, x = x - now * eps, transfer(x, eps, now, then)
        if callback:
            callback(step, x, x0)
    return x


def _transfer(eta: float = 0.0, generator: Generator | None = None) -> Transfer:
    """The step of DDIM: x0 + sqrt(then^2 - spread^2) * eps, plus noise of standard deviation `spread` (eq. 12, 16)."""
    if not 0 <= eta <= 1:
        raise InputError(f"A sampler got eta {eta}; give 0 (deterministic) to 1 (ancestral).")

    def transfer(x: Tensor, eps: Tensor, now: float, then: float) -> Tensor:
        spread = eta * then * math.sqrt(1 - (then / now) ** 2)
        moved = x + (math.sqrt(then**2 - spread**2) - now) * eps
        return moved + spread * _noise(x, generator) if spread > 0 else moved

    return transfer


def slope(denoise: Denoiser, x: Float[Tensor, "batch *shape"], sigma: float) -> Float[Tensor, "batch *shape"]:
    """dx/dsigma of the probability-flow ODE, which is the predicted eps."""
    return (x - denoise(x, x.new_full((len(x),), sigma))) / sigma


def _noise(x: Float[Tensor, "batch *shape"], generator: Generator | None) -> Float[Tensor, "batch *shape"]:
    """Unit normal noise like x."""
    if generator is None:
        raise InputError("A sampler that draws noise got no generator; pass generator=torch.Generator().")
    return torch.randn(x.shape, generator=generator, dtype=x.dtype, device=generator.device).to(x.device)


def _intervals(sigmas: Float[Tensor, " points"]) -> list[tuple[float, float]]:
    """Pairs (level now, level then) of each step."""
    return list(pairwise(check_levels(sigmas)))


def check_levels(sigmas: Float[Tensor, " points"]) -> list[float]:
    """The levels of a sampler's steps; InputError unless they descend."""
    levels = sigmas.tolist()
    if len(levels) < 2 or not levels[-1] >= 0 or levels[0] == math.inf or not all(a > b for a, b in pairwise(levels)):
        raise InputError(f"A sampler got sigmas {levels}; give two or more finite levels >= 0, strictly descending.")
    return levels
