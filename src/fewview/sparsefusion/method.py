"""SparseFusion from end to end, posed photos to a radiance field; and its networks alone, as image-based assets."""

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Literal

import torch
from jaxtyping import Float
from torch import Tensor

from fewview.cameras import Cameras
from fewview.checkpoint import load_model, save_model
from fewview.diffusion.samplers import euler
from fewview.diffusion.schedules import COSINE
from fewview.errors import InputError
from fewview.framing import crop_to_object, norm_from_world
from fewview.paths import CameraPrior
from fewview.progress import Progress, show, silent, steps_of, through
from fewview.render.asset import FieldAsset, FieldAssetConfig
from fewview.render.field import FieldConfig
from fewview.render.hashgrid import HashGridConfig
from fewview.render.occupancy import OccupancyConfig
from fewview.render.volume import VolumeConfig
from fewview.sparsefusion.adapt import FEWEST, AdaptConfig, adapted
from fewview.sparsefusion.context import suited
from fewview.sparsefusion.distill import DistillConfig, Evidence, Perceptual, distill
from fewview.sparsefusion.vldm import VLDM, VLDMConfig
from fewview.states import Keeper
from fewview.views import Asset, Render, Views, resize
from fewview.weights import model_folder


@dataclass(frozen=True)
class SparseFusionConfig:
    """What `reconstruct` does around the distillation."""

    distill: DistillConfig = field(default_factory=DistillConfig)
    seeking: Literal["mode", "eft-mean", "vldm-mean", "photos"] = "mode"  # the others: Table 5.4, and no prior at all
    photo_size: int = 128  # pixels a side of the cropped photos that supervise the field directly
    guidance: float = 1.0  # release: no classifier-free guidance
    first_size: int = 32  # pixels a side of EFT's images for the bootstrap (release: 32, of 256)
    circle: Literal["axis", "mean"] = "axis"  # centre of the pseudo cameras' circle: on the axis through the object
    # (ours), or the mean of the input cameras (thesis A.3)
    adapt: AdaptConfig = field(default_factory=AdaptConfig)  # ours: EFT learns the photos first

    @staticmethod
    def preset(name: str) -> "SparseFusionConfig":
        """`thesis` and `release`, as published (docs/presets.md), or one of `fast`, `default` and `quality`, which fit
        two CPU cores (some 1, 2 and 5 minutes)."""
        published = {"thesis": THESIS, "release": RELEASE}
        if name in published:
            return published[name]
        if name not in PRESETS:
            raise InputError(f"The preset '{name}' does not exist; choose from {', '.join([*PRESETS, *published])}.")
        return replace(SparseFusionConfig(), distill=PRESETS[name])


BOUND = 4.0  # of the field's box, thesis A.3
CPU_ASSET = FieldAssetConfig(
    ngp=FieldConfig(
        grid=HashGridConfig(levels=10, finest=256, log2_table=15, kind="hash"), blob=4.0, blob_std=1.2, log_density=-3.5
    ),
    volume=VolumeConfig(bound=BOUND, steps=112),
    occupancy=OccupancyConfig(bound=BOUND),
)
CPU = DistillConfig(
    asset=CPU_ASSET,
    pseudo_views=24,
    render_size=64,
    sampler="ddim",
    max_evaluations=8,
    reuse=2,
    distance="l1",
    coverage_weight=0.2,
    max_time=0.4,
    anchor_weight=1.0,
    hue_share=1.0,
    photos_a_step="one",
    input_rays=1024,
    grid_rate=1e-2,
    mlp_rate=2e-3,
    rendering_distance="huber",
    adam_eps=1e-15,
)
PRESETS = {
    "fast": replace(  # chosen by what splats become: docs/training-log.md
        CPU,
        steps=280,
        bootstrap_steps=100,
        max_evaluations=4,
        reuse=3,
        bootstrap_rays=2048,
        final_rate=0.2,
        perceptual_weight=0.2,
    ),
    "default": replace(CPU, steps=600, bootstrap_steps=250),
    "quality": replace(CPU, steps=1500, bootstrap_steps=400, pseudo_views=40),
}
THESIS_ASSET = FieldAssetConfig(ngp=FieldConfig(grid=HashGridConfig(kind="hash")), occupancy=None)
THESIS = SparseFusionConfig(DistillConfig(asset=THESIS_ASSET), first_size=128, circle="mean")
RELEASE = replace(
    THESIS,
    distill=replace(
        THESIS.distill,
        asset=FieldAssetConfig(occupancy=None),  # a tiled grid
        pseudo_views=82,
        sampler="plms_ancestral",
        distance="l1",
        photos_a_step="one",
        updates="separate",
    ),
    first_size=32,
)


