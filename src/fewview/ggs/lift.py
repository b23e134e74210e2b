"""Images to splats by optimisation: scenes are refined so, and samples of a model without splats become one."""

from dataclasses import replace

import torch

from fewview.fitting import GaussianFitConfig, optimise_gaussians, surface_gaussians
from fewview.progress import Steps
from fewview.render.asset import GaussianAsset
from fewview.render.gaussians import Gaussians
from fewview.stereo import stereo
from fewview.views import Render, Views


def refine(
    scene: Gaussians, views: Views, config: GaussianFitConfig, *, generator: torch.Generator, progress: Steps
) -> GaussianAsset:
    """`config.steps` steps of splat fitting from `scene` on whole photos, which are opaque everywhere."""
    return optimise_gaussians(
        scene, _opaque(views), views.cameras, config=config, generator=generator, progress=progress
    )


def lift(
    views: Views,
    near: float,
    far: float,
    *,
    config: GaussianFitConfig,
    generator: torch.Generator,
    progress: Steps,
) -> GaussianAsset:
    """Splats fitted to whole photos, from the surfaces that stereo finds between z-depths near and far."""
    seen = replace(_opaque(views), depth=stereo(views, near, far).depth[:, None])
    init = surface_gaussians(seen, views.cameras, config.count, generator=generator)
    return refine(init, views, config, generator=generator, progress=progress)


def _opaque(views: Views) -> Render:
    alpha = torch.ones_like(views.images[:, :1])
    return Render(views.images, alpha, torch.zeros_like(alpha))
