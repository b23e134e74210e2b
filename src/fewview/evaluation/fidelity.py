"""FID and KID: how alike two sets of images are, as Gaussians or under a polynomial kernel, by a network's features.

FID is |m_a - m_b|^2 + tr(C_a + C_b - 2 (C_a C_b)^(1/2)) (Heusel et al. 2017, arXiv:1706.08500), which is biased upwards
for few images. KID is the unbiased estimate of the squared maximum mean discrepancy with the kernel (x.y / d + 1)^3
(Binkowski et al. 2018, arXiv:1801.01401), and may be negative. Both depend on the trunk; always state it, and N.
"""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor


@dataclass(frozen=True, eq=False)
class Trunk:
    """A network whose features are compared: images "n 3 h w" in [0, 1] to features "n d"."""

    name: str  # as tables say it: "VGG" gives KID-VGG
    features: Callable[[Tensor], Tensor]

    @torch.no_grad()
    def __call__(self, images: Float[Tensor, "n 3 h w"], *, batch: int = 16) -> Float[Tensor, "n d"]:
        """Features of any number of images, a few at a time."""
        return torch.cat([self.features(part) for part in images.split(batch)])


def kid(a: Float[Tensor, "n d"], b: Float[Tensor, "m d"]) -> float:
    """The unbiased squared MMD of two sets, over all pairs (one subset of everything, so nothing is drawn)."""
    if min(len(a), len(b)) < 2:
        raise ValueError(f"KID needs two images on either side, got {len(a)} and {len(b)}")
    within = [(k.sum() - k.diagonal().sum()) / (len(k) * (len(k) - 1)) for k in (kernel(a, a), kernel(b, b))]
    return float(within[0] + within[1] - 2 * kernel(a, b).mean())


def kid_error(
    a: Float[Tensor, "n d"], b: Float[Tensor, "m d"], groups_a: Tensor, *, groups_b: Tensor, draws: int = 200
) -> float:
    """Standard error of `kid` by the bootstrap over groups (clips): images of one clip are no independent draws.

    A drawn group enters once, weighted by how often it was drawn, so that no image is paired with itself.
    """
    names = torch.cat([groups_a, groups_b]).unique()
    generator = torch.Generator().manual_seed(0)
    kernels = kernel(a, a), kernel(b, b), kernel(a, b)
    index_a, index_b = (torch.searchsorted(names, groups.contiguous()) for groups in (groups_a, groups_b))
    values = []
    for _ in range(draws):
        picks = torch.randint(len(names), (len(names),), generator=generator)
        counts = torch.bincount(picks, minlength=len(names)).double().to(a.device)
        values.append(_weighted(kernels, counts[index_a], counts[index_b]))
    return float(torch.tensor(values).std()) if draws > 1 else 0.0


def fid(a: Float[Tensor, "n d"], b: Float[Tensor, "m d"]) -> float:
    """The Frechet distance of the Gaussians that fit two sets of features."""
    return frechet(moments(a), moments(b))


def frechet(
    a: tuple[Float[Tensor, " d"], Float[Tensor, "d d"]], b: tuple[Float[Tensor, " d"], Float[Tensor, "d d"]]
) -> float:
    """Squared 2-Wasserstein distance of two Gaussians, each a mean and a covariance.

    tr((A B)^(1/2)) = tr((A^(1/2) B A^(1/2))^(1/2)).
    """
    mean_a, cov_a, mean_b, cov_b = (x.double() for x in (*a, *b))
    root = _root(cov_a)
    cross = torch.linalg.eigvalsh(root @ cov_b @ root).clamp(min=0).sqrt().sum()
    return float((mean_a - mean_b).square().sum() + cov_a.trace() + cov_b.trace() - 2 * cross)


def moments(features: Float[Tensor, "n d"]) -> tuple[Float[Tensor, " d"], Float[Tensor, "d d"]]:
    """Mean and (unbiased) covariance in float64."""
    x = features.double()
    mean = x.mean(0)
    return mean, (x - mean).mT @ (x - mean) / max(len(x) - 1, 1)


def kernel(a: Float[Tensor, "n d"], b: Float[Tensor, "m d"]) -> Float[Tensor, "n m"]:
    """(x.y / d + 1)^3 in float64."""
    return (a.double() @ b.double().mT / a.shape[1] + 1) ** 3


def _root(matrix: Float[Tensor, "d d"]) -> Float[Tensor, "d d"]:
    """The square root of a symmetric positive semi-definite matrix."""
    values, vectors = torch.linalg.eigh(matrix)
    return (vectors * values.clamp(min=0).sqrt()) @ vectors.mT


def _weighted(kernels: tuple[Tensor, Tensor, Tensor], a: Float[Tensor, " n"], b: Float[Tensor, " m"]) -> float:
    """`kid` of weighted images."""
    kaa, kbb, kab = kernels
    inner = [
        (w @ k @ w - (w * w) @ k.diagonal()) / (w.sum() ** 2 - (w * w).sum()) for w, k in ((a, kaa), (b, kbb))
    ]  # fmt: skip
    return float(inner[0] + inner[1] - 2 * (a @ kab @ b) / (a.sum() * b.sum()))
