"""What a notebook shows of an asset: a small turning picture, inside the HTML itself."""

import base64
import io

import torch

from fewview.cameras import Cameras
from fewview.export.images import picture
from fewview.export.video import render_path
from fewview.views import Asset

SIZE, SECONDS = 160, 3.0


def film_html(asset: Asset, path: Cameras, *, size: int = SIZE) -> str:
    """An <img> of what the cameras of a path (batch shape (n,)) see, as animated WebP, `size` pixels high."""
    data = base64.b64encode(film_webp(asset, path, size=size)).decode()
    return f'<img src="data:image/webp;base64,{data}" height="{size}" alt="the scene, turning">'


@torch.no_grad()
def film_webp(asset: Asset, path: Cameras, *, size: int = SIZE) -> bytes:
    """An endless animated WebP of RGB renderings along a path, three seconds long."""
    width = max(1, round(size * path.width / path.height))
    first, *others = [picture(seen.image) for seen in render_path(asset, path.resized(size, width))]
    buffer = io.BytesIO()
    duration = round(1000 * SECONDS / len(path))
    first.save(buffer, format="WEBP", save_all=True, append_images=others, duration=duration, loop=0, quality=80)
    return buffer.getvalue()
