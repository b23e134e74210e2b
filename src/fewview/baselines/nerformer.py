"""NerFormer (Reizenstein et al., ICCV 2021, 2109.00512): attention over views and along the ray, in turn."""

from dataclasses import dataclass, field

import torch
from einops import rearrange
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional as F

from fewview.baselines.features import STAGES, Pyramid, at_size, encoded, pixel_aligned
from fewview.baselines.marching import Sampling, passes
from fewview.baselines.rays import RayNetwork
from fewview.cameras import Rays
from fewview.nn.layers import TransformerLayer, harmonic, key_bias
from fewview.views import Views


@dataclass(frozen=True)
class NerFormerConfig:
    """Defaults are those of the authors' configuration for CO3Dv2 (PyTorch3D, repro_multiseq_v2_nerformer), as far as
    it states them; the width of transformers and heads is ours to guess where it does not."""

    size: int = 256
    depth: int = 34
    stages: int = 4  # of the image network; each gives `projected` numbers of length one
    projected: int = 16
    dim: int = 80
    layers: int = 2  # pairs of attention over views and along the ray
    heads: int = 4
    hidden: int = 128  # of the colour head
    octaves: int = 10  # of positions; directions have 4 (NeRF)
    sampling: Sampling = field(default_factory=lambda: Sampling(coarse=32, fine=16))
    norm_first: bool = False


class NerFormer(RayNetwork):
    """One field for both passes. Positions are those of the world, so the network knows where it is in it."""

    def __init__(self, config: NerFormerConfig):
        super().__init__()
        c = config
        self.config, self.size = config, config.size
        self.backbone = Pyramid(c.depth, c.stages)
        self.project = nn.ModuleList(nn.Conv2d(width, c.projected, 1) for width in STAGES[1 : c.stages + 1])
        self.embed = nn.Linear(c.projected * c.stages + 4 + 3 * (2 * c.octaves + 1), c.dim)
        layer = lambda: TransformerLayer(c.dim, heads=c.heads, hidden=c.dim, dropout=0.0, norm_first=c.norm_first)
        self.over_views = nn.ModuleList(layer() for _ in range(c.layers))
        self.along_ray = nn.ModuleList(layer() for _ in range(c.layers))
        self.weight = nn.Linear(c.dim, 1)
        self.density = nn.Linear(c.dim, 1)
        self.colour = nn.Sequential(nn.Linear(c.dim + 3 * (2 * 4 + 1), c.hidden), nn.ReLU(), nn.Linear(c.hidden, 3))

    def encode(self, context: Views) -> tuple[Views, Tensor]:
        """The context, and its maps: projected features of each stage, colours and where the photos are."""
        maps = encoded(self.backbone, context)[1:]
        b, m = context.images.shape[:2]
        flat = [F.normalize(layer(x.flatten(0, 1)), dim=1) for layer, x in zip(self.project, maps)]
        height, width = context.images.shape[-2] // 2, context.images.shape[-1] // 2
        known = [context.images, torch.ones_like(context.images[:, :, :1])]
        return context, at_size([*(x.unflatten(0, (b, m)) for x in flat), *known], height, width)

    def colours(
        self, encoded: tuple[Views, Tensor], rays: Rays, generator: torch.Generator | None
    ) -> list[Float[Tensor, "b r 4"]]:
        field = lambda points, directions: self.field(*encoded, points=points, directions=directions)
        return passes([field, field], rays, self.config.sampling, generator=generator)

    def field(
        self, context: Views, maps: Tensor, *, points: Float[Tensor, "b r d 3"], directions: Float[Tensor, "b r 3"]
    ) -> tuple[Float[Tensor, "b r d"], Float[Tensor, "b r d 3"]]:
        """Density and colour: tokens of (view, sample), then transformers, then a weighted mean over views."""
        b, r, d, _ = points.shape
        features, seen = pixel_aligned(maps, context, points.flatten(1, 2))
        where = harmonic(points, self.config.octaves).flatten(1, 2)[:, None].expand(-1, features.shape[1], -1, -1)
        x = self.embed(torch.cat([features, where], dim=-1))
        shape = dict(b=b, r=r, d=d)
        views = rearrange(seen.to(x.dtype), "b m (r d) -> (b r d) m", r=r, d=d)
        samples = rearrange(seen.to(x.dtype), "b m (r d) -> (b r m) d", r=r, d=d)
        x = rearrange(x, "b m (r d) c -> (b r d) m c", r=r, d=d)
        for over, along in zip(self.over_views, self.along_ray):
            x = rearrange(over(x, key_bias(views)), "(b r d) m c -> (b r m) d c", **shape)
            x = rearrange(along(x, key_bias(samples)), "(b r m) d c -> (b r d) m c", **shape, m=seen.shape[1])
        weights = (self.weight(x) + key_bias(views).mT).softmax(dim=1)
        x = (x * weights).sum(1).unflatten(0, (b, r, d))
        towards = harmonic(directions, 4)[:, :, None].expand(-1, -1, d, -1)
        known = seen.any(1).unflatten(1, (r, d))  # what no view sees is taken for empty
        return F.softplus(self.density(x)[..., 0] - 1) * known, self.colour(torch.cat([x, towards], dim=-1)).sigmoid()
