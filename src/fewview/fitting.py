"""Fit Gaussians to the renderings of any asset, and a radiance field to photos alone."""

from dataclasses import dataclass, field

import torch
from jaxtyping import Float, Int
from torch import Tensor

from fewview.cameras import Cameras
from fewview.errors import InputError
from fewview.framing import norm_from_world
from fewview.geometry.quaternions import quaternions_of
from fewview.progress import Steps
from fewview.render.asset import FieldAsset, FieldAssetConfig, GaussianAsset
from fewview.render.gaussians import Gaussians
from fewview.render.splatting import splat
from fewview.render.volume import render_rays
from fewview.views import Asset, Render, Views

NEIGHBOURS = 8


@dataclass(frozen=True)
class GaussianFitConfig:
    """Sizes and rates; lengths are in units of the spacing of the initial splats, so that no scene scale enters."""

    count: int = 8000
    steps: int = 300
    opaque: float = 0.5  # pixels with more alpha are taken for surface
    mean_rate: float = 0.1
    scale_rate: float = 0.04  # of log scales
    quaternion_rate: float = 0.02
    opacity_rate: float = 0.05  # of logits
    feature_rate: float = 0.01
    final_rate: float = 0.05  # rates decay exponentially to this fraction
    alpha_weight: float = 0.5
    faint: float = 0.02  # splats of less opacity are dropped at the end


@torch.no_grad()
def surface_gaussians(
    seen: Render, cameras: Cameras, count: int, *, opaque: float = 0.5, generator: torch.Generator
) -> Gaussians:
    """At most `count` flat splats on the surface that renderings show: unprojected depth, coloured as rendered.

    A splat is as wide as its neighbours are apart and lies in the plane that fits them best. InputError if no pixel has
    an alpha above `opaque`.
    """
    pixels = torch.nonzero(seen.alpha[:, 0] > opaque)
    if len(pixels) < NEIGHBOURS + 1:
        raise InputError("The asset shows no surface from these cameras; look at it from where it is opaque.")
    order = torch.randperm(len(pixels), generator=generator)[:count].to(pixels.device)
    view, row, column = pixels[order].unbind(-1)
    rays = cameras.rays()[view, row, column]
    cosine = (rays.directions * cameras.forward[view]).sum(-1, keepdim=True)
    means = rays.origins + rays.directions * seen.depth[view, 0, row, column][:, None] / cosine
    features = seen.image[view, :, row, column] / seen.alpha[view, :, row, column]
    distances, nearest = neighbours(means, NEIGHBOURS)
    spread = means[nearest] - means[nearest].mean(1, keepdim=True)
    normal_first = torch.linalg.eigh(spread.mT @ spread).eigenvectors
    frames = normal_first * torch.linalg.det(normal_first)[:, None, None].sign()
    width = distances[:, :3].mean(1).clamp(min=1e-3 * distances.mean().item())[:, None]
    scales = width * width.new_tensor([0.25, 0.75, 0.75])
    return Gaussians(means, scales, quaternions_of(frames), torch.full_like(width[:, 0], 0.9), features)


def neighbours(
    points: Float[Tensor, "n 3"], count: int, *, chunk: int = 1024
) -> tuple[Float[Tensor, "n {count}"], Int[Tensor, "n {count}"]]:
    """Distances and indices of the `count` nearest other points, nearest first."""
    parts = [torch.cdist(some, points).topk(count + 1, largest=False) for some in points.split(chunk)]
    distances, indices = (torch.cat(tensors)[:, 1:] for tensors in zip(*parts))
    return distances, indices


def fit_gaussians(
    asset: Asset,
    cameras: Cameras,
    config: GaussianFitConfig | None = None,
    *,
    generator: torch.Generator,
    progress: Steps | None = None,
) -> GaussianAsset:
    """Splats that look like `asset` from `cameras` (batch shape (n,)), which should surround it."""
    config = config or GaussianFitConfig()
    with torch.no_grad():
        seen = Render.cat([asset.render(cameras[i : i + 1]) for i in range(len(cameras))])
    init = surface_gaussians(seen, cameras, config.count, opaque=config.opaque, generator=generator)
    return optimise_gaussians(init, seen, cameras, config=config, generator=generator, progress=progress)


