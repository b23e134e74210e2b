"""Sets of pictures in few bytes, and back: WebP, depth in 254 steps."""

import io
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float, Int, UInt8
from PIL import Image
from torch import Tensor

from fewview.cameras import Cameras
from fewview.data.packed import PackedScenes
from fewview.data.packed_rooms import RoomClips
from fewview.recipes.wildfusion.packed import PackedPhotos

Pictures = PackedScenes | RoomClips | PackedPhotos
LEVELS = 254  # 0 is unknown


@dataclass(frozen=True)
class Scale:
    """Depth between two bounds as grey levels, even in `curve` of it."""

    low: float
    high: float
    curve: Callable[[Tensor], Tensor]
    inverse: Callable[[Tensor], Tensor]

    def coded(self, depth: Float[Tensor, "n h w"]) -> UInt8[Tensor, "n 3 h w"]:
        """Levels; 0 where depth is 0."""
        first, last = (self.curve(torch.tensor(x)) for x in (self.low, self.high))
        level = (self.curve(depth.float().clamp(self.low, self.high)) - first) / (last - first) * LEVELS
        return ((level.round() + 1) * (depth != 0)).byte()[:, None].expand(-1, 3, -1, -1)

    def decoded(self, levels: UInt8[Tensor, "n 3 h w"]) -> Float[Tensor, "n h w"]:
        """Depth, half a step off at most."""
        first, last = (self.curve(torch.tensor(x)) for x in (self.low, self.high))
        level = levels[:, 0].float()
        return self.inverse(first + (level - 1) / LEVELS * (last - first)) * (level > 0)


METRES = Scale(0.05, 100.0, torch.log, torch.exp)  # 1.5 % off at most
VIEW_SPACE = Scale(-1.2, 1.2, lambda x: x, lambda x: x)  # 0.005 off at most


def packed(data: Pictures, frames: int, quality: int) -> dict[str, Tensor]:
    """Tensors of the first `frames` of each scene or clip; depth of rooms at half the size."""
    if isinstance(data, PackedPhotos):
        names = "labels", "scenes", "view_from_world"
        kept, parts = torch.arange(len(data)), {name: getattr(data, name) for name in names}
    else:
        counts = data.counts.clamp(max=frames)
        kept, parts = torch.cat([torch.arange(int(n)) + s for s, n in zip(data.starts, counts)]), {"counts": counts}
    if isinstance(data, PackedScenes):
        parts |= {"centroids": data.centroids[kept], "deviations": data.deviations[kept]}
    else:
        wild = isinstance(data, PackedPhotos)
        levels = VIEW_SPACE.coded(data.depth) if wild else METRES.coded(data.depth[kept, ::2, ::2])
        parts["depth_files"], parts["depth_ends"] = compressed(levels, lossless=True)
    parts["files"], parts["ends"] = compressed(data.images[kept], quality=quality)
    cameras = data.cameras[kept]
    return parts | {"world_from_cam": cameras.world_from_cam, "intrinsics": cameras.intrinsics}


def unpacked(tensors: dict[str, Tensor], classes: tuple[str, ...] = ()) -> Pictures:
    """What `packed` made, but for what WebP and the steps of depth have taken; with classes, of single photos."""
    images = decompressed(tensors["files"], tensors["ends"])
    cameras = Cameras(tensors["world_from_cam"], tensors["intrinsics"], *images.shape[-2:])
    levels = decompressed(tensors["depth_files"], tensors["depth_ends"]) if "depth_files" in tensors else None
    if levels is not None and classes:
        names = "labels", "scenes", "view_from_world"
        parts = {name: tensors[name] for name in names}
        return PackedPhotos(images, VIEW_SPACE.decoded(levels).half(), cameras=cameras, classes=classes, **parts)
    counts = tensors["counts"]
    starts = counts.cumsum(0) - counts
    if levels is None:
        return PackedScenes(images, cameras, tensors["centroids"], tensors["deviations"], starts, counts)
    whole = METRES.decoded(levels).repeat_interleave(2, 1).repeat_interleave(2, 2)
    return RoomClips(images, whole.half(), cameras, starts, counts)


def compressed(images: UInt8[Tensor, "n c h w"], **options) -> tuple[UInt8[Tensor, " bytes"], Int[Tensor, " n"]]:
    """WebP files of 3 or 4 channels, one after the other, and where each ends."""

    def file(image: Tensor) -> np.ndarray:
        stream = io.BytesIO()
        Image.fromarray(image.permute(1, 2, 0).numpy()).save(stream, "WEBP", method=6, **options)
        return np.frombuffer(stream.getvalue(), np.uint8)

    files = [file(image) for image in images]
    return torch.from_numpy(np.concatenate(files)), torch.tensor([len(f) for f in files]).cumsum(0)


def decompressed(files: UInt8[Tensor, " bytes"], ends: Int[Tensor, " n"]) -> UInt8[Tensor, "n c h w"]:
    """The images of `compressed`; 4 channels if any has them, for WebP drops an alpha of 255 throughout."""
    data, stops = files.numpy(), ends.tolist()
    starts = [0, *stops[:-1]]

    def image(span: tuple[int, int]) -> Image.Image:
        found = Image.open(io.BytesIO(data[slice(*span)].tobytes()))
        found.load()
        return found

    with ThreadPoolExecutor() as pool:  # Pillow decodes without the interpreter's lock
        pictures = list(pool.map(image, zip(starts, stops)))
    mode = "RGBA" if any(picture.mode == "RGBA" for picture in pictures) else "RGB"
    arrays = np.stack([np.asarray(picture.convert(mode)) for picture in pictures])
    return torch.from_numpy(arrays).permute(0, 3, 1, 2).contiguous()
