"""PixelNeRF (Yu et al., CVPR 2021, 2012.02190): a radiance field that is read off pixel-aligned image features."""

from dataclasses import dataclass, field

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional as F

from fewview.baselines.features import Pyramid, at_size, encoded, pixel_aligned
from fewview.baselines.marching import Sampling, passes
from fewview.baselines.rays import RayNetwork
from fewview.cameras import Cameras, Rays
from fewview.geometry.transforms import apply
from fewview.nn.layers import harmonic
from fewview.views import Views

CHANNELS = 512  # of the pyramid: 64 + 64 + 128 + 256 (B.1)
FREQUENCY = 1.5  # of the first octave, the release's


@dataclass(frozen=True)
class PixelNeRFConfig:
    """Defaults are the paper's (B.1) and, for numbers of samples, those of the release's multi-view configuration."""

    size: int = 256
    depth: int = 34  # layers of the image network
    hidden: int = 512
    blocks: int = 5
    combine: int = 3  # views are averaged before this block; features enter in the blocks up to it
    octaves: int = 6
    sampling: Sampling = field(default_factory=lambda: Sampling(coarse=64, fine=16, near_depth=16))
    embed_first: bool = False  # ours: linear layers on features before they are sampled; the same numbers, and cheaper
    # where 3 x hidden is below 512
    softplus: bool = False  # ours: density by softplus; a ReLU that has died does not come back


class Block(nn.Module):
    """A fully connected residual block, activations first; it starts as the identity."""

    def __init__(self, width: int):
        super().__init__()
        self.first, self.second = nn.Linear(width, width), nn.Linear(width, width)
        nn.init.zeros_(self.second.weight)

    def forward(self, x: Float[Tensor, "*batch c"]) -> Float[Tensor, "*batch c"]:
        return x + self.second(F.relu(self.first(F.relu(x))))


class ViewMLP(nn.Module):
    """f1, the mean over views, and f2 (section 4.2): where a point lies in each view and what that shows, to four
    numbers."""

    def __init__(self, config: PixelNeRFConfig):
        super().__init__()
        self.combine = config.combine
        self.first = nn.Linear(3 * (2 * config.octaves + 1) + 3, config.hidden)
        self.inject = nn.Linear(CHANNELS, config.combine * config.hidden)
        self.blocks = nn.ModuleList(Block(config.hidden) for _ in range(config.blocks))
        self.last = nn.Linear(config.hidden, 4)

    def forward(self, geometry: Float[Tensor, "b m n e"], injected: Float[Tensor, "b m n k"]) -> Float[Tensor, "b n 4"]:
        x, parts = self.first(geometry), injected.chunk(self.combine, dim=-1)
        for i, block in enumerate(self.blocks):
            x = x.mean(1) if i == self.combine else x
            x = block(x + parts[i] if i < self.combine else x)
        return self.last(F.relu(x))


class PixelNeRF(RayNetwork):
    """Two such fields, coarse and fine, on one image network. Points that a view does not see have features of zero.

    Points and directions are told in each view's own frame, so turning the world changes nothing.
    """

    def __init__(self, config: PixelNeRFConfig):
        super().__init__()
        self.config, self.size = config, config.size
        self.backbone = Pyramid(config.depth)
        self.coarse, self.fine = ViewMLP(config), ViewMLP(config)

    def encode(self, context: Views) -> tuple[Views, list[Tensor]]:
        """The context, and the maps "b m c h w" that each of the two fields samples."""
        images = context.images
        maps = at_size(encoded(self.backbone, context, scale=2, shift=-1), images.shape[-2] // 2, images.shape[-1] // 2)
        if not self.config.embed_first:
            return context, [maps, maps]
        embed = lambda mlp: F.conv2d(maps.flatten(0, 1), mlp.inject.weight[:, :, None, None])
        return context, [embed(mlp).unflatten(0, maps.shape[:2]) for mlp in (self.coarse, self.fine)]

    def colours(
        self, encoded: tuple[Views, list[Tensor]], rays: Rays, generator: torch.Generator | None
    ) -> list[Float[Tensor, "b r 3"]]:
        context, maps = encoded
        fields = [self._field(mlp, context, own) for mlp, own in zip((self.coarse, self.fine), maps)]
        return [x[..., :3] for x in passes(fields, rays, self.config.sampling, generator=generator)]

    def _field(self, mlp: ViewMLP, context: Views, maps: Tensor):
        def field(points: Float[Tensor, "b r d 3"], directions: Float[Tensor, "b r 3"]):
            flat = points.flatten(1, 2)
            features, _ = pixel_aligned(maps, context, flat)
            injected = features + mlp.inject.bias if self.config.embed_first else mlp.inject(features)
            outputs = mlp(self.geometry(context.cameras, points, directions), injected).unflatten(1, points.shape[1:3])
            density = F.softplus(outputs[..., 0] - 1) if self.config.softplus else F.relu(outputs[..., 0])
            return density, outputs[..., 1:].sigmoid()

        return field

    def geometry(
        self, cameras: Cameras, points: Float[Tensor, "b r d 3"], directions: Float[Tensor, "b r 3"]
    ) -> Float[Tensor, "b m n e"]:
        """Encoded positions and plain directions in the frame of each view (Eq. 4 and 5)."""
        x = apply(cameras.cam_from_world, points.flatten(1, 2)[:, None])
        turned = directions[:, None] @ cameras.cam_from_world[..., :3, :3].mT
        d = turned[:, :, :, None].expand(-1, -1, -1, points.shape[2], -1).flatten(2, 3)
        waves = harmonic(FREQUENCY * x, self.config.octaves)[..., 3:]
        return torch.cat([x, waves, d], dim=-1)
