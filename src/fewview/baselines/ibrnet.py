"""IBRNet (Wang et al., CVPR 2021, 2102.13090): colours blend the photos', a ray transformer tells the density.

Letters: b scenes, m context views, r rays, d samples on a ray.
"""

from dataclasses import dataclass, field

import torch
from einops import rearrange
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional as F

from fewview.baselines.features import STAGES, Pyramid, at_size, encoded, pixel_aligned
from fewview.baselines.marching import Sampling, passes
from fewview.baselines.rays import RayNetwork
from fewview.cameras import Cameras, Rays
from fewview.geometry.transforms import normalise
from fewview.nn.layers import TransformerLayer, harmonic, key_bias
from fewview.views import Views


@dataclass(frozen=True)
class IBRNetConfig:
    """Defaults are the paper's: 64 + 64 samples, 32 features a view and pass, 16 of density, 4 heads."""

    size: int = 256
    depth: int = 34
    features: int = 32  # of each view, in each of the two passes
    hidden: int = 64
    density: int = 16  # what the ray transformer sees of a sample
    heads: int = 4
    octaves: int = 4  # of the place on the ray
    sampling: Sampling = field(default_factory=lambda: Sampling(coarse=64, fine=64))


class Blend(nn.Module):
    """The network of one pass: features of all views at a sample to its density and colour (section 3.2)."""

    def __init__(self, config: IBRNetConfig):
        super().__init__()
        c, f = config, config.features + 3
        self.octaves, self.features = c.octaves, c.features
        self.direction = nn.Sequential(nn.Linear(2, 16), nn.ELU(), nn.Linear(16, f), nn.ELU())
        self.view = nn.Sequential(nn.Linear(3 * f, c.hidden), nn.ELU(), nn.Linear(c.hidden, c.features + 1))
        self.sample = nn.Sequential(nn.Linear(2 * c.features, c.hidden), nn.ELU(), nn.Linear(c.hidden, c.density))
        self.place = nn.Linear(2 * c.octaves + 1, c.density)
        self.along_ray = TransformerLayer(c.density, heads=c.heads, hidden=c.density, dropout=0.0, norm_first=False)
        self.opacity = nn.Sequential(nn.Linear(c.density, c.density), nn.ELU(), nn.Linear(c.density, 1))
        self.weight = nn.Sequential(nn.Linear(c.features + 3, 16), nn.ELU(), nn.Linear(16, 1))

    def forward(
        self, x: Float[Tensor, "b m r d f"], turned: Float[Tensor, "b m r d 2"], seen: Float[Tensor, "b m r d"]
    ) -> tuple[Float[Tensor, "b r d"], Float[Tensor, "b r d 3"]]:
        """`x` ends with the photos' colours, `turned` says how far each view's ray is from the query's."""
        photographed, valid = x[..., -3:], seen[..., None]
        x = x + self.direction(turned)
        mean, variance = moments(x, valid)
        pooled = torch.cat([mean, variance], dim=-1)[:, None].expand(-1, x.shape[1], -1, -1, -1)
        x, weight = self.view(torch.cat([x, pooled], dim=-1)).split([self.features, 1], dim=-1)
        x, weight = F.elu(x), weight.sigmoid() * valid
        y = self.sample(torch.cat(moments(x, weight), dim=-1))
        b, r, d, _ = y.shape
        place = torch.linspace(-1, 1, d, device=y.device, dtype=y.dtype)[:, None]
        y = (F.elu(y) + self.place(harmonic(place, self.octaves))).flatten(0, 1)
        anywhere = seen.amax(1)
        y = self.along_ray(y, key_bias(anywhere.flatten(0, 1))).unflatten(0, (b, r))
        density = F.softplus(self.opacity(y)[..., 0] - 1) * anywhere
        scores = self.weight(torch.cat([x, weight, turned], dim=-1)) + (valid - 1) * 1e4
        return density, (scores.softmax(dim=1) * photographed).sum(1)


def moments(x: Tensor, weights: Tensor) -> tuple[Tensor, Tensor]:
    """Weighted mean and variance over views (axis 1); zeros where nothing weighs."""
    share = weights / weights.sum(1, keepdim=True).clamp(min=1e-6)
    mean = (share * x).sum(1)
    return mean, (share * (x - mean[:, None]).square()).sum(1)


class IBRNet(RayNetwork):
    """Only differences of directions and the place on a ray are told, so turning the world changes nothing.

    Levels of the image network are resampled to one size, in place of the paper's decoder.
    """

    def __init__(self, config: IBRNetConfig):
        super().__init__()
        self.config, self.size = config, config.size
        self.backbone = Pyramid(config.depth)
        self.project = nn.Conv2d(sum(STAGES[:4]), 2 * config.features, 1)
        self.coarse, self.fine = Blend(config), Blend(config)

    def encode(self, context: Views) -> tuple[Views, list[Tensor]]:
        """The context, and for each pass features and colours "b m f h w"."""
        height, width = context.images.shape[-2:]
        maps = at_size(encoded(self.backbone, context), height // 2, width // 2)
        features = self.project(maps.flatten(0, 1)).unflatten(0, maps.shape[:2])
        features = at_size([features], height, width).chunk(2, dim=2)
        return context, [torch.cat([part, context.images], dim=2) for part in features]

    def colours(
        self, encoded: tuple[Views, list[Tensor]], rays: Rays, generator: torch.Generator | None
    ) -> list[Float[Tensor, "b r 3"]]:
        context, maps = encoded
        fields = [self._field(blend, context, own) for blend, own in zip((self.coarse, self.fine), maps)]
        return [x[..., :3] for x in passes(fields, rays, self.config.sampling, generator=generator)]

    def _field(self, blend: Blend, context: Views, maps: Tensor):
        def field(points: Float[Tensor, "b r d 3"], directions: Float[Tensor, "b r 3"]):
            shape = dict(r=points.shape[1], d=points.shape[2])
            x, seen = pixel_aligned(maps, context, points.flatten(1, 2))
            x = rearrange(x, "b m (r d) f -> b m r d f", **shape)
            seen = rearrange(seen.to(x.dtype), "b m (r d) -> b m r d", **shape)
            return blend(x, turned(context.cameras, points, directions), seen)

        return field


def turned(
    cameras: Cameras, points: Float[Tensor, "b r d 3"], directions: Float[Tensor, "b r 3"]
) -> Float[Tensor, "b m r d 2"]:
    """How the rays of views to points differ from the query's: cosine and sine of the angle between them, in place of
    the paper's difference of vectors, which depends on the world's axes."""
    towards = normalise(points[:, None] - cameras.centers[:, :, None, None])
    own = directions[:, None, :, None].expand_as(towards)
    cosine = (towards * own).sum(-1, keepdim=True)
    sine = torch.linalg.cross(towards, own).norm(dim=-1, keepdim=True)
    return torch.cat([cosine, sine], dim=-1)
