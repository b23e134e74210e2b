"""A prior of ten lines that knows the true scene, distilled into a field: a test that every pipeline should pass."""

import math

import torch

from fewview import Cameras, DistillConfig, Evidence, IdentityCodec, Views, distill
from fewview.evaluation.metrics import psnr
from fewview.render.volume import VolumeConfig, render_rays


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
    """A Prior whose expected x0 is the true picture, however noisy x is."""

    codec = IdentityCodec()

    def condition(self, context: Views, targets: Cameras):
        image = self.codec.encode(photograph(targets).images)
        return lambda x, sigma: image.expand_as(x)


def ring(count: int, size: int, start: float = 0.0) -> Cameras:
    turn = start + torch.arange(count) * (2 * math.pi / count)
    centers = 7 * torch.stack([turn.cos(), turn.sin(), torch.full_like(turn, 0.4)], dim=-1)
    up = torch.tensor([0.0, 0.0, 1.0])
    return Cameras.look_at(centers, torch.zeros(3), up, focal=1.5 * size, height=size, width=size)


def main(steps: int = 300, size: int = 48) -> float:
    """Distills the oracle from one photo, and returns the PSNR of views that were neither input nor pseudo view."""
    photos, queries = photograph(ring(1, size)), ring(12, size)
    config = DistillConfig(steps=steps, bootstrap_steps=0, render_size=size, denoising="single", grid_rate=1e-2)
    grey = Views(torch.full((12, 3, size, size), 0.5), queries)  # first images, for a bootstrap that is left out here
    evidence = Evidence(photos, photos, queries, grey)
    asset = distill(Oracle(), evidence, config, generator=torch.Generator().manual_seed(0))

    unseen = photograph(ring(4, size, start=0.2))
    quality = psnr(asset.render(unseen.cameras).image, unseen.images).mean().item()
    print(f"{quality:.1f} dB on unseen views")
    return quality


if __name__ == "__main__":
    main()
