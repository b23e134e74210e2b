"""RegNeRF (Niemeyer et al., CVPR 2022, 2112.00724): a field of few photos, whose depth is smooth where none looks.

On our hash-grid field in place of mip-NeRF's MLP, and without the flow of colours, which the release leaves out too.
"""

from dataclasses import dataclass, field, replace

import torch
from jaxtyping import Float
from torch import Tensor

from fewview.cameras import Cameras, Rays
from fewview.fitting import FieldFitConfig
from fewview.framing import crop_to_object, norm_from_world
from fewview.paths import CameraPrior
from fewview.render.asset import FieldAsset
from fewview.render.volume import VolumeConfig, render_rays
from fewview.sparsefusion.method import CPU_ASSET
from fewview.views import Views


@dataclass(frozen=True)
class RegNeRFConfig:
    """Weights and annealing are the release's; the number of steps is the field's own."""

    fit: FieldFitConfig = field(
        default_factory=lambda: FieldFitConfig(
            steps=400,
            rays=768,
            asset=replace(CPU_ASSET, volume=VolumeConfig(samples=32, importance=32), occupancy=None),
        )
    )
    size: int = 128  # pixels a side of the photos
    patches: int = 4  # of unseen views, a step
    patch: int = 8  # pixels a side (section 4.1)
    patch_size: int = 64  # pixels a side of the views that patches are cut from
    depth_weight: float = 0.1
    first_weight: float = 400.0  # of depth at the first step, log-linear to `depth_weight` ...
    weight_steps: float = 0.1  # ... over this part of the steps (release: 512 of 44,000 and more; ours are few)
    space_start: float = 0.5  # part of the ray that is sampled at the first step (Eq. 8), growing to all of it ...
    space_steps: float = 0.1  # ... over this part of the steps


class RegNeRF:
    """A Reconstructor."""

    def __init__(self, config: RegNeRFConfig | None = None):
        self.config = config or RegNeRFConfig()

    def reconstruct(
        self, views: Views, *, path: Cameras | None = None, generator: torch.Generator | None = None
    ) -> FieldAsset:
        """A field in the world of the views."""
        c, generator = self.config, generator or torch.Generator().manual_seed(0)
        photos = crop_to_object(views, c.size).on_black()
        frame = norm_from_world(photos)
        asset = FieldAsset(c.fit.asset, frame, generator=generator)
        photos = photos.transformed(frame)
        rays, prior = photos.cameras.rays().flatten(), CameraPrior.fit(photos.cameras)
        colours = photos.images.movedim(-3, -1).reshape(-1, 3)
        masks = None if photos.masks is None else photos.masks.reshape(-1)
        optimiser = torch.optim.Adam(asset.field.parameter_groups(c.fit.grid_rate, c.fit.mlp_rate), eps=1e-15)
        for step in range(c.fit.steps):
            volume = annealed(c, step)
            chosen = torch.randint(len(colours), (c.fit.rays,), generator=generator)
            seen = render_rays(asset.field, rays[chosen], volume, generator=generator)
            loss = (seen.features - colours[chosen]).square().mean() + c.fit.opacity_weight * seen.alpha.mean()
            if masks is not None:
                loss = loss + c.fit.silhouette_weight * (seen.alpha - masks[chosen]).square().mean()
            patches = unseen_patches(prior, c, generator)
            there = render_rays(asset.field, patches.flatten(), volume, generator=generator)
            shape = patches.shape
            smooth = depth_smoothness(there.distance.reshape(shape), there.alpha.reshape(shape).detach())
            loss = loss + depth_weight(c, step) * smooth
            optimiser.zero_grad(set_to_none=True)
            loss.backward()
            optimiser.step()
        return asset.eval()


def annealed(config: RegNeRFConfig, step: int) -> VolumeConfig:
    """Rays are sampled in a box that grows from `space_start` of its size (Eq. 8, about the object's centre)."""
    volume, grown = config.fit.asset.volume, step / max(1.0, config.space_steps * config.fit.steps)
    return replace(volume, bound=volume.bound * min(1.0, max(config.space_start, grown)))


def depth_weight(config: RegNeRFConfig, step: int) -> float:
    """Log-linear from the first weight to the last."""
    share = min(1.0, step / max(1.0, config.weight_steps * config.fit.steps))
    return config.first_weight ** (1 - share) * config.depth_weight**share / config.fit.asset.volume.bound**2


def unseen_patches(prior: CameraPrior, config: RegNeRFConfig, generator: torch.Generator) -> Rays:
    """Rays "patches h w" of small squares of views from where no photo was taken (section 4.1)."""
    cameras = prior.sample(config.patches, generator=generator).resized(config.patch_size, config.patch_size)
    corners = torch.randint(config.patch_size - config.patch + 1, (config.patches, 2), generator=generator)
    steps = torch.arange(config.patch) + 0.5
    y, x = torch.meshgrid(steps, steps, indexing="ij")
    pixels = torch.stack([x, y], dim=-1).reshape(1, -1, 2) + corners[:, None]
    rays = cameras.rays_at(pixels.to(cameras.intrinsics))
    grid = (config.patches, config.patch, config.patch, 3)
    return Rays(rays.origins.reshape(grid), rays.directions.reshape(grid))


def depth_smoothness(depth: Float[Tensor, "patches h w"], alpha: Float[Tensor, "patches h w"]) -> Float[Tensor, ""]:
    """Squared differences of expected depth between neighbours (Eq. 5), as far as both of a pair see something: the
    paper's photos have no empty rays, ours have."""
    down = (depth[:, 1:] - depth[:, :-1]).square() * torch.minimum(alpha[:, 1:], alpha[:, :-1])
    right = (depth[:, :, 1:] - depth[:, :, :-1]).square() * torch.minimum(alpha[:, :, 1:], alpha[:, :, :-1])
    return down.mean() + right.mean()