@dataclass(frozen=True, eq=False)
class Prepared:
    """Input photos in the frame of the method: as the networks want them, and sharper for the field."""

    norm_from_world: Float[Tensor, "4 4"]
    context: Views
    photos: Views

    def normalised(self, cameras: Cameras) -> Cameras:
        """Cameras of the world, in the normalised frame."""
        return cameras.transformed(self.norm_from_world)


def prepare(views: Views, config: VLDMConfig, photo_size: int | None = None) -> Prepared:
    """Crop to the object, composite on black, and move to the frame that the views themselves define, or leave them
    in their world, as the networks are used to. Photos for the field have `photo_size` pixels a side, or the networks'
    own."""
    photos = crop_to_object(views, photo_size or config.size).on_black()
    frame = norm_from_world(photos) if config.frame == "object" else torch.eye(4).to(photos.images)
    photos = photos.transformed(frame)
    return Prepared(frame, photos.resized(config.size, config.size), photos)


class SparseFusionMethod:
    """A Reconstructor: EFT, VLDM and diffusion distillation (thesis chapter 4)."""

    def __init__(self, model: VLDM, config: SparseFusionConfig, perceptual: Perceptual | None = None):
        self.model, self.config, self.perceptual = model.eval().requires_grad_(False), config, perceptual

    @classmethod
    def from_pretrained(
        cls, source: str | Path = "tiny", config: SparseFusionConfig | None = None, perceptual: Perceptual | None = None
    ) -> "SparseFusionMethod":
        """Weights by name (shipped with the package) or from a model folder; the config defaults to `default`."""
        return cls(
            load_model(model_folder(source, "sparsefusion"), VLDM, VLDMConfig),
            config or SparseFusionConfig.preset("default"),
            perceptual,
        )

    def save_pretrained(self, folder: Path) -> None:
        """A model folder that `from_pretrained` reads."""
        save_model(folder, self.model, self.model.config)

    def reconstruct(
        self,
        views: Views,
        *,
        path: Cameras | None = None,
        generator: torch.Generator | None = None,
        progress: Progress | None = None,
        keeper: Keeper | None = None,
    ) -> FieldAsset:
        """A field in the world of the views, to be seen from all around: it needs no `path`.

        With a `keeper` a killed run goes on from what that has.
        """
        report = progress or silent
        generator = generator or torch.Generator().manual_seed(0)
        prepared = prepare(views, self.model.config, self.config.photo_size)
        if self.config.seeking != "photos":
            show(report, eft_asset(self.model, prepared).render)
        queries = self.pseudo_cameras(prepared, generator)
        config, steps, fitted = self.config.distill, self.config.distill.steps, self
        if self.config.seeking == "photos":
            config, first = replace(config, pseudo_weight=0.0), Views(torch.zeros(0, 3, 1, 1), queries[:0])
        else:
            fitted = self.fitted(prepared, generator, report)
            first = fitted.first_images(prepared, queries, report)
        if self.config.seeking == "vldm-mean":
            first = Views(fitted.samples(prepared, queries, generator), queries, first.masks)
        if self.config.seeking.endswith("mean"):
            config = replace(config, bootstrap_steps=steps)
        asset = distill(
            fitted.model,
            Evidence(prepared.photos, prepared.context, queries, first),
            config,
            generator=generator,
            perceptual=self.perceptual,
            progress=steps_of(through(report, prepared.normalised), "distilling the scene", steps),
            keeper=keeper,
        )
        asset.norm_from_world.copy_(prepared.norm_from_world)
        return asset

    def fitted(self, prepared: Prepared, generator: torch.Generator, report: Progress) -> "SparseFusionMethod":
        """The same with an EFT that has learned the photos, where it is told to (`adapt`)."""
        config, photos = self.config.adapt, prepared.context
        if config.steps < 1 or len(photos) < FEWEST:
            return self
        tell = steps_of(report, "learning the photos", config.steps)
        model = adapted(self.model, photos, config, generator=generator, progress=tell)
        return SparseFusionMethod(model, self.config, self.perceptual)

    def pseudo_cameras(self, prepared: Prepared, generator: torch.Generator) -> Cameras:
        """Cameras of the distribution that the input cameras alone define (A.3; the release used held-out ones too)."""
        prior = CameraPrior.fit(prepared.context.cameras, centre=self.config.circle)
        return prior.sample(self.config.distill.pseudo_views, generator=generator)

    @torch.no_grad()
    def first_images(self, prepared: Prepared, queries: Cameras, report: Progress) -> Views:
        """EFT's images of the pseudo views, with coverage as masks where the model predicts it."""
        images = []
        for i in range(len(queries)):
            context = suited(prepared.context, queries[i], self.config.distill.context_views)
            images.append(eft_image(self.model, context, queries[i], size=self.config.first_size))
            report("imagining first views", (i + 1) / len(queries))
        stacked = resize(torch.stack(images), queries.height, queries.width)
        masks = stacked[:, 3:] if stacked.shape[1] == 4 else (stacked[:, :3].mean(1, keepdim=True) > 0.1).float()
        return Views(stacked[:, :3], queries, masks)

    def samples(
        self, prepared: Prepared, queries: Cameras, generator: torch.Generator
    ) -> Float[Tensor, "n 3 height width"]:
        """One draw of VLDM for each pseudo view: no two need to show the same object (thesis 5.3.2)."""
        views, most = prepared.context, self.config.distill.context_views
        cameras = [queries[i] for i in range(len(queries))]
        draw = lambda c: sample_view(self.model, suited(views, c, most), c, steps=20, generator=generator)
        return torch.stack([draw(c) for c in cameras])


