"""3D Gaussian splatting as Markov chain Monte Carlo (arXiv 2404.09591): splats move about, and none is wasted.

Splats are samples of the scene. A step of the optimiser and a little noise make Langevin dynamics of them; those that
have died are put where a live one is, such that the picture stays.
"""

import math

import torch
from jaxtyping import Float, Int
from torch import Tensor

from fewview.geometry.quaternions import rotations
from fewview.render.gaussians import Gaussians

DEAD = 0.005  # opacity below which a splat is moved: section 3.3 and the authors' release
STEEPNESS = 100.0  # k of the noise: how sharply it ends above `DEAD`
MOST_COPIES = 51  # in one place, at most: the authors' release


def shared(
    opacities: Float[Tensor, " n"], scales: Float[Tensor, "n 3"], copies: Int[Tensor, " n"]
) -> tuple[Float[Tensor, " n"], Float[Tensor, "n 3"]]:
    """Opacity and scales of each of N `copies` (at least 1) that together look like one splat (Eq. 9).

    o' = 1 - (1 - o)^(1/N), and covariances times (o / D)^2 with
    D = sum_{i=1..N} sum_{k=0..i-1} C(i-1, k) (-1)^k o'^(k+1) / sqrt(k+1).
    """
    count = copies.clamp(1, MOST_COPIES)
    fainter = -torch.expm1(torch.log1p(-opacities.double().clamp(max=1 - 1e-6)) / count)
    total = torch.zeros_like(fainter)
    for i in range(1, int(count.max()) + 1 if len(count) else 1):
        k = torch.arange(i, dtype=torch.float64, device=count.device)
        signed = torch.tensor([math.comb(i - 1, j) * (-1.0) ** j for j in range(i)]).to(k) / (k + 1).sqrt()
        term = (signed * fainter[:, None] ** (k + 1)).sum(-1)
        total = total + torch.where(count >= i, term, torch.zeros_like(term))
    ratio = (opacities.double().clamp(max=1 - 1e-6) / total.clamp(min=1e-12)).to(scales)
    return fainter.to(opacities), scales * ratio[:, None]


def chosen_sources(opacities: Float[Tensor, " n"], count: int, generator: torch.Generator) -> Int[Tensor, " {count}"]:
    """`count` splats, drawn with replacement in proportion to opacity; dead ones never are."""
    weights = torch.where(opacities > DEAD, opacities, torch.zeros_like(opacities)).double().cumsum(0)
    draws = torch.rand(count, generator=generator, dtype=torch.float64).to(weights) * weights[-1]
    return torch.searchsorted(weights, draws, right=True).clamp(max=len(opacities) - 1)


def jitter(gaussians: Gaussians, step: float, spacing: float, *, generator: torch.Generator) -> Float[Tensor, "n 3"]:
    """Exploration noise of the means (world units): step * sigmoid(k (dead - o)) * C n / spacing.

    n is standard normal and C the splat's covariance, so that it moves along itself, the more the less it shows.
    `step` has no unit: lengths are told by `spacing` (world units), where the paper has the scene's extent in its rate.
    """
    axes = rotations(gaussians.quaternions)
    noise = torch.randn(gaussians.means.shape, generator=generator).to(gaussians.means)
    along = (axes.mT @ noise[..., None])[..., 0] * gaussians.scales.square() / spacing
    faint = torch.sigmoid(STEEPNESS * (DEAD - gaussians.opacities))
    return step * faint[:, None] * (axes @ along[..., None])[..., 0]
