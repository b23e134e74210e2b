"""Whole multi-view sets in memory as bytes, for training at small sizes: batches are made by indexing alone."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import torch
from jaxtyping import Float, Int, UInt8
from torch import Tensor

from fewview.cameras import Cameras
from fewview.checkpoint import load_tensors, save_tensors
from fewview.data.fields import shown
from fewview.data.photos import FARTHEST
from fewview.errors import InputError
from fewview.framing import frame_from_silhouettes, silhouette
from fewview.views import Scene, Views


@dataclass(frozen=True, eq=False)
class PackedScenes:
    """Frames of many scenes, one after the other: foreground on black, its mask, and cameras."""

    images: UInt8[Tensor, "frames 4 size size"]
    cameras: Cameras
    centroids: Float[Tensor, "frames 2"]
    deviations: Float[Tensor, " frames"]
    starts: Int[Tensor, " scenes"]
    counts: Int[Tensor, " scenes"]

    def __len__(self) -> int:
        return len(self.starts)

    def to(self, device: torch.device | str) -> "PackedScenes":
        """Frames on a device; where scenes begin stays on the CPU, as the draws do."""
        parts = {name: getattr(self, name).to(device) for name in ("images", "centroids", "deviations")}
        return replace(self, cameras=self.cameras.to(device), **parts)

    def views(self, frames: Int[Tensor, "*batch"]) -> Views:
        """Frames by their number, in the scenes' own worlds."""
        pixels = self.images[frames].float() / 255
        return Views(pixels[..., :3, :, :], self.cameras[frames], pixels[..., 3:, :, :])

    def pick(
        self, scenes: Int[Tensor, " batch"], count: int, generator: torch.Generator | None = None
    ) -> Int[Tensor, "batch {count}"]:
        """Different random frames of each scene."""
        order = [torch.randperm(int(self.counts[s]), generator=generator)[:count] for s in scenes]
        return torch.stack(order) + self.starts[scenes, None]

    def batch(
        self, scenes: Int[Tensor, " batch"], context: int, queries: int, *, generator: torch.Generator | None = None
    ) -> tuple[Views, Views]:
        """Context and query views (never the same frame) in the normalised frame that the context alone defines."""
        frames = self.pick(scenes, context + queries, generator)
        first, second = frames[:, :context], frames[:, context:]
        return self.normalised(first, first), self.normalised(second, first)

    def normalised(self, frames: Int[Tensor, "batch n"], context: Int[Tensor, "batch m"]) -> Views:
        """Frames in the normalised frame of given context frames."""
        frame = frame_from_silhouettes(self.cameras[context], self.centroids[context], self.deviations[context])
        return self.views(frames).transformed(frame[:, None])


def pack(scenes: Sequence[Scene], *, progress: Callable[[int, int], None] | None = None) -> PackedScenes:
    """Read every frame of every scene; the scenes give square images of one size."""
    images, cameras, masks, counts = [], [], [], []
    for i, scene in enumerate(scenes):
        views = scene.read(range(len(scene))).on_black()
        mask = views.masks if views.masks is not None else torch.ones_like(views.images[:, :1])
        images.append((torch.cat([views.images, mask], dim=1) * 255).round().to(torch.uint8))
        masks.append(silhouette(mask))
        cameras.append(views.cameras)
        counts.append(len(views))
        if progress:
            progress(i + 1, len(scenes))
    ends = torch.tensor(counts).cumsum(0)
    centroids, deviations = (torch.cat(parts) for parts in zip(*masks))
    starts = ends - torch.tensor(counts)
    return PackedScenes(torch.cat(images), Cameras.cat(cameras), centroids, deviations, starts, torch.tensor(counts))


def save_packed(path: Path, packed: PackedScenes) -> None:
    """One safetensors file."""
    cameras = {"world_from_cam": packed.cameras.world_from_cam, "intrinsics": packed.cameras.intrinsics}
    rest = {name: getattr(packed, name) for name in ("images", "centroids", "deviations", "starts", "counts")}
    save_tensors(path, {**cameras, **rest})


def load_packed(path: Path) -> PackedScenes:
    """What `save_packed` wrote."""
    tensors = load_tensors(path)
    check_packed(path, tensors, {"images": "4 size size", "centroids": "2", "deviations": ""})
    size = tensors["images"].shape[-1]
    cameras = Cameras(tensors.pop("world_from_cam"), tensors.pop("intrinsics"), size, size)
    return PackedScenes(cameras=cameras, **tensors)


def check_packed(path: Path, tensors: dict[str, Tensor], frames: dict[str, str]) -> None:
    """InputError unless the file at `path` holds these tensors of all frames, cameras, and runs of frames in them.

    `frames` says the shape of one frame, where `size` is the same number throughout; images are bytes.
    """
    layout = {**frames, "world_from_cam": "4 4", "intrinsics": "3 3", "starts": "", "counts": ""}
    odd = sorted(set(tensors) ^ set(layout))
    if odd:
        what = "lacks" if odd[0] in layout else "has the unknown"
        raise InputError(f"{path} {what} {shown(odd[0])}; pack the set again.")
    images, sets = tensors["images"], ("starts", "counts")
    rows = {name: len(tensors[name]) if tensors[name].ndim else 0 for name in ("images", "starts")}
    counts = {name: rows["starts" if name in sets else "images"] for name in layout}
    for name, words in layout.items():
        one = [images.shape[-1] if word == "size" else int(word) for word in words.split()]
        kind = torch.uint8 if name == "images" else torch.int64 if name in sets else None
        tensor = tensors[name]
        right = tensor.is_floating_point() if kind is None else tensor.dtype == kind
        if not right or tuple(tensor.shape) != (counts[name], *one) or not tensor.numel():
            raise InputError(f"{path}: '{name}' is {tuple(tensor.shape)} of {tensor.dtype}; pack the set again.")
        if kind is None and not bool((tensor.abs() < FARTHEST).all()):
            raise InputError(f"{path}: '{name}' holds NaN, infinity or more than {FARTHEST:g}; pack the set again.")
    starts, lengths = tensors["starts"], tensors["counts"]
    if bool(((starts < 0) | (lengths < 1) | (starts > len(images)) | (lengths > len(images) - starts)).any()):
        raise InputError(f"{path} has runs of frames outside of its {len(images)} frames; pack the set again.")
    if not bool((tensors["intrinsics"].diagonal(dim1=1, dim2=2) > 0).all()):
        raise InputError(f"{path} has focal lengths that are not positive; pack the set again.")


def recoloured(
    views: Sequence[Views], generator: torch.Generator | None = None, *, strength: float = 0.3
) -> list[Views]:
    """One random exchange and gain in [1 - strength, 1] of channels for all views of a scene (batch axis first)."""
    batch = views[0].images.shape[0]
    channels = torch.stack([torch.randperm(3, generator=generator) for _ in range(batch)])
    gain = 1 - strength * torch.rand(batch, 1, 3, 1, 1, generator=generator)
    result = []
    for view in views:
        index = channels.to(view.images.device)[:, None, :, None, None].expand_as(view.images)
        result.append(replace(view, images=view.images.gather(2, index) * gain.to(view.images)))
    return result
