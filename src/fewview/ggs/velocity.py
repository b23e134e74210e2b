"""f_v: what the input views see of the splats, decoded to v; and v to clean latents."""

from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional as F

from fewview.diffusion.denoiser import data_of_velocity, velocity
from fewview.nn.multiview_unet import Block, NoiseEmbedding


@dataclass(frozen=True)
class VelocityConfig:
    """Ours: the paper says "with skip connections" and no sizes."""

    width: int = 128
    blocks: int = 2
    groups: int = 8


class VelocityHead(nn.Module):
    """Rendered feature maps, at `scale` times the latents' resolution, and the noisy latents, to v.

    The skip connection brings a target's noisy latents, which hold the noise that v must name; a reference gets zeros,
    so that what is known of it can come through the splats alone.
    """

    def __init__(self, features: int, channels: int, config: VelocityConfig, *, scale: int = 1):
        super().__init__()
        self.scale = scale
        self.noise = NoiseEmbedding(config.width)
        self.embed = nn.Conv2d(features * scale**2 + channels, config.width, 3, padding=1)
        self.blocks = nn.ModuleList(
            Block(config.width, config.width, config.width, config.groups) for _ in range(config.blocks)
        )
        self.norm = nn.GroupNorm(config.groups, config.width)
        self.out = nn.Conv2d(config.width, channels, 3, padding=1)

    def forward(
        self,
        rendered: Float[Tensor, "b m y height width"],
        skip: Float[Tensor, "b m c h w"],
        sigma: Float[Tensor, "b m"],
    ) -> Float[Tensor, "b m c h w"]:
        cells = F.pixel_unshuffle(rendered.flatten(0, 1), self.scale)
        noise = self.noise(sigma.flatten())
        x = self.embed(torch.cat([cells, skip.flatten(0, 1)], dim=1))
        for block in self.blocks:
            x = block(x, noise)
        return self.out(F.silu(self.norm(x))).unflatten(0, sigma.shape)


def alpha_std(sigma: Float[Tensor, "b v"]) -> tuple[Float[Tensor, "b v 1 1 1"], Float[Tensor, "b v 1 1 1"]]:
    """Factors of data and noise in the VP frame for levels of the EDM frame."""
    alpha = (1 + sigma**2).rsqrt()[..., None, None, None]
    return alpha, sigma[..., None, None, None] * alpha


def velocity_of(
    z0: Float[Tensor, "b v c h w"], noise: Float[Tensor, "b v c h w"], sigma: Float[Tensor, "b v"]
) -> Float[Tensor, "b v c h w"]:
    """The v of each view's level (EDM frame)."""
    return velocity(z0, noise, *alpha_std(sigma))


def clean_of(
    v: Float[Tensor, "b v c h w"], x: Float[Tensor, "b v c h w"], sigma: Float[Tensor, "b v"]
) -> Float[Tensor, "b v c h w"]:
    """z0 of v and x = z0 + sigma * noise (EDM frame)."""
    alpha, std = alpha_std(sigma)
    return data_of_velocity(v, alpha**2 * x, std)
