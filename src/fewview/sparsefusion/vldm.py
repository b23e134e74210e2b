"""View-conditioned latent diffusion (thesis 4.3, A.2): EFT features condition a UNet that denoises image latents."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Literal

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional as F

from fewview.cameras import Cameras, pixel_centres
from fewview.diffusion.denoiser import (
    Denoiser,
    alpha_std,
    clipped,
    from_epsilon,
    from_v,
    guided,
    noisy,
    velocity,
    weight_min_snr,
    weight_one,
    weight_p2,
)
from fewview.diffusion.schedules import COSINE
from fewview.nn.autoencoder import Autoencoder, AutoencoderConfig
from fewview.nn.unet import UNet, UNetConfig
from fewview.processes import own, whole
from fewview.sparsefusion.eft import EFT, Context, EFTConfig
from fewview.views import Views


@dataclass(frozen=True)
class VLDMConfig:
    """Defaults are the thesis' paper size: 256x256 images, 32x32x4 latents."""

    eft: EFTConfig = field(default_factory=EFTConfig)
    unet: UNetConfig = field(default_factory=UNetConfig)
    autoencoder: AutoencoderConfig = field(default_factory=AutoencoderConfig)
    size: int = 256  # pixels a side
    frame: Literal["object", "world"] = "object"  # what the networks see: the frame that input views define (ours), or
    # (release) the world as it comes, which must be centred and scaled as CO3D's
    prediction: Literal["epsilon", "v"] = "epsilon"  # Eq. 4.2
    rays: Literal["centres", "corners"] = (
        "centres"  # of latent cells (thesis A.2); release: corner pixel to corner pixel
    )
    weighting: Literal["one", "p2", "min_snr"] = "p2"  # release; Eq. 4.2 has none
    condition_dropout: float = 0.1  # release: features are zeroed, for classifier-free guidance
    noise_draws: int = 12  # release: noises and times for each query image
    x0_limit: float = 10.0  # release: clip of predicted latents
    see_colours: bool = False  # ours: the UNet is given EFT's colours beside its features

    @property
    def cells(self) -> int:
        """Latent cells a side."""
        return self.size // self.autoencoder.factor


class VLDM(nn.Module):
    """EFT, denoising UNet and (frozen) autoencoder: a Prior over one target view given context views."""

    def __init__(self, config: VLDMConfig):
        super().__init__()
        self.config = config
        self.eft = EFT(config.eft)
        self.unet = UNet(config.unet)
        self.codec = Autoencoder(config.autoencoder).requires_grad_(False)

    def features(self, context: Views, targets: Cameras) -> Float[Tensor, "b q c h w"]:
        """EFT features of the rays through the patch centres of the targets (thesis A.2), as maps of latent size."""
        return self.feature_maps(self.eft.encode(context), targets)[1]

    def feature_maps(self, context: Context, targets: Cameras) -> tuple[Tensor, Float[Tensor, "b q c h w"]]:
        """Colours and features at the patch centres, both as maps of latent size."""
        cells = self.config.cells
        maps = self.eft(context, targets, self.points(targets, cells))
        colours, features = (m.mT.unflatten(-1, (cells, cells)) for m in maps)
        return colours, torch.cat([features, colours], dim=2) if self.config.see_colours else features

    def colours(
        self, context: Views, targets: Cameras, *, size: int, chunk: int | None = None
    ) -> Float[Tensor, "b q channels {size} {size}"]:
        """EFT's own images (g_psi): one ray through each pixel centre of a `size` x `size` image.

        On a CPU 256 rays at once are the fastest, for what lies between layers then stays in its cache.
        """
        chunk = chunk or (256 if context.images.device.type == "cpu" else 4096)
        encoded = self.eft.encode(context)
        pixels = self.points(targets, size)
        parts = [self.eft(encoded, targets, part)[0] for part in pixels.split(chunk, dim=2)]
        return torch.cat(parts, dim=2).mT.unflatten(-1, (size, size))

    def points(self, cameras: Cameras, cells: int) -> Float[Tensor, "*batch n 2"]:
        """Image points of cells x cells rays, as configured."""
        return (patch_corners if self.config.rays == "corners" else patch_centres)(cameras, cells)

    def condition(self, context: Views, targets: Cameras, *, guidance: float = 1.0) -> Denoiser:
        """A Prior's denoiser: context batch "m", targets batch "q", latents batch "q"; each target on its own."""
        views = context.whole()[None]
        return self.denoiser(self.features(views, targets[None])[0], guidance=guidance)

    def denoiser(self, features: Float[Tensor, "b c h w"], *, guidance: float = 1.0) -> Denoiser:
        """The denoiser of latents given EFT features; guidance 1 is the plain conditional model (release)."""

        def of(condition: Tensor) -> Denoiser:
            wrap = from_v if self.config.prediction == "v" else from_epsilon
            return wrap(lambda x, logsnr: self.unet(x, logsnr.clamp(-15, 15), condition))

        plain = guided(of(features), of(torch.zeros_like(features)), guidance)
        return clipped(plain, self.config.x0_limit)


