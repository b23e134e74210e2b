"""What WildFusion trains on: single photos on black, each in its own view space."""

from collections.abc import Callable
from dataclasses import dataclass, fields

import torch
from jaxtyping import Float, Int
from torch import Tensor


@dataclass(frozen=True, eq=False)
class Photos:
    """Square photos around objects; depth is z in view space, 0 outside of the mask and where it is not known."""

    images: Float[Tensor, "b 3 h w"]
    masks: Float[Tensor, "b 1 h w"]
    depth: Float[Tensor, "b 1 h w"]
    labels: Int[Tensor, " b"]

    def __len__(self) -> int:
        return len(self.images)

    @property
    def known(self) -> Float[Tensor, " b"]:
        """1 for photos with depth."""
        return (self.depth != 0).flatten(1).any(1).to(self.depth)

    def to(self, device: torch.device | str) -> "Photos":
        return Photos(*(getattr(self, field.name).to(device) for field in fields(self)))

    def mirrored(self, generator: torch.Generator) -> "Photos":
        """Half of them seen in a mirror, which view space does not mind."""
        turned = (torch.rand(len(self), generator=generator) < 0.5)[:, None, None, None]
        flip = lambda x: torch.where(turned.to(x.device), x.flip(-1), x)
        return Photos(flip(self.images), flip(self.masks), flip(self.depth), self.labels)


Draw = Callable[[torch.Generator], Photos]
"""A batch of photos for a training step."""
