"""A micro model, and clips of a room whose walls are planes: every depth is known in closed form."""

import torch

from fewview.cameras import Cameras
from fewview.geometry.transforms import axis_angle, normalise
from fewview.ggs.clips import Clip
from fewview.ggs.decoder import DecoderConfig
from fewview.ggs.epipolar import EpipolarConfig
from fewview.ggs.model import GGS, GGSConfig
from fewview.ggs.splats import SplatConfig
from fewview.ggs.velocity import VelocityConfig
from fewview.nn.autoencoder import AutoencoderConfig
from fewview.nn.multiview_unet import MultiViewUNetConfig
from fewview.views import Views

MICRO = GGSConfig(
    backbone=MultiViewUNetConfig((16, 24), attention=(False, True), heads=2),
    autoencoder=AutoencoderConfig((8, 8), blocks=1, groups=4, scale=1.0),
    epipolar=EpipolarConfig(dim=16, layers=2, heads=2, depth_samples=6, octaves=2),
    splats=SplatConfig(features=5),
    velocity=VelocityConfig(width=16, blocks=1),
    decoder=DecoderConfig((16, 8), blocks=1, groups=4),
    height=16,
    width=16,
)


def lively(model: GGS, seed: int = 0) -> GGS:
    """With random numbers in place of zero-initialised heads, so that cameras matter."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.dim() > 1:
                fan_in = parameter[0].numel()
                parameter.copy_(torch.randn(parameter.shape, generator=generator) * fan_in**-0.5)
    return model.eval()


def plane_depth(cameras: Cameras, z: float = 4.0) -> torch.Tensor:
    """z-depths of the plane at `z` of the world, seen by each pixel."""
    rays = cameras.rays()
    distance = (z - rays.origins[..., 2]) / rays.directions[..., 2]
    return distance * (rays.directions * cameras.forward[..., None, None, :]).sum(-1)


def painted(cameras: Cameras, z: float = 4.0) -> Views:
    """A smooth painting on the plane."""
    rays = cameras.rays()
    points = rays.origins + rays.directions * ((z - rays.origins[..., 2:]) / rays.directions[..., 2:])
    x, y, _ = points.unbind(-1)
    return Views(torch.stack([0.5 + 0.2 * x.sin(), 0.5 + 0.2 * y.cos(), 0.5 + 0.1 * (x + y).sin()], dim=-3), cameras)


def psnr(a: torch.Tensor, b: torch.Tensor) -> float:
    """dB, of values in [0, 1]."""
    return -10 * torch.log10((a - b).square().mean()).item()


def walk(batch: int, count: int, *, size: int = 16, seed: int = 0) -> Cameras:
    """Cameras about the origin that look at the plane at z = 4, y down."""
    generator = torch.Generator().manual_seed(seed)
    centers = torch.randn(batch, count, 3, generator=generator) * 0.4
    return Cameras.look_at(
        centers, torch.tensor([0.0, 0, 4]), torch.tensor([0.0, -1, 0]), focal=1.2 * size, height=size, width=size
    )


def along(places: list[float], *, turn: float = 0.0, size: int = 16) -> Cameras:
    """Cameras on the x axis that look along z."""
    centers = torch.tensor([[x, 0.0, 0.0] for x in places])
    ahead = torch.tensor([torch.tensor(turn).sin(), 0.0, torch.tensor(turn).cos()])
    up = torch.tensor([0.0, -1, 0])
    return Cameras.look_at(centers, centers + ahead, up, focal=1.2 * size, height=size, width=size)


def room(batch: int = 2, k: int = 2, l: int = 3, j: int = 2, *, size: int = 16) -> Clip:  # noqa: E741
    cameras = walk(batch, k + l + j, size=size)
    views, depths = painted(cameras), plane_depth(cameras)
    parts = slice(0, k), slice(k, k + l), slice(k + l, None)
    return Clip(*(views[:, part] for part in parts), *(depths[:, part] for part in parts))


def similarity_of(scale: float) -> torch.Tensor:
    """A rotation, a shift and a scale of the world."""
    turn = axis_angle(normalise(torch.tensor([1.0, 2, -1])), torch.tensor(0.8))
    matrix = torch.eye(4)
    matrix[:3, :3], matrix[:3, 3] = scale * turn, torch.tensor([1.0, -2, 0.5])
    return matrix