def patch_centres(cameras: Cameras, cells: int) -> Float[Tensor, "*batch n 2"]:
    """Image points at the centres of cells x cells patches (release: corner to corner, up to 3.5 pixels off)."""
    scale = torch.tensor([cameras.width / cells, cameras.height / cells])
    pixels = (pixel_centres(cells, cells) * scale).reshape(-1, 2).to(cameras.intrinsics)
    return pixels.expand(*cameras.shape, -1, -1)


def patch_corners(cameras: Cameras, cells: int) -> Float[Tensor, "*batch n 2"]:
    """Image points from the first pixel's centre to the last's, evenly, as the release has them."""
    axes = (torch.linspace(0.5, n - 0.5, cells) for n in (cameras.height, cameras.width))
    y, x = torch.meshgrid(*axes, indexing="ij")
    pixels = torch.stack([x, y], dim=-1).reshape(-1, 2).to(cameras.intrinsics)
    return pixels.expand(*cameras.shape, -1, -1)


def colour_loss(eft: EFT, context: Views, queries: Views, *, rays: int, generator: torch.Generator) -> Tensor:
    """Eq. 4.1 on `rays` random image points of each query view; coverage counts as a fourth channel."""
    b, q = queries.cameras.shape
    size = torch.tensor([queries.cameras.width, queries.cameras.height])
    drawn = own(torch.rand(whole(b, generator), q, rays, 2, generator=generator), generator)
    pixels = (drawn * size).to(queries.images)
    target = point_samples(queries, pixels, eft.colour.out_features)
    predicted, _ = eft(eft.encode(context), queries.cameras, pixels)
    return (predicted - target).square().mean()


def point_samples(views: Views, pixels: Float[Tensor, "b q n 2"], channels: int) -> Float[Tensor, "b q n {channels}"]:
    """Bilinear colours (and coverage, the fourth channel) of views at image points."""
    images = views.images
    if channels == 4:
        masks = views.masks if views.masks is not None else torch.ones_like(images[..., :1, :, :])
        images = torch.cat([images, masks], dim=-3)
    grid = pixels / pixels.new_tensor([views.cameras.width, views.cameras.height]) * 2 - 1
    flat = F.grid_sample(images.flatten(0, 1), grid.flatten(0, 1)[:, None], align_corners=False, padding_mode="border")
    return flat[:, :, 0].mT.unflatten(0, pixels.shape[:2])


def diffusion_loss(
    model: VLDM,
    latents: Float[Tensor, "b c h w"],
    features: Float[Tensor, "b y h w"],
    *,
    generator: torch.Generator,
    valid: Float[Tensor, "b 1 h w"] | None = None,
) -> Tensor:
    """Eq. 4.2 with the configured weighting, for `noise_draws` noises and times of every latent."""
    config = model.config
    latents, features = (t.repeat_interleave(config.noise_draws, 0) for t in (latents, features))
    n = whole(len(latents), generator)
    strata = torch.randperm(n, generator=generator)  # in random order, so that no image has the low levels alone
    times = (torch.rand(n, generator=generator) + strata) / n * COSINE.latest
    times = own(times, generator).to(latents)
    noise = own(torch.randn(n, *latents.shape[1:], generator=generator), generator).to(latents)
    keep = own(torch.rand(n, generator=generator), generator).to(latents) >= config.condition_dropout
    x, logsnr = noisy(latents, noise, times), COSINE.logsnr(times)
    predicted = model.unet(x, logsnr, features * keep[:, None, None, None])
    target = velocity(latents, noise, *alpha_std(times, latents)) if config.prediction == "v" else noise
    error = (predicted - target).square()
    if valid is not None:
        error = error * valid.repeat_interleave(config.noise_draws, 0)
    return (error.mean((1, 2, 3)) * _weight(config)(logsnr)).mean()


def _weight(config: VLDMConfig) -> Callable[[Tensor], Tensor]:
    if config.weighting == "min_snr":
        return lambda logsnr: weight_min_snr(logsnr, target=config.prediction)
    return weight_p2 if config.weighting == "p2" else weight_one


def joint_loss(
    model: VLDM, context: Views, queries: Views, *, generator: torch.Generator, rays: int = 0
) -> dict[str, Tensor]:
    """Eq. 4.1 + Eq. 4.2, as the thesis trains both networks together (A.2).

    The colour loss is taken at the patch centres, whose features the UNet needs anyway, or on `rays` random points.
    """
    colours, features = model.feature_maps(model.eft.encode(context), queries.cameras)
    if rays:
        colour = colour_loss(model.eft, context, queries, rays=rays, generator=generator)
    else:
        points = model.points(queries.cameras, model.config.cells)
        colour = (colours.flatten(-2).mT - point_samples(queries, points, colours.shape[2])).square().mean()
    with torch.no_grad():
        latents = model.codec.encode(queries.images.flatten(0, 1))
    diffusion = diffusion_loss(model, latents, features.flatten(0, 1), generator=generator)
    return {"loss": colour + diffusion, "colour": colour.detach(), "diffusion": diffusion.detach()}