def optimise_gaussians(
    init: Gaussians,
    target: Render,
    cameras: Cameras,
    *,
    config: GaussianFitConfig,
    generator: torch.Generator,
    progress: Steps | None = None,
) -> GaussianAsset:
    """Adam on all fields of `init` but harmonics, so that renderings match `target`: L1 on colour and alpha.

    One view a step.
    """
    raw = _Raw(init.detach())
    optimiser = torch.optim.Adam(raw.groups(config), eps=1e-15)
    decay = torch.optim.lr_scheduler.ExponentialLR(optimiser, config.final_rate ** (1 / max(1, config.steps)))
    order: list[int] = []
    for step in range(config.steps):
        order = order or torch.randperm(len(cameras), generator=generator).tolist()
        i = order.pop()
        seen = splat(raw.gaussians(), cameras[i])
        loss = (seen.image - target.image[i]).abs().mean()
        loss = loss + config.alpha_weight * (seen.alpha - target.alpha[i]).abs().mean()
        optimiser.zero_grad(set_to_none=True)
        loss.backward()
        optimiser.step()
        decay.step()
        if progress is not None:
            progress(step + 1, {"loss": loss.item()})
    fitted = raw.gaussians().detach()
    return GaussianAsset(fitted[fitted.opacities >= config.faint])


class _Raw:
    """Unconstrained leaves behind a set of Gaussians."""

    def __init__(self, init: Gaussians):
        self.means = init.means.clone().requires_grad_()
        self.log_scales = init.scales.log().requires_grad_()
        self.quaternions = init.quaternions.clone().requires_grad_()
        self.logits = torch.logit(init.opacities, eps=1e-4).requires_grad_()
        self.features = init.features.clone().requires_grad_()
        self.harmonics = init.harmonics  # as they are
        self.spacing = init.scales.amax(-1).median().item()

    def gaussians(self) -> Gaussians:
        values = (self.means, self.log_scales.exp(), self.quaternions, self.logits.sigmoid())
        return Gaussians(*values, self.features, self.harmonics)

    def groups(self, config: GaussianFitConfig) -> list[dict]:
        rates = {
            "means": config.mean_rate * self.spacing,
            "log_scales": config.scale_rate,
            "quaternions": config.quaternion_rate,
            "logits": config.opacity_rate,
            "features": config.feature_rate,
        }
        return [{"params": [getattr(self, name)], "lr": rate} for name, rate in rates.items()]


@dataclass(frozen=True)
class FieldFitConfig:
    """How a field is fitted to photos with nothing but the photos (the baseline without a prior)."""

    steps: int = 600
    rays: int = 2048  # a step, of all photos
    grid_rate: float = 1e-2
    mlp_rate: float = 2e-3
    silhouette_weight: float = 1.0
    opacity_weight: float = 1e-3  # pulls fog that no photo asks for towards nothing
    occupancy_every: int = 16
    asset: FieldAssetConfig = field(default_factory=FieldAssetConfig)


def fit_field(
    views: Views,
    config: FieldFitConfig | None = None,
    *,
    generator: torch.Generator,
    progress: Steps | None = None,
) -> FieldAsset:
    """A field whose renderings match the views (L2 on colour, and on alpha where there are masks), in their world."""
    config = config or FieldFitConfig()
    views = views.on_black()
    frame = norm_from_world(views)
    asset = FieldAsset(config.asset, frame, generator=generator)
    rays = views.cameras.transformed(frame).rays().flatten()
    colours = views.images.movedim(-3, -1).reshape(-1, 3)
    masks = None if views.masks is None else views.masks.reshape(-1)
    optimiser = torch.optim.Adam(asset.field.parameter_groups(config.grid_rate, config.mlp_rate), eps=1e-15)
    for step in range(config.steps):
        chosen = torch.randint(len(colours), (config.rays,), generator=generator).to(colours.device)
        seen = render_rays(
            asset.field, rays[chosen], config.asset.volume, occupancy=asset.occupancy, generator=generator
        )
        loss = (seen.features - colours[chosen]).square().mean() + config.opacity_weight * seen.alpha.mean()
        if masks is not None:
            loss = loss + config.silhouette_weight * (seen.alpha - masks[chosen]).square().mean()
        optimiser.zero_grad(set_to_none=True)
        loss.backward()
        optimiser.step()
        if asset.occupancy is not None and (step + 1) % config.occupancy_every == 0:
            asset.occupancy.update(asset.field, generator=generator)
        if progress is not None:
            progress(step + 1, {"loss": loss.item()})
    return asset.eval()
