"""Single photos of a CO3D-layout set, cut around the object and put into view space, in memory as bytes."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import torch
from jaxtyping import Float, Float16, Int, UInt8
from torch import Tensor

from fewview.cameras import Cameras
from fewview.checkpoint import load_tensors, read_json, save_tensors, write_json
from fewview.data.co3d import Co3dScene, open_co3d, open_part
from fewview.framing import nearest_point
from fewview.geometry.transforms import apply, axis_angle, normalise
from fewview.wildfusion.frame import FRONT, canonical
from fewview.wildfusion.photos import Photos

MIN_MASS = 64  # pixels of the crop that the object covers at least


@dataclass(frozen=True, eq=False)
class PackedPhotos:
    """All photos of a set. Cameras and `view_from_world` (similarities) serve evaluation alone; training sees none."""

    images: UInt8[Tensor, "frames 4 size size"]
    depth: Float16[Tensor, "frames size size"]
    labels: Int[Tensor, " frames"]
    scenes: Int[Tensor, " frames"]
    cameras: Cameras
    view_from_world: Float[Tensor, "frames 4 4"]
    classes: tuple[str, ...]

    def __len__(self) -> int:
        return len(self.images)

    def photos(self, frames: Int[Tensor, " b"]) -> Photos:
        """Frames by their number."""
        pixels = self.images[frames].float() / 255
        return Photos(pixels[:, :3], pixels[:, 3:], self.depth[frames].float()[:, None], self.labels[frames])

    def view_cameras(self, inputs: Int[Tensor, " b"], others: Int[Tensor, " b"]) -> Cameras:
        """Cameras of other frames of the same scenes in the view space of input frames."""
        return self.cameras[others].transformed(self.view_from_world[inputs])


def packed_photos(
    root: Path, keep: Path, split: str, *, size: int, progress: Callable[[int, int], None] | None = None
) -> PackedPhotos:
    """The training or held-out photos of a set, packed once into the folder `keep`.

    Classes are the categories of the whole set; those that training never saw come last.
    """
    path = keep / f"{split}-{size}.safetensors"
    if not path.exists():
        classes = list(class_names(root))
        scenes = open_part(root, split, size=size)
        parts = []
        for i, scene in enumerate(scenes):
            parts.append(_packed(scene, classes.index(scene.category), i))
            if progress:
                progress(i + 1, len(scenes))
        tensors = {name: torch.cat([part[name] for part in parts]) for name in parts[0]}
        write_json(path.with_suffix(".json"), {"classes": classes})
        save_tensors(path, tensors)
    return load_photos(path)


def class_names(root: Path) -> tuple[str, ...]:
    """Categories with training photos in the order of their names, then the others."""
    train = {scene.category for scene in open_co3d(root, None, "fewview_train", split="train")}
    test = {scene.category for scene in open_co3d(root, None, "fewview_dev", split="test")}
    return (*sorted(train), *sorted(test - train))


def load_photos(path: Path) -> PackedPhotos:
    """What `packed_photos` keeps."""
    tensors = load_tensors(path)
    classes = tuple(read_json(path.with_suffix(".json"))["classes"])
    size = tensors["images"].shape[-1]
    cameras = Cameras(tensors.pop("world_from_cam"), tensors.pop("intrinsics"), size, size)
    return PackedPhotos(cameras=cameras, classes=classes, **tensors)


def _packed(scene: Co3dScene, label: int, number: int) -> dict[str, Tensor]:
    """The frames of one scene that show enough of the object."""
    frames = list(range(len(scene)))
    views = scene.read(frames).on_black()
    assert views.masks is not None
    depth = scene.read_depth(frames, views.cameras)
    middle = _middles(views.cameras, depth, views.masks)
    focal = views.cameras.intrinsics[:, 0, 0]
    scale = 2 * focal / (views.cameras.width * middle)
    images = (torch.cat([views.images, views.masks], dim=1) * 255).round().to(torch.uint8)
    kept = views.masks.sum((1, 2, 3)) >= MIN_MASS
    tensors = {
        "images": images,
        "depth": canonical(depth, views.masks, scale)[:, 0].half(),
        "labels": torch.full((len(frames),), label),
        "scenes": torch.full((len(frames),), number),
        "world_from_cam": views.cameras.world_from_cam,
        "intrinsics": views.cameras.intrinsics,
        "view_from_world": view_from_world(views.cameras, middle, scale),
    }
    return {name: tensor[kept] for name, tensor in tensors.items()}


def _middles(cameras: Cameras, depth: Float[Tensor, "n 1 h w"], masks: Float[Tensor, "n 1 h w"]) -> Float[Tensor, " n"]:
    """Mean z-depth over the mask; of photos without depth, that of what all cameras of the scene look at."""
    known = ((masks > 0.5) & (depth > 0)).float()
    mean = (depth * known).sum((1, 2, 3)) / known.sum((1, 2, 3)).clamp(min=1)
    centre = nearest_point(cameras.centers, cameras.forward)
    far = apply(cameras.cam_from_world, centre[None, None].expand(len(cameras), 1, 3))[:, 0, 2]
    return torch.where(known.sum((1, 2, 3)) > 0, mean, far).clamp(min=1e-3)


def view_from_world(
    cameras: Cameras, middle: Float[Tensor, " n"], scale: Float[Tensor, " n"]
) -> Float[Tensor, "n 4 4"]:
    """View space of each camera: z along the ray through the image's centre, on which the surface's mean lies."""
    centre = torch.tensor([[cameras.width / 2, cameras.height / 2]]).expand(len(cameras), 1, 2)
    ray = cameras.in_cam(centre)[:, 0]  # z = 1
    forward = torch.tensor([0.0, 0.0, 1.0]).expand_as(ray)
    direction = normalise(ray)
    axis = torch.linalg.cross(direction, forward)
    angle = torch.atan2(axis.norm(dim=-1), direction[:, 2])
    turn = axis_angle(normalise(axis), angle)
    away = middle * ray.norm(dim=-1) + FRONT / scale
    matrix = torch.eye(4).repeat(len(cameras), 1, 1)
    matrix[:, :3, :3] = scale[:, None, None] * turn
    matrix[:, 2, 3] = -scale * away
    return matrix @ cameras.cam_from_world
