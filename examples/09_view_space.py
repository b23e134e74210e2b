"""A small autoencoder learns balls from single photos without cameras, and shows one from the side."""

import sys
from pathlib import Path

import torch

from fewview.export.images import write_png
from fewview.recipes.wildfusion import adversaries
from fewview.wildfusion.frame import input_cameras, orbit
from fewview.wildfusion.losses import LossConfig
from fewview.wildfusion.model import RenderConfig, WildAutoencoder, WildFusionConfig
from fewview.wildfusion.photos import Photos
from fewview.wildfusion.scene import PlaneScene
from fewview.wildfusion.tasks import AutoencoderTask, Game

SMALL = RenderConfig(channels=8, hidden=16, features=8, size=8, samples=16, width=16, blocks=1, factor=2)
CONFIG = WildFusionConfig(4, 4, (16, 16), 2, 1, (32, 16), (1, 1), 2, 4, SMALL)


def balls(count: int, generator: torch.Generator) -> Photos:
    """Photos of balls about the origin as the fixed camera sees them, with their depth in view space."""
    rays = input_cameras(count, CONFIG.size).rays()
    radii = 0.5 + 0.4 * torch.rand(count, 1, 1, generator=generator)
    along = (rays.directions * -rays.origins).sum(-1)
    inside = radii**2 - (rays.origins.square().sum(-1) - along**2)
    reach = inside.clamp(min=0).sqrt()
    hit = (inside > 0).float()[:, None]
    z = (rays.origins + (along - reach)[..., None] * rays.directions)[..., 2][:, None]
    colours = 0.2 + 0.8 * torch.rand(count, 3, 1, 1, generator=generator)
    return Photos(colours * (reach / radii)[:, None] * hit, hit, z * hit, torch.zeros(count, dtype=torch.long))


def main(out: Path = Path("out/ball.png"), steps: int = 200) -> tuple[float, float]:
    """Trains, writes a photo beside its novel view, and returns PSNR on unseen balls before and after (dB)."""
    torch.manual_seed(0)
    game, unseen = Game(WildAutoencoder(CONFIG), adversaries(CONFIG)), balls(8, torch.Generator().manual_seed(99))
    task = AutoencoderTask(game, lambda generator: balls(8, generator), unseen, LossConfig(start=steps // 2))
    optimiser = torch.optim.Adam(game.parameters(), 4e-3, betas=(0.5, 0.95))
    with torch.no_grad():
        before = task.validate(game)["psnr"]
    for step in range(steps):
        optimiser.zero_grad()
        task.loss(torch.Generator().manual_seed(step))["loss"].backward()
        optimiser.step()
    with torch.no_grad():
        after = task.validate(game)["psnr"]
        latents = task.autoencoder.encode(unseen.images[:1], unseen.masks[:1])  # without depth
        scene = PlaneScene(task.autoencoder, task.autoencoder.planes(latents))
        aside = scene.render(orbit(torch.tensor([0.4]), torch.zeros(1), CONFIG.size)).image
    write_png(out, torch.cat([unseen.images[0], aside[0]], dim=-1))
    print(f"{before:.1f} dB before training, {after:.1f} dB after; {out} has a photo and its novel view")
    return before, after


if __name__ == "__main__":
    main(Path(sys.argv[1])) if len(sys.argv) > 1 else main()
