"""Networks of any parametrisation as a Denoiser, and the other way round: what such a network is trained on.

A Denoiser lives in the EDM frame, x = x0 + sigma * eps. Epsilon- and v-networks live in the VP frame, x_vp = alpha * x,
where alpha = (1 + sigma^2)^-1/2; see `schedules` for the letters.
"""

from collections.abc import Callable
from typing import Literal

import torch
from jaxtyping import Float
from torch import Tensor

from fewview.diffusion.schedules import COSINE, Cosine, logsnr_from_sigma

Denoiser = Callable[[Tensor, Tensor], Tensor]
"""(x0 + sigma * eps "batch ...", sigma " batch") -> the expected x0 "batch ..."."""

Network = Callable[[Tensor, Tensor], Tensor]
"""(input "batch ...", time as the network was told it in training " batch") -> output "batch ..."."""

Level = Callable[[Tensor], Tensor]
"""sigma " batch" -> how a network is told of it " batch": `logsnr_from_sigma`, `COSINE.time`, ... ."""


def _over(values: Float[Tensor, " batch"], x: Float[Tensor, "batch *shape"]) -> Float[Tensor, "batch *ones"]:
    """One value for each item of the batch, shaped to broadcast over x."""
    return values.reshape(-1, *(1,) * (x.dim() - 1))


def from_epsilon(network: Network, *, level: Level = logsnr_from_sigma) -> Denoiser:
    """Denoiser of a network (x_vp, level) -> eps: x0 = x - sigma * eps (2006.11239 eq. 15 in the EDM frame)."""

    def denoise(x: Float[Tensor, "batch *shape"], sigma: Float[Tensor, " batch"]) -> Float[Tensor, "batch *shape"]:
        s = _over(sigma, x)
        return x - s * network(x * (1 + s**2).rsqrt(), level(sigma))

    return denoise


def from_v(network: Network, *, level: Level = logsnr_from_sigma) -> Denoiser:
    """Denoiser of a network (x_vp, level) -> v: x0 = alpha * x_vp - std * v (2202.00512 section 4)."""

    def denoise(x: Float[Tensor, "batch *shape"], sigma: Float[Tensor, " batch"]) -> Float[Tensor, "batch *shape"]:
        s = _over(sigma, x)
        alpha = (1 + s**2).rsqrt()
        x_vp = x * alpha
        return data_of_velocity(network(x_vp, level(sigma)), alpha * x_vp, s * alpha)

    return denoise


def from_edm(network: Network, *, sigma_data: float = 0.5) -> Denoiser:
    """Denoiser of a preconditioned network: c_skip * x + c_out * network(c_in * x, c_noise) (2206.00364 table 1)."""

    def denoise(x: Float[Tensor, "batch *shape"], sigma: Float[Tensor, " batch"]) -> Float[Tensor, "batch *shape"]:
        s = _over(sigma, x)
        variance = s**2 + sigma_data**2
        c_skip, c_out, c_in = sigma_data**2 / variance, s * sigma_data * variance.rsqrt(), variance.rsqrt()
        return c_skip * x + c_out * network(c_in * x, sigma.log() / 4)

    return denoise


def guided(cond: Denoiser, uncond: Denoiser, scale: float) -> Denoiser:
    """Classifier-free guidance, uncond + scale * (cond - uncond) (2207.12598); scale 1 is `cond` and runs it alone."""
    if scale == 1:
        return cond

    def denoise(x: Float[Tensor, "batch *shape"], sigma: Float[Tensor, " batch"]) -> Float[Tensor, "batch *shape"]:
        return torch.lerp(uncond(x, sigma), cond(x, sigma), scale)

    return denoise


def clipped(denoise: Denoiser, limit: float) -> Denoiser:
    """The denoiser with its x0 clamped to [-limit, limit]."""
    return lambda x, sigma: denoise(x, sigma).clamp(-limit, limit)


def noisy(
    x0: Float[Tensor, "batch *shape"],
    eps: Float[Tensor, "batch *shape"],
    t: Float[Tensor, " batch"],
    *,
    schedule: Cosine = COSINE,
) -> Float[Tensor, "batch *shape"]:
    """alpha * x0 + std * eps, the input of an epsilon- or v-network in training (VP frame)."""
    alpha, std = alpha_std(t, x0, schedule=schedule)
    return alpha * x0 + std * eps


def alpha_std(
    t: Float[Tensor, " batch"], x0: Float[Tensor, "batch *shape"], *, schedule: Cosine = COSINE
) -> tuple[Float[Tensor, "batch *ones"], Float[Tensor, "batch *ones"]]:
    """Factors of data and noise at times t, shaped to broadcast over x0."""
    return _over(schedule.alpha(t), x0), _over(schedule.std(t), x0)


def velocity(x0: Tensor, eps: Tensor, alpha: Tensor, std: Tensor) -> Tensor:
    """v = alpha * eps - std * x0, the target of a v-network (2202.00512 section 4); alpha and std broadcast."""
    return alpha * eps - std * x0


def data_of_velocity(v: Tensor, scaled: Tensor, std: Tensor) -> Tensor:
    """x0 = alpha * x_vp - std * v (2202.00512 section 4); `scaled` is alpha * x_vp, or alpha^2 * x in the EDM frame."""
    return scaled - std * v


def weight_one(logsnr: Float[Tensor, "*batch"]) -> Float[Tensor, "*batch"]:
    """No weighting (SparseFusion eq. 4.2, DDPM's simple loss)."""
    return torch.ones_like(logsnr)


def weight_p2(logsnr: Float[Tensor, "*batch"], *, gamma: float = 0.5, k: float = 1.0) -> Float[Tensor, "*batch"]:
    """P2, (k + SNR)^-gamma (2204.00227); the defaults, of SparseFusion's release, make it std = sqrt(1 - alphabar)."""
    return (k + logsnr.exp()) ** -gamma


def weight_min_snr(
    logsnr: Float[Tensor, "*batch"], *, gamma: float = 5.0, target: Literal["x0", "epsilon", "v"] = "epsilon"
) -> Float[Tensor, "*batch"]:
    """min(SNR, gamma) on the squared error of x0, restated for the error of the target (2303.09556 section 3.4)."""
    capped = (gamma * (-logsnr).exp()).clamp(max=1)  # min(SNR, gamma) / SNR
    if target == "epsilon":
        return capped
    return logsnr.sigmoid() * capped if target == "v" else logsnr.exp().clamp(max=gamma)
