"""The encoder: an image and its depth through a feature pyramid (FPN, arXiv:1612.03144) to a Gaussian over latents."""

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional as F

from fewview.nn.autoencoder import Resample, ResBlock

INPUTS = 6  # colour, mask, depth, and whether depth is known


class Pyramid(nn.Module):
    """Maps of several sizes bottom-up, added top-down to one map of the latents' size."""

    def __init__(self, inputs: int, widths: tuple[int, ...], *, patch: int, level: int, groups: int):
        super().__init__()
        self.patch, self.level = patch, level
        self.first = nn.Conv2d(inputs * patch**2, widths[0], 3, padding=1)
        self.downs = nn.ModuleList(Resample(width, down=True) for width in widths[:-1])
        pairs = zip((widths[0], *widths), widths)
        self.blocks = nn.ModuleList(ResBlock(a, b, groups) for a, b in pairs)
        self.laterals = nn.ModuleList(nn.Conv2d(width, widths[level], 1) for width in widths)

    def forward(self, x: Float[Tensor, "b c height width"]) -> Float[Tensor, "b d h w"]:
        x = self.first(F.pixel_unshuffle(x, self.patch))
        maps = []
        for i, block in enumerate(self.blocks):
            x = block(x if i == 0 else self.downs[i - 1](x))
            maps.append(x)
        size = maps[self.level].shape[-2:]
        total = torch.zeros_like(maps[self.level])
        for lateral, found in zip(self.laterals, maps):
            total = total + F.interpolate(lateral(found), size, mode="bilinear", antialias=found.shape[-1] > size[-1])
        return total


class Encoder(nn.Module):
    """Image, mask and depth to mean and log variance of the latents."""

    def __init__(self, widths: tuple[int, ...], channels: int, *, patch: int, level: int, groups: int):
        super().__init__()
        self.pyramid = Pyramid(INPUTS, widths, patch=patch, level=level, groups=groups)
        self.block = ResBlock(widths[level], widths[level], groups)
        self.norm = nn.GroupNorm(groups, widths[level], eps=1e-6)
        self.out = nn.Conv2d(widths[level], 2 * channels, 3, padding=1)

    def forward(self, x: Float[Tensor, "b inputs height width"]) -> tuple[Tensor, Tensor]:
        """Mean and log variance, the latter clamped to [-20, 10]."""
        hidden = self.block(self.pyramid(x))
        mean, logvar = self.out(F.silu(self.norm(hidden))).chunk(2, dim=1)
        return mean, logvar.clamp(-20, 10)


def encoder_input(
    images: Float[Tensor, "b 3 h w"],
    masks: Float[Tensor, "b 1 h w"],
    depth: Float[Tensor, "b 1 h w"],
    *,
    known: Float[Tensor, " b"],
) -> Float[Tensor, "b inputs h w"]:
    """What the encoder sees of photos on black: depth is z in view space, and `known` is 1 or, without it, 0."""
    flag = known[:, None, None, None]
    return torch.cat([images * 2 - 1, masks * 2 - 1, depth * flag, (flag * 2 - 1).expand_as(masks)], dim=1)
