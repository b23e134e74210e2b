"""What `fewview.training.train` trains: the denoiser with its splats (stage 1), then D_3D on it (stage 2)."""

from dataclasses import dataclass, field

import torch
from torch import Tensor, nn

from fewview.ggs.clips import Batches, Clip
from fewview.ggs.losses import LossConfig, Perceptual, decoder_loss, denoiser_loss
from fewview.ggs.model import GGS

TASK_SEED = 12345  # of validation: the same noise every time


@dataclass
class DenoiserTask:
    """Stage 1: everything but the autoencoder and D_3D."""

    model: GGS
    batches: Batches
    held_out: Clip
    config: LossConfig = field(default_factory=LossConfig)

    def __post_init__(self) -> None:
        self.model.requires_grad_(True)
        self.model.codec.requires_grad_(False)
        if self.model.decoder is not None:
            self.model.decoder.requires_grad_(False)
        if self.config.regressor:
            self.model.velocity.requires_grad_(False)

    def loss(self, generator: torch.Generator) -> dict[str, Tensor]:
        return denoiser_loss(self.model, self.batches(generator), self.config, generator=generator)

    def validate(self, model: nn.Module) -> dict[str, float]:
        """The terms on the held-out clip, of errors of images as dB."""
        assert isinstance(model, GGS)
        generator = torch.Generator().manual_seed(TASK_SEED)
        return _numbers(denoiser_loss(model, self.held_out, self.config, generator=generator))


@dataclass
class DecoderTask:
    """Stage 2: D_3D alone, at t = 0."""

    model: GGS
    batches: Batches
    held_out: Clip
    config: LossConfig = field(default_factory=LossConfig)
    perceptual: Perceptual | None = None

    def __post_init__(self) -> None:
        self.model.requires_grad_(False)
        if self.model.decoder is not None:
            self.model.decoder.requires_grad_(True)

    def loss(self, generator: torch.Generator) -> dict[str, Tensor]:
        return decoder_loss(self.model, self.batches(generator), self.config, perceptual=self.perceptual)

    def validate(self, model: nn.Module) -> dict[str, float]:
        assert isinstance(model, GGS)
        return _numbers(decoder_loss(model, self.held_out, self.config, perceptual=self.perceptual))


def _numbers(losses: dict[str, Tensor]) -> dict[str, float]:
    decibels = {n: float(-10 * losses[n].detach().clamp(min=1e-10).log10()) for n in ("low", "novel") if n in losses}
    return {f"val_{name}": float(value.detach()) for name, value in losses.items()} | {
        f"{n}_psnr": v for n, v in decibels.items()
    }
