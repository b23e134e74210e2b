"""Image files to tensors, with every way that a file can be wrong said in one sentence."""

import math
import struct
import warnings
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float
from PIL import Image, ImageOps
from torch import Tensor

from fewview.data.fields import shown
from fewview.errors import InputError, MissingPackage
from fewview.views import resize

MAX_PIXELS = 2**26  # 67 megapixels; a larger picture is refused before it is decoded
FORMATS = ("PNG", "JPEG", "WEBP", "TIFF", "BMP", "PPM")  # Pillow's others never run (EPS starts Ghostscript)
HEIF_SUFFIXES = (".heic", ".heif")
PHOTO_SUFFIXES = (".png", ".jpg", ".jpeg", ".webp", ".tif", ".tiff", ".bmp", ".ppm", *HEIF_SUFFIXES)
DECODING_ERRORS = (
    *(OSError, SyntaxError, ValueError, TypeError, EOFError, MemoryError, ArithmeticError, LookupError),
    *(struct.error, Image.DecompressionBombError),
)
FULL_FRAME = math.hypot(36, 24)  # mm: the diagonal that "35 mm equivalent" focal lengths refer to (CIPA DCG-001)
MM_PER_UNIT = {2: 25.4, 3: 10.0, 4: 1.0, 5: 1e-3}  # EXIF FocalPlaneResolutionUnit: inch, cm, mm, µm
EXIF_ORIENTATION, EXIF_IFD = 0x0112, 0x8769
TIFF_WIDTH, TIFF_LENGTH, TIFF_BITS, TIFF_WHITE, TIFF_SAMPLES = 256, 257, 258, 262, 339
UNSIGNED, SIGNED = 1, 2  # kinds of TIFF's samples
EXIF_FOCAL, EXIF_FOCAL_35, EXIF_WIDTH, EXIF_PLANE_RESOLUTION, EXIF_PLANE_UNIT = 0x920A, 0xA405, 0xA002, 0xA20E, 0xA210
ON_SIDE = (5, 6, 7, 8)  # orientations that swap width and height
UNTURN = {  # what leads from the upright picture to the stored pixels
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_90,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_270,
}
LOSSY = ("JPEG", "WEBP", "HEIF")  # formats whose low values are noise, not labels
SAMPLED = 1024  # pixels, of which a photo has more colours than labels have
HALF_GREY, MOST_LABELS = 128, 64  # values of masks below which they may be labels; and how many of them
SAME_SHAPE = 0.02  # of the aspect ratio: sides of smaller copies are rounded
PLAUSIBLE_FOCAL = (0.2, 30.0)  # in longer sides of the picture; anything else is a wrong tag


class MissingFile(InputError):
    """A file that is named and is not there."""


def same_shape(stored: tuple[float, float], said: tuple[float, float]) -> bool:
    """Whether a picture may be a copy, at another scale, of one of another (height, width)."""
    return bool(min(*stored, *said) > 0 and abs(stored[0] * said[1] / (stored[1] * said[0]) - 1) <= SAME_SHAPE)


def path_inside(root: Path, name: str, *, where: str) -> Path:
    """The file `name` below `root`; InputError where it is absolute, missing, or leaves the folder, be it by a link."""
    inside = (root / name) if name and "\0" not in name else root
    try:
        resolved = inside.resolve()
    except (OSError, RuntimeError, ValueError):  # a circle of links; half a character
        resolved = Path("/")
    if inside == root or Path(name).is_absolute() or not resolved.is_relative_to(root.resolve()):
        raise InputError(
            f"{where} names the file {shown(name)}, which is not inside {root}; use a relative path below it."
        )
    if not is_file(resolved):
        raise MissingFile(
            f"{where} names the file {shown(name)}, which does not exist; restore it or remove its entry."
        )
    return inside


def is_file(path: Path) -> bool:
    """Whether there is such a file; a name that cannot be one is none."""
    try:
        return path.is_file()
    except (OSError, ValueError):
        return False


def image_size(path: Path) -> tuple[int, int]:
    """(height, width) of the stored pixels, before any EXIF rotation; reads the header alone."""
    with open_image(path) as picture:
        return _stored_size(picture)


def upright_size(path: Path) -> tuple[int, int]:
    """(height, width) of the picture as it is seen, turned by its EXIF tag; reads the header alone."""
    with open_image(path) as picture:
        height, width = _stored_size(picture)
        return (width, height) if _tags(picture).get(EXIF_ORIENTATION, 1) in ON_SIDE else (height, width)


