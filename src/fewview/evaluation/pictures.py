"""Comparison pictures: inputs | truth | each method, a row for each of some held-out views."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float
from PIL import Image, ImageDraw, ImageFont
from torch import Tensor

from fewview.checkpoint import atomic_path
from fewview.errors import InputError
from fewview.export.images import to_bytes

GAP = 4  # px
HEADER = 18  # px
PAPER = (255, 255, 255)
MISSING = (225, 225, 225)  # where a method has no picture


def save_png(path: Path, image: Float[Tensor, "3 height width"]) -> None:
    """An image in [0, 1] as an 8-bit PNG, written whole."""
    with atomic_path(path) as temporary:
        Image.fromarray(to_bytes(image)).save(temporary)


def load_png(path: Path) -> Float[Tensor, "3 height width"] | None:
    """An image in [0, 1], or None where there is no file."""
    if not path.exists():
        return None
    try:
        with Image.open(path) as file:
            pixels = np.array(file.convert("RGB"))
    except OSError as error:
        raise InputError(f"{path} is not a whole picture ({error}); delete it and run again.") from None
    return torch.from_numpy(pixels).permute(2, 0, 1).float() / 255


def comparison(
    inputs: Float[Tensor, "context 3 size size"], columns: Sequence[tuple[str, Sequence[Tensor | None]]]
) -> Image.Image:
    """A labelled sheet: the inputs (as many columns as their number needs), then a column of images for each name."""
    rows, size = max(len(images) for _, images in columns), inputs.shape[-1]
    wide = -(-len(inputs) // rows)
    sheet = Image.new("RGB", (_left(wide + len(columns), wide, size) - GAP, HEADER + rows * (size + GAP) - GAP), PAPER)
    draw, font = ImageDraw.Draw(sheet), ImageFont.load_default()
    draw.text((0, 2), "inputs", fill=(0, 0, 0), font=font)
    for i, image in enumerate(inputs):
        sheet.paste(Image.fromarray(to_bytes(image)), (_left(i % wide, wide, size), HEADER + i // wide * (size + GAP)))
    for column, (name, images) in enumerate(columns):
        left = _left(wide + column, wide, size)
        draw.text((left, 2), _fitting(name, size, font), fill=(0, 0, 0), font=font)
        for row, image in enumerate(images):
            tile = Image.new("RGB", (size, size), MISSING) if image is None else Image.fromarray(to_bytes(image))
            sheet.paste(tile, (left, HEADER + row * (size + GAP)))
    return sheet


def _left(column: int, wide: int, size: int) -> int:
    """Left edge of a column; a wider gap parts the inputs from the rest."""
    return column * (size + GAP) + (2 * GAP if column >= wide else 0)


def _fitting(text: str, width: int, font: ImageFont.ImageFont | ImageFont.FreeTypeFont) -> str:
    while font.getlength(text) > width:
        text = text[:-1]
    return text
