"""What is trained second: latent diffusion on the latents of all photos, which are computed once."""

from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from fewview.wildfusion.latent import LatentDiffusion


@dataclass
class LatentTask:
    """Latents of unit variance and their classes, of photos and of their mirror images; and some held-out ones."""

    model: LatentDiffusion
    cache: tuple[Float[Tensor, "n c h w"], Int[Tensor, " n"]]
    held_out: tuple[Float[Tensor, "k c h w"], Int[Tensor, " k"]]
    batch: int = 16

    def loss(self, generator: torch.Generator) -> dict[str, Tensor]:
        device = next(self.model.parameters()).device
        index = torch.randint(len(self.cache[0]), (self.batch,), generator=generator)
        latents, labels = self.cache[0][index].to(device, torch.float32), self.cache[1][index].to(device)
        return {"loss": self.model.loss(latents, labels, generator=generator)}

    def validate(self, model: nn.Module) -> dict[str, float]:
        assert isinstance(model, LatentDiffusion)
        device = next(model.parameters()).device
        latents, labels = (part.to(device) for part in self.held_out)
        return {"diffusion": float(model.loss(latents.float(), labels, generator=torch.Generator().manual_seed(12345)))}
