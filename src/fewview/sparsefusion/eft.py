"""The epipolar feature transformer (thesis 4.2, A.1, Table A.1).

Letters: b scenes, m context views, q query views of a scene, n rays of a query view, d depth samples along a ray.
Everything geometric is expressed in the query camera's own frame.
"""

from dataclasses import dataclass
from typing import Literal

import torch
from einops import rearrange
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional as F

from fewview.cameras import Cameras
from fewview.geometry.epipolar import sample_epipolar
from fewview.geometry.transforms import apply, normalise
from fewview.nn import efficientnet, resnet
from fewview.nn.layers import TransformerLayer, harmonic, key_bias
from fewview.nn.resnet import ResNet18Pyramid, upsampled
from fewview.views import Views

Backbone = Literal["resnet18", "lite0"]


@dataclass(frozen=True)
class EFTConfig:
    """Defaults are the thesis' and, where it is silent, the release's."""

    dim: int = 256  # thesis 5.1
    layers: tuple[int, int, int] = (4, 4, 4)  # of the three transformers, Table A.1
    heads: int = 1  # release; torch has no default
    hidden: int = 256  # release; torch's default would be 2048
    dropout: float = 0.1  # torch's default
    norm_first: bool = False  # torch's default
    octaves: int = 6  # thesis A.1
    depth_samples: int = 20  # thesis A.1
    depth_range: float = 5.0  # near and far are s -+ this, thesis A.1
    query_ray_first: bool = False  # thesis A.1: the first transformer sees it too; release: it does not
    view_ray: Literal["middle", "average"] = "average"  # of a view, for the third transformer: to the middle sample
    # (release), or averaged over the samples with the weights of their features (ours, and all weights whose config
    # does not say)
    depth_centre: Literal["query", "scene"] = "query"  # s: the query camera's distance to the origin, and near is kept
    # in front; or the mean over the scene's cameras (thesis), and near as it comes (release)
    sampling: Literal["seen", "corners"] = "seen"  # points that a view does not see are hidden; or (release) features
    # lie on a grid from corner pixel to corner pixel, and points that nobody sees take the border's
    batch_statistics: bool = False  # release: batch norm uses the context's own statistics at inference too
    unit_lengths: bool = False  # ours: encode depths over [-1, 1] and moments in units of s, against aliasing
    alpha: bool = False  # ours: a fourth output, coverage, tells black objects from the black background
    backbone: Backbone = "resnet18"  # of the photos (thesis), or EfficientNet-Lite0 (ours), whose ImageNet weights
    # a package carries
    copy: bool = False  # ours: colours may be copied from the photos, averaged as the features are


class Group(nn.Module):
    """A linear layer with GELU, then transformer layers: one of the three transformers."""

    def __init__(self, inputs: int, layers: int, config: EFTConfig):
        super().__init__()
        self.embed = nn.Linear(inputs, config.dim)
        c = config
        self.layers = nn.ModuleList(
            TransformerLayer(c.dim, heads=c.heads, hidden=c.hidden, dropout=c.dropout, norm_first=c.norm_first)
            for _ in range(layers)
        )

    def forward(self, embedded: Float[Tensor, "b s c"], valid: Float[Tensor, "b s"]) -> Float[Tensor, "b s c"]:
        """From tokens that went through `embed`; invalid ones (0) are hidden from the others."""
        x, bias = F.gelu(embedded), key_bias(valid)
        for layer in self.layers:
            x = layer(x, bias)
        return x


class WeightedAverage(nn.Module):
    """Softmax weights along a sequence, predicted by a linear layer; invalid tokens weigh nothing."""

    def __init__(self, dim: int):
        super().__init__()
        self.score = nn.Linear(dim, 1)

    def forward(self, x: Float[Tensor, "b s c"], valid: Float[Tensor, "b s"]) -> Float[Tensor, "b s 1"]:
        return (self.score(x) + key_bias(valid).mT).softmax(dim=1)


@dataclass(frozen=True, eq=False)
class Context:
    """Encoded context views: features that the first transformer's embedding has already multiplied, and images."""

    features: Float[Tensor, "b m c h w"]
    views: Views
    distance: Float[Tensor, " b"]  # mean distance of the scene's cameras to the origin


