"""The stages that train WildFusion on single photos of a CO3D-layout set, each a run folder that resumes.

<out>/wildfusion-autoencoder/model is what all later stages start from.
"""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Literal

import torch

from fewview.checkpoint import load_model, save_model
from fewview.errors import InputError
from fewview.evaluation.perceptual import find_lpips
from fewview.progress import Steps
from fewview.recipes import wildfusion
from fewview.recipes.runs import Size, describe, fast_bfloat16
from fewview.recipes.wildfusion.packed import PackedPhotos, packed_photos
from fewview.training import TrainConfig, train
from fewview.wildfusion.discriminators import Adversaries
from fewview.wildfusion.losses import LossConfig
from fewview.wildfusion.model import WildAutoencoder, WildFusionConfig
from fewview.wildfusion.photos import Draw, Photos
from fewview.wildfusion.tasks import AutoencoderTask, Game

Stage = Literal["wildfusion-autoencoder"]

STAGES: tuple[Stage, ...] = ("wildfusion-autoencoder",)
SIZES: dict[Size, Callable[[], WildFusionConfig]] = {"tiny": wildfusion.tiny, "paper": wildfusion.paper}
HELD_OUT = 32  # photos
BATCH = 6


def schedule(stage: Stage, size: Size) -> TrainConfig:
    """How long a stage is trained, and how fast; ours, since the paper's numbers are not known."""
    steps, rate = {"wildfusion-autoencoder": (24_000, 5e-4)}[stage]
    return TrainConfig(
        steps if size == "tiny" else 8 * steps,
        rate,
        warmup=100,
        decay=True,
        ema=0.998,
        clip=5.0,
        betas=(0.5, 0.95),
        save_every=250,
        validate_every=500,
        bfloat16=fast_bfloat16(),
    )


def run_stage(
    stage: Stage,
    data: Path,
    out: Path,
    *,
    size: Size = "tiny",
    training: TrainConfig | None = None,
    autoencoder: Path | None = None,
    device: torch.device | str = "cpu",
    progress: Steps | None = None,
) -> Path:
    """Trains a stage on a CO3D-layout folder with depth, or goes on with it, and returns its run folder."""
    if size not in SIZES:
        raise InputError(f"WildFusion has no size '{size}'; take {' or '.join(SIZES)}.")
    training, config, directory = training or schedule(stage, size), SIZES[size](), out / stage
    sets = [packed_photos(data, out / "wildfusion-photos", split, config.size) for split in ("train", "test")]
    describe(directory, f"wildfusion/{stage}", size, config, training)
    train_autoencoder(config, sets[0], spread(sets[1], HELD_OUT), training, directory, device=device, progress=progress)
    return directory


def batches(packed: PackedPhotos, device: torch.device | str = "cpu", count: int = BATCH) -> Draw:
    """Random photos, half of them mirrored, in colours of their own."""

    def draw(generator: torch.Generator) -> Photos:
        photos = packed.photos(torch.randint(len(packed), (count,), generator=generator))
        return tinted(photos.mirrored(generator), generator).to(device)

    return draw


def tinted(photos: Photos, generator: torch.Generator, *, strength: float = 0.3) -> Photos:
    """Each photo with its channels exchanged at random, and a gain in [1 - strength, 1] of each."""
    order = torch.stack([torch.randperm(3, generator=generator) for _ in range(len(photos))])
    gain = 1 - strength * torch.rand(len(photos), 3, 1, 1, generator=generator)
    index = order[:, :, None, None].expand_as(photos.images)
    return replace(photos, images=photos.images.gather(1, index) * gain)


def spread(packed: PackedPhotos, count: int) -> Photos:
    """So many photos, evenly from all."""
    return packed.photos(torch.linspace(0, len(packed) - 1, min(count, len(packed))).long())


def train_autoencoder(
    config: WildFusionConfig,
    packed: PackedPhotos,
    held_out: Photos,
    training: TrainConfig,
    directory: Path,
    *,
    device: torch.device | str = "cpu",
    progress: Steps | None = None,
) -> WildAutoencoder:
    """Stage 1. The result's `scale` makes training latents of unit variance; saved to <directory>/model."""
    lpips = find_lpips("vgg", layers=3)
    torch.manual_seed(training.seed)
    size: Size = "tiny" if config.size <= 64 else "paper"
    adversaries = Adversaries(config.size, config.render.size, wildfusion.ADVERSARIES[size])
    game = Game(WildAutoencoder(config), adversaries).to(device)
    draw = batches(packed, device)
    perceptual = None if lpips is None else lpips.to(device)
    loss = LossConfig(start=min(LossConfig.start, training.steps // 4))
    task = AutoencoderTask(game, draw, held_out.to(device), loss, perceptual=perceptual)
    train(task, training, directory, progress=progress)
    model = game.maker
    assert isinstance(model, WildAutoencoder)
    photos = spread(packed, 128).to(device)
    with torch.no_grad():
        latents = model.encode(photos.images, photos.masks, photos.depth)
    unit = round(config.scale / float(latents.std()), 5)
    save_model(directory / "model", model, replace(config, scale=unit))
    return load_model(directory / "model", WildAutoencoder, WildFusionConfig)
