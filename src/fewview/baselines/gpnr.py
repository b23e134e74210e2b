"""GPNR (Suhail et al., ECCV 2022, 2207.10662): three transformers over patches on epipolar lines, no volume rendering.

EFT is built on it (thesis 4.2). Letters: b scenes, m context views, r rays, d depth samples on a ray.
"""

from dataclasses import dataclass

import torch
from einops import rearrange
from jaxtyping import Float
from torch import Tensor, nn

from fewview.baselines.features import pixel_aligned
from fewview.baselines.rays import RayNetwork
from fewview.cameras import Cameras, Rays
from fewview.geometry.transforms import normalise
from fewview.nn.layers import TransformerLayer, harmonic, key_bias
from fewview.views import Views


@dataclass(frozen=True)
class GPNRConfig:
    """The idea is the paper's; sizes that we could not read anywhere are EFT's."""

    size: int = 256
    dim: int = 256
    layers: int = 4  # of each of the three transformers
    heads: int = 1
    hidden: int = 256
    patch: int = 7  # px a side
    octaves: int = 6
    depth_samples: int = 20
    reach: float = 5.0
    norm_first: bool = False


def transformer(config: GPNRConfig) -> nn.ModuleList:
    """The layers of one of the three."""
    c = config
    layer = lambda: TransformerLayer(c.dim, heads=c.heads, hidden=c.hidden, dropout=0.0, norm_first=c.norm_first)
    return nn.ModuleList(layer() for _ in range(c.layers))


class Attend(nn.Module):
    """A transformer, and the weighted mean of its tokens by what the query token (the first) thinks of each (Eq. 5)."""

    def __init__(self, config: GPNRConfig):
        super().__init__()
        self.layers = transformer(config)
        self.query = nn.Parameter(0.02 * torch.randn(config.dim))
        self.score = nn.Linear(2 * config.dim, 1)

    def forward(
        self, x: Float[Tensor, "n s c"], valid: Float[Tensor, "n s"]
    ) -> tuple[Float[Tensor, "n c"], Float[Tensor, "n s"]]:
        """The mean, and the weights."""
        x = torch.cat([self.query.expand(len(x), 1, -1), x], dim=1)
        bias = key_bias(torch.cat([torch.ones_like(valid[:, :1]), valid], dim=1))
        for layer in self.layers:
            x = layer(x, bias)
        query, x = x[:, :1], x[:, 1:]
        scores = self.score(torch.cat([query.expand_as(x), x], dim=-1))[..., 0] + key_bias(valid)[:, 0]
        weights = scores.softmax(dim=-1)
        return (weights[..., None] * x).sum(1), weights


class GPNR(RayNetwork):
    """Everything is told in the frame of the query ray itself, so turning the world changes nothing."""

    def __init__(self, config: GPNRConfig):
        super().__init__()
        c = config
        self.config, self.size = config, config.size
        self.patches = nn.Conv2d(3, c.dim, c.patch, padding=c.patch // 2)
        self.embed = nn.Linear(c.dim + 3 + 7 * (2 * c.octaves + 1), c.dim)
        self.over_views = transformer(c)
        self.along_line, self.last = Attend(c), Attend(c)
        self.colour = nn.Linear(c.dim, 3)

    def encode(self, context: Views) -> tuple[Views, Tensor]:
        """The context, and its patches' features with the pixels' colours, "b m c h w"."""
        patches = self.patches(context.images.flatten(0, 1)).unflatten(0, context.images.shape[:2])
        return context, torch.cat([patches, context.images], dim=2)

    def colours(
        self, encoded: tuple[Views, Tensor], rays: Rays, generator: torch.Generator | None
    ) -> list[Float[Tensor, "b r 3"]]:
        """Colours as the weights of lines and views blend the photos' (the auxiliary loss), and the network's own."""
        context, maps = encoded
        distance = rays.origins.norm(dim=-1, keepdim=True)
        steps = torch.linspace(-1, 1, self.config.depth_samples).to(distance)
        depths = torch.maximum(distance + self.config.reach * steps, 0.1 * distance)
        points = rays.origins[:, :, None] + depths[..., None] * rays.directions[:, :, None]
        (b, r, d), m = depths.shape, maps.shape[1]
        x, seen = pixel_aligned(maps, context, points.flatten(1, 2))
        seen = rearrange(seen.to(x.dtype), "b m (r d) -> b r m d", r=r, d=d)
        x = rearrange(x, "b m (r d) c -> b r m d c", r=r, d=d)
        photographed = x[..., -3:]
        where = harmonic(in_ray_frame(rays, context.cameras, points), self.config.octaves)
        x = self.embed(torch.cat([x, where], dim=-1))
        x = rearrange(x, "b r m d c -> (b r d) m c")
        bias = key_bias(rearrange(seen, "b r m d -> (b r d) m"))
        for layer in self.over_views:
            x = layer(x, bias)
        x = rearrange(x, "(b r d) m c -> (b r m) d c", b=b, r=r, d=d)
        x, lines = self.along_line(x, seen.flatten(0, 2))
        x, views = self.last(x.unflatten(0, (b * r, m)), seen.amax(-1).flatten(0, 1))
        blend = (views.unflatten(0, (b, r))[..., None] * lines.unflatten(0, (b, r, m)))[..., None] * photographed
        return [blend.sum((2, 3)), self.colour(x).sigmoid().unflatten(0, (b, r))]


def in_ray_frame(rays: Rays, cameras: Cameras, points: Float[Tensor, "b r d 3"]) -> Float[Tensor, "b r m d 7"]:
    """Plücker coordinates of the views' rays to points, and depth, where z is the query ray and x points from it to the
    view's centre (section 3.3). Lengths are in units of the query camera's distance to the origin."""
    unit = rays.origins.norm(dim=-1)[:, :, None, None, None]
    z = rays.directions[:, :, None]
    beside = cameras.centers[:, None] - rays.origins[:, :, None]  # b r m 3
    y = normalise(torch.linalg.cross(z.expand_as(beside), beside))
    x = torch.linalg.cross(y, z.expand_as(y))
    axes = torch.stack([x, y, z.expand_as(y)], dim=-2)[:, :, :, None]  # b r m 1 3 3
    centre = (axes @ beside[:, :, :, None, :, None])[..., 0] / unit
    at = (axes @ (points - rays.origins[:, :, None])[:, :, None, :, :, None])[..., 0] / unit
    direction = normalise(at - centre)
    moment = torch.linalg.cross(centre.expand_as(direction), direction)
    return torch.cat([direction, moment, at[..., 2:]], dim=-1)
