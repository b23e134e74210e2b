"""One training stage as a run folder: where its start comes from, how long it lasts, and what it leaves.

<out>/autoencoder, <out>/eft, <out>/unet and <out>/joint each hold config.json, log.jsonl and checkpoints, and
<out>/joint/model is what `SparseFusion.from_pretrained` reads. A stage starts from the newest one before it.
"""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Literal

import torch

from fewview.checkpoint import class_of, load_model
from fewview.errors import InputError
from fewview.nn.autoencoder import Autoencoder, AutoencoderConfig, load_stable_diffusion
from fewview.recipes import sparsefusion
from fewview.recipes.runs import Size, StageOptions, describe, fast_bfloat16
from fewview.recipes.sparsefusion.backbones import load_lite0
from fewview.recipes.sparsefusion.training import (
    Batching,
    SceneSetting,
    packed_set,
    resume_weights,
    train_autoencoder,
    train_eft,
    train_joint,
    train_unet,
)
from fewview.sparsefusion.vldm import VLDM, VLDMConfig
from fewview.training import TrainConfig, last_checkpoint

Stage = Literal["autoencoder", "eft", "unet", "joint"]

STAGES: tuple[Stage, ...] = ("autoencoder", "eft", "unet", "joint")
SIZES: dict[Size, Callable[[], VLDMConfig]] = {
    "tiny": sparsefusion.tiny,
    "small": sparsefusion.small,
    "paper": sparsefusion.thesis,
}

PRETRAINED_SHARE = 0.1  # of the rate, for an image encoder that has learned from photographs


def schedule(stage: Stage, size: Size) -> TrainConfig:
    """How long a stage is trained, and how fast; at `tiny` about as the shipped weights (docs/training-log.md)."""
    if size == "paper":
        return TrainConfig(steps=100_000, ema=0.0, clip=None)  # thesis A.2: Adam 5e-5, no EMA, no clipping (release)
    steps, rate = {
        "autoencoder": (4_000, 8e-4),
        "eft": (8_000, 1e-3),
        "unet": (24_000, 1e-3),
        "joint": (2_000, 1e-4),
    }[stage]
    return TrainConfig(steps if size == "tiny" else 4 * steps, rate, warmup=100, decay=True, bfloat16=fast_bfloat16())


def run_stage(stage: Stage, data: Path, out: Path, *, options: StageOptions | None = None) -> Path:
    """Trains a stage on a CO3D-layout folder, or goes on with it, and returns its run folder.

    Its `autoencoder` is a folder of ours or of Stable Diffusion's (diffusers format) in place of the first stage, and
    `init` a whole model to train further: its networks at the pictures' size, where no stage comes before this one.
    """
    options = options or StageOptions()
    size, training = options.size, options.training or schedule(stage, options.size)
    config, directory = SIZES[size](), out / stage
    config = replace(config, eft=replace(config.eft, backbone=options.backbone))
    if stage == "autoencoder":
        model = None
    else:
        model = start(stage, config, out, seed=training.seed, autoencoder=options.autoencoder, init=options.init)
        if model.config.eft.backbone == "lite0":
            training = replace(training, shares=(("eft.backbone.", PRETRAINED_SHARE),))
    recipe = f"sparsefusion/{stage}"
    describe(directory, recipe, size, model=config.autoencoder if model is None else model.config, training=training)
    sets = packed_set(data, config.size, "train"), packed_set(data, config.size, "test")
    setting = SceneSetting(sets, training, directory, options.device, options.progress)
    if size == "paper":
        batching = Batching(scenes=training.batch or 2, queries=1)  # thesis A.2: batch size 2
    elif stage == "joint":
        batching = Batching(scenes=training.batch or 4, queries=1, max_context=3, captured=0.5, noise_draws=6)
    else:
        batching = Batching(scenes=training.batch or 8, max_context=3)
    if model is None:
        train_autoencoder(config.autoencoder, setting, perceptual=True)
    elif stage == "eft":
        train_eft(model.to(options.device), setting, batching)
    elif stage == "unet":
        train_unet(model.to(options.device), setting)
    else:
        train_joint(model.to(options.device), setting, batching)
    return directory


def start(
    stage: Stage,
    config: VLDMConfig,
    out: Path,
    *,
    seed: int = 0,
    autoencoder: Path | None = None,
    init: Path | None = None,
) -> VLDM:
    """The averaged weights of the newest stage before this one, or else the untrained model with its autoencoder.

    With `init` the networks, their autoencoder and, where there is no stage before, the weights are that model's.
    """
    if init is None:
        codec = _autoencoder(autoencoder or out / "autoencoder" / "model")
        torch.manual_seed(seed)
        model = VLDM(replace(config, autoencoder=codec.config))
        model.codec.load_state_dict(codec.state_dict())
        if config.eft.backbone == "lite0" and (stage == "eft" or last_checkpoint(out / "eft") is None):
            load_lite0(model.eft.backbone)
    else:
        given = load_model(init, VLDM, VLDMConfig)
        model = VLDM(replace(given.config, size=config.size))
        model.load_state_dict(given.state_dict())
    for earlier in reversed(STAGES[1 : STAGES.index(stage)]):
        folder = last_checkpoint(out / earlier)
        if folder is not None:
            return resume_weights(model, folder)
    if stage == "unet" and init is None:
        raise InputError(f"{out} has no trained eft, whose features the UNet learns from; train that stage first.")
    return model


def _autoencoder(folder: Path) -> Autoencoder:
    if class_of(folder) is not None:
        return load_model(folder, Autoencoder, AutoencoderConfig)
    if not folder.exists():
        raise InputError(f"{folder} does not exist; train the autoencoder first, or name one.")
    return load_stable_diffusion(folder)
