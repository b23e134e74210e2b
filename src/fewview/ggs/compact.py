"""Scenes that grow without end: transparent splats go, and splats that say the same become one."""

import torch
from jaxtyping import Float, Int
from torch import Tensor

from fewview.geometry.quaternions import quaternions_of
from fewview.render.gaussians import Gaussians

DOUBLINGS = 16
OPAQUE = 0.999


def compact(scene: Gaussians, *, faint: float, edge: float, most: int) -> Gaussians:
    """Without splats of less opacity than `faint`, merged on a grid; on ever coarser ones down to `most` splats.

    `edge` is the grid's, in standard deviations of a splat (see `merged`); with 0 duplicates stay.
    """
    scene = scene[scene.opacities >= faint]
    if edge > 0:
        scene = merged(scene, edge)
    edge = max(edge, 0.5)
    for _ in range(DOUBLINGS):
        if len(scene) <= most:
            return scene
        edge *= 2
        scene = merged(scene, edge)
    strongest = (scene.opacities * areas(scene)).argsort(descending=True, stable=True)[:most]
    return scene[strongest.sort().values]


def merged(scene: Gaussians, edge: float) -> Gaussians:
    """Splats of about one size (within a power of two) in one cell of a grid become one splat.

    A cell's edge is `edge` times the power of two below the longest standard deviations of its splats, so that near
    and fine things keep finer cells. Mean, covariance, features and harmonics of the one are those of the mixture,
    weighted by opacity times area; its opacity is that of all, one behind the other, each as large as its share of the
    area. A splat alone in its cell is not touched.
    """
    if not len(scene):
        return scene
    level = scene.scales.amax(-1).log2().floor()
    cells = (scene.means / (edge * level.exp2())[:, None]).floor()
    _, group, count = torch.unique(
        torch.cat([level[:, None], cells], dim=1).long(), dim=0, return_inverse=True, return_counts=True
    )
    several = count[group] > 1
    if not bool(several.any()):
        return scene
    _, group = torch.unique(group[several], return_inverse=True)
    return Gaussians.cat([scene[~several], _as_one(scene[several], group)])


def areas(scene: Gaussians) -> Float[Tensor, " n"]:
    """Products of the two longer standard deviations."""
    return scene.scales.prod(-1) / scene.scales.amin(-1)


def _as_one(scene: Gaussians, group: Int[Tensor, " n"]) -> Gaussians:
    """One splat for each group of splats, by moments, in double precision."""
    groups = int(group.max()) + 1
    area = areas(scene).double()
    weight = (scene.opacities.double() * area).clamp(min=1e-30)
    share = weight / _sums(weight, group, groups)[group]
    mean = _sums(share[:, None] * scene.means.double(), group, groups)
    away = scene.means.double() - mean[group]
    spread = scene.covariances().double() + away[:, :, None] * away[:, None, :]
    variances, axes = torch.linalg.eigh(_sums(share[:, None, None] * spread, group, groups))
    axes = axes * torch.linalg.det(axes).sign()[:, None, None]
    scales = variances.clamp(min=1e-20).sqrt()
    features = _sums(share[:, None] * scene.features.double(), group, groups)
    harmonics = scene.harmonics
    if harmonics is not None:
        harmonics = _sums(share[:, None, None] * harmonics.double(), group, groups)
    whole = scales[:, 1] * scales[:, 2]
    covered = scene.opacities.double() * (area / whole[group]).clamp(max=1)
    open_ = _sums(torch.log1p(-covered.clamp(max=OPAQUE)), group, groups).exp()
    one = Gaussians(mean, scales, quaternions_of(axes), (1 - open_).clamp(max=OPAQUE), features, harmonics)
    return Gaussians(*(tensor.to(scene.means) for tensor in one.tensors().values()))


def _sums(values: Tensor, group: Int[Tensor, " n"], groups: int) -> Tensor:
    return values.new_zeros(groups, *values.shape[1:]).index_add_(0, group, values)