def exif_focal(path: Path) -> float | None:
    """Focal length in pixels by the picture's EXIF tags, None where they do not tell or cannot be true.

    The 35 mm equivalent counts by the diagonal; else focal length (mm) times the sensor's resolution.
    """
    with open_image(path) as picture:
        tags, width, height = _tags(picture), picture.width, picture.height
    number = lambda tag: _number(tags.get(tag))
    focal = number(EXIF_FOCAL_35) * math.hypot(width, height) / FULL_FRAME
    unit = MM_PER_UNIT.get(int(number(EXIF_PLANE_UNIT)) or 2)
    if focal == 0 and unit is not None:
        taken = max(number(EXIF_WIDTH), 0) or width  # of the picture as it was taken, if it was made smaller since
        focal = number(EXIF_FOCAL) * number(EXIF_PLANE_RESOLUTION) / unit * width / taken
    low, high = (bound * max(width, height) for bound in PLAUSIBLE_FOCAL)
    return focal if low < focal < high else None


def read_image(
    path: Path, size: tuple[int, int] | None = None, *, upright: bool = False
) -> tuple[Float[Tensor, "3 height width"], Float[Tensor, "1 height width"] | None]:
    """Colours in [0, 1] and the alpha channel, if there is one.

    Without `size` the picture is turned upright by its EXIF tag. With `size` (height, width), that of a calibrated
    camera, the stored pixels are taken where they have this size, as COLMAP and Nerfstudio do, else the upright ones;
    `upright` takes the upright ones in any case.
    """
    with open_image(path) as picture:
        return _colours(_sized(picture, path, size, upright=upright))


def _sized(picture: Image.Image, path: Path, size: tuple[int, int] | None, *, upright: bool) -> Image.Image:
    """The decoded picture, of the wanted size."""
    stored = _stored_size(picture)
    picture = _decoded(picture, path, upright=upright or stored != size)
    _check_size(picture, path, size, stored=stored)
    return picture


def _check_size(picture: Image.Image, path: Path, size: tuple[int, int] | None, *, stored: tuple[int, int]) -> None:
    if size is not None and (picture.height, picture.width) != size:
        raise InputError(
            f"{path} is {stored[1]} x {stored[0]} pixels, its camera says {size[1]} x {size[0]}; "
            "scale the image or the intrinsics."
        )


def _colours(picture: Image.Image) -> tuple[Float[Tensor, "3 height width"], Float[Tensor, "1 height width"] | None]:
    if picture.mode[0] in "IF":
        return _deep(picture).expand(3, -1, -1), None
    alpha = None
    if "A" in picture.getbands() or "transparency" in picture.info:
        picture = picture.convert("RGBA")
        alpha = _tensor(picture.getchannel("A"))
    return _tensor(picture.convert("RGB")), alpha


def read_mask(path: Path, size: tuple[int, int]) -> Float[Tensor, "1 height width"]:
    """Foreground probability in [0, 1]: the alpha channel, where the file has one that varies, else the grey value.

    Label masks are known by their few, low numbers (0 and 1, or numbers of objects), or by a palette or a few colours:
    all but 0, or black, is the object, as in COLMAP and Nerfstudio. A mask of another size and the same shape is scaled
    to `size`, for photos have smaller copies.
    """
    with open_image(path) as picture:
        lossy, stored = picture.format in LOSSY, _stored_size(picture)
        straight = stored == size or (stored[::-1] != size and same_shape(stored, size))
        picture = _decoded(picture, path, upright=not straight)
        if not same_shape((picture.height, picture.width), size):
            _check_size(picture, path, size, stored=stored)
        labels = None if lossy else _labels(picture)
        image, alpha = _colours(picture) if labels is None else (labels, None)
    mask = alpha if alpha is not None and bool(alpha.min() < 1) else image.mean(dim=0, keepdim=True)
    return mask if tuple(mask.shape[1:]) == size else resize(mask, *size)


