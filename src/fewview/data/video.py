"""Frames of a video as photos without cameras, decoded by PyAV (FFmpeg)."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import av
import numpy as np
import torch
from av.error import FFmpegError
from jaxtyping import Float
from torch import Tensor

from fewview.cameras import Cameras
from fewview.data.images import MAX_PIXELS, sharpness
from fewview.data.lens import Lens
from fewview.data.photos import Photo
from fewview.data.unposed import UnposedPhotos
from fewview.errors import InputError

CONTAINERS = "mov,mp4,matroska,webm,avi"  # no playlists: those name other files
FRAMES = 24  # enough for an orbit every 15 degrees
MAX_FRAMES = 20_000  # five minutes at 60 a second; a longer video is refused
SHARPNESS_WIDTH = 240  # px


@dataclass(frozen=True, eq=False)
class VideoFrames(UnposedPhotos):
    """Some frames of one video, by their time stamps (in units of the stream)."""

    stamps: tuple[int, ...] = ()

    @property
    def names(self) -> list[str]:
        return [f"{path.stem}_{i:03d}.png" for i, path in enumerate(self.paths)]

    def describe(self) -> str:
        return f"{self.kind}, {len(self)} sharp frames of it"

    def image(self, index: int) -> tuple[Float[Tensor, "3 height width"], None]:
        """One upright frame in [0, 1]; videos have no masks."""
        return read_frame(self.paths[index], self.stamps[index]), None

    def _photo(self, index: int, camera: Cameras, lens: Lens | None) -> Photo:
        return VideoPhoto(camera, self.paths[index], lens=lens, stamp=self.stamps[index], label=self.names[index])


@dataclass(frozen=True, eq=False)
class VideoPhoto(Photo):
    """A frame with its camera; `label` names it among the others."""

    stamp: int = 0
    label: str = ""

    @property
    def name(self) -> str:
        return self.label

    def stored(self) -> tuple[Float[Tensor, "3 height width"], None]:
        return read_frame(self.image, self.stamp), None


def open_video(path: Path, frames: int = FRAMES) -> VideoFrames:
    """The sharpest frame of each of `frames` equal parts of a video; decodes all of it once."""
    seen: list[tuple[int, float, tuple[int, int]]] = []  # time stamp, sharpness, size
    with decoding(path) as decoded:
        for frame in decoded:
            if frame.pts is None:
                raise InputError(f"{path} has frames without time stamps; convert it to MP4.")
            if len(seen) == MAX_FRAMES:
                raise InputError(f"{path} has more than {MAX_FRAMES} frames; cut it to the part that shows the object.")
            height, width = frame.height, frame.width
            size = (width, height) if _quarters(frame) % 2 else (height, width)
            seen.append((frame.pts, _sharpness(frame), size))
    if not seen:
        raise InputError(f"{path} has no frames that can be read; copy or convert it again.")
    count = min(frames, len(seen))
    parts = [seen[i * len(seen) // count : (i + 1) * len(seen) // count] for i in range(count)]
    best = [max(part, key=lambda frame: frame[1]) for part in parts]
    sizes, stamps = [size for *_, size in best], tuple(stamp for stamp, *_ in best)
    kind = f"video without cameras ({len(seen)} frames)"
    return VideoFrames(path.stem, (path,) * count, [None] * count, sizes, [None] * count, stamps, kind=kind)


def read_frame(path: Path, stamp: int) -> Float[Tensor, "3 height width"]:
    """The upright frame at a time stamp (in units of the stream), in [0, 1]."""
    with decoding(path, stamp) as decoded:
        frame = next((frame for frame in decoded if frame.pts is not None and frame.pts >= stamp), None)
        if frame is None or frame.pts != stamp:
            raise InputError(f"{path} has no frame at {stamp} any more; read it again.")
        pixels = frame.to_ndarray(format="rgb24")
        upright = np.ascontiguousarray(np.rot90(pixels, _quarters(frame)))
    return torch.from_numpy(upright).permute(2, 0, 1).float() / 255


@contextmanager
def decoding(path: Path, seek: int | None = None) -> Iterator[Iterator[av.VideoFrame]]:
    """The decoded frames of a video's first stream, from the key frame before `seek` on."""
    if not path.is_file():
        raise InputError(f"{path} does not exist; restore it.")
    options = {"format_whitelist": CONTAINERS, "protocol_whitelist": "file"}
    try:
        with av.open(str(path.resolve()), options=options) as container:
            if not container.streams.video:
                raise InputError(f"{path} has no pictures in it; name a video.")
            stream = container.streams.video[0]
            if stream.codec_context is None:
                raise InputError(f"{path} has pictures of an unknown kind; convert it to MP4.")
            if not 0 < stream.width * stream.height <= MAX_PIXELS:
                raise InputError(f"{path} has frames of {stream.width} x {stream.height} pixels; convert it to MP4.")
            stream.thread_type = "AUTO"
            stream.codec_context.options = {"max_pixels": str(MAX_PIXELS)}
            if seek is not None:
                container.seek(seek, stream=stream)
            yield container.decode(stream)
    except (FFmpegError, OSError, MemoryError, UnicodeDecodeError) as error:
        raise InputError(f"{path} is not a whole video ({type(error).__name__}); copy or convert it again.") from None


def _quarters(frame: av.VideoFrame) -> int:
    """Quarter turns, counter-clockwise, that stand a frame upright (FFmpeg's display matrix)."""
    return round(frame.rotation / 90)


def _sharpness(frame: av.VideoFrame) -> float:
    height = max(3, round(SHARPNESS_WIDTH * frame.height / frame.width))
    return sharpness(frame.reformat(width=SHARPNESS_WIDTH, height=height, format="gray").to_ndarray())
