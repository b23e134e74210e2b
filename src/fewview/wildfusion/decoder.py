"""The decoder: latents through transformer blocks, convolutions and transformer blocks again to three planes."""

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional as F

from fewview.nn.autoencoder import Resample, ResBlock
from fewview.nn.layers import TransformerLayer


class Blocks(nn.Module):
    """Transformer layers over the patches of a square map, with learned places, around a shortcut."""

    def __init__(self, channels: int, dim: int, layers: int, *, cells: int, patch: int, heads: int):
        super().__init__()
        self.patch = patch
        self.place = nn.Parameter(0.02 * torch.randn((cells // patch) ** 2, dim))
        self.enter = nn.Linear(channels * patch**2, dim)
        self.layers = nn.ModuleList(
            TransformerLayer(dim, heads=heads, hidden=2 * dim, dropout=0.0, norm_first=True) for _ in range(layers)
        )
        self.leave = nn.Linear(dim, channels * patch**2)

    def forward(self, x: Float[Tensor, "b c h w"]) -> Float[Tensor, "b c h w"]:
        patches = F.pixel_unshuffle(x, self.patch)
        tokens = self.enter(patches.flatten(2).mT) + self.place
        bias = tokens.new_zeros(len(tokens), 1, tokens.shape[1])
        for layer in self.layers:
            tokens = layer(tokens, bias)
        return x + F.pixel_shuffle(self.leave(tokens).mT.reshape(patches.shape), self.patch)


class Decoder(nn.Module):
    """Latents to planes (x, y), (x, z) and (y, z), twice as fine with each of `widths` after the first."""

    def __init__(
        self,
        latents: int,
        planes: int,
        widths: tuple[int, ...],
        *,
        cells: int,
        layers: tuple[int, int],
        heads: int,
        groups: int,
    ):
        super().__init__()
        grows, last = len(widths) - 1, widths[-1]
        self.first = nn.Conv2d(latents, widths[0], 3, padding=1)
        self.before = Blocks(widths[0], widths[0], layers[0], cells=cells, patch=1, heads=heads)
        self.blocks = nn.ModuleList(ResBlock(a, b, groups) for a, b in zip((widths[0], *widths), widths))
        self.ups = nn.ModuleList(Resample(width, down=False) for width in widths[1:])
        side = cells * 2**grows
        self.after = Blocks(last, widths[0], layers[1], cells=side, patch=2**grows, heads=heads)
        self.norm = nn.GroupNorm(groups, last, eps=1e-6)
        self.out = nn.Conv2d(last, 3 * planes, 3, padding=1)

    def forward(self, z: Float[Tensor, "b c h w"]) -> Float[Tensor, "b 3 planes rows columns"]:
        x = self.before(self.first(z))
        for i, block in enumerate(self.blocks):
            x = block(x) if i == 0 else self.ups[i - 1](block(x))
        planes = self.out(F.silu(self.norm(self.after(x))))
        return planes.unflatten(1, (3, -1))
