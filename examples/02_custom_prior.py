"""A prior of ten lines that knows the true scene, distilled into a field: a test that every pipeline should pass."""

import math
from dataclasses import replace

import torch

from fewview import Cameras, DistillConfig, Evidence, IdentityCodec, Views, distill
from fewview.evaluation.metrics import psnr
from fewview.render.asset import FieldAssetConfig
from fewview.render.field import FieldConfig
from fewview.render.hashgrid import HashGridConfig
from fewview.render.occupancy import OccupancyConfig
from fewview.render.volume import VolumeConfig, render_rays

GRID = HashGridConfig(levels=8, finest=128, log2_table=14)
ASSET = FieldAssetConfig(FieldConfig(GRID, log_density=-1.0), VolumeConfig(steps=96), OccupancyConfig(resolution=32))


def truth(points: torch.Tensor, directions: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """The true scene: a ball of radius 1.5, red on one side and blue on the other."""
    share = (points[:, :1] / 3 + 0.5).clamp(0, 1)
    colour = share * points.new_tensor([0.9, 0.2, 0.1]) + (1 - share) * points.new_tensor([0.1, 0.3, 0.9])
    return 30 * (points.norm(dim=-1) < 1.5).float(), colour


def photograph(cameras: Cameras) -> Views:
    seen = render_rays(truth, cameras.rays().flatten(), VolumeConfig(samples=96, importance=0))
    shape = (*cameras.shape, cameras.height, cameras.width)
    return Views(seen.features.reshape(*shape, 3).movedim(-1, -3), cameras, seen.alpha.reshape(shape)[..., None, :, :])


class Oracle:
    codec = IdentityCodec()

    def condition(self, context: Views, targets: Cameras):
        image = self.codec.encode(photograph(targets).images)
        return lambda x, sigma: image.expand_as(x)  # the expected x0 is the truth, however noisy x is


def ring(count: int, size: int, start: float = 0.0) -> Cameras:
    turn = start + torch.arange(count) * (2 * math.pi / count)
    centers = 7 * torch.stack([turn.cos(), turn.sin(), torch.full_like(turn, 0.4)], dim=-1)
    up = torch.tensor([0.0, 0.0, 1.0])
    return Cameras.look_at(centers, torch.zeros(3), up, focal=1.5 * size, height=size, width=size)


def main(steps: int = 300, size: int = 48) -> float:
    """Distills the oracle from one photo, and returns the PSNR of views that were neither input nor pseudo view."""
    photos, queries, unseen = photograph(ring(1, size)), ring(12, size), photograph(ring(4, size, start=0.2))
    first = Views(torch.zeros(12, 3, size, size), queries)  # for a bootstrap, which is left out here
    config = DistillConfig(steps, bootstrap_steps=0, denoising="single", distance="l1", grid_rate=1e-2, mlp_rate=2e-3)
    config = replace(config, render_size=size, asset=ASSET, occupancy_every=4)
    asset = distill(Oracle(), Evidence(photos, photos, queries, first), config, generator=torch.Generator())
    quality = psnr(asset.render(unseen.cameras).image, unseen.images).mean().item()
    print(f"{quality:.1f} dB on unseen views")
    return quality


if __name__ == "__main__":
    main()
