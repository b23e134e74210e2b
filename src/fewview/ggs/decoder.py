"""The 3D decoder D_3D: what T_epi says, upsampled in 2D, then one splat a pixel (second stage, denoiser frozen)."""

from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional as F

from fewview.cameras import Cameras
from fewview.ggs.splats import PixelSplats, SplatConfig, place_of, place_splats
from fewview.nn.autoencoder import AutoencoderConfig, ResBlock
from fewview.render.splatting import DILATION


@dataclass(frozen=True)
class DecoderConfig:
    """Ours; the paper says "2D upsampler first, then splats"."""

    widths: tuple[int, ...] = (256, 128, 64, 64)  # one per resolution, from the latents' to the images'
    blocks: int = 2
    groups: int = 8
    smoothing: float = DILATION  # of splats, in square pixels, so that there are no gaps between them from nearby
    images: bool = True  # colours and depths are corrections of the decoded images and of the coarse splats' depths


class SplatDecoder(nn.Module):
    """Features, clean latents, images and coarse splats of the input views to one splat for each pixel."""

    def __init__(self, inputs: int, autoencoder: AutoencoderConfig, splats: SplatConfig, config: DecoderConfig):
        super().__init__()
        self.config, self.splats = config, splats
        widths = config.widths
        self.embed = nn.Conv2d(inputs + autoencoder.total_channels + 1, widths[0], 3, padding=1)
        pairs = list(zip((widths[0], *widths), widths))
        self.stages = nn.ModuleList(
            nn.Sequential(*(ResBlock(a if i == 0 else b, b, config.groups) for i in range(config.blocks)))
            for a, b in pairs
        )
        shown = widths[-1] + (3 if config.images else 0)
        self.norm = nn.GroupNorm(config.groups, widths[-1])
        self.head = nn.Sequential(nn.Conv2d(shown, widths[-1], 3, padding=1), nn.SiLU(), nn.Conv2d(widths[-1], 14, 1))

    def forward(
        self,
        features: Float[Tensor, "b m d h w"],
        latents: Float[Tensor, "b m c h w"],
        images: Float[Tensor, "b m 3 height width"],
        coarse: PixelSplats,
        cameras: Cameras,
    ) -> PixelSplats:
        """Splats of all pixels of the views, coloured, in the normalised frame of the cameras "b m"."""
        place = place_of(self.depths(coarse, cameras), self.splats)
        x = torch.cat([features, latents, place[:, :, None]], dim=2).flatten(0, 1)
        x = self.embed(x)
        for i, stage in enumerate(self.stages):
            x = stage(x if i == 0 else F.interpolate(x, scale_factor=2.0, mode="nearest"))
        x = F.silu(self.norm(x))
        if self.config.images:
            x = torch.cat([x, images.flatten(0, 1).to(x)], dim=1)
        raw = self.head(x).float().unflatten(0, place.shape[:2]).movedim(2, -1)  # b m height width 14
        depth, colour, rest = raw.split([1, 3, 10], dim=-1)
        first = F.interpolate(place, images.shape[-2:], mode="bilinear", align_corners=False)
        inside = torch.sigmoid(torch.logit(first, eps=1e-3) + depth[..., 0])
        colour = 0.25 * colour + (images.movedim(2, -1) if self.config.images else 0.5)
        return place_splats(inside, rest, cameras, config=self.splats, features=colour).smoothed(
            cameras, self.config.smoothing
        )

    def depths(self, coarse: PixelSplats, cameras: Cameras) -> Float[Tensor, "b m h w"]:
        """z-depths of coarse splats in the views that they belong to."""
        _, depth = cameras.project(coarse.means.flatten(2, 3))
        return depth.unflatten(2, coarse.means.shape[2:4])
