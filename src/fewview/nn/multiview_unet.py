"""A U-Net over several views at once: convolutions within a view, attention across all of them.

Letters: b scenes, m views of a scene, n = b * m maps, c and d channels, h and w cells. It knows the order of views by
their camera maps alone, so it is equivariant to their permutation.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Protocol, runtime_checkable

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional as F

from fewview.nn.layers import harmonic

SIGMA_MIN = 0.002  # the least level a network is told: clean references


@runtime_checkable
class Backbone(Protocol):
    """What turns latents of several views into features, told of noise levels and cameras."""

    channels: int  # of the features
    levels: tuple[int, ...]  # channels of the camera maps, at 1, 1/2, 1/4, ... of the latents' resolution

    def __call__(
        self, latents: Float[Tensor, "b m c h w"], sigma: Float[Tensor, "b m"], poses: Sequence[Tensor]
    ) -> Float[Tensor, "b m d h w"]: ...


@dataclass(frozen=True)
class MultiViewUNetConfig:
    """Ours; no paper's."""

    widths: tuple[int, ...] = (96, 192, 256)  # one per resolution; each further one halves the size
    blocks: int = 1  # residual blocks of a level on the way down; one more on the way up
    attention: tuple[bool, ...] = (False, True, True)  # across all cells of all views of a scene
    heads: int = 4
    groups: int = 8
    octaves: int = 6  # of the noise level's harmonics


class NoiseEmbedding(nn.Module):
    """Levels sigma (EDM frame; 0 is clean) to vectors: harmonics of ln(sigma) / 4, as EDM names them, and an MLP."""

    def __init__(self, width: int, octaves: int = 6):
        super().__init__()
        self.octaves = octaves
        self.mlp = nn.Sequential(nn.Linear(2 * octaves + 1, width), nn.SiLU(), nn.Linear(width, width), nn.SiLU())

    def forward(self, sigma: Float[Tensor, " n"]) -> Float[Tensor, "n width"]:
        return self.mlp(harmonic(noise_label(sigma)[:, None], self.octaves))


def noise_label(sigma: Float[Tensor, "*batch"]) -> Float[Tensor, "*batch"]:
    """c_noise = ln(sigma) / 4 (2206.00364 table 1, and Stable Video Diffusion)."""
    return sigma.clamp(min=SIGMA_MIN).log() / 4


class Block(nn.Module):
    """Two normalised 3x3 convolutions around a shortcut; a vector scales and shifts between them."""

    def __init__(self, inputs: int, outputs: int, embedding: int, groups: int = 8):
        super().__init__()
        self.norm1, self.norm2 = nn.GroupNorm(groups, inputs), nn.GroupNorm(groups, outputs)
        self.conv1 = nn.Conv2d(inputs, outputs, 3, padding=1)
        self.conv2 = nn.Conv2d(outputs, outputs, 3, padding=1)
        self.modulation = nn.Linear(embedding, 2 * outputs)
        self.shortcut = nn.Conv2d(inputs, outputs, 1) if inputs != outputs else nn.Identity()

    def forward(self, x: Float[Tensor, "n c h w"], embedding: Float[Tensor, "n e"]) -> Float[Tensor, "n d h w"]:
        hidden = self.conv1(F.silu(self.norm1(x)))
        scale, shift = self.modulation(embedding)[..., None, None].chunk(2, dim=1)
        hidden = self.conv2(F.silu(self.norm2(hidden) * (1 + scale) + shift))
        return hidden + self.shortcut(x)


class ViewAttention(nn.Module):
    """Self-attention over all cells of all views of a scene, then a feed-forward layer; pre-norm."""

    def __init__(self, width: int, heads: int):
        super().__init__()
        self.heads = heads
        self.norm1, self.norm2 = nn.LayerNorm(width), nn.LayerNorm(width)
        self.qkv, self.out = nn.Linear(width, 3 * width), nn.Linear(width, width)
        self.mlp = nn.Sequential(nn.Linear(width, 2 * width), nn.GELU(), nn.Linear(2 * width, width))

    def forward(self, x: Float[Tensor, "n c h w"], views: int) -> Float[Tensor, "n c h w"]:
        tokens = x.unflatten(0, (-1, views)).movedim(2, -1)  # b m h w c
        shape = tokens.shape
        tokens = tokens.flatten(1, 3)
        q, k, v = self.qkv(self.norm1(tokens)).unflatten(-1, (3, self.heads, -1)).permute(2, 0, 3, 1, 4)
        mixed = F.scaled_dot_product_attention(q, k, v).transpose(1, 2).flatten(2)
        tokens = tokens + self.out(mixed)
        tokens = tokens + self.mlp(self.norm2(tokens))
        return tokens.reshape(shape).movedim(-1, 2).flatten(0, 1)


