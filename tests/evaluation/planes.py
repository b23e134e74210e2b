"""A wall with a picture on it and perhaps a box before it: images, depths and homographies in closed form."""

import torch
from torch.nn.functional import grid_sample, interpolate

from fewview.cameras import Cameras

WALL, BOX = 4.0, 2.0  # z of both planes
HALF = 0.5  # of the box' sides


def camera(x: float = 0.0, y: float = 0.0, z: float = 0.0, *, size: int = 64, focal: float = 64.0) -> Cameras:
    """One camera (batch 1) at a point, axes as the world's: it looks straight at the wall."""
    pose = torch.eye(4)[None].clone()
    pose[0, :3, 3] = torch.tensor([x, y, z])
    pinhole = torch.tensor([[focal, 0, size / 2], [0, focal, size / 2], [0, 0, 1]])
    return Cameras(pose, pinhole[None], size, size)


def on_plane(cameras: Cameras, z: float) -> torch.Tensor:
    """World x and y where each pixel's ray meets a plane."""
    rays = cameras.rays()
    distance = (z - rays.origins[..., 2:]) / rays.directions[..., 2:]
    return (rays.origins + distance * rays.directions)[..., :2]


def depth(cameras: Cameras, *, box: bool = True) -> torch.Tensor:
    """z-depth "batch h w" of cameras that look along z."""
    wall = (WALL - cameras.centers[:, 2])[:, None, None].expand(-1, cameras.height, cameras.width)
    if not box:
        return wall.clone()
    hit = on_plane(cameras, BOX).abs().amax(-1) < HALF
    return torch.where(hit, (BOX - cameras.centers[:, 2])[:, None, None], wall)


def texture(seed: int = 0) -> torch.Tensor:
    """Smooth random blobs of two sizes, "1 3 256 256"."""
    generator = torch.Generator().manual_seed(seed)
    parts = [
        interpolate(torch.rand(1, 3, n, n, generator=generator), (256, 256), mode="bicubic", align_corners=False)
        for n in (24, 64)
    ]
    return (0.5 * parts[0] + 0.5 * parts[1]).clamp(0, 1)


def paint(cameras: Cameras, seed: int = 0) -> torch.Tensor:
    """The textured wall, 8 world units wide, as cameras (any orientation) see it."""
    grid = on_plane(cameras, WALL) / 4
    return grid_sample(texture(seed).expand(len(cameras), -1, -1, -1), grid, align_corners=False).clamp(0, 1)
