"""GGS at three sizes: `paper` (576x320, SVD's U-Net), `small` (128 px, one GPU) and `tiny` (64 px, two CPU cores)."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import torch
from jaxtyping import Float
from torch import Tensor

from fewview.checkpoint import class_of, load_model, save_model
from fewview.ggs.decoder import DecoderConfig
from fewview.ggs.epipolar import EpipolarConfig
from fewview.ggs.model import GGS, GGSConfig
from fewview.ggs.splats import SplatConfig
from fewview.ggs.velocity import VelocityConfig
from fewview.nn.autoencoder import Autoencoder, AutoencoderConfig, load_stable_diffusion
from fewview.nn.multiview_unet import MultiViewUNetConfig
from fewview.nn.svd import SVDUNet, load_svd, svd_config
from fewview.processes import here
from fewview.progress import Steps
from fewview.sparsefusion.tasks import AutoencoderTask, Perceptual
from fewview.sparsefusion.vldm import VLDM, VLDMConfig
from fewview.training import TrainConfig, train
from fewview.weights import WEIGHTS

FRAMES = 8  # the paper's input views, references included


def paper() -> GGSConfig:
    """576x320 pixels, 8 frames, Stable Video Diffusion's U-Net and Stable Diffusion's autoencoder, worlds in metres."""
    return GGSConfig(
        epipolar=EpipolarConfig(near=0.5, far=100.0),
        splats=SplatConfig(near=0.5, far=100.0),
        metric=True,  # FACTS: RealEstate10K's poses were rescaled to about metres
        noise="lognormal",
    )


def tiny() -> GGSConfig:
    """64 px, 16x16x6 latents of the shipped autoencoder: what two CPU cores train in hours and run in seconds."""
    return GGSConfig(
        backbone=MultiViewUNetConfig((96, 144, 192), blocks=1, attention=(False, True, True), heads=4),
        autoencoder=AutoencoderConfig((32, 64, 96), blocks=1, groups=16, scale=1.0, chroma_scale=28.55),
        epipolar=EpipolarConfig(dim=64, layers=1, heads=4, depth_samples=16, octaves=4, near=0.4, far=25.0),
        splats=SplatConfig(features=24, near=0.4, far=25.0),
        metric=True,  # a room's depth is far better known in metres than in baselines (docs/training-log.md)
        velocity=VelocityConfig(width=96, blocks=2),
        decoder=DecoderConfig((64, 48, 32), blocks=1),
        height=64,
        width=64,
        render_scale=2,
    )


def small() -> GGSConfig:
    """The networks of `tiny` at 128 px, 32x32x6 latents, so that they can begin with its weights (`--init`)."""
    return replace(tiny(), height=128, width=128)


def start(
    config: GGSConfig,
    *,
    seed: int = 0,
    autoencoder: Path = WEIGHTS / "sparsefusion-tiny",
    init: Path | None = None,
) -> GGS:
    """The untrained model with a trained autoencoder, of a folder of ours (its own or SparseFusion's) or diffusers'.

    `init` is a folder of Stable Video Diffusion (diffusers): the model then has its U-Net, with its weights. Or it is a
    model of ours, which comes whole, for pictures of the config's size.
    """
    if init is not None and class_of(init) is not None:
        given = load_model(init, GGS, GGSConfig)
        model = GGS(replace(given.config, height=config.height, width=config.width))
        model.load_state_dict(given.state_dict())
        return model
    codec = _autoencoder(autoencoder)
    torch.manual_seed(seed)
    config = replace(config, autoencoder=codec.config)
    if init is None:
        model = GGS(config)
    else:
        model = GGS(replace(config, backbone=svd_config(init)))
        assert isinstance(model.backbone, SVDUNet)
        load_svd(model.backbone, init)
    model.codec.load_state_dict(codec.state_dict())
    return model


def train_codec(
    images: Callable[[torch.Generator], Float[Tensor, "b 3 h w"]],
    held_out: Float[Tensor, "n 3 h w"],
    training: TrainConfig,
    *,
    directory: Path,
    autoencoder: Path = WEIGHTS / "sparsefusion-tiny",
    perceptual: Perceptual | None = None,
    progress: Steps | None = None,
) -> Path:
    """Stage 0: a trained autoencoder learns other pictures, and <directory>/model, for `start`, is returned.

    SparseFusion's has seen objects on black alone: it gives 30 dB there, and 11 dB on pictures that fill the frame.
    """
    model = _autoencoder(autoencoder).requires_grad_(True)
    train(AutoencoderTask(model, images, held_out, perceptual=perceptual), training, directory, progress=progress)
    if here().first:
        save_model(directory / "model", model, unit_latents(model, held_out))
    return directory / "model"


def unit_latents(model: Autoencoder, images: Float[Tensor, "n 3 h w"]) -> AutoencoderConfig:
    """The config whose scales give these images latents, and chroma, of unit variance."""
    config = model.config
    with torch.no_grad():
        detail, chroma = model.encode(images).tensor_split([config.latent_channels], dim=1)
    scale = round(config.scale / float(detail.std()), 5)
    chroma_scale = round(config.chroma_scale / float(chroma.std()), 2) if config.chroma_scale else 0.0
    return replace(config, scale=scale, chroma_scale=chroma_scale)


def _autoencoder(folder: Path) -> Autoencoder:
    kind = class_of(folder)
    if kind == "VLDM":
        return load_model(folder, VLDM, VLDMConfig).codec
    return (
        load_model(folder, Autoencoder, AutoencoderConfig) if kind == "Autoencoder" else load_stable_diffusion(folder)
    )
