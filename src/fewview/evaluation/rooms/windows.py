"""Walks through rooms as an evaluation sees them: which frames are given, generated and judged."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, Protocol, runtime_checkable

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn.functional import interpolate

from fewview.data.packed_rooms import RoomClips, load_rooms
from fewview.data.realestate10k import ClipScene, list_clips, open_clip
from fewview.errors import InputError
from fewview.views import Views

Setting = Literal["interpolation", "extrapolation"]
Kind = Literal["generated", "between"]
KINDS: tuple[Kind, ...] = ("generated", "between")


@runtime_checkable
class Clip(Protocol):
    """A clip: frames in the order of the walk, and their z-depths where they are known."""

    @property
    def name(self) -> str: ...

    def __len__(self) -> int: ...

    def frames(self, indices: Sequence[int], size: int) -> tuple[Views, Float[Tensor, "n {size} {size}"]]:
        """Square views and z-depths (0 is unknown)."""
        ...


@dataclass(frozen=True, eq=False)
class StoredClip:
    """A clip on disk."""

    clip: ClipScene

    @property
    def name(self) -> str:
        return self.clip.name

    def __len__(self) -> int:
        return len(self.clip)

    def frames(self, indices: Sequence[int], size: int) -> tuple[Views, Float[Tensor, "n {size} {size}"]]:
        views = self.clip.read(indices, size)
        depth = self.clip.read_depth(indices, size)[:, 0] if self.clip.depths else torch.zeros(len(views), size, size)
        return views.whole(), depth


@dataclass(frozen=True, eq=False)
class PackedClip:
    """One clip of a packed set; clips have no names there but their numbers."""

    clips: RoomClips
    number: int

    @property
    def name(self) -> str:
        return f"room-{self.number:04d}"

    def __len__(self) -> int:
        return int(self.clips.counts[self.number])

    def frames(self, indices: Sequence[int], size: int) -> tuple[Views, Float[Tensor, "n {size} {size}"]]:
        frames = torch.tensor(list(indices)) + self.clips.starts[self.number]
        depth = interpolate(self.clips.depth[frames].float()[:, None], (size, size), mode="nearest-exact")[:, 0]
        return self.clips.views(frames).resized(size, size), depth


@dataclass(frozen=True)
class Window:
    """Frame numbers of one clip: references (given), targets (generated), and judged frames between those."""

    references: tuple[int, ...]
    targets: tuple[int, ...]
    between: tuple[int, ...]
    stride: int

    @property
    def judged(self) -> tuple[int, ...]:
        return tuple(sorted(self.targets + self.between))

    def of(self, kind: Kind) -> tuple[int, ...]:
        return self.targets if kind == "generated" else self.between

    def pairs(self, kind: Kind) -> list[tuple[int, int]]:
        """Judged frames of a kind that are one stride apart."""
        own = self.of(kind)
        return [(frame, frame + self.stride) for frame in own if frame + self.stride in own]


@dataclass(frozen=True)
class RoomProtocol:
    """Every `stride`-th frame of a random window is given or generated; those, and all frames between, are judged.

    Interpolation gives the first and the last of the window (more references are spread evenly), extrapolation the
    first ones, behind the last of which frames are judged.
    """

    references: int = 2
    frames: int = 8  # given and generated; the paper's
    stride: int | None = None  # None takes the longest that fits each clip
    size: int = 64  # px, square
    seed: int = 0  # clip i draws its window with seed + i
    pictures: int = 3  # judged frames of each clip that are shown

    def __post_init__(self):
        if self.references < 1 or self.frames <= self.references or self.size < 7 or self.pictures < 0:
            raise InputError(
                f"{self.references} references of {self.frames} frames at {self.size} px cannot be judged; give 1 or "
                "more references, more frames, and at least 7 px."
            )

    @property
    def settings(self) -> tuple[Setting, ...]:
        """One reference has nothing to interpolate."""
        return ("interpolation", "extrapolation") if self.references > 1 else ("extrapolation",)

    def window(self, index: int, count: int, setting: Setting) -> Window:
        """The frames of clip `index` with `count` frames; both settings share the window."""
        longest = (count - 1) // (self.frames - 1)
        stride = longest if self.stride is None else self.stride
        if not 1 <= stride <= longest:
            raise InputError(
                f"{count} frames are too few for {self.frames} that are {max(1, stride)} apart; a clip needs "
                f"{(self.frames - 1) * max(1, stride) + 1} of them, so give fewer --frames."
            )
        last = stride * (self.frames - 1)
        start = int(torch.randint(count - last, (), generator=torch.Generator().manual_seed(self.seed + index)))
        all_frames = [start + stride * i for i in range(self.frames)]
        if setting == "interpolation":
            given = [round(i * (self.frames - 1) / (self.references - 1)) for i in range(self.references)]
        else:
            given = list(range(self.references))
        first = all_frames[0] if setting == "interpolation" else all_frames[given[-1]]
        between = tuple(f for f in range(first, start + last) if f not in all_frames)
        targets = tuple(f for i, f in enumerate(all_frames) if i not in given)
        return Window(tuple(all_frames[i] for i in given), targets, between, stride)


def is_room_set(path: Path) -> bool:
    """Whether a path is a packed set of clips, a clip of RealEstate10K's format, or a folder of such."""
    if path.is_file():
        return path.suffix == ".safetensors" or (path.suffix == ".txt" and _has_frames(path))
    return any(_has_frames(file) for pattern in ("*.txt", "*/*.txt") for file in path.glob(pattern))


def open_clips(path: Path, split: str = "test") -> list[Clip]:
    """All clips of a set; those of a split where the set has it. InputError where a clip is malformed."""
    if path.suffix == ".safetensors":
        clips = load_rooms(path)
        return [PackedClip(clips, i) for i in range(len(clips))]
    if path.is_file():
        return [StoredClip(open_clip(path))]
    has_split = (path / split).is_dir() or (path / f"{split}.txt").is_file()
    return [StoredClip(open_clip(file)) for file in list_clips(path, split if has_split else None)]


def _has_frames(poses: Path) -> bool:
    return poses.with_suffix("").is_dir() or poses.with_suffix(".mp4").is_file()
