"""The epipolar transformer T_epi: every cell looks along its epipolar lines in all other views (as pixelSplat's).

Letters: b scenes, m views, s = m - 1 other views, n cells of a view, d depth samples along a cell's ray, e heads.
"""

from dataclasses import dataclass

import torch
from einops import rearrange
from jaxtyping import Bool, Float
from torch import Tensor, nn

from fewview.cameras import Cameras
from fewview.geometry.depths import log_depths
from fewview.geometry.epipolar import inside_image, sample_bilinear
from fewview.ggs.frame import points_at
from fewview.nn.layers import harmonic


@dataclass(frozen=True)
class EpipolarConfig:
    """Defaults are pixelSplat's (2312.12337; its released configuration)."""

    dim: int = 128
    layers: int = 2
    heads: int = 4
    depth_samples: int = 32
    octaves: int = 10
    near: float = 0.3  # ours: of the samples, in units of the normalised frame
    far: float = 40.0


@dataclass(frozen=True, eq=False)
class EpipolarLines:
    """Where the depth samples of every cell lie in all other views: the same for every layer."""

    pixels: Float[Tensor, "b m s n d 2"]  # image points of the other view
    depth: Float[Tensor, "b m s n d"]  # z-depth there
    height: int
    width: int


def epipolar_lines(cameras: Cameras, h: int, w: int, *, depths: Float[Tensor, " d"]) -> EpipolarLines:
    """Projections of the points at `depths` on the rays of an h x w grid of cells, for cameras "b m"."""
    b, m = cameras.shape
    others = other_views(m).to(depths.device)
    points = points_at(cameras[:, :, None], depths[:, None, None].expand(b, m, -1, h, w))  # b m d h w 3
    points = rearrange(points, "b m d h w x -> b m 1 (h w d) x").expand(-1, -1, m - 1, -1, -1)
    pixels, depth = cameras[:, others].project(points)
    split = {"n": h * w, "d": len(depths)}
    pixels = rearrange(pixels, "b m s (n d) x -> b m s n d x", **split)
    return EpipolarLines(pixels, rearrange(depth, "b m s (n d) -> b m s n d", **split), cameras.height, cameras.width)


def other_views(m: int) -> Tensor:
    """Row i lists all views but i: "m m-1"."""
    index = torch.arange(m)
    return index.expand(m, m)[index[:, None] != index].reshape(m, max(m - 1, 0))


class EpipolarAttention(nn.Module):
    """Attention of cells over what the other views show along their epipolar lines, and over themselves.

    Keys and values are linear in the sampled features, so features are sampled once and projected afterwards, on the
    side of the query: numbers equal to projecting every sample, at a fraction of the work.
    """

    def __init__(self, config: EpipolarConfig):
        super().__init__()
        dim, self.heads = config.dim, config.heads
        self.norm = nn.LayerNorm(dim)
        self.query = nn.Linear(dim, dim)
        self.key = nn.Parameter(torch.randn(self.heads, dim // self.heads, dim) * dim**-0.5)
        self.value = nn.Parameter(torch.randn(self.heads, dim // self.heads, dim) * dim**-0.5)
        self.depth = nn.Linear(2 * config.octaves + 1, dim)
        self.out = nn.Linear(dim, dim)

    def forward(
        self,
        x: Float[Tensor, "b m n c"],
        samples: Float[Tensor, "b m n s d c"],
        seen: Bool[Tensor, "b m n s d"],
        places: Float[Tensor, "d k"],
    ) -> Float[Tensor, "b m n c"]:
        """`places` encodes the depth samples; unseen samples weigh nothing."""
        own, depth = self.norm(x), self.depth(places)
        query = self.query(own).unflatten(-1, (self.heads, -1)) * (x.shape[-1] // self.heads) ** -0.5
        query = torch.einsum("bmnei,eic->bmnec", query, self.key)
        scores = torch.einsum("bmnec,bmnsdc->bmnesd", query, samples)
        scores = scores + torch.einsum("bmnec,dc->bmned", query, depth)[..., None, :]
        scores = scores.float().masked_fill(~seen[:, :, :, None], -torch.inf).flatten(-2)
        itself = torch.einsum("bmnec,bmnc->bmne", query, own).float()
        weights = torch.cat([itself[..., None], scores], dim=-1).softmax(-1).to(samples.dtype)
        along = weights[..., 1:].unflatten(-1, seen.shape[-2:])
        mixed = torch.einsum("bmnesd,bmnsdc->bmnec", along, samples)
        mixed = mixed + torch.einsum("bmned,dc->bmnec", along.sum(-2), depth)
        mixed = mixed + weights[..., :1] * own[:, :, :, None]
        return self.out(torch.einsum("bmnec,eic->bmnei", mixed, self.value).flatten(-2))


class EpipolarTransformer(nn.Module):
    """Features of all views to features that know what the other views show along their rays."""

    def __init__(self, inputs: int, config: EpipolarConfig):
        super().__init__()
        self.config = config
        dim = config.dim
        self.embed = nn.Linear(inputs, dim)
        self.norm = nn.LayerNorm(dim)
        self.attentions = nn.ModuleList(EpipolarAttention(config) for _ in range(config.layers))
        self.mlps = nn.ModuleList(
            nn.Sequential(nn.LayerNorm(dim), nn.Linear(dim, 2 * dim), nn.GELU(), nn.Linear(2 * dim, dim))
            for _ in range(config.layers)
        )

    def forward(self, features: Float[Tensor, "b m y h w"], cameras: Cameras) -> Float[Tensor, "b m c h w"]:
        """Cameras "b m" are in the normalised frame. What they see is sampled once, before the first layer."""
        h = features.shape[-2]
        x = self.embed(rearrange(features, "b m y h w -> b m (h w) y"))
        samples, seen, places = self.sample(rearrange(self.norm(x), "b m (h w) c -> b m c h w", h=h), cameras)
        for attention, mlp in zip(self.attentions, self.mlps):
            x = x + attention(x, samples, seen, places)
            x = x + mlp(x)
        return rearrange(x, "b m (h w) c -> b m c h w", h=h)

    def sample(self, maps: Float[Tensor, "b m c h w"], cameras: Cameras) -> tuple[Tensor, Tensor, Tensor]:
        """Features "b m n s d c" along the epipolar lines, which of them are seen, and the samples' encodings.

        Attention gives the unseen ones, behind a camera or beside its image, no weight, whatever they hold.
        """
        b, m, c, h, w = maps.shape
        steps = torch.linspace(0, 1, self.config.depth_samples, device=maps.device)
        places = harmonic(2 * steps[:, None] - 1, self.config.octaves)
        if m == 1:
            empty = maps.new_zeros(b, m, h * w, 0, len(steps), c)
            return empty, empty[..., 0].bool(), places
        with torch.autocast(maps.device.type, enabled=False):
            lines = epipolar_lines(cameras, h, w, depths=log_depths(self.config.near, self.config.far, steps))
            sources = maps.float()[:, other_views(m)].flatten(1, 2)  # b (m s) c h w
            height, width = lines.height, lines.width
            seen = inside_image(lines.pixels, lines.depth, height=height, width=width)
            pixels = torch.where(seen[..., None], lines.pixels, torch.zeros_like(lines.pixels))
            pixels = pixels.flatten(3, 4).flatten(0, 2)
            samples = sample_bilinear(sources.flatten(0, 1), pixels, height=height, width=width)
        shape = {"b": b, "m": m, "n": h * w}
        samples = rearrange(samples, "(b m s) (n d) c -> b m n s d c", **shape).to(maps.dtype)
        return samples, rearrange(seen, "b m s n d -> b m n s d"), places