class EFT(nn.Module):
    """Context views and query rays to colours in [0, 1] (coverage too, if so configured) and features."""

    def __init__(self, config: EFTConfig):
        super().__init__()
        self.config = config
        ray, depth = 6 * (2 * config.octaves + 1), 2 * config.octaves + 1
        if config.backbone == "lite0":
            self.backbone, widths = efficientnet.Lite0Pyramid(), efficientnet.WIDTHS
        else:
            self.backbone, widths = ResNet18Pyramid(batch_statistics=config.batch_statistics), resnet.WIDTHS
        self.geometry_size = ray * (2 if config.query_ray_first else 1) + depth
        first, second, third = config.layers
        self.across_views = Group(self.geometry_size + sum(widths) + 3, first, config)  # "Init Transformer"
        self.along_ray = Group(2 * ray + depth + config.dim, second, config)  # "Depth Aggregator"
        self.ray_weights = WeightedAverage(config.dim)
        self.over_views = Group(2 * ray + config.dim, third, config)  # "View Aggregator"
        self.view_weights = WeightedAverage(config.dim)
        self.colour = nn.Linear(config.dim, 4 if config.alpha else 3)
        if config.copy:
            self.gate = nn.Linear(config.dim, 1)
            nn.init.constant_(self.gate.bias, -3.0)  # starts by painting its own colours

    def encode(self, context: Views, scene: Cameras | None = None) -> Context:
        """Image features, once per context. As the embedding is linear, it is applied before sampling: the same
        numbers as sampling all channels first, for a fraction of the work.

        `scene` "b n" are the cameras that depths are centred by at `depth_centre="scene"`; the context's unless given.
        """
        b, m, _, height, width = context.images.shape
        maps = self.backbone(context.images.flatten(0, 1))
        weight = self.across_views.embed.weight[:, self.geometry_size : -3]
        if self.config.backbone == "lite0":
            pyramid = efficientnet.centred(maps, height // 2, width // 2)
        else:
            corners = self.config.sampling == "corners"
            pyramid = upsampled(maps, height // 2, width // 2, align_corners=corners)
        projected = F.conv2d(pyramid, weight[:, :, None, None])
        distance = (scene or context.cameras).centers.norm(dim=-1).mean(-1)
        return Context(projected.float().unflatten(0, (b, m)), context, distance)

    def forward(
        self, context: Context, targets: Cameras, pixels: Float[Tensor, "b q n 2"]
    ) -> tuple[Float[Tensor, "b q n channels"], Float[Tensor, "b q n c"]]:
        """Colours and features of the rays through image points of the targets (batch "b q")."""
        b, q, n, _ = pixels.shape
        with torch.autocast(pixels.device.type, enabled=False):  # geometry wants all its digits
            directions, depths = self.query_rays(targets, pixels, context.distance)
            points = directions[..., None, :] * depths[..., None]  # b q n d 3, in the query frame
            tokens, photographed, seen = self.sample(context, targets, points)
            rays, query = self.ray_encodings(context, targets, points)
        query, depth = query[:, :, :, None, None], self.depth_encoding(depths)[:, :, :, None]  # b q n 1 1 e, .. 1 d e
        m, d = tokens.shape[3:5]
        valid = seen.to(tokens.dtype)  # b q n m d
        parts = [rays, depth, query] if self.config.query_ray_first else [rays, depth]
        x = tokens + linear_of_concatenation(self.across_views.embed, parts)
        x = rearrange(x, "b q n m d c -> (b q n d) m c")
        x = self.across_views(x, rearrange(valid, "b q n m d -> (b q n d) m"))
        x = rearrange(x, "(b q n d) m c -> b q n m d c", b=b, q=q, n=n, d=d)
        x = linear_of_concatenation(self.along_ray.embed, [x, query, rays, depth]).flatten(0, 3)
        x = self.along_ray(x, valid.flatten(0, 3))
        weights = self.ray_weights(x, valid.flatten(0, 3))
        averages = ((t * weights).sum(1).unflatten(0, (b, q, n, m)) for t in (x, rays.flatten(0, 3), photographed))
        x, ray, photographed = averages
        if self.config.view_ray == "middle":
            ray = rays[..., d // 2, :]
        x = linear_of_concatenation(self.over_views.embed, [x, query[..., 0, :], ray]).flatten(0, 2)
        seen_at_all = valid.amax(-1).flatten(0, 2)
        x = self.over_views(x, seen_at_all)
        weights = self.view_weights(x, seen_at_all)
        features, photographed = ((t * weights).sum(1).unflatten(0, (b, q, n)) for t in (x, photographed.flatten(0, 2)))
        return self.painted(features, photographed), features

    def painted(
        self, features: Float[Tensor, "b q n c"], photographed: Float[Tensor, "b q n 3"]
    ) -> Float[Tensor, "b q n channels"]:
        """The colours of rays: the network's own, or blended with the photos' where a ray was thought to end."""
        own = self.colour(features).sigmoid()
        if not self.config.copy:
            return own
        gate = self.gate(features).sigmoid()
        colour = own[..., :3] + gate * (photographed.to(own) - own[..., :3])
        return torch.cat([colour, own[..., 3:]], dim=-1)

    def query_rays(
        self, targets: Cameras, pixels: Float[Tensor, "b q n 2"], distance: Float[Tensor, " b"]
    ) -> tuple[Float[Tensor, "b q n 3"], Float[Tensor, "b q n d"]]:
        """Directions in the query frame with z = 1, and z-depths s - range .. s + range, never nearer than s / 10.

        s is the query camera's own distance to the origin, or the scene's `distance` as it is (thesis: the mean over
        all cameras of the scene, held-out ones included).
        """
        steps = torch.linspace(-1, 1, self.config.depth_samples, device=pixels.device, dtype=pixels.dtype)
        if self.config.depth_centre == "scene":
            depths = (distance[:, None, None] + self.config.depth_range * steps).expand(*targets.shape, -1)
        else:
            s = targets.centers.norm(dim=-1)[..., None]
            depths = torch.maximum(s + self.config.depth_range * steps, 0.1 * s)
        return targets.in_cam(pixels), depths[..., None, :].expand(*pixels.shape[:-1], -1)

    def sample(
        self, context: Context, targets: Cameras, points: Float[Tensor, "b q n d 3"]
    ) -> tuple[Float[Tensor, "b q n m d c"], Float[Tensor, "bqnm d 3"], Tensor]:
        """Embedded image features of points, the photos' colours there, and which views see them (b q n m d)."""
        views = context.views
        b, q, n, d, _ = points.shape
        world = apply(targets.world_from_cam[..., None, :, :], points.flatten(2, 3)[:, :, None]).reshape(b, 1, -1, 3)
        pixels, depth = views.cameras.project(world.expand(-1, views.images.shape[1], -1, -1))
        size = dict(height=views.cameras.height, width=views.cameras.width)
        corners = self.config.sampling == "corners"
        features, seen = sample_epipolar(context.features, pixels, depth, corners=corners, **size)
        colours, _ = sample_epipolar(views.images, pixels, depth, corners=corners, **size)
        features = features + colours @ self.across_views.embed.weight[:, -3:].mT
        shape = dict(q=q, n=n, d=d)
        seen = rearrange(seen, "b m (q n d) -> b q n m d", **shape)
        colours = rearrange(colours, "b m (q n d) c -> (b q n m) d c", **shape)
        return rearrange(features, "b m (q n d) c -> b q n m d c", **shape), colours, seen

    def ray_encodings(
        self, context: Context, targets: Cameras, points: Float[Tensor, "b q n d 3"]
    ) -> tuple[Float[Tensor, "b q n m d e"], Float[Tensor, "b q n e"]]:
        """Harmonics of the Plücker coordinates of rays from context cameras to points, and of the query rays."""
        unit = self._unit(targets)
        centres = context.views.cameras.centers[:, None].expand(-1, points.shape[1], -1, -1)
        centres = apply(targets.cam_from_world, centres)[:, :, None, :, None]  # b q 1 m 1 3
        directions = normalise(points[:, :, :, None] - centres)
        moments = torch.linalg.cross(centres.expand_as(directions), directions) / unit[..., None, None, None]
        rays = harmonic(torch.cat([directions, moments], dim=-1), self.config.octaves)
        query = normalise(points[..., 0, :])
        return rays, harmonic(torch.cat([query, torch.zeros_like(query)], dim=-1), self.config.octaves)

    def depth_encoding(self, depths: Float[Tensor, "b q n d"]) -> Float[Tensor, "b q n d e"]:
        """Harmonics of z-depth: raw (thesis), or its place between near and far."""
        if self.config.unit_lengths:
            steps = torch.linspace(-1, 1, depths.shape[-1], device=depths.device, dtype=depths.dtype)
            depths = steps.expand_as(depths)
        return harmonic(depths[..., None], self.config.octaves)

    def _unit(self, targets: Cameras) -> Float[Tensor, "b q 1"]:
        distance = targets.centers.norm(dim=-1)[..., None]
        return distance if self.config.unit_lengths else torch.ones_like(distance)


def linear_of_concatenation(layer: nn.Linear, parts: list[Tensor]) -> Tensor:
    """`layer(cat(parts, -1))` for parts that broadcast, without building the concatenation.

    Inputs of the layer beyond the parts count as zero.
    """
    sizes = [part.shape[-1] for part in parts]
    weights = layer.weight.split([*sizes, layer.in_features - sum(sizes)], dim=1)
    first = F.linear(parts[0], weights[0], layer.bias)
    return sum((part @ weight.mT for part, weight in zip(parts[1:], weights[1:])), first)
