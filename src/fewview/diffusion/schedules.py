"""Noise levels over time, and the conversions between the ways to state one.

Letters: `sigma` is always the level of the EDM (variance-exploding) frame, x = x0 + sigma * eps; `alpha` and `std`
belong to the variance-preserving (VP) frame, x = alpha * x0 + std * eps with alpha^2 + std^2 = 1. The frames differ by
the factor alpha: sigma = std / alpha, alphabar = alpha^2, logsnr = ln(alpha^2 / std^2) = -2 ln(sigma). Time `t` runs
from 0 (data) to 1 (noise).
"""

import math
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from fewview.errors import InputError


def logsnr_from_sigma(sigma: Float[Tensor, "*batch"]) -> Float[Tensor, "*batch"]:
    """ln(1 / sigma^2); infinite at sigma = 0."""
    return -2 * sigma.log()


def sigma_from_logsnr(logsnr: Float[Tensor, "*batch"]) -> Float[Tensor, "*batch"]:
    return (-logsnr / 2).exp()


def alphabar_from_logsnr(logsnr: Float[Tensor, "*batch"]) -> Float[Tensor, "*batch"]:
    return logsnr.sigmoid()


def logsnr_from_alphabar(alphabar: Float[Tensor, "*batch"]) -> Float[Tensor, "*batch"]:
    return alphabar.logit()


def alphabar_from_sigma(sigma: Float[Tensor, "*batch"]) -> Float[Tensor, "*batch"]:
    return 1 / (1 + sigma**2)


def sigma_from_alphabar(alphabar: Float[Tensor, "*batch"]) -> Float[Tensor, "*batch"]:
    return ((1 - alphabar) / alphabar).sqrt()


@dataclass(frozen=True)
class Cosine:
    """The cosine schedule in continuous time: alpha = cos(a), std = sin(a), a = pi/2 * (t + offset) / (1 + offset).

    2102.09672 eq. 17 without its division by f(0), which would make the log-SNR at t = 0 infinite. Every t is clamped
    to [0, latest], because sigma is infinite at 1. Angles count from the nearer end: float32 keeps its digits at both.
    """

    offset: float = 0.008
    latest: float = 0.999

    def std(self, t: Float[Tensor, "*batch"]) -> Float[Tensor, "*batch"]:
        """Standard deviation of the noise in the VP frame."""
        return torch.sin((t.clamp(0, self.latest) + self.offset) * self._radians)

    def alpha(self, t: Float[Tensor, "*batch"]) -> Float[Tensor, "*batch"]:
        """Factor of the data in the VP frame."""
        return torch.sin((1 - t.clamp(0, self.latest)) * self._radians)

    def sigma(self, t: Float[Tensor, "*batch"]) -> Float[Tensor, "*batch"]:
        """EDM noise level, 0.0125 at t = 0 and 642 at t = 0.999."""
        return self.std(t) / self.alpha(t)

    def logsnr(self, t: Float[Tensor, "*batch"]) -> Float[Tensor, "*batch"]:
        return logsnr_from_sigma(self.sigma(t))

    def time(self, sigma: Float[Tensor, "*batch"]) -> Float[Tensor, "*batch"]:
        """Inverse of `sigma`; a level outside the schedule goes to the nearer end."""
        return (sigma.atan() / self._radians - self.offset).clamp(0, self.latest)

    def sigmas(self, times: Float[Tensor, " points"]) -> Float[Tensor, " points"]:
        """Levels for a sampler at descending times, where a time of 0 stands for clean data (sigma 0, not sigma(0))."""
        return torch.where(times > 0, self.sigma(times), 0)

    @property
    def _radians(self) -> float:
        return math.pi / 2 / (1 + self.offset)


COSINE = Cosine()


def karras(
    steps: int, sigma_min: float, sigma_max: float, *, rho: float = 7.0, dtype: torch.dtype = torch.float32
) -> Float[Tensor, " {steps}+1"]:
    """Levels evenly spaced in sigma^(1/rho) from sigma_max to sigma_min, then 0 (2206.00364 eq. 5)."""
    if steps < 1 or not 0 < sigma_min <= sigma_max < math.inf or (steps > 1 and sigma_min == sigma_max):
        raise InputError(
            f"karras got steps={steps}, sigma_min={sigma_min}, sigma_max={sigma_max}; give steps >= 1 and "
            "0 < sigma_min < sigma_max."
        )
    root_max, root_min = sigma_max ** (1 / rho), sigma_min ** (1 / rho)
    levels = torch.linspace(root_max, root_min, steps, dtype=torch.float64) ** rho
    return torch.cat([levels, levels.new_zeros(1)]).to(dtype)


def multistep_count(t: float, *, horizon: float = 1.0) -> int:
    """k + 1 of SparseFusion eq. A.1: 100 t / T network evaluations up to T/2, then 50; rounded down, but at least one.

    The released code takes none at all below T/100 and so returns the noisy latent itself.
    """
    if not 0 < t <= horizon:
        raise InputError(f"A diffusion time of {t} is not in (0, {horizon}]; draw it as horizon * (1 - uniform).")
    return max(1, min(50, math.floor(100 * t / horizon + 1e-5)))  # 1e-5: 100 * float32(0.29) is 29, not 28


def multistep_times(t: float, *, horizon: float = 1.0) -> Float[Tensor, " points"]:
    """The interval T of SparseFusion section A.3: even steps from t down to 0, one for each network evaluation.

    The chain starts at t > 0 itself, so a latent noised at `times[0]` is never clean; the released code takes the clean
    latent for noise when t >= 0.99.
    """
    return torch.linspace(t, 0, multistep_count(t, horizon=horizon) + 1)


def linear_betas(steps: int = 1000, *, first: float = 1e-4, last: float = 0.02) -> Float[Tensor, " steps"]:
    """Variances of the discrete forward process, float64 (DDPM, 2006.11239 section 4)."""
    return torch.linspace(first, last, steps, dtype=torch.float64)


def alphabar_from_betas(betas: Float[Tensor, " steps"]) -> Float[Tensor, " steps"]:
    """Product of (1 - beta) up to and with each step (2006.11239 eq. 4)."""
    return (1 - betas).cumprod(0)


def sigma_from_step(step: Float[Tensor, "*batch"], table: Float[Tensor, " steps"]) -> Float[Tensor, "*batch"]:
    """Level at a fractional step of an ascending table of sigmas, interpolated in log sigma; clamped to the table."""
    logs = table.log().to(step)
    left = step.clamp(0, len(table) - 1).floor().long().clamp(max=len(table) - 2)
    return torch.lerp(logs[left], logs[left + 1], step.clamp(0, len(table) - 1) - left).exp()


def step_from_sigma(sigma: Float[Tensor, "*batch"], table: Float[Tensor, " steps"]) -> Float[Tensor, "*batch"]:
    """Inverse of `sigma_from_step`: what a network trained on the steps of a discrete process is told."""
    logs, level = table.log().to(sigma), sigma.log()
    left = torch.searchsorted(logs, level.contiguous()).clamp(1, len(table) - 1) - 1
    fraction = (level - logs[left]) / (logs[left + 1] - logs[left])
    return (left + fraction).clamp(0, len(table) - 1)
