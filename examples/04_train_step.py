"""Train a tiny view-conditioned diffusion model on made-up scenes: a task, a config, and the one training loop."""

from dataclasses import replace
from pathlib import Path
from tempfile import mkdtemp

import torch

from fewview import Cameras, Views
from fewview.recipes.sparsefusion import tiny
from fewview.sparsefusion.tasks import JointTask
from fewview.sparsefusion.vldm import VLDM
from fewview.training import TrainConfig, train


def scenes(generator: torch.Generator, count: int = 2, views: int = 4, size: int = 32) -> tuple[Views, Views]:
    """Context and query views of glowing balls at random places, seen from random directions."""
    balls = torch.randn(count, 1, 1, 1, 3, generator=generator)
    colours = torch.rand(count, 1, 3, 1, 1, generator=generator)
    centers = torch.nn.functional.normalize(torch.randn(count, views, 3, generator=generator), dim=-1) * 8
    up = torch.tensor([0.0, 0.0, 1.0])
    cameras = Cameras.look_at(centers, torch.zeros(3), up, focal=1.5 * size, height=size, width=size)
    rays = cameras.rays()
    miss = torch.linalg.cross(balls - rays.origins, rays.directions).norm(dim=-1)  # distance of the ray to the middle
    glow = torch.exp(-miss.square())[:, :, None]
    every = Views(glow * colours, cameras, glow)
    return every[:, :2], every[:, 2:]


def main(directory: Path | None = None, steps: int = 20) -> list[float]:
    """Trains for some steps, resumably, and returns the losses on the way."""
    config = tiny()
    eft = replace(config.eft, dim=32, hidden=32, layers=(1, 1, 1), depth_samples=8)
    unet = replace(config.unet, dim=32, dim_mults=(1, 2), num_resnet_blocks=(1, 1), layer_attns=(False, False))
    autoencoder = replace(config.autoencoder, channels=(16, 16, 16), groups=8)
    unet = replace(unet, cond_images_channels=36)
    torch.manual_seed(0)
    model = VLDM(replace(config, size=32, eft=eft, unet=unet, autoencoder=autoencoder))

    losses = []
    task = JointTask(model, scenes, {"": scenes(torch.Generator().manual_seed(1))})
    training = TrainConfig(steps=steps, learning_rate=1e-3, log_every=1, validate_every=steps)
    train(task, training, directory or Path(mkdtemp()), progress=lambda _, row: losses.append(row["loss"]))
    print("loss:", " ".join(f"{loss:.3f}" for loss in losses))
    return losses


if __name__ == "__main__":
    main()