def _labels(picture: Image.Image) -> Float[Tensor, "1 height width"] | None:
    """The object in a mask of labels; None where the grey values say more than the labels do."""
    if "transparency" in picture.info:
        return None
    if picture.mode in ("RGB", "RGBA", "LA"):
        found = _without_colours(picture)
        if found is None:
            return None
        picture = found
    if picture.mode not in ("P", "L", "I", "I;16", "I;16B", "I;16L", "F"):
        return None
    values = np.array(picture)
    if picture.mode == "P":
        colours = np.array(picture.convert("RGB"))
        grey = not np.ptp(colours.astype(np.int16), axis=-1).any()
        seen = colours[..., 0] if grey else None
        values = seen if seen is not None and seen.any() else values
    else:
        seen = values
    if seen is not None and not _are_labels(seen):
        return None
    some = values[values != 0]
    if not len(some) or not np.isfinite(some).all():
        return None
    return torch.from_numpy((values != 0).astype(np.float32))[None]


def _without_colours(picture: Image.Image) -> Image.Image | None:
    """The grey of a picture of several channels that says no more; of few colours, numbers that are 0 for black alone.

    None where the colours are many, or the alpha channel varies: that is the mask then.
    """
    if "A" in picture.getbands() and picture.getchannel("A").getextrema()[0] != 255:
        return None
    colours = np.array(picture.convert("RGB"))
    red, green, blue = np.moveaxis(colours, -1, 0)
    if np.array_equal(red, green) and np.array_equal(red, blue):
        return Image.fromarray(red.copy())
    numbers = (red.astype(np.int32) << 16 | green.astype(np.int32) << 8 | blue).ravel()
    some = numbers[:: max(1, len(numbers) // SAMPLED)]
    if len(np.unique(some)) > MOST_LABELS or len(np.unique(numbers)) > MOST_LABELS or numbers.all():
        return None
    return Image.fromarray(colours.any(-1).astype(np.uint8))


def _are_labels(values: np.ndarray) -> bool:
    """Whether numbers are few whole ones, of which none would be more than half of the object by its grey.

    An even grey without any 0 is a soft mask, but for 1, which is the object everywhere.
    """
    top, lowest = values.max(), values.min()
    few = top < HALF_GREY and len(np.unique(values)) <= MOST_LABELS and (lowest == 0 or top == 1)
    return bool(few and top != 1.0) if values.dtype.kind == "f" else bool(few)


def read_half_depth(path: Path) -> Float[Tensor, "1 height width"]:
    """A 16-bit PNG whose bits are float16 (CO3D); values that are not finite or not positive become 0."""
    with open_image(path) as picture:
        picture = _decoded(picture, path, upright=False)
    if not picture.mode.startswith("I"):
        raise InputError(f"{path} is not a 16-bit image; depth maps hold float16 bits in a 16-bit PNG.")
    bits = np.array(picture).astype(np.uint16)
    depth = torch.from_numpy(bits.view(np.float16).astype(np.float32))[None]
    return torch.where(depth.isfinite() & (depth > 0), depth, torch.zeros_like(depth))


def sharpness(grey: np.ndarray) -> float:
    """Variance of the Laplacian of a grey picture: blur by motion or focus lowers it. Compare pictures of one size."""
    grey = grey.astype(np.float32)
    laplacian = 4 * grey[1:-1, 1:-1] - grey[:-2, 1:-1] - grey[2:, 1:-1] - grey[1:-1, :-2] - grey[1:-1, 2:]
    return float(laplacian.var())


def open_image(path: Path) -> Image.Image:
    """The file's header, with nothing decoded yet."""
    if not is_file(path):
        raise InputError(f"{path} does not exist; restore it or remove its entry.")
    formats = FORMATS if path.suffix.lower() not in HEIF_SUFFIXES else _with_heif(path)
    limit = f"over {MAX_PIXELS >> 20} megapixels; scale it down"
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", Image.DecompressionBombWarning)  # our own limit is lower, and no warning
            picture = Image.open(path, formats=formats)
    except Image.DecompressionBombError:
        raise InputError(f"{path} has {limit}.") from None
    except DECODING_ERRORS as error:
        raise InputError(f"{path} is not a readable image ({type(error).__name__}); export it again.") from None
    if picture.format == "TIFF":
        picture.filename = ""  # or Pillow 13 maps the file to memory as if its rows were those of the turned picture
    if picture.width * picture.height > MAX_PIXELS:
        picture.close()
        raise InputError(f"{path} has {picture.width} x {picture.height} pixels, {limit}.")
    return picture


def _with_heif(path: Path) -> tuple[str, ...]:
    """The formats together with HEIF, whose decoder is an optional package; it turns pictures upright by itself."""
    try:
        from pillow_heif import register_heif_opener
    except ImportError:
        raise MissingPackage(f"{path} is a HEIC photo; pip install pillow-heif, or export it as JPEG.") from None
    register_heif_opener(thumbnails=False)
    return (*FORMATS, "HEIF")


def _tags(picture: Image.Image) -> dict[int, object]:
    """EXIF tags of a picture whose header may be damaged; then there are none."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            exif = picture.getexif()
            return {**exif, **exif.get_ifd(EXIF_IFD)}
    except DECODING_ERRORS:
        return {}


def _number(value: object) -> float:
    """A tag as a finite number; 0, which EXIF means as unknown, where it is none."""
    try:
        number = float(value)  # type: ignore[arg-type]
    except (TypeError, ValueError, ArithmeticError):
        return 0.0
    return number if math.isfinite(number) else 0.0


def _stored_size(picture: Image.Image) -> tuple[int, int]:
    """(height, width) of the stored pixels; Pillow gives TIFF's as it is seen."""
    tags = getattr(picture, "tag_v2", {})
    height, width = tags.get(TIFF_LENGTH), tags.get(TIFF_WIDTH)
    if picture.format == "TIFF" and isinstance(height, int) and isinstance(width, int):
        return height, width
    return picture.height, picture.width


def _decoded(picture: Image.Image, path: Path, *, upright: bool) -> Image.Image:
    """The pixels as they are seen, or as they are stored: Pillow turns TIFF upright by itself, which is undone then."""
    try:
        before = _tags(picture).get(EXIF_ORIENTATION, 1) if picture.format == "TIFF" else 1
        tags = dict(getattr(picture, "tag_v2", {}))
        picture.load()
        if upright:
            return _as_said(ImageOps.exif_transpose(picture), tags)
        turned = picture.format == "TIFF" and EXIF_ORIENTATION not in _tags(picture)
        back = UNTURN.get(before) if turned and isinstance(before, int) else None
        return _as_said(picture if back is None else picture.transpose(back), tags)
    except DECODING_ERRORS as error:
        raise InputError(f"{path} is truncated or damaged ({type(error).__name__}); copy or export it again.") from None


def _as_said(picture: Image.Image, tags: Mapping[int, object]) -> Image.Image:
    """Deep grey by what TIFF's tags say of it, where Pillow does not: white that is 0, signs, and 32 bits without.

    Signed 16 bits get the range of 16, and 32 unsigned ones lose the lowest.
    """
    sample = tags.get(TIFF_SAMPLES, (UNSIGNED,))
    kind = sample[0] if isinstance(sample, tuple) and sample else sample
    if picture.mode == "I;16" and tags.get(TIFF_WHITE) == 0:
        return Image.fromarray(65535 - np.array(picture))
    if picture.mode != "I" or not tags:
        return picture
    values = np.array(picture)
    if kind == UNSIGNED and (values < 0).any():
        return Image.fromarray((values.view(np.uint32) >> 1).astype(np.int32))
    if kind == SIGNED and tags.get(TIFF_BITS) in (16, (16,)) and values.max() > 255:
        return Image.fromarray(values.clip(0) * 65535 // 32767)
    return picture


def _tensor(picture: Image.Image) -> Tensor:
    values = torch.from_numpy(np.array(picture))
    return (
        values.reshape(picture.height, picture.width, -1).permute(2, 0, 1).float().div_(255)
    )  # in place: may be large


def _deep(picture: Image.Image) -> Float[Tensor, "1 height width"]:
    """Grey values of 16 or 32 bits, or floats, in [0, 1]: by their kind's range, or the least one that holds them.

    Floats up to 2 count as shares (and are clipped to 1); larger numbers, and those of 32 bits, are of 8 bits, of 16,
    or of 31, whichever is the first to hold them all. What is no number is 0.
    """
    values = np.nan_to_num(np.array(picture).astype(np.float64), nan=0.0, posinf=0.0, neginf=0.0).clip(0)
    if picture.mode.startswith("I;16"):
        most = 65535.0
    else:
        ranges = ((1.0, 2.0),) * (picture.mode == "F") + ((255.0, 255.0), (65535.0, 65535.0), (2.0**31, math.inf))
        most = next(full for full, highest in ranges if values.max(initial=0) <= highest)
    return torch.from_numpy((values / most).clip(max=1).astype(np.float32))[None]
