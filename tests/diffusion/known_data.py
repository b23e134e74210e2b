"""Data whose optimal denoiser, and whose exact path along the probability-flow ODE, are known by hand (EDM frame)."""

from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True)
class Gaussian:
    """Independent N(mean, std^2) entries."""

    mean: float
    std: float

    def denoise(self, x: Tensor, sigma: Tensor) -> Tensor:
        s2 = sigma.reshape(-1, *(1,) * (x.dim() - 1)) ** 2
        return (self.std**2 * x + s2 * self.mean) / (self.std**2 + s2)

    def flow(self, x: Tensor, start: float, stop: float) -> Tensor:
        """Where the ODE takes x from level `start` to `stop`: its quantile stays."""
        return self.mean + (x - self.mean) * ((self.std**2 + stop**2) / (self.std**2 + start**2)) ** 0.5


@dataclass(frozen=True)
class Mixture:
    """Independent entries, each N(means[k], stds[k]^2) with probability weights[k]."""

    weights: tuple[float, ...]
    means: tuple[float, ...]
    stds: tuple[float, ...]

    def denoise(self, x: Tensor, sigma: Tensor) -> Tensor:
        s2 = sigma.reshape(-1, *(1,) * x.dim()) ** 2
        w, m, v = (torch.tensor(values).to(x) for values in (self.weights, self.means, self.stds))
        v, x = v**2, x[..., None]
        responsibility = torch.softmax(w.log() - (v + s2).log() / 2 - (x - m) ** 2 / (v + s2) / 2, dim=-1)
        return (responsibility * (v * x + s2 * m) / (v + s2)).sum(-1)

    def cdf(self, x: Tensor, sigma: float) -> Tensor:
        w, m, v = (torch.tensor(values).to(x) for values in (self.weights, self.means, self.stds))
        return (w * torch.special.ndtr((x[..., None] - m) / (v**2 + sigma**2).sqrt())).sum(-1)

    def flow(self, x: Tensor, start: float, stop: float) -> Tensor:
        """Where the ODE takes x from level `start` to `stop`: its quantile stays; found by bisection."""
        quantile = self.cdf(x, start)
        low, high = torch.full_like(x, -50.0), torch.full_like(x, 50.0)
        for _ in range(60):
            middle = (low + high) / 2
            below = self.cdf(middle, stop) < quantile
            low, high = torch.where(below, middle, low), torch.where(below, high, middle)
        return (low + high) / 2
