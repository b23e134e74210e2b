"""Losses: reconstruction of the input view, and the non-saturating game with an R1 penalty on novel views."""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn
from torch.func import functional_call
from torch.nn import functional as F

Perceptual = Callable[[Tensor, Tensor], Tensor]
"""Distance " batch" of two batches of images in [0, 1]."""
Labels = Int[Tensor, " b"] | None


@dataclass(frozen=True)
class LossConfig:
    """Weights; ours, for the paper's are not public."""

    perceptual: float = 0.4
    low: float = 0.5  # of the low-resolution colours, without which their twin would be free
    depth: float = 1.0
    mask: float = 0.5
    kl: float = 2e-4
    adversarial: float = 0.05
    depth_adversarial: float = 0.05
    r1: float = 0.5  # gamma (arXiv:1801.04406)
    r1_every: int = 8  # steps (lazy regularisation, arXiv:1912.04958 appendix B)
    start: int = 2_000  # steps before there are novel views
    depth_dropout: float = 0.3  # of photos, so that one encoder serves with and without depth


def frozen(network: nn.Module, *inputs: Tensor | None) -> Tensor:
    """The network's answer with gradients to its inputs alone: one backward pass then serves both players."""
    parameters = {name: tensor.detach() for name, tensor in network.named_parameters()}
    return functional_call(network, parameters, inputs)


def generator_loss(network: nn.Module, fake: Float[Tensor, "b c h w"], labels: Labels = None) -> Float[Tensor, ""]:
    """-log D of renderings (non-saturating, arXiv:1406.2661)."""
    return F.softplus(-frozen(network, fake, labels)).mean()


def discriminator_loss(
    network: nn.Module, real: Float[Tensor, "b c h w"], fake: Float[Tensor, "b c h w"], *, labels: Labels = None
) -> Float[Tensor, ""]:
    """-log D of photos and -log (1 - D) of renderings, whose makers get no gradient."""
    return F.softplus(-network(real, labels)).mean() + F.softplus(network(fake.detach(), labels)).mean()


def r1_penalty(network: nn.Module, real: Float[Tensor, "b c h w"], labels: Labels = None) -> Float[Tensor, ""]:
    """Half the mean squared gradient norm of the logit at photos (arXiv:1801.04406, Eq. 9)."""
    real = real.detach().requires_grad_(True)
    (slope,) = torch.autograd.grad(network(real, labels).sum(), real, create_graph=True)
    return 0.5 * slope.square().sum((1, 2, 3)).mean()


def depth_loss(
    z: Float[Tensor, "b 1 h w"], truth: Float[Tensor, "b 1 h w"], weight: Float[Tensor, "b 1 h w"]
) -> Float[Tensor, ""]:
    """Mean absolute error of z where the photo's depth is known."""
    return ((z - truth).abs() * weight).sum() / weight.sum().clamp(min=1)


def shrunk_depth(
    z: Float[Tensor, "b 1 height width"], known: Float[Tensor, "b 1 height width"], factor: int
) -> tuple[Float[Tensor, "b 1 h w"], Float[Tensor, "b 1 h w"]]:
    """Mean z of the known pixels of each block, and 1 where all of the block is known: rims belong to no surface."""
    share = F.avg_pool2d(known, factor)
    mean = F.avg_pool2d(z * known, factor) / share.clamp(min=1e-6)
    return mean, (share > 0.99).to(z)


def perceptual_window(
    perceptual: Perceptual, images: Tensor, truth: Tensor, *, side: int, generator: torch.Generator
) -> Float[Tensor, ""]:
    """The perceptual distance on one window of the batch, which costs a quarter of the whole at half the side."""
    most = images.shape[-1] - side + 1
    top, left = torch.randint(most, (2,), generator=generator).tolist()
    cut = (..., slice(top, top + side), slice(left, left + side))
    return perceptual(images[cut], truth[cut]).mean()
