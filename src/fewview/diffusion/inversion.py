"""The other way along the ODE: from data to the noise that a deterministic sampler turns into it (inverse DDIM).

DDIM's step from level b down to a is x_a = x_b + (a - b) eps(x_b, b) (2010.02502 eq. 14 in the EDM frame). Its inverse
is implicit, for eps is asked at the x_b that is sought; the usual answer (2105.05233, appendix F) asks it at x_a,
scaled to the level b, which errs in the order of the step. Asked again at what comes out, it converges to the inverse
itself wherever steps are small enough.
"""

import math
from itertools import pairwise

import torch
from jaxtyping import Float
from torch import Tensor

from fewview.diffusion.denoiser import Denoiser
from fewview.diffusion.samplers import Callback, check_levels, slope
from fewview.errors import InputError


def invert(
    denoise: Denoiser,
    x: Float[Tensor, "batch *shape"],
    sigmas: Float[Tensor, " points"],
    *,
    rounds: int = 1,
    callback: Callback | None = None,
) -> Float[Tensor, "batch *shape"]:
    """The x of level sigmas[0] from which `samplers.euler` along `sigmas` (descending) comes to `x`, approximately.

    `rounds` of network evaluations a step: one is inverse DDIM, each more divides the error by about the step.
    """
    if rounds < 1:
        raise InputError(f"An inversion got {rounds} rounds; give at least 1.")
    for step, (upper, lower) in enumerate(reversed(list(pairwise(check_levels(sigmas))))):
        guess = x * math.sqrt((1 + upper**2) / (1 + lower**2))  # the same point of the VP frame
        eps = torch.zeros_like(x)
        for _ in range(rounds):
            eps = slope(denoise, guess, upper)
            guess = x + (upper - lower) * eps
        x = guess
        if callback:
            callback(step, x, x - upper * eps)
    return x


def slerp(first: Float[Tensor, "*shape"], second: Float[Tensor, "*shape"], share: float) -> Float[Tensor, "*shape"]:
    """The point at `share` in [0, 1] of the way along the great circle between two arrays as long vectors.

    Lengths go from one to the other in a straight line; between (nearly) parallel vectors all of it does.
    """
    a, b = first.norm(), second.norm()
    cosine = ((first * second).sum() / (a * b).clamp(min=1e-12)).clamp(-1, 1)
    angle = float(cosine.acos())
    if math.sin(angle) < 1e-4:
        return torch.lerp(first, second, share)
    one, two = (math.sin(part * angle) / math.sin(angle) for part in (1 - share, share))
    return (one * first / a + two * second / b) * torch.lerp(a, b, share)
