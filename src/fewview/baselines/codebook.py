"""ViewFormer's first stage: a codebook of image patches (VQ-VAE, 1711.00937; VQGAN, 2012.09841 without its GAN)."""

from collections.abc import Callable
from dataclasses import dataclass, field, replace

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn
from torch.nn import functional as F

from fewview.nn.autoencoder import AutoencoderConfig, Decoder, Encoder

COMMITMENT = 0.25  # 1711.00937, 3.2
MEMORY, DEAD = (
    0.98,
    0.03,
)  # of how often codes are chosen, from step to step; below that share of the mean they are dead


@dataclass(frozen=True)
class CodebookConfig:
    """Defaults are ViewFormer's (2203.10157, 4): 128 px to 8 x 8 of 1024 codes, by VQGAN's networks of factor 16."""

    size: int = 128
    codes: int = 1024
    dim: int = 256
    network: AutoencoderConfig = field(default_factory=lambda: AutoencoderConfig((128, 128, 256, 256, 512)))
    normalised: bool = False  # ours: codes and what they stand for have length one (2110.04627, 3.2), so that all serve

    @property
    def cells(self) -> int:
        """Codes a side of a picture."""
        return self.size // self.network.factor


class Codebook(nn.Module):
    """Pictures in [0, 1] to the numbers of codes, and back."""

    usage: Tensor

    def __init__(self, config: CodebookConfig):
        super().__init__()
        self.config, self.size = config, config.size
        self.encoder = Encoder(replace(config.network, latent_channels=config.dim // 2))  # gives twice as many
        self.decoder = Decoder(replace(config.network, latent_channels=config.dim))
        self.codes = nn.Embedding(config.codes, config.dim)
        nn.init.uniform_(self.codes.weight, -1 / config.codes, 1 / config.codes)

        self.register_buffer("usage", torch.ones(config.codes))  # over the mean of all codes

    def table(self) -> Float[Tensor, "codes dim"]:
        """The codes as they are compared."""
        return F.normalize(self.codes.weight, dim=-1) if self.config.normalised else self.codes.weight

    def project(self, images: Float[Tensor, "b 3 h w"]) -> Float[Tensor, "b cells dim"]:
        """What is to be replaced by codes, row by row."""
        x = self.encoder(images * 2 - 1).flatten(2).mT
        return F.normalize(x, dim=-1) if self.config.normalised else x

    def nearest(self, x: Float[Tensor, "b cells dim"]) -> Int[Tensor, "b cells"]:
        """argmin_k |x - e_k| (1711.00937, Eq. 1)."""
        table = self.table()
        return (x.square().sum(-1, keepdim=True) - 2 * x @ table.mT + table.square().sum(-1)).argmin(-1)

    def encode(self, images: Float[Tensor, "b 3 h w"]) -> Int[Tensor, "b cells"]:
        return self.nearest(self.project(images))

    def decode(self, numbers: Int[Tensor, "b cells"]) -> Float[Tensor, "b 3 h w"]:
        """Pictures, nominally in [0, 1], not clamped."""
        return self.draw(self.table()[numbers])

    def replaced(self, x: Float[Tensor, "b cells dim"]) -> tuple[Tensor, Tensor]:
        """The nearest codes; and the same with the gradient going to `x`, as if nothing were chosen (Eq. 3)."""
        codes = self.table()[self.nearest(x)]
        return codes, x + (codes - x).detach()

    @torch.no_grad()
    def revive(self, x: Float[Tensor, "b cells dim"], generator: torch.Generator) -> None:
        """Codes that are hardly chosen any more become what the encoder says somewhere (2005.00341, 3.2)."""
        counts = torch.bincount(self.nearest(x).flatten(), minlength=self.config.codes)
        self.usage.lerp_(counts / counts.float().mean(), 1 - MEMORY)
        dead = (self.usage < DEAD).nonzero()[:, 0]
        flat = x.flatten(0, 1)
        self.codes.weight[dead] = flat[torch.randint(len(flat), (len(dead),), generator=generator).to(x.device)]
        self.usage[dead] = 1.0

    def draw(self, x: Float[Tensor, "b cells dim"]) -> Float[Tensor, "b 3 h w"]:
        cells = self.config.cells
        return (self.decoder(x.mT.unflatten(2, (cells, cells))) + 1) / 2


@dataclass
class CodebookTask:
    """L1 and perceptual reconstruction; codes and what they replace are drawn together (1711.00937, Eq. 3)."""

    model: Codebook
    images: Callable[[torch.Generator], Float[Tensor, "b 3 h w"]]
    held_out: Float[Tensor, "n 3 h w"]
    perceptual: Callable[[Tensor, Tensor], Tensor] | None = None
    perceptual_weight: float = 0.3

    def loss(self, generator: torch.Generator) -> dict[str, Tensor]:
        images = self.images(generator)
        x = self.model.project(images)
        if self.model.training:
            self.model.revive(x, generator)
        codes, passed = self.model.replaced(x)
        decoded = self.model.draw(passed)
        pixels = (decoded - images).abs().mean()
        chosen = (codes - x.detach()).square().mean() + COMMITMENT * (x - codes.detach()).square().mean()
        loss = pixels + chosen * (self.model.config.dim if self.model.config.normalised else 1)
        if self.perceptual is not None:
            loss = loss + self.perceptual_weight * self.perceptual(decoded[::2], images[::2]).mean()
        return {"loss": loss, "pixels": pixels.detach(), "codes": chosen.detach()}

    @torch.no_grad()
    def validate(self, model: nn.Module) -> dict[str, float]:
        assert isinstance(model, Codebook)
        numbers = model.encode(self.held_out)
        error = (model.decode(numbers).clamp(0, 1) - self.held_out).square().mean()
        return {"psnr": float(-10 * error.log10()), "codes_used": float(len(numbers.unique()))}
