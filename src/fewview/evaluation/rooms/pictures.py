"""Pictures of an evaluation on rooms: strips of all renders, and sheets with the map of classes beside the truth."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import torch
from jaxtyping import Float, UInt8
from torch import Tensor

from fewview.checkpoint import atomic_path
from fewview.errors import InputError
from fewview.evaluation.pictures import comparison, load_png, save_png
from fewview.evaluation.rooms.visibility import Region

COLOURS = {  # of the classes in pictures
    Region.SEEN: (0.35, 0.75, 0.35),
    Region.OCCLUDED: (0.9, 0.3, 0.25),
    Region.OUTSIDE: (0.3, 0.45, 0.95),
    Region.UNKNOWN: (0.5, 0.5, 0.5),
}
LEAST = 128  # px: smaller images are enlarged by a whole factor in sheets


def save_strip(path: Path, images: Float[Tensor, "n 3 size size"]) -> None:
    """Square images side by side in one 8-bit PNG."""
    save_png(path, torch.cat(list(images), dim=-1))


def load_strip(path: Path) -> Float[Tensor, "n 3 size size"]:
    """The images of a strip; InputError where there is none."""
    strip = load_png(path)
    if strip is None or strip.shape[-1] % strip.shape[-2]:
        raise InputError(f"{path} is missing or no strip of square pictures; delete the folder's rows and run again.")
    return torch.stack(strip.split(strip.shape[-2], dim=-1))


def class_map(truth: Float[Tensor, "3 h w"], regions: UInt8[Tensor, "h w"]) -> Float[Tensor, "3 h w"]:
    """The truth in grey, tinted by class: seen green, occluded red, out of frame blue."""
    tints = torch.tensor([COLOURS[region] for region in Region])
    grey = truth.mean(0, keepdim=True)
    return (0.25 + 0.75 * grey) * tints[regions.long()].permute(2, 0, 1) * 1.3


def draw_sheet(
    path: Path,
    references: Float[Tensor, "k 3 size size"],
    truth: Float[Tensor, "n 3 size size"],
    *,
    regions: UInt8[Tensor, "n size size"],
    renders: Mapping[str, Sequence[Tensor | None]],
) -> None:
    """inputs | truth | classes | each method, a row a frame."""
    factor = max(1, -(-LEAST // truth.shape[-1]))
    large = lambda image: image.repeat_interleave(factor, -1).repeat_interleave(factor, -2)
    maps = [class_map(image, region).clamp(0, 1) for image, region in zip(truth, regions)]
    columns = [("truth", list(truth)), ("classes", maps), *((name, list(images)) for name, images in renders.items())]
    shown = [(name, [None if image is None else large(image) for image in images]) for name, images in columns]
    inputs = torch.stack([large(image) for image in references])
    with atomic_path(path) as temporary:
        comparison(inputs, shown).save(temporary)
