"""What a notebook shows of an asset: a small turning picture, inside the HTML itself."""

import base64
import io

import torch

from fewview.cameras import Cameras
from fewview.export.images import picture
from fewview.export.video import render_path
from fewview.paths import orbit
from fewview.views import Asset

SIZE, FRAMES, SECONDS = 160, 24, 3.0


def turntable_html(asset: Asset, cameras: Cameras, *, frames: int = FRAMES, size: int = SIZE) -> str:
    """An <img> of a turn around what `cameras` (batch shape (n,)) look at, as animated WebP, `size` pixels high."""
    data = base64.b64encode(turntable_webp(asset, cameras, frames=frames, size=size)).decode()
    return f'<img src="data:image/webp;base64,{data}" height="{size}" alt="the scene, turning">'


@torch.no_grad()
def turntable_webp(asset: Asset, cameras: Cameras, *, frames: int = FRAMES, size: int = SIZE) -> bytes:
    """An endless animated WebP of `frames` RGB renderings on an orbit; a turn takes three seconds."""
    width = max(1, round(size * cameras.width / cameras.height))
    path = orbit(cameras.resized(size, width), frames)
    first, *others = [picture(seen.image) for seen in render_path(asset, path)]
    buffer = io.BytesIO()
    duration = round(1000 * SECONDS / frames)
    first.save(buffer, format="WEBP", save_all=True, append_images=others, duration=duration, loop=0, quality=80)
    return buffer.getvalue()