def eft_image(model: VLDM, context: Views, camera: Cameras, *, size: int) -> Float[Tensor, "channels {size} {size}"]:
    """EFT's picture of one camera (batch shape empty), in the frame of the context."""
    views = context.whole()[None]
    return model.colours(views, camera.reshape(1, 1), size=size)[0, 0]


@dataclass(frozen=True, eq=False)
class ImageAsset:
    """Pictures that a network makes for each camera on its own: an Asset without any 3D."""

    size: int  # pixels a side of the pictures
    prepared: Prepared
    picture: Callable[[Cameras], Float[Tensor, "channels height width"]]

    @torch.no_grad()
    def render(self, cameras: Cameras) -> Render:
        """One picture for each camera of a batch, at the network's size, resampled to the cameras' size."""
        moved, size = self.prepared.normalised(cameras), self.size
        pictures = torch.stack([self.picture(moved[i].resized(size, size)) for i in range(len(moved))])
        shape = (cameras.height, cameras.width)
        pictures = torch.nn.functional.interpolate(pictures, shape, mode="bilinear", antialias=True).clamp(0, 1)
        alpha = pictures[:, 3:] if pictures.shape[1] == 4 else torch.ones_like(pictures[:, :1])
        return Render(pictures[:, :3], alpha, torch.zeros_like(alpha))


def eft_asset(model: VLDM, prepared: Prepared) -> ImageAsset:
    """EFT's pictures of any cameras."""
    size = model.config.size
    return ImageAsset(size, prepared, lambda camera: eft_image(model, prepared.context, camera, size=size))


class EFTImages:
    """The feed-forward baseline "EFT" of the thesis' tables."""

    def __init__(self, model: VLDM):
        self.model = model.eval()

    def reconstruct(
        self, views: Views, *, path: Cameras | None = None, generator: torch.Generator | None = None
    ) -> Asset:
        return eft_asset(self.model, prepare(views, self.model.config))


class VLDMSamples:
    """The baseline "VLDM": one sample of the diffusion model for each camera, from noise or (ours) from EFT's image."""

    def __init__(self, model: VLDM, *, steps: int = 50, guidance: float = 1.0, start: float = 1.0):
        self.model, self.how = model.eval(), {"steps": steps, "guidance": guidance, "start": start}

    def reconstruct(
        self, views: Views, *, path: Cameras | None = None, generator: torch.Generator | None = None
    ) -> Asset:
        generator = generator or torch.Generator().manual_seed(0)
        prepared = prepare(views, self.model.config)

        def picture(camera: Cameras) -> Tensor:
            return sample_view(self.model, prepared.context, camera, generator=generator, **self.how)

        return ImageAsset(self.model.config.size, prepared, picture)


@torch.no_grad()
def sample_view(
    model: VLDM,
    context: Views,
    camera: Cameras,
    *,
    steps: int,
    generator: torch.Generator,
    guidance: float = 1.0,
    start: float = 1.0,
) -> Float[Tensor, "3 height width"]:
    """One draw of p(image | camera, context) by deterministic DDIM from noise, `steps` of them for all of time.

    With a time `start` below 1 from EFT's image under that much noise (as in SDEdit, 2108.01073): what is known of the
    image stays, and what is drawn is its detail.
    """
    denoise = model.condition(context, camera.reshape(1), guidance=guidance)
    sigmas = COSINE.sigmas(torch.linspace(start, 0, max(2, round(start * steps)) + 1))
    cells = model.config.cells
    noise = torch.randn(1, model.config.autoencoder.total_channels, cells, cells, generator=generator)
    latent = noise.to(context.images) * sigmas[0]
    if start < 1:
        known = eft_image(model, context, camera, size=model.config.size)
        latent = latent + model.codec.encode(known[None, :3])
    latent = euler(denoise, latent, sigmas)
    return model.codec.decode(latent).clamp(0, 1)[0]