class Level(nn.Module):
    """Residual blocks of one resolution, and attention after the last."""

    def __init__(self, sizes: Sequence[tuple[int, int]], config: MultiViewUNetConfig, *, attention: bool):
        super().__init__()
        embedding = 4 * config.widths[0]
        self.blocks = nn.ModuleList(Block(i, o, embedding, config.groups) for i, o in sizes)
        self.attention = ViewAttention(sizes[-1][1], config.heads) if attention else None

    def down(self, x: Tensor, noise: Tensor, views: int) -> tuple[Tensor, list[Tensor]]:
        """The level's output and what the way up wants again."""
        skips = []
        for block in self.blocks:
            x = block(x, noise)
            skips.append(x)
        return self.mix(x, views), skips

    def up(self, x: Tensor, skips: list[Tensor], noise: Tensor, views: int) -> Tensor:
        """Takes `skips` from the end."""
        for block in self.blocks:
            x = block(torch.cat([x, skips.pop()], dim=1), noise)
        return self.mix(x, views)

    def mix(self, x: Tensor, views: int) -> Tensor:
        return x if self.attention is None else self.attention(x, views)


class MultiViewUNet(nn.Module):
    """(latents, noise levels, camera maps) of all views of a scene to features at the latents' resolution."""

    def __init__(self, config: MultiViewUNetConfig, inputs: int):
        super().__init__()
        self.config = config
        widths, last = config.widths, len(config.widths) - 1
        self.channels = widths[0]
        self.levels = (widths[0], *widths[:-1])
        self.noise = NoiseEmbedding(4 * widths[0], config.octaves)
        self.embed = nn.Conv2d(inputs, widths[0], 3, padding=1)
        self.downs, self.ups = nn.ModuleList(), nn.ModuleList()
        self.shrink = nn.ModuleList(nn.Conv2d(w, w, 3, 2, 1) for w in widths[:-1])
        self.grow = nn.ModuleList(nn.Conv2d(w, v, 3, padding=1) for v, w in pairwise(widths))
        for i, (before, width) in enumerate(zip(self.levels, widths)):
            down = [(before, width)] + [(width, width)] * (config.blocks - 1)
            up = [(2 * width, width)] * (config.blocks + (i < last))  # blocks, and the map that enters the next level
            self.downs.append(Level(down, config, attention=config.attention[i]))
            self.ups.append(Level(up, config, attention=config.attention[i]))
        self.middle = Block(widths[-1], widths[-1], 4 * widths[0], config.groups)
        self.norm = nn.GroupNorm(config.groups, widths[0])

    def forward(
        self, latents: Float[Tensor, "b m c h w"], sigma: Float[Tensor, "b m"], poses: Sequence[Tensor]
    ) -> Float[Tensor, "b m d h w"]:
        b, m = sigma.shape
        noise = self.noise(sigma.flatten())
        x, skips, last = self.embed(latents.flatten(0, 1)), [], len(self.downs) - 1
        for i, level in enumerate(self.downs):
            x, kept = level.down(x + poses[i], noise, m)  # type: ignore[operator]
            skips += kept
            if i < last:
                skips.append(x)
                x = self.shrink[i](x)
        x = self.middle(x, noise)
        for i in range(last, -1, -1):
            x = self.ups[i].up(x, skips, noise, m)  # type: ignore[operator]
            if i > 0:
                x = self.grow[i - 1](F.interpolate(x, skips[-1].shape[-2:], mode="nearest"))
        return F.silu(self.norm(x)).unflatten(0, (b, m))
