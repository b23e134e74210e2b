"""Splats of cells: f_g gives each cell of each view one Gaussian on its ray, f_phi what the Gaussian shows.

Depth is a place s in [0, 1] between near and far, even in logarithm, in units of the normalised frame.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal

import torch
from einops import rearrange
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional as F

from fewview.cameras import Cameras, pixel_centres
from fewview.geometry.depths import log_depths, log_places
from fewview.geometry.quaternions import multiply, quaternions_of
from fewview.geometry.transforms import apply
from fewview.render.gaussians import Gaussians
from fewview.render.splatting import splat
from fewview.views import Render

OPACITY_BIAS = 2.0  # new splats cover 0.88
STD_BIAS = -4.0  # new depth distributions have a standard deviation of 0.018 in s


@dataclass(frozen=True)
class SplatConfig:
    """The paper's text says no more than that a Gaussian depth distribution is better where depth is supervised."""

    features: int = 64  # f_phi, beside red, green and blue
    depth: Literal["gaussian", "discrete"] = "gaussian"
    bins: int = 64  # of the discrete distribution
    near: float = 0.3  # units of the normalised frame
    far: float = 40.0
    min_scale: float = 0.1  # standard deviations, in cells at the splat's depth
    max_scale: float = 3.0

    @property
    def depth_numbers(self) -> int:
        """Raw numbers that state a depth distribution."""
        return 2 if self.depth == "gaussian" else self.bins + 1


@dataclass(frozen=True, eq=False)
class PixelSplats:
    """The splats of all cells of some views, in the normalised frame; activated values."""

    means: Float[Tensor, "b m h w 3"]
    scales: Float[Tensor, "b m h w 3"]
    quaternions: Float[Tensor, "b m h w 4"]
    opacities: Float[Tensor, "b m h w"]
    features: Float[Tensor, "b m h w channels"]

    def scene(self, i: int) -> Gaussians:
        """All splats of scene i."""
        rows = lambda t: t[i].reshape(-1, t.shape[-1])
        opacities = self.opacities[i].flatten()
        return Gaussians(rows(self.means), rows(self.scales), rows(self.quaternions), opacities, rows(self.features))

    def smoothed(self, cameras: Cameras, variance: float) -> "PixelSplats":
        """Widened by a variance in square cells of their own views "b m" (Mip-Splatting's 3D filter, 2311.16493).

        Splats that were fitted at one resolution lean on how it widens footprints; without this, nearer views see
        gaps between them.
        """
        cells = cameras.resized(*self.opacities.shape[-2:])
        with torch.autocast(self.means.device.type, enabled=False):
            _, depth = cells.project(self.means.flatten(2, 3))
        focal = cells.intrinsics[..., [0, 1], [0, 1]].mean(-1)[..., None]
        cell = (depth / focal).unflatten(2, self.opacities.shape[-2:])[..., None]
        return replace(self, scales=(self.scales.square() + variance * cell.square()).sqrt())

    def render(self, cameras: Cameras, *, last: int | None = None) -> Render:
        """Cameras "b v" see the scenes; `last` channels alone, or all."""
        scenes = [self.scene(i) for i in range(len(cameras))]
        if last is not None:
            scenes = [replace(scene, features=scene.features[:, -last:]) for scene in scenes]
        return render_each(scenes, cameras)


def render_each(scenes: Sequence[Gaussians], cameras: Cameras) -> Render:
    """Cameras "b v" see scene by scene, in full precision."""
    with torch.autocast(cameras.world_from_cam.device.type, enabled=False):
        return Render.stack([splat(scene, cameras[i]) for i, scene in enumerate(scenes)])


class SplatHead(nn.Module):
    """f_g and f_phi: features of cells to splats; the last three channels of their features are RGB."""

    def __init__(self, inputs: int, config: SplatConfig):
        super().__init__()
        self.config = config
        self.geometry = _pointwise(inputs, config.depth_numbers + 10)
        self.appearance = _pointwise(inputs, config.features + 3)

    def forward(
        self, features: Float[Tensor, "b m c h w"], cameras: Cameras, generator: torch.Generator | None = None
    ) -> PixelSplats:
        """Cameras "b m" are in the normalised frame. Depths are drawn with a generator, else the likeliest."""
        x = rearrange(features, "b m c h w -> b m h w c")
        raw, shown = self.geometry(x).float(), self.appearance(x).float()
        shown = torch.cat([shown[..., :-3], 0.5 + 0.25 * shown[..., -3:]], dim=-1)
        numbers, rest = raw.split([self.config.depth_numbers, 10], dim=-1)
        place, certainty = draw_depth(numbers, self.config, generator)
        return place_splats(place, rest, cameras, config=self.config, features=shown, certainty=certainty)


