"""SRT (Sajjadi et al., CVPR 2022, 2111.13152): a set of tokens is the scene, and rays ask it by cross-attention."""

from dataclasses import dataclass
from itertools import pairwise

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional as F

from fewview.baselines.rays import RayNetwork
from fewview.cameras import Rays
from fewview.geometry.transforms import apply, inverse_rigid
from fewview.nn.layers import TransformerLayer, harmonic
from fewview.views import Views


@dataclass(frozen=True)
class SRTConfig:
    """Defaults are the paper's (section 3 and its appendix): 10 + 2 blocks, 768 numbers, 12 heads, 15 octaves."""

    size: int = 256
    widths: tuple[int, ...] = (96, 192, 384, 768)  # each halves the size
    dim: int = 768
    encoder: int = 10
    decoder: int = 2
    heads: int = 12
    hidden: int = 1536
    octaves: int = 15
    first: float = 0.5  # frequency of the first octave times unit of length


class CrossLayer(nn.Module):
    """Queries attend to tokens, then a two-layer MLP with ReLU; pre-norm."""

    def __init__(self, dim: int, *, heads: int, hidden: int):
        super().__init__()
        self.heads = heads
        self.norm, self.norm2 = nn.LayerNorm(dim), nn.LayerNorm(dim)
        self.q, self.kv, self.out = nn.Linear(dim, dim), nn.Linear(dim, 2 * dim), nn.Linear(dim, dim)
        self.mlp = nn.Sequential(nn.Linear(dim, hidden), nn.ReLU(), nn.Linear(hidden, dim))

    def forward(self, x: Float[Tensor, "b n c"], tokens: Float[Tensor, "b s c"]) -> Float[Tensor, "b n c"]:
        split = lambda t: t.unflatten(-1, (self.heads, -1)).transpose(1, 2)
        k, v = self.kv(tokens).chunk(2, dim=-1)
        mixed = F.scaled_dot_product_attention(split(self.q(self.norm(x))), split(k), split(v))
        x = x + self.out(mixed.transpose(1, 2).flatten(2))
        return x + self.mlp(self.norm2(x))


class SRT(RayNetwork):
    """Rays are told in the frame of the first context camera, so turning the world changes nothing; which view is
    first does."""

    def __init__(self, config: SRTConfig):
        super().__init__()
        c = config
        self.config, self.size = config, config.size
        rays = 12 * c.octaves
        convolutions: list[nn.Module] = []
        for inputs, width in pairwise((3 + rays, *c.widths)):
            convolutions += [nn.Conv2d(inputs, width, 3, 1, 1), nn.ReLU(), nn.Conv2d(width, width, 3, 2, 1), nn.ReLU()]
        self.patches = nn.Sequential(*convolutions, nn.Conv2d(c.widths[-1], c.dim, 1))
        self.cell = nn.Parameter(0.02 * torch.randn((c.size >> len(c.widths)) ** 2, c.dim))
        self.rank = nn.Parameter(0.02 * torch.randn(2, c.dim))  # of the first view, and of all others
        self.encoder = nn.ModuleList(
            TransformerLayer(c.dim, heads=c.heads, hidden=c.hidden, dropout=0.0, norm_first=True)
            for _ in range(c.encoder)
        )
        self.ask = nn.Linear(rays, c.dim)
        self.decoder = nn.ModuleList(CrossLayer(c.dim, heads=c.heads, hidden=c.hidden) for _ in range(c.decoder))
        self.colour = nn.Sequential(nn.LayerNorm(c.dim), nn.Linear(c.dim, c.hidden), nn.ReLU(), nn.Linear(c.hidden, 3))

    def encode(self, context: Views) -> tuple[Float[Tensor, "b s c"], Float[Tensor, "b 4 4"]]:
        """The set-latent scene, and the frame of the first camera from the world."""
        frame = inverse_rigid(context.cameras.world_from_cam[:, 0])
        rays = context.cameras.transformed(frame[:, None]).rays()
        told = self.told(rays.origins, rays.directions).movedim(-1, -3)
        x = torch.cat([context.images, told], dim=2)
        x = self.patches(x.flatten(0, 1)).flatten(2).mT.unflatten(0, x.shape[:2])
        rank = torch.cat([self.rank[:1], self.rank[1:].expand(x.shape[1] - 1, -1)])
        x = (x + self.cell + rank[:, None]).flatten(1, 2)
        bias = x.new_zeros(len(x), 1, x.shape[1])
        for layer in self.encoder:
            x = layer(x, bias)
        return x, frame

    def colours(
        self, encoded: tuple[Tensor, Tensor], rays: Rays, generator: torch.Generator | None
    ) -> list[Float[Tensor, "b r 3"]]:
        tokens, frame = encoded
        x = self.ask(self.told(apply(frame, rays.origins), rays.directions @ frame[:, :3, :3].mT))
        for layer in self.decoder:
            x = layer(x, tokens)
        return [self.colour(x).sigmoid()]

    def told(self, origins: Float[Tensor, "*batch 3"], directions: Float[Tensor, "*batch 3"]) -> Tensor:
        """Sines and cosines of origin and direction (appendix A.1)."""
        return harmonic(self.config.first * torch.cat([origins, directions], dim=-1), self.config.octaves)[..., 6:]
