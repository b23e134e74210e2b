"""What networks that colour one ray at a time share: how they are asked, what they learn from, how they draw."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional as F

from fewview.baselines.marching import rays_of
from fewview.cameras import Cameras, Rays, pixel_centres
from fewview.processes import own, whole
from fewview.sparsefusion.vldm import point_samples
from fewview.views import Views

RAYS_AT_ONCE = 1024


class RayNetwork(nn.Module):
    """Context views and image points of target cameras to colours.

    Letters: b scenes, m context views, q target views of a scene, n rays of a target view.
    """

    size: int  # pixels a side of the context views

    def encode(self, context: Views) -> Any:
        """What rays are answered from, once for a context (batch "b m", in its normalised frame)."""
        raise NotImplementedError

    def forward(
        self,
        encoded: Any,
        targets: Cameras,
        pixels: Float[Tensor, "b q n 2"],
        *,
        generator: torch.Generator | None = None,
    ) -> list[Float[Tensor, "b q n channels"]]:
        """RGB in [0, 1] and perhaps coverage; the last is the answer, earlier ones (of a coarse pass) learn too."""
        rays = rays_of(targets, pixels)
        return [x.unflatten(1, pixels.shape[1:3]) for x in self.colours(encoded, rays, generator)]

    def colours(
        self, encoded: Any, rays: Rays, generator: torch.Generator | None
    ) -> list[Float[Tensor, "b r channels"]]:
        """The same of rays (b, q n)."""
        raise NotImplementedError

    @torch.no_grad()
    def look(self, context: Views) -> Any:
        """What pictures are made from, once for context views of batch shape (m,)."""
        return self.encode(context.whole()[None])

    @torch.no_grad()
    def picture(
        self, seen: Any, camera: Cameras, generator: torch.Generator | None = None
    ) -> Float[Tensor, "channels {self.size} {self.size}"]:
        """The picture of one camera (batch shape empty); samples are where they are expected to be, without chance."""
        target = camera.resized(self.size, self.size).reshape(1, 1)
        pixels = pixel_centres(self.size, self.size).reshape(1, 1, -1, 2).to(camera.intrinsics)
        parts = [self(seen, target, part)[-1][0, 0] for part in pixels.split(RAYS_AT_ONCE, dim=2)]
        return torch.cat(parts).mT.unflatten(1, (self.size, self.size))


def ray_loss(
    network: RayNetwork, context: Views, queries: Views, *, rays: int, generator: torch.Generator, jitter: bool = True
) -> dict[str, Tensor]:
    """Squared error of the colours of `rays` random points of each query, and cross-entropy of coverage.

    Every pass counts (NeRF's loss, 2003.08934 Eq. 6); coverage as NerFormer has it (2109.00512, 5.1).
    """
    b, q = queries.cameras.shape
    drawn = own(torch.rand(whole(b, generator), q, rays, 2, generator=generator), generator)
    pixels = (drawn * torch.tensor([queries.cameras.width, queries.cameras.height])).to(queries.images)
    seen = network(network.encode(context.whole()), queries.cameras, pixels, generator=generator if jitter else None)
    truth = point_samples(queries, pixels, 4)
    colour = [(x[..., :3] - truth[..., :3]).square().mean() for x in seen]
    loss = torch.stack(colour).sum()
    for x in seen:
        if x.shape[-1] == 4:
            loss = loss + 0.1 * F.binary_cross_entropy(x[..., 3].clamp(1e-4, 1 - 1e-4), truth[..., 3])
    return {"loss": loss, "colour": colour[-1].detach()}


@dataclass
class RayTask:
    """Random rays of random scenes, as EFT learns from."""

    model: RayNetwork
    batches: Callable[[torch.Generator], tuple[Views, Views]]
    held_out: Mapping[str, tuple[Views, Views]]
    rays: int = 64

    def loss(self, generator: torch.Generator) -> dict[str, Tensor]:
        return ray_loss(self.model, *self.batches(generator), rays=self.rays, generator=generator)

    def validate(self, model: nn.Module) -> dict[str, float]:
        assert isinstance(model, RayNetwork)
        return {f"{name}psnr": held_out_psnr(model, *pair) for name, pair in self.held_out.items()}


def held_out_psnr(model: RayNetwork, context: Views, queries: Views) -> float:
    """PSNR (dB) over 256 random rays of each held-out view, always the same."""
    generator = torch.Generator().manual_seed(12345)
    error = ray_loss(model, context, queries, rays=256, generator=generator, jitter=False)["colour"]
    return float(-10 * torch.log10(error.clamp(min=1e-10)))
