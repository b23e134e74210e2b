"""What GGS is trained on: v loss, low-resolution images of input and novel views, and optionally depth; then D_3D."""

import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional as F

from fewview.cameras import Cameras
from fewview.diffusion.schedules import COSINE
from fewview.geometry.transforms import scale_of
from fewview.ggs.clips import Clip
from fewview.ggs.filling import composed
from fewview.ggs.frame import depth_at_cells, points_at
from fewview.ggs.model import GGS, Inputs, Prediction
from fewview.ggs.scene_maps import splats_of_depth
from fewview.ggs.splats import PixelSplats, render_each
from fewview.ggs.velocity import velocity_of
from fewview.render.gaussians import Gaussians
from fewview.views import Render, Views

Perceptual = Callable[[Tensor, Tensor], Tensor]
"""Distance " batch" of two batches of images in [0, 1]."""


@dataclass(frozen=True)
class LossConfig:
    """Weights of the terms; the paper's are not known. A weight of 0 leaves a term out (the ablations)."""

    reference: float = 0.2  # of v0, beside the targets' v
    low: float = 5.0  # L_LR: squared errors of colours are small beside those of v
    novel: float = 5.0  # L_nv,LR
    depth: float = 1.0
    relative_depth: bool = True  # distances to true points over their z-depth; the paper's are plain
    scene_chance: float = 0.7  # of a scene so far, where the model takes one
    regressor: bool = False  # ours: references alone, no noise, no v: a feed-forward per-pixel regressor


def draw_sigma(kind: str, count: int, generator: torch.Generator) -> Float[Tensor, " {count}"]:
    """Levels of the EDM frame: even in the cosine schedule's time, or SVD's ln sigma ~ N(0.7, 1.6)."""
    even = (torch.rand(count, generator=generator) + torch.arange(count)) / count  # stratified: less variance
    even = even[torch.randperm(count, generator=generator)]
    if kind == "cosine":
        return COSINE.sigma(even * COSINE.latest)
    normal = math.sqrt(2) * torch.erfinv((2 * even - 1).clamp(-0.9999, 0.9999))
    return (0.7 + 1.6 * normal).exp()


def denoiser_loss(model: GGS, clip: Clip, config: LossConfig, *, generator: torch.Generator) -> dict[str, Tensor]:
    """Stage 1: all terms of one step, one noise level for all targets of a scene."""
    clip = clip.resized(model.config.height, model.config.width)
    if config.regressor:
        return regressor_loss(model, clip, config, generator=generator)
    inputs = model.inputs(
        clip.references, clip.targets.cameras, scenes=scenes_so_far(model, clip, config, generator=generator)
    )
    z0 = model.encode(clip.targets)
    sigma = draw_sigma(model.config.noise, len(z0), generator).to(z0)[:, None].expand(z0.shape[:2])
    noise = torch.randn(z0.shape, generator=generator).to(z0)
    x = z0 + sigma[..., None, None, None] * noise
    p = model(inputs, x, sigma, novel=_novel(clip.novel, config), generator=generator)
    v = (p.velocity[:, inputs.k :] - velocity_of(z0, noise, sigma)).square().mean()
    v0 = (p.velocity[:, : inputs.k] + inputs.references).square().mean()
    inputs_seen = Views.cat([clip.references, clip.targets], axis=1)
    return _total(
        {"v": (1.0, v), "v0": (config.reference, v0), **_rendered(p, inputs_seen, clip.novel, config=config)},
        _depth_term(p.splats, inputs, clip.input_depths, config=config),
    )


def regressor_loss(model: GGS, clip: Clip, config: LossConfig, *, generator: torch.Generator) -> dict[str, Tensor]:
    """Splats of the references alone, judged where they are and in all other views, as pixelSplat trains."""
    inputs = model.inputs(clip.references, clip.targets.cameras[:, :0])
    empty = inputs.references[:, :0]
    others = Views.cat([clip.targets, clip.novel], axis=1)
    p = model(inputs, empty, empty[:, :, 0, 0, 0], novel=others.cameras, generator=generator)
    return _total(
        _rendered(p, clip.references, others, config=config),
        _depth_term(p.splats, inputs, clip.reference_depths, config=config),
    )


