"""Posed images, and what an asset renders."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import torch
from jaxtyping import Float
from torch import Tensor

from fewview.cameras import Cameras


@dataclass(frozen=True, eq=False)
class Views:
    """Posed images in [0, 1] with optional foreground probabilities in [0, 1]."""

    images: Float[Tensor, "*batch 3 height width"]
    cameras: Cameras
    masks: Float[Tensor, "*batch 1 height width"] | None = None

    def __len__(self) -> int:
        return self.images.shape[0]

    def __getitem__(self, index) -> "Views":
        masks = None if self.masks is None else self.masks[index]
        return Views(self.images[index], self.cameras[index], masks)

    def to(self, device: torch.device | str) -> "Views":
        masks = None if self.masks is None else self.masks.to(device)
        return Views(self.images.to(device), self.cameras.to(device), masks)

    def on_black(self) -> "Views":
        """The foreground on black, as the thesis feeds its networks (A.1)."""
        return self if self.masks is None else Views(self.images * self.masks, self.cameras, self.masks)

    def resized(self, height: int, width: int) -> "Views":
        """Area-averaged when shrinking, bilinear when growing."""
        if (height, width) == tuple(self.images.shape[-2:]):
            return self
        cameras = self.cameras.resized(height, width)
        masks = None if self.masks is None else resize(self.masks, height, width)
        return Views(resize(self.images, height, width), cameras, masks)


def resize(
    images: Float[Tensor, "*batch c h w"], height: int, width: int
) -> Float[Tensor, "*batch c {height} {width}"]:
    """Antialiased bilinear resampling; pixel corners stay where they are."""
    flat = images.reshape(-1, *images.shape[-3:])
    small = torch.nn.functional.interpolate(flat, (height, width), mode="bilinear", antialias=True)
    return small.clamp(0, 1).reshape(*images.shape[:-2], height, width)


@dataclass(frozen=True, eq=False)
class Render:
    """Rendered channels (premultiplied by alpha, black behind), coverage in [0, 1], and z-depth (0 where empty)."""

    image: Float[Tensor, "*batch channels height width"]
    alpha: Float[Tensor, "*batch 1 height width"]
    depth: Float[Tensor, "*batch 1 height width"]


@runtime_checkable
class Asset(Protocol):
    """Anything that can be looked at."""

    def render(self, cameras: Cameras) -> Render: ...


@runtime_checkable
class Reconstructor(Protocol):
    """Anything that turns posed images into an asset."""

    def reconstruct(self, views: Views, *, generator: torch.Generator | None = None) -> Asset: ...


@runtime_checkable
class Scene(Protocol):
    """Posed images on disk, read when asked for."""

    @property
    def name(self) -> str: ...

    def __len__(self) -> int: ...

    def read(self, indices: Sequence[int]) -> Views: ...
