"""What is trained, stage by stage: autoencoder, EFT, UNet on cached features, and EFT and UNet jointly (thesis A.2)."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor, nn

from fewview.nn.autoencoder import Autoencoder, gaussian_sample, kl_divergence
from fewview.processes import own
from fewview.sparsefusion.vldm import VLDM, colour_loss, diffusion_loss, joint_loss
from fewview.views import Views

Batches = Callable[[torch.Generator], tuple[Views, Views]]
"""Context and query views of some scenes, batch axes "b m" and "b q", in the normalised frame of the context."""

HeldOut = Mapping[str, tuple[Views, Views]]
"""Context and query views to validate on, by what the numbers' names begin with."""

Perceptual = Callable[[Tensor, Tensor], Tensor]
"""Distance " batch" of two batches of images in [0, 1]."""


def psnr_of(error: Tensor) -> float:
    """dB of a mean squared error of values in [0, 1]."""
    return float(-10 * torch.log10(error.clamp(min=1e-10)))


@dataclass
class AutoencoderTask:
    """L1 and perceptual reconstruction with a light KL term (2112.10752, without its adversarial loss)."""

    model: Autoencoder
    images: Callable[[torch.Generator], Float[Tensor, "b 3 h w"]]
    held_out: Float[Tensor, "n 3 h w"]
    perceptual: Perceptual | None = None
    perceptual_weight: float = 0.3
    kl_weight: float = 1e-4

    def loss(self, generator: torch.Generator) -> dict[str, Tensor]:
        images = self.images(generator)
        mean, logvar = self.model.posterior(images)
        latents = gaussian_sample(mean, logvar, generator) * self.model.config.scale
        if self.model.config.chroma_scale:
            latents = torch.cat([latents, self.model.chroma(images)], dim=1)
        decoded = self.model.decode(latents)
        pixels = (decoded - images).abs().mean()
        kl = kl_divergence(mean, logvar)
        loss = pixels + self.kl_weight * kl
        if self.perceptual is not None:
            loss = loss + self.perceptual_weight * self.perceptual(decoded[::2], images[::2]).mean()  # costly: on half
        return {"loss": loss, "pixels": pixels.detach(), "kl": kl.detach()}

    def validate(self, model: nn.Module) -> dict[str, float]:
        assert isinstance(model, Autoencoder)
        latents = model.encode(self.held_out)
        decoded = model.decode(latents).clamp(0, 1)
        numbers = {"psnr": psnr_of((decoded - self.held_out).square().mean()), "latent_std": float(latents.std())}
        if self.perceptual is not None:
            numbers["lpips"] = float(self.perceptual(decoded, self.held_out).mean())
        return numbers


@dataclass
class EFTTask:
    """The colour branch alone (Eq. 4.1), on random rays: every ray is a training example of its own."""

    model: VLDM
    batches: Batches
    held_out: HeldOut
    rays: int = 64

    def __post_init__(self) -> None:
        self.model.unet.requires_grad_(False)

    def loss(self, generator: torch.Generator) -> dict[str, Tensor]:
        context, queries = self.batches(generator)
        return {"loss": colour_loss(self.model.eft, context, queries, rays=self.rays, generator=generator)}

    def validate(self, model: nn.Module) -> dict[str, float]:
        return {f"{name}eft_psnr": eft_psnr(model, *pair) for name, pair in self.held_out.items()}


@dataclass
class UNetTask:
    """Eq. 4.2 with frozen EFT and autoencoder, on features and latents that were computed once."""

    model: VLDM
    cache: tuple[Float[Tensor, "n c h w"], Float[Tensor, "n y h w"]]  # latents, features (float16 to save memory)
    held_out: tuple[Float[Tensor, "k c h w"], Float[Tensor, "k y h w"]]
    batch: int = 8

    def __post_init__(self) -> None:
        self.model.eft.requires_grad_(False)

    def loss(self, generator: torch.Generator) -> dict[str, Tensor]:
        index = own(torch.randint(len(self.cache[0]), (self.batch,), generator=generator), generator)
        latents, features = (t[index].to(self._device, torch.float32) for t in self.cache)
        return {"loss": diffusion_loss(self.model, latents, features, generator=generator)}

    def validate(self, model: nn.Module) -> dict[str, float]:
        assert isinstance(model, VLDM)
        latents, features = (t.to(self._device, torch.float32) for t in self.held_out)
        return {"diffusion": float(diffusion_loss(model, latents, features, generator=_fixed()))}

    @property
    def _device(self) -> torch.device:
        return next(self.model.parameters()).device


@dataclass
class JointTask:
    """Eq. 4.1 and Eq. 4.2 together, as the thesis trains."""

    model: VLDM
    batches: Batches
    held_out: HeldOut
    rays: int = 0

    def loss(self, generator: torch.Generator) -> dict[str, Tensor]:
        return joint_loss(self.model, *self.batches(generator), generator=generator, rays=self.rays)

    def validate(self, model: nn.Module) -> dict[str, float]:
        assert isinstance(model, VLDM)
        numbers = {}
        for name, pair in self.held_out.items():
            losses = joint_loss(model, *pair, generator=_fixed())
            numbers |= {f"{name}eft_psnr": eft_psnr(model, *pair), f"{name}diffusion": float(losses["diffusion"])}
        return numbers


def eft_psnr(model: nn.Module, context: Views, queries: Views) -> float:
    """PSNR of EFT's colours on the rays of a 16 x 16 grid of held-out views."""
    assert isinstance(model, VLDM)
    loss = colour_loss(model.eft, context, queries, rays=256, generator=_fixed())
    return psnr_of(loss)


def feature_cache(
    model: VLDM,
    batches: Batches,
    count: int,
    *,
    generator: torch.Generator,
    progress: Callable[[int], None] | None = None,
) -> tuple[Float[Tensor, "n c h w"], Float[Tensor, "n y h w"]]:
    """`count` pairs of latents and EFT features in float16 on the CPU, for UNetTask."""
    latents, features, done = [], [], 0
    model.eval()
    with torch.no_grad():
        while done < count:
            context, queries = batches(generator)
            features.append(model.features(context, queries.cameras).flatten(0, 1).half().cpu())
            latents.append(model.codec.encode(queries.images.flatten(0, 1)).half().cpu())
            done += len(latents[-1])
            if progress:
                progress(done)
    return torch.cat(latents)[:count], torch.cat(features)[:count]


def _fixed() -> torch.Generator:
    """The same noise in every validation."""
    return torch.Generator().manual_seed(12345)
