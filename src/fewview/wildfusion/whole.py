"""The whole model: the autoencoder and, once that is trained, latent diffusion on it."""

from dataclasses import dataclass, field

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from fewview.diffusion.inversion import invert, slerp
from fewview.diffusion.samplers import euler
from fewview.errors import InputError
from fewview.wildfusion.latent import LatentConfig, LatentDiffusion, levels
from fewview.wildfusion.model import WildAutoencoder, WildFusionConfig


@dataclass(frozen=True)
class WholeConfig:
    """Without `latent`, photos can be reconstructed and nothing can be generated."""

    autoencoder: WildFusionConfig = field(default_factory=WildFusionConfig)
    latent: LatentConfig | None = None


class WildFusion(nn.Module):
    """What a model folder holds."""

    def __init__(self, config: WholeConfig):
        super().__init__()
        self.config = config
        self.autoencoder = WildAutoencoder(config.autoencoder)
        self.latent = None if config.latent is None else LatentDiffusion(config.latent)

    @property
    def prior(self) -> LatentDiffusion:
        """The latent diffusion; InputError where it is not trained yet."""
        if self.latent is None:
            raise InputError("These weights have no latent diffusion; train wildfusion-latent, and name its model.")
        return self.latent

    @property
    def shape(self) -> tuple[int, int, int]:
        """Of the latents of one object."""
        c = self.config.autoencoder
        return c.channels, c.cells, c.cells

    def generate(
        self, labels: Int[Tensor, " b"], *, steps: int = 50, guidance: float = 1.0, generator: torch.Generator
    ) -> Float[Tensor, "b c h w"]:
        """Latents of new objects, one for each label."""
        sigmas = levels(steps)
        noise = torch.randn(len(labels), *self.shape, generator=generator) * sigmas[0]
        return euler(self.prior.denoiser(labels, guidance), noise, sigmas)

    def noise_of(
        self, latents: Float[Tensor, "b c h w"], labels: Int[Tensor, " b"], *, steps: int = 50, rounds: int = 2
    ) -> Float[Tensor, "b c h w"]:
        """Unit noise that `from_noise` turns into these latents again (inverse DDIM)."""
        sigmas = levels(steps)
        return invert(self.prior.denoiser(labels), latents, sigmas, rounds=rounds) / sigmas[0]

    def from_noise(
        self, noise: Float[Tensor, "b c h w"], labels: Int[Tensor, " b"], *, steps: int = 50
    ) -> Float[Tensor, "b c h w"]:
        """Latents of unit noise, by deterministic DDIM."""
        sigmas = levels(steps)
        return euler(self.prior.denoiser(labels), noise * sigmas[0], sigmas)

    def between(
        self, pair: Float[Tensor, "two c h w"], labels: Int[Tensor, " two"], shares: list[float], *, steps: int = 50
    ) -> Float[Tensor, "n c h w"]:
        """Latents on the great circle between the noises of two objects, at shares from 0 (the first) to 1.

        An object on the way belongs to the class of the nearer end.
        """
        first, second = self.noise_of(pair, labels, steps=steps)
        noise = torch.stack([slerp(first, second, share) for share in shares])
        nearer = torch.stack([labels[int(share > 0.5)] for share in shares])
        return self.from_noise(noise, nearer, steps=steps)

    def resampled(
        self,
        latents: Float[Tensor, "1 c h w"],
        label: int,
        strengths: list[float],
        *,
        steps: int = 50,
        generator: torch.Generator,
    ) -> Float[Tensor, "n c h w"]:
        """The object noised by so much of the way to noise each (the same noise for all), and generated from there."""
        noise = torch.randn(latents.shape, generator=generator)
        denoise = self.prior.denoiser(torch.tensor([label]))
        made = []
        for strength in strengths:
            if strength == 0:
                made.append(latents)
                continue
            sigmas = levels(max(1, round(steps * strength)), strength)
            made.append(euler(denoise, latents + sigmas[0] * noise, sigmas))
        return torch.cat(made)