def _pointwise(inputs: int, outputs: int) -> nn.Sequential:
    return nn.Sequential(nn.LayerNorm(inputs), nn.Linear(inputs, inputs), nn.GELU(), nn.Linear(inputs, outputs))


def draw_depth(
    numbers: Float[Tensor, "*batch k"], config: SplatConfig, generator: torch.Generator | None
) -> tuple[Float[Tensor, "*batch"], Float[Tensor, "*batch"] | None]:
    """Places s in [0, 1], drawn or likeliest; and the drawn bin's probability where the distribution is discrete.

    A Gaussian is drawn as mean + std * noise, so both learn. Bins are drawn by their probability, which the opacity
    passes gradients to (2312.12337 section 4.2); the last number shifts a splat within its bin.
    """
    if config.depth == "gaussian":
        mean, std = numbers[..., 0].sigmoid(), (numbers[..., 1] + STD_BIAS).sigmoid()
        if generator is None:
            return mean, None
        noise = torch.randn(mean.shape, generator=generator, device=generator.device).to(mean)
        return (mean + std * noise).clamp(0, 1), None
    chances = numbers[..., :-1].softmax(-1)
    if generator is None:
        index = chances.argmax(-1)
    else:
        flat = chances.detach().reshape(-1, config.bins).to(generator.device)
        index = torch.multinomial(flat, 1, generator=generator).reshape(chances.shape[:-1]).to(chances.device)
    place = (index + numbers[..., -1].sigmoid()) / config.bins
    return place, chances.gather(-1, index[..., None])[..., 0]


def place_splats(
    place: Float[Tensor, "b m h w"],
    raw: Float[Tensor, "b m h w 10"],
    cameras: Cameras,
    *,
    config: SplatConfig,
    features: Float[Tensor, "b m h w c"],
    certainty: Float[Tensor, "b m h w"] | None = None,
) -> PixelSplats:
    """Splats on the rays of cells. Raw numbers: 2 shift in the cell, 3 scale, 4 rotation to the camera, 1 opacity.

    Zeros mean the cell's centre, the geometric mean of both bounds of the scale, no rotation and 0.88.
    """
    with torch.autocast(place.device.type, enabled=False):
        h, w = place.shape[-2:]
        cells = cameras.resized(h, w)
        depth = log_depths(config.near, config.far, place)
        shift, scale, turn, opacity = raw.float().split([2, 3, 4, 1], dim=-1)
        pixels = pixel_centres(h, w).to(depth) + 0.5 * shift.tanh()
        in_cam = cells.in_cam(pixels.flatten(2, 3)).unflatten(2, (h, w)) * depth[..., None]
        means = apply(cells.world_from_cam, in_cam.flatten(2, 3)).unflatten(2, (h, w))
        focal = cells.intrinsics[..., [0, 1], [0, 1]].mean(-1)[..., None, None]
        size = config.min_scale * (config.max_scale / config.min_scale) ** scale.sigmoid()
        opacity = (opacity[..., 0] + OPACITY_BIAS).sigmoid() if certainty is None else certainty
        return PixelSplats(means, size * (depth / focal)[..., None], _turned(turn, cells), opacity, features.float())


def _turned(turn: Float[Tensor, "b m h w 4"], cameras: Cameras) -> Float[Tensor, "b m h w 4"]:
    """Unit quaternions in the normalised frame of rotations (turn + 1) in the cameras' frames."""
    local = F.normalize(turn + turn.new_tensor([1.0, 0, 0, 0]), dim=-1)
    axes = quaternions_of(cameras.world_from_cam[..., :3, :3].reshape(-1, 3, 3)).to(turn)
    axes = axes[:, None].expand(-1, turn.shape[2] * turn.shape[3], -1).reshape(-1, 4)
    return multiply(axes, local.reshape(-1, 4)).reshape(turn.shape)


def place_of(depth: Float[Tensor, "*batch"], config: SplatConfig) -> Float[Tensor, "*batch"]:
    """The place s of a z-depth, clamped to [0, 1]."""
    return log_places(config.near, config.far, depth)