def decoder_loss(
    model: GGS,
    clip: Clip,
    config: LossConfig,
    *,
    perceptual: Perceptual | None = None,
    perceptual_weight: float = 0.1,
) -> dict[str, Tensor]:
    """Stage 2, at t = 0 with the denoiser frozen: colours of input and novel views at full resolution, and depth.

    Scenes are put together as grown ones are, so the photos' splats learn to stand on their own (ours).
    """
    clip = clip.resized(model.config.height, model.config.width)
    targets = clip.targets[:, :0] if config.regressor else clip.targets
    judged = Views.cat([clip.references, clip.targets, clip.novel], axis=1)
    inputs = model.inputs(clip.references, targets.cameras)
    splats = model.decode(inputs, clip.references.images, model.encode(targets))
    to_norm = torch.linalg.inv(inputs.world_from_norm)[:, None]
    scenes = composed(splats, clip.references.cameras.shape[1], inputs.cameras)
    render = render_each(scenes, judged.cameras.transformed(to_norm))
    count = clip.references.cameras.shape[1] + targets.cameras.shape[1]
    low = (render.image[:, :count] - judged.images[:, :count]).square().mean()
    new = (render.image[:, count:] - judged.images[:, count:]).square().mean()
    terms = {"low": (config.low, low), "novel": (config.novel, new)}
    if perceptual is not None:
        pair = (t.flatten(0, 1) for t in (render.image.clamp(0, 1), judged.images))
        terms["perceptual"] = (perceptual_weight, perceptual(*pair).mean())
    depths = clip.reference_depths if config.regressor else clip.input_depths
    return _total(terms, _depth_term(splats, inputs, depths, config=config))


def depth_error(
    splats: PixelSplats, cameras: Cameras, depths: Float[Tensor, "b m height width"], *, relative: bool
) -> Float[Tensor, ""]:
    """Mean distance of splats' means to the true points of their cells, in the frame of `cameras` and `depths`.

    Relative distances are over the true z-depth. Cells of unknown depth (0) do not count.
    """
    depths = depth_at_cells(depths, *splats.means.shape[2:4])
    distance = (splats.means - points_at(cameras, depths)).norm(dim=-1)
    known = depths > 0
    distance = distance / depths.clamp(min=1e-6) if relative else distance
    return (distance * known).sum() / known.sum().clamp(min=1)


def scenes_so_far(model: GGS, clip: Clip, config: LossConfig, *, generator: torch.Generator) -> list[Gaussians] | None:
    """Splats of known depth of the references and of a random half of the novel views; of nothing in some scenes."""
    if not model.config.scene or clip.reference_depths is None:
        return None
    views, depths, k = clip.references, clip.reference_depths, clip.reference_depths.shape[1]
    if clip.novel_depths is not None:
        views, depths = Views.cat([views, clip.novel], axis=1), torch.cat([depths, clip.novel_depths], dim=1)
    scenes = []
    for i in range(len(depths)):
        keep = (torch.rand(depths.shape[1], generator=generator) < 0.5) | (torch.arange(depths.shape[1]) < k)
        scene = splats_of_depth(views[i][keep], depths[i][keep])
        scenes.append(scene if torch.rand((), generator=generator) < config.scene_chance else scene[:0])
    return scenes


def _novel(novel: Views, config: LossConfig) -> Cameras | None:
    return novel.cameras if config.novel and novel.cameras.shape[1] else None


def _rendered(p: Prediction, seen: Views, novel: Views, *, config: LossConfig) -> dict[str, tuple[float, Tensor]]:
    """L_LR and L_nv,LR, where the model renders at all."""
    terms = {}
    if p.views is not None:
        terms["low"] = (config.low, _image_error(p.views, seen))
    if p.novel is not None:
        terms["novel"] = (config.novel, _image_error(p.novel, novel))
    return terms


def _image_error(render: Render, views: Views) -> Float[Tensor, ""]:
    """Mean squared error of premultiplied colours against images averaged to the render's size."""
    truth = F.interpolate(views.images.flatten(0, 1), render.image.shape[-2:], mode="area")
    return (render.image.flatten(0, 1) - truth).square().mean()


def _depth_term(
    splats: PixelSplats | None, inputs: Inputs, depths: Tensor | None, *, config: LossConfig
) -> tuple[float, Tensor] | None:
    if splats is None or depths is None:
        return None
    unit = scale_of(inputs.world_from_norm)[:, None, None, None]
    error = depth_error(splats, inputs.cameras, depths / unit, relative=config.relative_depth)
    return config.depth, error


def _total(terms: dict[str, tuple[float, Tensor]], depth: tuple[float, Tensor] | None) -> dict[str, Tensor]:
    """The weighted sum under "loss", and each term by its name."""
    if depth is not None:
        terms = {**terms, "depth": depth}
    loss = sum((weight * value for weight, value in terms.values() if weight), torch.zeros(()))
    return {"loss": loss, **{name: value.detach() for name, (_, value) in terms.items()}}
