"""Depth on disk: 16-bit PNG in steps of a stated length, and OpenEXR in world units. 0 where nothing is seen."""

import struct
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float
from PIL import Image
from PIL.PngImagePlugin import PngInfo
from torch import Tensor

from fewview.checkpoint import atomic_path
from fewview.errors import InputError

STEPS = 65535
KEY = "depth_unit"  # of the text in a PNG
FLOAT = 2  # pixel type of a channel


def depth_unit(farthest: float) -> float:
    """The length of one step so that depths up to `farthest` (world units) fit into 16 bits."""
    return max(farthest, 1e-9) / STEPS


def write_depth_png(path: Path, depth: Float[Tensor, "1 height width"], unit: float) -> None:
    """Depths (world units) in steps of `unit`, which the file's text `depth_unit` repeats. ValueError if too far."""
    steps = (depth[0].detach().cpu().double() / unit).round()
    if steps.max() > STEPS or not bool(torch.isfinite(steps).all()):
        raise ValueError(f"depths up to {float(depth.max()):.4g} do not fit into 16 bits in steps of {unit:.4g}")
    text = PngInfo()
    text.add_text(KEY, repr(unit))
    with atomic_path(path) as temporary:
        Image.fromarray(steps.clamp(min=0).numpy().astype(np.uint16)).save(temporary, pnginfo=text)


def read_depth_png(path: Path) -> Float[Tensor, "1 height width"]:
    """Depths in world units of what `write_depth_png` wrote; InputError where the unit is missing."""
    unit = depth_unit_of(path)
    with Image.open(path) as image:
        return torch.from_numpy(np.asarray(image, np.float32) * np.float32(unit))[None]


def depth_unit_of(path: Path) -> float:
    """The length of a step in a PNG that `write_depth_png` wrote."""
    try:
        with Image.open(path) as image:
            return float(image.info[KEY])
    except FileNotFoundError:
        raise InputError(f"{path} does not exist.") from None
    except (KeyError, ValueError, OSError, SyntaxError) as error:
        raise InputError(f"{path} is not a depth map of fewview ({error!r}); export it again.") from None


def write_exr(path: Path, channels: Mapping[str, Float[Tensor, "height width"]]) -> None:
    """32-bit floats, uncompressed scan lines (openexr.com, "OpenEXR File Layout"); depth's channel is called Z."""
    planes = {name: channels[name].detach().float().cpu().numpy() for name in sorted(channels)}
    height, width = next(iter(planes.values())).shape
    listed = b"".join(name.encode() + struct.pack("<xiBxxxii", FLOAT, 0, 1, 1) for name in planes) + b"\0"
    window = struct.pack("<4i", 0, 0, width - 1, height - 1)
    header = struct.pack("<II", 20000630, 2) + b"".join(
        _attribute(name, kind, value)
        for name, kind, value in (
            ("channels", "chlist", listed),
            ("compression", "compression", b"\0"),
            ("dataWindow", "box2i", window),
            ("displayWindow", "box2i", window),
            ("lineOrder", "lineOrder", b"\0"),
            ("pixelAspectRatio", "float", struct.pack("<f", 1)),
            ("screenWindowCenter", "v2f", struct.pack("<2f", 0, 0)),
            ("screenWindowWidth", "float", struct.pack("<f", 1)),
        )
    )
    size = 4 * width * len(planes)
    start = len(header) + 1 + 8 * height
    offsets = struct.pack(f"<{height}Q", *range(start, start + height * (size + 8), size + 8))
    lines = np.stack(list(planes.values()), axis=1).astype("<f4")  # height, channel, width
    rows = b"".join(struct.pack("<ii", y, size) + lines[y].tobytes() for y in range(height))
    with atomic_path(path) as temporary:
        temporary.write_bytes(header + b"\0" + offsets + rows)


def _attribute(name: str, kind: str, value: bytes) -> bytes:
    return name.encode() + b"\0" + kind.encode() + b"\0" + struct.pack("<i", len(value)) + value
