"""Small scenes for the viewers."""

import torch

from fewview.benchmarks.splatting import shell
from fewview.cameras import Cameras
from fewview.render.gaussians import Gaussians

UP = torch.tensor([0.0, -1.0, 0.0])


def ball(count: int, *, seed: int = 0) -> Gaussians:
    """A ball whose colour tells the direction, with thin and faint splats among others."""
    splats = shell(count, 3, generator=torch.Generator().manual_seed(seed))
    hue = 0.5 + 0.45 * splats.means / splats.means.norm(dim=-1, keepdim=True)
    return Gaussians(splats.means, splats.scales, splats.quaternions, splats.opacities, hue)


def ring(count: int, *, height: int = 240, width: int = 320) -> Cameras:
    """Cameras around the origin, a little above, whose principal point is off the middle."""
    angles = torch.arange(count) * (2 * torch.pi / count)
    eyes = torch.stack([3 * angles.cos(), torch.full_like(angles, -0.8), 3 * angles.sin()], dim=-1)
    cameras = Cameras.look_at(eyes, torch.zeros(3), UP, focal=1.1 * height, height=height, width=width)
    return cameras.cropped(-7, 0, height, width)
