"""Light Field Networks (Sitzmann et al., NeurIPS 2021, 2106.02634): a ray's Plücker coordinates to its colour.

The weights of that MLP are a hypernetwork's answer to the scene's latent, which is found by fitting the photos.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn
from torch.nn import functional as F

from fewview.baselines.rays import RayNetwork
from fewview.cameras import Rays
from fewview.sparsefusion.vldm import point_samples
from fewview.views import Views


@dataclass(frozen=True)
class LFNConfig:
    """Defaults are the paper's: latents of 256 numbers, 6 hidden layers of 256, hypernetworks of one hidden layer."""

    size: int = 256
    scenes: int = 1  # that have latents of their own: those of the training set
    latent: int = 256
    width: int = 256
    layers: int = 6
    hyper: int = 256
    latent_weight: float = 1e-3  # of |z|^2: the prior of latents
    fit_steps: int = 200  # of a new scene's latent
    fit_rate: float = 1e-2
    fit_rays: int = 512  # a step


class LFN(RayNetwork):
    """The light field of one scene, given its latent; lengths are those of the normalised frame."""

    def __init__(self, config: LFNConfig):
        super().__init__()
        c = config
        self.config, self.size = config, config.size
        self.latents = nn.Embedding(c.scenes, c.latent)
        nn.init.normal_(self.latents.weight, std=0.01)
        self.shapes = list(pairwise((6, *[c.width] * (c.layers + 1), 3)))
        self.hyper = nn.ModuleList(_hypernetwork(c, *shape) for shape in self.shapes)

    def field(self, latent: Float[Tensor, "b z"], rays: Float[Tensor, "b n 6"]) -> Float[Tensor, "b n 3"]:
        """Colours of Plücker coordinates (Eq. 1); between layers numbers are normalised, without learned scales."""
        x = rays
        for i, (hyper, (inputs, outputs)) in enumerate(zip(self.hyper, self.shapes)):
            weight, bias = hyper(latent).split([inputs * outputs, outputs], dim=-1)
            x = x @ weight.unflatten(-1, (inputs, outputs)) + bias[:, None]
            if i + 1 < len(self.shapes):
                x = F.relu(F.layer_norm(x, x.shape[-1:]))
        return x.sigmoid()

    def colours(
        self, encoded: Float[Tensor, "b z"], rays: Rays, generator: torch.Generator | None
    ) -> list[Float[Tensor, "b r 3"]]:
        return [self.field(encoded, rays.pluecker())]

    def encode(self, context: Views) -> Float[Tensor, "b z"]:
        """Latents that explain the context, from the mean of the known ones (auto-decoding, section 4.1)."""
        kept = [p.requires_grad for p in self.parameters()]
        self.requires_grad_(False)
        b, m = context.images.shape[:2]
        generator = torch.Generator().manual_seed(0)
        with torch.enable_grad():
            latent = self.latents.weight.mean(0).expand(b, -1).clone().requires_grad_()
            optimiser = torch.optim.Adam([latent], lr=self.config.fit_rate)
            for _ in range(self.config.fit_steps):
                loss = self.latent_loss(latent, context, self.config.fit_rays // m, generator=generator)["loss"]
                optimiser.zero_grad()
                loss.backward()
                optimiser.step()
        for parameter, learns in zip(self.parameters(), kept):
            parameter.requires_grad_(learns)
        return latent.detach()

    def latent_loss(
        self, latent: Float[Tensor, "b z"], views: Views, rays: int, *, generator: torch.Generator
    ) -> dict[str, Tensor]:
        """Squared error on random points of views, and the latents' prior."""
        size = torch.tensor([views.cameras.width, views.cameras.height])
        pixels = torch.rand(*views.cameras.shape, rays, 2, generator=generator) * size
        pixels = pixels.to(views.images)
        colour = (self(latent, views.cameras, pixels)[0] - point_samples(views, pixels, 3)).square().mean()
        return {"loss": colour + self.config.latent_weight * latent.square().mean(), "colour": colour.detach()}


def _hypernetwork(config: LFNConfig, inputs: int, outputs: int) -> nn.Module:
    """Weights and biases of one layer; they start as torch.nn.Linear's would for a latent of zero."""
    last = nn.Linear(config.hyper, (inputs + 1) * outputs)
    with torch.no_grad():
        last.weight *= 0.1
        last.bias.uniform_(-(inputs**-0.5), inputs**-0.5)
    return nn.Sequential(nn.Linear(config.latent, config.hyper), nn.LayerNorm(config.hyper), nn.ReLU(), last)


@dataclass
class LightFieldTask:
    """Latents and hypernetworks together, on random rays of random training scenes."""

    model: LFN
    batches: Callable[[torch.Generator], tuple[Int[Tensor, " b"], Views]]  # scenes by number, and views of them
    held_out: Mapping[str, tuple[Views, Views]]
    rays: int = 64

    def loss(self, generator: torch.Generator) -> dict[str, Tensor]:
        scenes, views = self.batches(generator)
        return self.model.latent_loss(self.model.latents(scenes), views, self.rays, generator=generator)

    def validate(self, model: nn.Module) -> dict[str, Any]:
        assert isinstance(model, LFN)
        numbers = {}
        for name, (context, queries) in self.held_out.items():
            latent = model.encode(context)
            generator = torch.Generator().manual_seed(12345)
            error = model.latent_loss(latent, queries, 256, generator=generator)["colour"]
            numbers[f"{name}psnr"] = float(-10 * error.log10())
        return numbers
