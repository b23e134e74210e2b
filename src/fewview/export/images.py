"""Pictures on disk: 8-bit PNG (sRGB as it is), and depth as colours."""

import base64
import io
from html import escape
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float, UInt8
from PIL import Image
from torch import Tensor

from fewview.checkpoint import atomic_path
from fewview.views import Render, shrunk

VIRIDIS = (  # every 32nd colour of matplotlib's viridis (CC0), dark to light
    (68, 1, 84), (71, 44, 122), (59, 81, 139), (44, 113, 142), (33, 144, 141),
    (39, 173, 129), (92, 200, 99), (170, 220, 50), (253, 231, 37),
)  # fmt: skip


def to_bytes(image: Float[Tensor, "channels height width"]) -> UInt8[np.ndarray, "height width channels"]:
    """8-bit pixels of an image in [0, 1], rounded; values outside are clipped."""
    pixels = (image.detach().cpu().clamp(0, 1) * 255).round().to(torch.uint8)
    return pixels.permute(1, 2, 0).contiguous().numpy()


def picture(image: Float[Tensor, "channels height width"]) -> Image.Image:
    """A PIL image of 1 (grey), 3 (RGB) or 4 (RGBA) channels."""
    pixels = to_bytes(image)
    return Image.fromarray(pixels[..., 0] if pixels.shape[-1] == 1 else pixels)


def straight(seen: Render) -> Float[Tensor, "*batch 4 height width"]:
    """RGB as if nothing lay behind, and alpha, as picture files want them."""
    alpha = seen.alpha.clamp(0, 1)
    return torch.cat([(seen.image / alpha.clamp(min=1 / 255)).clamp(0, 1), alpha], dim=-3)


def write_png(path: Path, image: Float[Tensor, "channels height width"]) -> None:
    """An image in [0, 1] of 1, 3 or 4 channels, written whole."""
    with atomic_path(path) as temporary:
        picture(image).save(temporary, optimize=True)


def webp_uri(image: Float[Tensor, "channels height width"], quality: int = 90) -> str:
    """The image as a WebP in a data: URI, a tenth of the PNG for photos; alpha stays exact."""
    buffer = io.BytesIO()
    picture(image).save(buffer, format="WEBP", quality=quality)
    return "data:image/webp;base64," + base64.b64encode(buffer.getvalue()).decode()


def img(image: Float[Tensor, "channels height width"], alt: str, side: int) -> str:
    """An HTML element that holds the image, of at most `side` pixels a side."""
    small = shrunk(image, side)
    return f'<img src="{webp_uri(small)}" width="{small.shape[-1]}" height="{small.shape[-2]}" alt="{escape(alt)}">'


def viridis(shares: Float[Tensor, "*n"]) -> Float[Tensor, "*n 3"]:
    """Colours of shares in [0, 1], from dark to yellow."""
    palette = shares.new_tensor(VIRIDIS) / 255
    place = shares * (len(palette) - 1)
    low = place.long().clamp(max=len(palette) - 2)
    return torch.lerp(palette[low], palette[low + 1], (place - low)[..., None])


def colour_depth(
    depth: Float[Tensor, "*batch 1 height width"], alpha: Float[Tensor, "*batch 1 height width"]
) -> Float[Tensor, "*batch 3 height width"]:
    """Near yellow, far violet, on black in proportion to alpha; one scale (2nd to 98th percentile) for the batch."""
    seen = depth[alpha > 0.5]
    if not len(seen):
        return torch.zeros_like(depth).expand(*depth.shape[:-3], 3, *depth.shape[-2:]).contiguous()
    ranked = seen.sort().values
    near, far = (ranked[round(share * (len(ranked) - 1))] for share in (0.02, 0.98))
    shares = (1 - (depth[..., 0, :, :] - near) / (far - near).clamp(min=1e-9)).clamp(0, 1)
    return viridis(shares).movedim(-1, -3) * alpha
