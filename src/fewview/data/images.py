"""Image files to tensors, with every way that a file can be wrong said in one sentence."""

from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float
from PIL import Image, ImageOps
from torch import Tensor

from fewview.errors import InputError

MAX_PIXELS = 2**26  # 67 megapixels; a larger picture is refused before it is decoded
DECODING_ERRORS = (OSError, SyntaxError, ValueError, TypeError, EOFError, MemoryError, Image.DecompressionBombError)


def path_inside(root: Path, name: str, *, where: str) -> Path:
    """The file `name` below `root`; InputError where it is absolute, missing, or leaves the folder, be it by a link."""
    inside = (root / name) if name and "\0" not in name else root
    resolved = inside.resolve()
    if inside == root or Path(name).is_absolute() or not resolved.is_relative_to(root.resolve()):
        raise InputError(f"{where} names the file '{name}', which is not inside {root}; use a relative path below it.")
    if not resolved.is_file():
        raise InputError(f"{where} names the file {inside}, which does not exist; restore it or remove its entry.")
    return inside


def image_size(path: Path) -> tuple[int, int]:
    """(height, width) of the stored pixels, before any EXIF rotation; reads the header alone."""
    with open_image(path) as picture:
        return picture.height, picture.width


def read_image(
    path: Path, size: tuple[int, int] | None = None
) -> tuple[Float[Tensor, "3 height width"], Float[Tensor, "1 height width"] | None]:
    """Colours in [0, 1] and the alpha channel, if there is one.

    Without `size` the picture is turned upright by its EXIF tag. With `size` (height, width), that of a calibrated
    camera, the stored pixels are taken where they have this size, as COLMAP and Nerfstudio do, else the upright ones.
    """
    with open_image(path) as picture:
        stored = (picture.height, picture.width)
        picture = _decoded(picture, path, upright=stored != size)
    if size is not None and (picture.height, picture.width) != size:
        raise InputError(
            f"{path} is {stored[1]} x {stored[0]} pixels, its camera says {size[1]} x {size[0]}; "
            "scale the image or the intrinsics."
        )
    if picture.mode.startswith("I;16"):
        return _sixteen_bit(picture).expand(3, -1, -1), None
    alpha = None
    if "A" in picture.getbands() or "transparency" in picture.info:
        picture = picture.convert("RGBA")
        alpha = _tensor(picture.getchannel("A"))
    return _tensor(picture.convert("RGB")), alpha


def read_mask(path: Path, size: tuple[int, int]) -> Float[Tensor, "1 height width"]:
    """Foreground probability in [0, 1]: the alpha channel, where the file has one that varies, else the grey value."""
    image, alpha = read_image(path, size)
    return alpha if alpha is not None and bool(alpha.min() < 1) else image.mean(dim=0, keepdim=True)


def read_half_depth(path: Path) -> Float[Tensor, "1 height width"]:
    """A 16-bit PNG whose bits are float16 (CO3D); values that are not finite or not positive become 0."""
    with open_image(path) as picture:
        picture = _decoded(picture, path, upright=False)
    if not picture.mode.startswith("I"):
        raise InputError(f"{path} is not a 16-bit image; depth maps hold float16 bits in a 16-bit PNG.")
    bits = np.array(picture).astype(np.uint16)
    depth = torch.from_numpy(bits.view(np.float16).astype(np.float32))[None]
    return torch.where(depth.isfinite() & (depth > 0), depth, torch.zeros_like(depth))


def open_image(path: Path) -> Image.Image:
    """The file's header, with nothing decoded yet."""
    if not path.is_file():
        raise InputError(f"{path} does not exist; restore it or remove its entry.")
    try:
        picture = Image.open(path)
    except DECODING_ERRORS as error:
        raise InputError(f"{path} is not a readable image ({type(error).__name__}); export it again.") from None
    if picture.width * picture.height > MAX_PIXELS:
        picture.close()
        raise InputError(
            f"{path} has {picture.width} x {picture.height} pixels, over {MAX_PIXELS >> 20} megapixels; scale it down."
        )
    return picture


def _decoded(picture: Image.Image, path: Path, *, upright: bool) -> Image.Image:
    try:
        picture.load()
        return ImageOps.exif_transpose(picture) if upright else picture
    except DECODING_ERRORS as error:
        raise InputError(f"{path} is truncated or damaged ({type(error).__name__}); copy or export it again.") from None


def _tensor(picture: Image.Image) -> Tensor:
    values = torch.from_numpy(np.array(picture))
    return values.reshape(picture.height, picture.width, -1).permute(2, 0, 1).float() / 255


def _sixteen_bit(picture: Image.Image) -> Tensor:
    return torch.from_numpy(np.array(picture).astype(np.float32))[None] / 65535
