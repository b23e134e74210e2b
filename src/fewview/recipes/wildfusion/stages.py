"""The stages that train WildFusion on single photos of a CO3D-layout set, each a run folder that resumes.

<out>/wildfusion-autoencoder/model reconstructs photos; <out>/wildfusion-latent/model generates, too. The control is
<out>/wildfusion-gan/model.
"""

from collections.abc import Callable
from pathlib import Path
from typing import Literal

from fewview.checkpoint import load_model
from fewview.errors import InputError
from fewview.processes import here
from fewview.recipes import wildfusion
from fewview.recipes.runs import Size, StageOptions, describe, fast_bfloat16
from fewview.recipes.wildfusion.packed import packed_photos
from fewview.recipes.wildfusion.training import PhotoSetting, train_autoencoder, train_gan, train_latent
from fewview.training import TrainConfig
from fewview.wildfusion.gan import GANConfig
from fewview.wildfusion.latent import LatentConfig
from fewview.wildfusion.model import WildFusionConfig
from fewview.wildfusion.whole import WholeConfig, WildFusion

Stage = Literal["wildfusion-autoencoder", "wildfusion-latent", "wildfusion-gan"]

STAGES: tuple[Stage, ...] = ("wildfusion-autoencoder", "wildfusion-latent", "wildfusion-gan")
SIZES: dict[Size, Callable[[], WildFusionConfig]] = {"tiny": wildfusion.tiny, "paper": wildfusion.paper}
LATENTS: dict[Size, Callable[[tuple[str, ...]], LatentConfig]] = {
    "tiny": wildfusion.tiny_latent,
    "paper": wildfusion.paper_latent,
}
GANS: dict[Size, Callable[[tuple[str, ...]], GANConfig]] = {"tiny": wildfusion.tiny_gan, "paper": wildfusion.paper_gan}
PHOTOS = "wildfusion-photos"  # the packed set, beside the runs: data folders may be read-only


def schedule(stage: Stage, size: Size) -> TrainConfig:
    """How long a stage is trained, and how fast; ours, since the paper's numbers are not known."""
    steps, rate = {
        "wildfusion-autoencoder": (24_000, 5e-4),
        "wildfusion-latent": (40_000, 1e-3),
        "wildfusion-gan": (24_000, 5e-4),
    }[stage]
    game = {"clip": 5.0, "betas": (0.0 if stage == "wildfusion-gan" else 0.5, 0.95)}
    return TrainConfig(
        steps if size == "tiny" else 8 * steps,
        rate,
        warmup=100,
        decay=True,
        ema=0.998,
        save_every=250,
        validate_every=500,
        bfloat16=fast_bfloat16(),
        **({} if stage == "wildfusion-latent" else game),
    )


def run_stage(stage: Stage, data: Path, out: Path, *, options: StageOptions | None = None) -> Path:
    """Trains a stage on a CO3D-layout folder with depth, or goes on with it, and returns its run folder.

    `options.autoencoder` names the model of the first stage, where it is not <out>/wildfusion-autoencoder/model.
    """
    options = options or StageOptions()
    size = options.size
    if size not in SIZES:
        raise InputError(f"WildFusion has no size '{size}'; take {' or '.join(SIZES)}.")
    if options.init is not None:
        raise InputError("WildFusion starts from its own stages alone; leave --init out.")
    if here().count > 1:
        raise InputError(f"{stage} is trained by one process; start it without torchrun.")
    training, config, directory = options.training or schedule(stage, size), SIZES[size](), out / stage
    first = options.autoencoder or out / "wildfusion-autoencoder" / "model"
    if stage == "wildfusion-latent" and not first.is_dir():
        raise InputError(f"{first} does not exist; train wildfusion-autoencoder to its end first, or name its model.")
    train, test = (packed_photos(data, out / PHOTOS, split, size=config.size) for split in ("train", "test"))
    names = tuple(train.classes[i] for i in train.labels.unique().tolist())
    setting = PhotoSetting((train, test), training, directory, options.device, options.progress)
    if stage == "wildfusion-autoencoder":
        describe(directory, stage, size, model=config, training=training)
        train_autoencoder(config, setting)
    elif stage == "wildfusion-latent":
        model = load_model(first, WildFusion, WholeConfig)
        latent = LATENTS[size](names)
        describe(directory, stage, size, model=latent, training=training)
        train_latent(model, latent, setting)
    else:
        gan = GANS[size](names)
        describe(directory, stage, size, model=gan, training=training)
        train_gan(gan, setting)
    return directory
