"""Images to splats by optimisation: scenes are refined and sharpened so, and samples without splats become one."""

from dataclasses import replace

import torch

from fewview.cameras import Cameras
from fewview.detail.prior import pseudo_views
from fewview.detail.stage import DetailConfig, detail, sized
from fewview.fitting import GaussianFitConfig, optimise_gaussians, surface_gaussians
from fewview.progress import Steps
from fewview.render.asset import GaussianAsset
from fewview.render.gaussians import Gaussians
from fewview.stereo import stereo
from fewview.views import Render, Views

SEEN_SIZE = 256  # pixels of the longer side of the renderings that tell what photos saw, and of those held to


@torch.no_grad()
def _seen(scene: GaussianAsset, cameras: Cameras) -> tuple[Render, Cameras]:
    """A scene from cameras, one after the other, at SEEN_SIZE."""
    shrink = SEEN_SIZE / max(cameras.height, cameras.width)
    small = cameras.resized(*(max(1, round(side * shrink)) for side in (cameras.height, cameras.width)))
    return Render.cat([scene.render(small[i : i + 1]) for i in range(len(small))]), small


def sharpened(
    scene: GaussianAsset,
    photos: Views,
    path: Cameras,
    *,
    config: DetailConfig,
    generator: torch.Generator,
    progress: Steps,
) -> GaussianAsset:
    """The scene as sharp as its whole photos; where none of them looks, as it was from the cameras of the path."""
    prior = None
    if len(path):
        (seen, cameras), (by_photos, taken) = _seen(scene, path), _seen(scene, photos.cameras)
        prior = pseudo_views(seen, cameras, by_photos, photos=taken)
    whole = sized(photos.whole(), config.photo_size)
    return detail(scene.gaussians, whole, config, prior=prior, generator=generator, progress=progress)


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
