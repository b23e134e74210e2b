"""Films of anything that renders: H.264, and animated WebP for pages that want no player."""

import io
from collections.abc import Iterable, Iterator
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from fewview.cameras import Cameras
from fewview.checkpoint import atomic_path
from fewview.export.images import picture, to_bytes
from fewview.views import Asset, Render

CRF = 16  # x264's quality: 0 is lossless, 23 its default
WEBP_QUALITY = 80


def write_video(path: Path, frames: Iterable[Float[Tensor, "3 height width"]], *, fps: int = 24) -> None:
    """An MP4 that browsers play (H.264, yuv420p) of images in [0, 1]; odd sizes repeat their last row or column."""
    with atomic_path(path) as temporary, av.open(str(temporary), "w", options={"movflags": "faststart"}) as container:
        stream = container.add_stream("libx264", rate=Fraction(fps), options={"crf": str(CRF), "preset": "slow"})
        stream.pix_fmt = "yuv420p"
        stream.codec_context.thread_count = 1
        for image in frames:
            pixels = _even(to_bytes(image))
            if not stream.codec_context.is_open:
                stream.height, stream.width = pixels.shape[:2]
            container.mux(stream.encode(av.VideoFrame.from_ndarray(pixels, format="rgb24")))
        if not stream.codec_context.is_open:
            raise ValueError("a video needs at least one frame")
        container.mux(stream.encode())


def write_webp(path: Path, frames: Iterable[Float[Tensor, "channels height width"]], *, fps: int = 24) -> None:
    """An animated WebP that loops, of RGB or RGBA (straight alpha) images in [0, 1]."""
    data = webp(frames, fps=fps)
    with atomic_path(path) as temporary:
        temporary.write_bytes(data)


def webp(frames: Iterable[Float[Tensor, "channels height width"]], *, fps: int = 24) -> bytes:
    """What `write_webp` writes. ValueError if there is no frame."""
    pictures = [picture(image) for image in frames]
    if not pictures:
        raise ValueError("a film needs at least one frame")
    ends = [round(1000 * (i + 1) / fps) for i in range(len(pictures))]  # whole milliseconds, without drift
    times = [end - start for start, end in zip([0, *ends], ends)]
    buffer = io.BytesIO()
    how = {"duration": times, "loop": 0, "quality": WEBP_QUALITY, "method": 4}
    pictures[0].save(buffer, format="WEBP", save_all=True, append_images=pictures[1:], **how)
    return buffer.getvalue()


def _even(pixels: np.ndarray) -> np.ndarray:
    height, width = pixels.shape[:2]
    return np.pad(pixels, ((0, height % 2), (0, width % 2), (0, 0)), mode="edge")


@torch.no_grad()
def render_path(asset: Asset, cameras: Cameras) -> Iterator[Render]:
    """What `asset` shows from each of `cameras` (batch shape (n,)), one at a time."""
    for i in range(len(cameras)):
        yield asset.render(cameras[i])
