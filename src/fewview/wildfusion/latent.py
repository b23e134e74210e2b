"""Stage 2: latent diffusion of 3D objects, of a class or of any, on the autoencoder's latents."""

from collections.abc import Sequence
from dataclasses import dataclass, field

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from fewview.diffusion.denoiser import Denoiser, alpha_std, from_v, guided, noisy, velocity, weight_min_snr
from fewview.diffusion.schedules import COSINE, logsnr_from_sigma
from fewview.errors import InputError
from fewview.nn.unet import UNet, UNetConfig

LATEST = 0.98  # time from which sampling starts: sigma 32
ANY = "any"  # the class of all


@dataclass(frozen=True)
class LatentConfig:
    """A UNet whose condition map is the class's embedding in every cell; the last embedding stands for any class."""

    unet: UNetConfig = field(default_factory=UNetConfig)
    classes: tuple[str, ...] = ()
    dropout: float = 0.15  # of classes while training, for samples of any class and for guidance (2207.12598)


class LatentDiffusion(nn.Module):
    """Predicts v of latents of unit variance."""

    def __init__(self, config: LatentConfig):
        super().__init__()
        self.config = config
        self.unet = UNet(config.unet)
        self.embedding = nn.Embedding(len(config.classes) + 1, config.unet.cond_images_channels)

    def label(self, name: str) -> int:
        """The number of a class; InputError for one that training has not seen."""
        names = (*self.config.classes, ANY)
        if name not in names:
            raise InputError(f"The weights know no class '{name}'; choose from {', '.join(names)}.")
        return names.index(name)

    def labels(self, names: Sequence[str]) -> Int[Tensor, " b"]:
        return torch.tensor([self.label(name) for name in names])

    def v(
        self, x: Float[Tensor, "b c h w"], logsnr: Float[Tensor, " b"], labels: Int[Tensor, " b"]
    ) -> Float[Tensor, "b c h w"]:
        condition = self.embedding(labels)[:, :, None, None].expand(-1, -1, *x.shape[-2:])
        return self.unet(x, logsnr, condition)

    def denoiser(self, labels: Int[Tensor, " b"], guidance: float = 1.0) -> Denoiser:
        """The expected latents of objects of these classes; above 1, guidance makes them more typical of their class.

        Where there is but one item, labels serve batches of any size.
        """

        def of(classes: Tensor) -> Denoiser:
            network = lambda x, level: self.v(x, level, classes.to(x.device).expand(len(x)))
            return from_v(network, level=logsnr_from_sigma)

        return guided(of(labels), of(torch.full_like(labels, len(self.config.classes))), guidance)

    def loss(
        self, latents: Float[Tensor, "b c h w"], labels: Int[Tensor, " b"], *, generator: torch.Generator
    ) -> Float[Tensor, ""]:
        """Squared error of v with min-SNR weights (2303.09556), at uniform times."""
        count = len(latents)
        t = torch.rand(count, generator=generator).to(latents)
        eps = torch.randn(latents.shape, generator=generator).to(latents)
        dropped = torch.rand(count, generator=generator) < self.config.dropout
        labels = torch.where(dropped.to(labels.device), len(self.config.classes), labels)
        target = velocity(latents, eps, *alpha_std(t, latents))
        logsnr = COSINE.logsnr(t)
        error = (self.v(noisy(latents, eps, t), logsnr, labels) - target).square().mean((1, 2, 3))
        return (weight_min_snr(logsnr, target="v") * error).mean()


def levels(steps: int, strength: float = 1.0) -> Float[Tensor, " points"]:
    """Noise levels of so many even steps of time from `strength` in (0, 1] of the way to noise down to clean data."""
    if steps < 1 or not 0 < strength <= 1:
        raise InputError(f"{steps} steps from strength {strength}; give at least 1 step, and a strength in (0, 1].")
    return COSINE.sigmas(torch.linspace(strength * LATEST, 0, steps + 1))
