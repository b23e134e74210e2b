"""Posed images, and what an asset renders."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
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
        return self._changed(lambda tensor: tensor.to(device), self.cameras.to(device))

    def on_black(self) -> "Views":
        """The foreground on black, as the thesis feeds its networks (A.1)."""
        return self if self.masks is None else replace(self, images=self.images * self.masks)

    def whole(self) -> "Views":
        """Without masks: every pixel counts."""
        return replace(self, masks=None)

    def resized(self, height: int, width: int) -> "Views":
        """Other numbers of pixels for the same image area; see `resize`."""
        if (height, width) == tuple(self.images.shape[-2:]):
            return self
        return self._changed(lambda images: resize(images, height, width), self.cameras.resized(height, width))

    def cropped(self, left: int, top: int, height: int, width: int) -> "Views":
        """The window that starts at image point (left, top); black, and no foreground, where it reaches outside."""
        old_height, old_width = self.images.shape[-2:]
        padding = (-left, left + width - old_width, -top, top + height - old_height)
        cameras = self.cameras.cropped(left, top, height, width)
        return self._changed(lambda images: torch.nn.functional.pad(images, padding), cameras)

    def transformed(self, new_from_world: Float[Tensor, "*#batch 4 4"]) -> "Views":
        """The same pictures with cameras in a new world frame; see `Cameras.transformed`."""
        return replace(self, cameras=self.cameras.transformed(new_from_world))

    @staticmethod
    def stack(views: Sequence["Views"]) -> "Views":
        """One batch of views of one image size; with masks if all have some."""
        return _joined(views, torch.stack, Cameras.stack([v.cameras for v in views]))

    @staticmethod
    def cat(views: Sequence["Views"], axis: int = 0) -> "Views":
        """Batches of one image size, joined along an axis of the batch shape; with masks if all have some."""
        cameras = Cameras.cat([v.cameras for v in views], axis)
        return _joined(views, lambda tensors: torch.cat(tensors, dim=axis), cameras)

    def _changed(self, change: Callable[[Tensor], Tensor], cameras: Cameras) -> "Views":
        return Views(change(self.images), cameras, None if self.masks is None else change(self.masks))


def _joined(views: Sequence[Views], join: Callable[[list[Tensor]], Tensor], cameras: Cameras) -> Views:
    masks = [v.masks for v in views if v.masks is not None]
    return Views(join([v.images for v in views]), cameras, join(masks) if len(masks) == len(views) else None)


def resize(
    images: Float[Tensor, "*batch c h w"], height: int, width: int
) -> Float[Tensor, "*batch c {height} {width}"]:
    """Bilinear, with a triangle as wide as the new pixels when shrinking (antialiased); pixel corners stay in place.

    Values are clamped to [0, 1].
    """
    flat = images.reshape(-1, *images.shape[-3:])
    small = torch.nn.functional.interpolate(flat, (height, width), mode="bilinear", antialias=True)
    return small.clamp(0, 1).reshape(*images.shape[:-2], height, width)


def shrunk(images: Float[Tensor, "*batch c h w"], side: int) -> Float[Tensor, "*batch c _ _"]:
    """In its proportions, so that no side has more than `side` pixels; see `resize`."""
    height, width = images.shape[-2:]
    factor = min(1.0, side / max(height, width))
    return resize(images, max(1, round(height * factor)), max(1, round(width * factor)))


def at_places(
    images: Float[Tensor, "n channels h w"], places: Float[Tensor, "n m 2"], mode: str = "bilinear"
) -> Float[Tensor, "n channels m"]:
    """Values at places in [-1, 1]^2 of the images' area (`Cameras.locate`); 0 outside. `mode` may be "nearest"."""
    return torch.nn.functional.grid_sample(images, places[:, None], mode=mode, align_corners=False)[:, :, 0]


@dataclass(frozen=True, eq=False)
class Render:
    """Rendered channels (premultiplied by alpha, black behind), coverage in [0, 1], and z-depth (0 where empty)."""

    image: Float[Tensor, "*batch channels height width"]
    alpha: Float[Tensor, "*batch 1 height width"]
    depth: Float[Tensor, "*batch 1 height width"]

    def __getitem__(self, index) -> "Render":
        return Render(self.image[index], self.alpha[index], self.depth[index])

    @staticmethod
    def stack(renders: Sequence["Render"]) -> "Render":
        """Of one shape, with a batch axis more, before the others."""
        return _gathered(renders, torch.stack)

    @staticmethod
    def cat(renders: Sequence["Render"]) -> "Render":
        """Of one size, along the first axis of their batches."""
        return _gathered(renders, torch.cat)


def _gathered(renders: Sequence[Render], gather: Callable[[list[Tensor]], Tensor]) -> Render:
    return Render(*(gather([getattr(r, part) for r in renders]) for part in ("image", "alpha", "depth")))


@runtime_checkable
class Asset(Protocol):
    """Anything that can be looked at."""

    def render(self, cameras: Cameras) -> Render: ...


@runtime_checkable
class Reconstructor(Protocol):
    """Anything that turns posed images into an asset.

    `path` are cameras that the asset will be looked at from, for methods that make it along them; rooms are judged so.
    """

    def reconstruct(
        self, views: Views, *, path: Cameras | None = None, generator: torch.Generator | None = None
    ) -> Asset: ...


@runtime_checkable
class Scene(Protocol):
    """Posed images on disk, read when asked for."""

    @property
    def name(self) -> str: ...

    def __len__(self) -> int: ...

    def read(self, indices: Sequence[int]) -> Views: ...
