"""Whole sets of clips in memory as bytes, depth as float16: batches for training are made by indexing alone."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from jaxtyping import Float16, Int, UInt8
from torch import Tensor
from torch.nn import functional as F

from fewview.cameras import Cameras
from fewview.checkpoint import load_tensors, save_tensors
from fewview.data.packed import check_packed
from fewview.data.realestate10k import ClipScene
from fewview.errors import InputError
from fewview.views import Views


@dataclass(frozen=True, eq=False)
class RoomClips:
    """Frames of many clips, one after the other, in the order of their walks."""

    images: UInt8[Tensor, "frames 3 height width"]
    depth: Float16[Tensor, "frames height width"]
    cameras: Cameras
    starts: Int[Tensor, " clips"]
    counts: Int[Tensor, " clips"]

    def __len__(self) -> int:
        return len(self.starts)

    def views(self, frames: Int[Tensor, "*batch"]) -> Views:
        """Frames by their number, in the clips' own worlds."""
        return Views(self.images[frames].float() / 255, self.cameras[frames])

    def resized(self, size: tuple[int, int] | int) -> "RoomClips":
        """Images averaged over, and depth taken near the middle of, whole blocks; InputError where they do not fit.

        `size` is height and width in pixels, or the side of a square.
        """
        height, width = (size, size) if isinstance(size, int) else size
        full = tuple(self.images.shape[-2:])
        if (height, width) == full:
            return self
        block = full[1] // max(width, 1)
        if min(height, width) < 1 or (height * block, width * block) != full:
            raise InputError(
                f"The packed frames are {full[1]} x {full[0]} pixels, no multiple of {width} x {height}; pack them "
                "again."
            )
        images = torch.cat([F.avg_pool2d(part.float(), block).round().byte() for part in self.images.split(256)])
        depth = self.depth[:, block // 2 :: block, block // 2 :: block].clone()
        return RoomClips(images, depth, self.cameras.resized(height, width), self.starts, self.counts)

    def pick(
        self, clips: Int[Tensor, " batch"], count: int, *, gap: int, generator: torch.Generator | None = None
    ) -> Int[Tensor, "batch {count}"]:
        """Different frames of each clip in the order of the walk, from a random window of at most `gap` frames."""
        chosen = []
        for clip in clips.tolist():
            total = int(self.counts[clip])
            if count > min(gap, total):
                raise InputError(f"{count} different frames do not fit into a window of {min(gap, total)} frames.")
            window = int(torch.randint(count, min(gap, total) + 1, (), generator=generator))
            first = int(torch.randint(0, total - window + 1, (), generator=generator))
            inner = torch.randperm(window - 2, generator=generator)[: max(count - 2, 0)] + 1 if window > 2 else []
            ends = [0, window - 1][: min(count, 2)]  # both ends are in, so that the window is what was drawn
            places = torch.tensor([*ends, *torch.as_tensor(inner).tolist()]).sort().values
            chosen.append(places + first + self.starts[clip])
        return torch.stack(chosen)


def pack_rooms(
    clips: Sequence[ClipScene], size: tuple[int, int] | int, *, progress: Callable[[int, int], None] | None = None
) -> RoomClips:
    """Every frame of every clip at a size (height and width), or as a square; clips without depth maps get zeros."""
    images, depth, cameras, counts = [], [], [], []
    height, width = (size, size) if isinstance(size, int) else size
    for i, clip in enumerate(clips):
        indices = range(len(clip))
        views = clip.read(indices, size)
        images.append((views.images * 255).round().to(torch.uint8))
        metres = clip.read_depth(indices, size)[:, 0] if clip.depths else torch.zeros(len(clip), height, width)
        depth.append(metres.half())
        cameras.append(views.cameras)
        counts.append(len(views))
        if progress:
            progress(i + 1, len(clips))
    numbers = torch.tensor(counts)
    starts = numbers.cumsum(0) - numbers
    return RoomClips(torch.cat(images), torch.cat(depth), Cameras.cat(cameras), starts, numbers)


def save_rooms(path: Path, clips: RoomClips) -> None:
    """One safetensors file, of square frames."""
    cameras = {"world_from_cam": clips.cameras.world_from_cam, "intrinsics": clips.cameras.intrinsics}
    save_tensors(path, {**cameras, **{n: getattr(clips, n) for n in ("images", "depth", "starts", "counts")}})


def load_rooms(path: Path) -> RoomClips:
    """What `save_rooms` wrote."""
    tensors = load_tensors(path)
    check_packed(path, tensors, {"images": "3 size size", "depth": "size size"})
    size = tensors["images"].shape[-1]
    cameras = Cameras(tensors.pop("world_from_cam"), tensors.pop("intrinsics"), size, size)
    return RoomClips(cameras=cameras, **tensors)
