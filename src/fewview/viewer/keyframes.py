"""A camera path of keyframes, edited in the browser and saved as a transforms.json for `fewview render --path`."""

import math
from dataclasses import dataclass, field, replace
from pathlib import Path

import torch
from jaxtyping import Float
from torch import Tensor

from fewview.cameras import Cameras
from fewview.export.transforms import write_transforms
from fewview.geometry.origin import NO_ORIGIN, Origin
from fewview.geometry.quaternions import rotations
from fewview.paths import interpolate

MOST_KEYFRAMES = 200


@dataclass(frozen=True)
class Keyframe:
    """A camera of the page: position, (w, x, y, z) of OpenCV axes, vertical field of view (radians), width / height."""

    position: tuple[float, float, float]
    wxyz: tuple[float, float, float, float]
    fov: float
    aspect: float

    def camera(self, height: int, aspect: float | None = None) -> Cameras:
        """The camera (batch shape ()), `height` pixels high; both sides are even, as video wants them."""
        rows = 2 * max(1, round(height / 2))
        columns = 2 * max(1, round(rows * (aspect or self.aspect) / 2))
        pose = torch.eye(4)
        pose[:3, :3] = rotations(torch.tensor([self.wxyz], dtype=torch.float64))[0].float()
        pose[:3, 3] = torch.tensor(self.position)
        focal = rows / 2 / math.tan(self.fov / 2)
        pinhole = torch.tensor([[focal, 0, columns / 2], [0, focal, rows / 2], [0, 0, 1]])
        return Cameras(pose, pinhole, rows, columns)


@dataclass
class KeyframePath:
    """The keyframes of a path, in order; all pictures take the first one's shape."""

    keyframes: list[Keyframe] = field(default_factory=list)

    def add(self, keyframe: Keyframe) -> None:
        """At the end. ValueError where there are very many already."""
        if len(self.keyframes) >= MOST_KEYFRAMES:
            raise ValueError(f"a path holds {MOST_KEYFRAMES} keyframes")
        self.keyframes.append(keyframe)

    def at(self, number: int) -> Keyframe:
        """A keyframe by its number, from 1. ValueError where there is none."""
        if not 1 <= number <= len(self.keyframes):
            raise ValueError(f"there is no keyframe {number}")
        return self.keyframes[number - 1]

    def remove(self, number: int) -> None:
        """Take out a keyframe by its number, from 1. ValueError where there is none."""
        self.at(number)
        del self.keyframes[number - 1]

    def cameras(self, frames: int, height: int) -> Cameras:
        """`frames` cameras from the first keyframe to the last, in the page's frame. ValueError for fewer than two."""
        if len(self.keyframes) < 2:
            raise ValueError("a path needs two keyframes; add one more")
        aspect = self.keyframes[0].aspect
        stops = Cameras.stack([keyframe.camera(height, aspect) for keyframe in self.keyframes])
        return interpolate(stops, frames)

    def save(
        self,
        path: Path,
        page_from_world: Float[Tensor, "4 4"],
        *,
        frames: int,
        height: int,
        origin: Origin = NO_ORIGIN,
    ) -> int:
        """Write `frames` cameras of the path in a scene's world, from `origin` on; returns their number."""
        cameras = self.cameras(frames, height).transformed(torch.linalg.inv(page_from_world))
        cameras = replace(cameras, world_from_cam=_rigid(cameras.world_from_cam))
        write_transforms(path, cameras, [f"{i:04d}.png" for i in range(len(cameras))], origin=origin)
        return len(cameras)


def _rigid(poses: Float[Tensor, "n 4 4"]) -> Float[Tensor, "n 4 4"]:
    """The nearest rigid motions, for float32 products drift."""
    u, _, v = torch.linalg.svd(poses[:, :3, :3].double())
    rigid = poses.clone()
    rigid[:, :3, :3] = (u @ v).to(poses)
    return rigid
