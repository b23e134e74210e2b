"""SparseFusion's distillation with GGS as its prior: a room as a radiance field whose renderings GGS finds likely."""

from dataclasses import dataclass, field, replace

import torch
from jaxtyping import Float
from torch import Tensor

from fewview.cameras import Cameras
from fewview.diffusion.schedules import COSINE
from fewview.errors import InputError
from fewview.geometry.transforms import similarity
from fewview.ggs.model import GGS
from fewview.ggs.walks import automatic_path, framed, framed_cameras
from fewview.paths import interpolate
from fewview.render.asset import FieldAsset, GaussianAsset
from fewview.sparsefusion.distill import DistillConfig, Evidence, Perceptual, distill
from fewview.sparsefusion.method import SparseFusionConfig
from fewview.views import Views

FILLED = 0.9  # of the half side of the field's box: where the far end of what the splats show comes to lie
FAR_END = 0.98  # quantile of the splats' distances that is their far end


@dataclass(frozen=True)
class GGSDistillConfig:
    """How a room is distilled; the field starts without SparseFusion's bump of density, which is meant for objects."""

    distill: DistillConfig = field(default_factory=lambda: room_distill(SparseFusionConfig.preset("default").distill))
    between: int = 2  # pseudo views between neighbours of the path
    decoder: bool = True  # first images are of D_3D's splats, or else of the denoiser's own
    frames: int = 24  # of an automatic path

    @staticmethod
    def preset(name: str) -> "GGSDistillConfig":
        """The steps of SparseFusion's preset of that name."""
        return GGSDistillConfig(room_distill(SparseFusionConfig.preset(name).distill))


def room_distill(config: DistillConfig) -> DistillConfig:
    """A preset for objects changed to one for rooms, which fill the pictures: nothing asks for empty space."""
    asset = replace(config.asset, ngp=replace(config.asset.ngp, blob=0.0))
    return replace(config, asset=asset, opacity_weight=0.0, coverage_weight=0.0)


class DistilledGGS:
    """A Reconstructor of rooms: first images from one evaluation of GGS (its mean), then diffusion distillation.

    The distillation asks GGS for one pseudo view at a time, given the photos; GGS was trained on several at once.
    """

    def __init__(self, model: GGS, config: GGSDistillConfig | None = None, perceptual: Perceptual | None = None):
        self.model, self.config = model.eval().requires_grad_(False), config or GGSDistillConfig()
        self.perceptual = perceptual

    def reconstruct(
        self, views: Views, *, path: Cameras | None = None, generator: torch.Generator | None = None
    ) -> FieldAsset:
        """A field in the world of the views, distilled at the cameras of a path (or an automatic one)."""
        if self.model.splats is None:
            raise InputError("These weights make no splats (their config says no_3d); distill from others.")
        generator = generator or torch.Generator().manual_seed(0)
        size = self.model.config.height, self.model.config.width
        given = framed(views, *size)
        if path is None:
            path = automatic_path(given.cameras, self.config.frames)
        path = framed_cameras(path, *size).to(given.images.device)
        scene = self.mean_scene(given, path, generator)
        config = self.config.distill
        norm = box_from_world(scene, Cameras.cat([given.cameras, path]), config.asset.volume.bound)
        photos = given.transformed(norm)
        asset = distill(
            self.model,
            self.evidence(photos, path, scene, norm),
            config,
            generator=generator,
            perceptual=self.perceptual,
        )
        asset.norm_from_world.copy_(norm)
        return asset

    @torch.no_grad()
    def mean_scene(self, given: Views, path: Cameras, generator: torch.Generator) -> GaussianAsset:
        """The splats of what GGS expects where all is noise: blurred where it does not know, as EFT's images are."""
        latents = self.model.config.autoencoder.total_channels, *self.model.config.cells
        sigma = COSINE.sigmas(torch.ones(1)).to(given.images).expand(len(path))
        noise = torch.randn(len(path), *latents, generator=generator).to(given.images)
        z0 = self.model.condition(given, path)(noise * sigma[0], sigma)
        return self.model.scene(given, path, z0, fine=self.config.decoder)

    @torch.no_grad()
    def evidence(self, photos: Views, path: Cameras, scene: GaussianAsset, norm: Float[Tensor, "4 4"]) -> Evidence:
        """Photos in the field's frame, and first images of the path's cameras and of some between them."""
        steps = (len(path) - 1) * (self.config.between + 1) + 1
        queries = interpolate(path, steps) if len(path) > 1 else path
        images = torch.cat([scene.render(queries[i : i + 1]).image for i in range(len(queries))]).clamp(0, 1)
        moved = queries.transformed(norm)
        return Evidence(photos, photos, moved, Views(images, moved))


def box_from_world(scene: GaussianAsset, cameras: Cameras, bound: float) -> Float[Tensor, "4 4"]:
    """The similarity that puts the cameras in the middle of [-bound, bound]^3 and the splats inside of it."""
    centre = cameras.centers.mean(0)
    distances = (scene.gaussians.means - centre).norm(dim=-1)
    kept = distances[scene.gaussians.opacities > 0.1]
    far = (kept if len(kept) else distances).quantile(FAR_END)
    return similarity(FILLED * bound / far.clamp(min=1e-6), centre)
