"""A radiance field in closed form, rendered as a learned one would be: (points, directions) -> (density, colour)."""

import math
from pathlib import Path

import torch
from PIL import Image

from fewview import Cameras
from fewview.render.volume import VolumeConfig, render_rays


def marble(points: torch.Tensor, directions: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """A ball of radius 1.5 at the origin, opaque within a tenth of a unit, with stripes."""
    inside = (1.5 - points.norm(dim=-1)).clamp(min=0)
    stripes = 0.5 + 0.5 * torch.sin(4 * points + 2 * points.roll(1, dims=-1))
    return 40 * (inside > 0).float(), stripes


def main(size: int = 128, out: Path = Path("out/marble.png")) -> float:
    """Renders the ball from two sides and returns the share of the picture that it covers."""
    turn = torch.tensor([0.0, math.pi / 2])
    centers = 6 * torch.stack([turn.cos(), turn.sin(), torch.full_like(turn, 0.3)], dim=-1)
    up = torch.tensor([0.0, 0.0, 1.0])
    cameras = Cameras.look_at(centers, torch.zeros(3), up, focal=1.5 * size, height=size, width=size)

    seen = render_rays(marble, cameras.rays().flatten(), VolumeConfig(samples=64, importance=32))

    images = seen.features.reshape(2, size, size, 3)
    pixels = (torch.cat([images[0], images[1]], dim=1) * 255).round().to(torch.uint8)
    out.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels.numpy()).save(out)
    print(f"{out}: the ball covers {seen.alpha.mean():.0%} of the picture")
    return seen.alpha.mean().item()


if __name__ == "__main__":
    main()
