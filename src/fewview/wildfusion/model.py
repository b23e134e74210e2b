"""The 3D-aware autoencoder: a photo and its depth to latents, latents to a box of planes that any camera can look at.

After WildFusion (Schwarz et al., arXiv:2311.13570; the system figure of the project page). Sizes are ours.
"""

from dataclasses import dataclass, field

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional as F

from fewview.cameras import Cameras
from fewview.nn.autoencoder import chroma_of
from fewview.wildfusion.decoder import Decoder
from fewview.wildfusion.encoder import Encoder, encoder_input
from fewview.wildfusion.renderer import LowRes, PlaneField, SuperResolution, low_res


@dataclass(frozen=True)
class RenderConfig:
    """Planes of `channels` each to `features` at `size` pixels, `samples` a ray, then to the photo's size."""

    channels: int = 32
    hidden: int = 64
    features: int = 32
    size: int = 64
    samples: int = 48
    width: int = 128  # of the super-resolution
    blocks: int = 3
    factor: int = 4  # photo pixels for a rendered one, along a side


@dataclass(frozen=True)
class WildFusionConfig:
    """Defaults are `recipes.wildfusion.paper()`."""

    latents: int = 4  # channels
    cells: int = 32  # a side
    encoder: tuple[int, ...] = (128, 256, 512, 512)  # channels of the pyramid
    patch: int = 2  # pixels that the first convolution takes together
    level: int = 2  # of the pyramid, whose size the latents have
    decoder: tuple[int, ...] = (512, 256, 256)  # channels; each further one doubles the size
    layers: tuple[int, int] = (4, 4)  # of the transformers before and after the convolutions
    heads: int = 8
    groups: int = 32
    render: RenderConfig = field(default_factory=RenderConfig)
    scale: float = 1.0  # makes latents of unit variance
    chroma_scale: float = 0.0  # above 0, two more latent channels hold chroma, times this

    @property
    def channels(self) -> int:
        """Of latents in all."""
        return self.latents + (2 if self.chroma_scale else 0)

    @property
    def size(self) -> int:
        """Pixels a side of photos."""
        return self.render.size * self.render.factor


class PlaneModel(nn.Module):
    """What makes images of planes: a decoder to them, a field in them, and super-resolution."""

    shape: WildFusionConfig

    def add_renderer(self, shape: WildFusionConfig) -> None:
        """Makes the parts, after those that a model begins with."""
        self.shape, c = shape, shape.render
        how = {"cells": shape.cells, "layers": shape.layers, "heads": shape.heads, "groups": shape.groups}
        chroma = shape.chroma_scale > 0
        self.decoder = Decoder(shape.channels, c.channels, shape.decoder, **how)
        self.field = PlaneField(c.channels + 2 * chroma, c.hidden, c.features, chroma=chroma)
        self.upsample = SuperResolution(c.features, c.width, c.blocks, factor=c.factor, groups=shape.groups)

    def low_res(
        self,
        planes: Float[Tensor, "b 3 planes rows columns"],
        cameras: Cameras,
        *,
        generator: torch.Generator | None = None,
    ) -> LowRes:
        """Volume renderings by cameras of batch shape (b,) and any size; rendered at the field's own size."""
        c = self.shape.render
        return low_res(self.field, planes, cameras.resized(c.size, c.size), samples=c.samples, generator=generator)

    @property
    def size(self) -> int:
        """Pixels a side of the images that it makes."""
        return self.shape.size


class WildAutoencoder(PlaneModel):
    """Encoder, decoder, field and super-resolution."""

    def __init__(self, config: WildFusionConfig):
        super().__init__()
        self.config = config
        if config.size != config.cells * config.patch * 2**config.level:
            raise ValueError(f"photos of {config.size} pixels do not give {config.cells} cells")
        how = {"patch": config.patch, "level": config.level, "groups": config.groups}
        self.encoder = Encoder(config.encoder, config.latents, **how)
        self.add_renderer(config)

    def posterior(
        self,
        images: Float[Tensor, "b 3 h w"],
        masks: Float[Tensor, "b 1 h w"],
        depth: Float[Tensor, "b 1 h w"],
        *,
        known: Float[Tensor, " b"],
    ) -> tuple[Tensor, Tensor]:
        """Mean and log variance of q(z | photo), unscaled; see `encoder_input`."""
        return self.encoder(encoder_input(images, masks, depth, known=known))

    def encode(
        self,
        images: Float[Tensor, "b 3 h w"],
        masks: Float[Tensor, "b 1 h w"],
        depth: Float[Tensor, "b 1 h w"] | None = None,
    ) -> Float[Tensor, "b channels cells cells"]:
        """The posterior's mode, of about unit variance, with depth (z in view space) or without."""
        known = images.new_full((len(images),), float(depth is not None))
        z, _ = self.posterior(images, masks, torch.zeros_like(masks) if depth is None else depth, known=known)
        return self.latents(z, images, masks)

    def latents(
        self,
        z: Float[Tensor, "b n cells cells"],
        images: Float[Tensor, "b 3 h w"],
        masks: Float[Tensor, "b 1 h w"],
    ) -> Float[Tensor, "b channels cells cells"]:
        """A draw of the posterior at about unit variance, and the photos' chroma beside it, if so configured."""
        if not self.config.chroma_scale:
            return z * self.config.scale
        chroma = foreground_chroma(images, masks, self.config.size // self.config.cells)
        return torch.cat([z * self.config.scale, chroma * self.config.chroma_scale], dim=1)

    def planes(self, latents: Float[Tensor, "b channels cells cells"]) -> Float[Tensor, "b 3 planes rows columns"]:
        """The boxes that latents of about unit variance stand for."""
        if not self.config.chroma_scale:
            return self.decoder(latents / self.config.scale)
        detail, chroma = latents.split([self.config.latents, 2], dim=1)
        planes = self.decoder(torch.cat([detail / self.config.scale, chroma], dim=1))
        size = planes.shape[-2:]
        front = F.interpolate(chroma / self.config.chroma_scale, size, mode="bilinear", align_corners=False)
        others = torch.zeros_like(front)  # of the three planes, the first lies on the photo
        return torch.cat([planes, torch.stack([front, others, others], dim=1)], dim=2)


def foreground_chroma(
    images: Float[Tensor, "b 3 h w"], masks: Float[Tensor, "b 1 h w"], factor: int
) -> Float[Tensor, "b 2 cells cells"]:
    """Chroma of what is inside the mask, averaged over cells of `factor` pixels; empty cells take their neighbours'.

    So a silhouette, which coverage already fades out, does not turn grey as well.
    """
    both = torch.cat([chroma_of(images, factor), F.avg_pool2d(masks, factor)], dim=1)
    both = both + 0.01 * F.avg_pool2d(both, 3, stride=1, padding=1)
    return both[:, :2] / both[:, 2:].clamp(min=1e-4)
