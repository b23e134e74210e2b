"""What a generative prior is: context views and target cameras, bound into a denoiser."""

from typing import Protocol, runtime_checkable

from jaxtyping import Float
from torch import Tensor

from fewview.cameras import Cameras
from fewview.diffusion.denoiser import Denoiser
from fewview.views import Views


@runtime_checkable
class Codec(Protocol):
    """Images in [0, 1] to latents of about unit variance, and back."""

    def encode(self, images: Float[Tensor, "batch 3 height width"]) -> Float[Tensor, "batch channels h w"]: ...

    def decode(self, latents: Float[Tensor, "batch channels h w"]) -> Float[Tensor, "batch 3 height width"]: ...


class IdentityCodec:
    """Pixels are their own latents, scaled to [-1, 1]."""

    def encode(self, images: Float[Tensor, "batch 3 height width"]) -> Float[Tensor, "batch 3 height width"]:
        return images * 2 - 1

    def decode(self, latents: Float[Tensor, "batch 3 height width"]) -> Float[Tensor, "batch 3 height width"]:
        return (latents + 1) / 2


@runtime_checkable
class Prior(Protocol):
    """p(target images | context views), as a denoiser of the targets' latents."""

    @property
    def codec(self) -> Codec: ...

    def condition(self, context: Views, targets: Cameras) -> Denoiser: ...
