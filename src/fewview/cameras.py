"""Pinhole cameras and rays.

Conventions, stated once. Camera axes are OpenCV's: x right, y down, z forward. The pixel in column i and row j is
centred at (i + 0.5, j + 0.5), so an image covers [0, width] x [0, height]. `a_from_b` maps coordinates of b to a.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from fewview.geometry.transforms import apply, inverse_rigid, normalise, scale_of


@dataclass(frozen=True, eq=False)
class Rays:
    """Half-lines `origins + t * directions`; directions have length one, so t is a distance."""

    origins: Float[Tensor, "*batch 3"]
    directions: Float[Tensor, "*batch 3"]

    @property
    def shape(self) -> tuple[int, ...]:
        return tuple(self.origins.shape[:-1])

    def flatten(self) -> "Rays":
        return Rays(self.origins.reshape(-1, 3), self.directions.reshape(-1, 3))

    def __getitem__(self, index) -> "Rays":
        return Rays(self.origins[index], self.directions[index])

    def pluecker(self) -> Float[Tensor, "*batch 6"]:
        """Plücker coordinates (direction, origin x direction): equal for every origin on the same line."""
        return torch.cat([self.directions, torch.linalg.cross(self.origins, self.directions)], dim=-1)


@dataclass(frozen=True, eq=False)
class Cameras:
    """Pinhole cameras of one image size. Intrinsics are in pixels; the batch shape may be empty."""

    world_from_cam: Float[Tensor, "*batch 4 4"]
    intrinsics: Float[Tensor, "*batch 3 3"]
    height: int
    width: int

    @property
    def shape(self) -> tuple[int, ...]:
        return tuple(self.world_from_cam.shape[:-2])

    def __len__(self) -> int:
        return self.world_from_cam.shape[0]

    def __getitem__(self, index) -> "Cameras":
        return replace(self, world_from_cam=self.world_from_cam[index], intrinsics=self.intrinsics[index])

    def to(self, target: torch.device | str | torch.dtype) -> "Cameras":
        """On a device, or in another precision."""
        return replace(self, world_from_cam=self.world_from_cam.to(target), intrinsics=self.intrinsics.to(target))

    def reshape(self, *shape: int) -> "Cameras":
        return replace(
            self,
            world_from_cam=self.world_from_cam.reshape(*shape, 4, 4),
            intrinsics=self.intrinsics.reshape(*shape, 3, 3),
        )

    @property
    def cam_from_world(self) -> Float[Tensor, "*batch 4 4"]:
        return inverse_rigid(self.world_from_cam)

    @property
    def cam_from_pixel(self) -> Float[Tensor, "*batch 3 3"]:
        """Homogeneous image points (pixels) to directions with z = 1 in the camera's frame."""
        return torch.linalg.inv(self.intrinsics)

    @property
    def centers(self) -> Float[Tensor, "*batch 3"]:
        return self.world_from_cam[..., :3, 3]

    @property
    def forward(self) -> Float[Tensor, "*batch 3"]:
        """Unit optical axes in the world."""
        return self.world_from_cam[..., :3, 2]

    @property
    def up(self) -> Float[Tensor, "*batch 3"]:
        """Unit vectors towards the top of the image, in the world."""
        return -self.world_from_cam[..., :3, 1]

    def rays(self) -> Rays:
        """Rays through all pixel centres, of shape (*batch, height, width)."""
        pixels = pixel_centres(self.height, self.width).to(self.intrinsics)
        rays = self.rays_at(pixels.reshape(-1, 2).expand(*self.shape, -1, 2))
        grid = (*self.shape, self.height, self.width, 3)
        return Rays(rays.origins.reshape(grid), rays.directions.reshape(grid))

    def rays_at(self, pixels: Float[Tensor, "*batch n 2"]) -> Rays:
        """Rays through given image points (pixels)."""
        directions = normalise(self.in_cam(pixels) @ self.world_from_cam[..., :3, :3].mT)
        return Rays(self.centers[..., None, :].expand_as(directions), directions)

    def in_cam(self, pixels: Float[Tensor, "*batch n 2"]) -> Float[Tensor, "*batch n 3"]:
        """Directions through image points (pixels) in the cameras' frames, with z = 1."""
        return torch.cat([pixels, torch.ones_like(pixels[..., :1])], dim=-1) @ self.cam_from_pixel.mT

    def project(
        self, points: Float[Tensor, "*#batch n 3"]
    ) -> tuple[Float[Tensor, "*batch n 2"], Float[Tensor, "*batch n"]]:
        """Image points (pixels) and z-depths of world points; with a depth <= 0 (behind) the pixel is meaningless."""
        in_cam = apply(self.cam_from_world, points)
        depth = in_cam[..., 2]
        safe = torch.where(depth.abs() < 1e-8, torch.full_like(depth, 1e-8), depth)
        homogeneous = (in_cam / safe[..., None]) @ self.intrinsics.mT
        return homogeneous[..., :2], depth

    def locate(
        self, points: Float[Tensor, "*#batch n 3"]
    ) -> tuple[Float[Tensor, "*batch n 2"], Float[Tensor, "*batch n"], Bool[Tensor, "*batch n"]]:
        """Places in [-1, 1]^2 of the image's area, z-depths, and which world points lie inside it and before it."""
        pixels, depth = self.project(points)
        places = pixels * 2 / pixels.new_tensor([self.width, self.height]) - 1
        return places, depth, (depth > 0) & (places.abs() < 1).all(-1)

    def cosines(self, rays: Rays | None = None) -> Float[Tensor, "*batch height width"]:
        """Of the angles between `rays()` and the optical axis: a z-depth is a distance times this."""
        return ((rays or self.rays()).directions * self.forward[..., None, None, :]).sum(-1)

    def unproject(self, depth: Float[Tensor, "*batch height width"]) -> Float[Tensor, "*batch height width 3"]:
        """World points of the pixels at z-depths."""
        rays = self.rays()
        return rays.origins + rays.directions * (depth / self.cosines(rays))[..., None]

    def resized(self, height: int, width: int) -> "Cameras":
        """The same cameras with the image area sampled by another number of pixels."""
        scale = self.intrinsics.new_tensor([width / self.width, height / self.height, 1.0])
        return replace(self, intrinsics=scale[:, None] * self.intrinsics, height=height, width=width)

    def cropped(self, left: float, top: float, height: int, width: int) -> "Cameras":
        """The window that starts at image point (left, top); it may reach outside the image."""
        shift = torch.zeros_like(self.intrinsics)
        shift[..., 0, 2], shift[..., 1, 2] = left, top
        return replace(self, intrinsics=self.intrinsics - shift, height=height, width=width)

    def transformed(self, new_from_world: Float[Tensor, "*#batch 4 4"]) -> "Cameras":
        """Cameras in a new world frame; `new_from_world` is a similarity, its scale moves centres and not axes."""
        new_from_world = new_from_world.to(self.world_from_cam)
        moved = new_from_world @ self.world_from_cam
        scale = scale_of(new_from_world)[..., None, None]
        upper = torch.cat([moved[..., :3, :3] / scale, moved[..., :3, 3:]], dim=-1)
        return replace(self, world_from_cam=torch.cat([upper, moved[..., 3:, :]], dim=-2))

    @staticmethod
    def look_at(
        centers: Float[Tensor, "*batch 3"],
        target: Float[Tensor, "*#batch 3"],
        up: Float[Tensor, "*#batch 3"],
        *,
        focal: float,
        height: int,
        width: int,
    ) -> "Cameras":
        """Cameras that look at a point, with the principal point in the middle. `focal` is in pixels.

        Where `up` is parallel to the view, the roll is arbitrary.
        """
        forward = normalise(target - centers)
        right = torch.linalg.cross(forward, up.expand_as(forward))
        other = torch.linalg.cross(forward, up.roll(1, -1).expand_as(forward) + forward.roll(1, -1))
        right = normalise(torch.where(right.norm(dim=-1, keepdim=True) > 1e-6, right, other))
        down = torch.linalg.cross(forward, right)
        upper = torch.stack([right, down, forward, centers], dim=-1)
        bottom = upper.new_tensor([0.0, 0.0, 0.0, 1.0]).expand(*upper.shape[:-2], 1, 4)
        pinhole = upper.new_tensor([[focal, 0, width / 2], [0, focal, height / 2], [0, 0, 1]])
        return Cameras(torch.cat([upper, bottom], dim=-2), pinhole.expand(*upper.shape[:-2], 3, 3), height, width)

    @staticmethod
    def stack(cameras: Sequence["Cameras"]) -> "Cameras":
        """One batch of cameras that share an image size."""
        return _joined(cameras, torch.stack)

    @staticmethod
    def cat(cameras: Sequence["Cameras"], axis: int = 0) -> "Cameras":
        """Batches that share an image size, one after the other along an axis of the batch shape."""
        return _joined(cameras, lambda tensors: torch.cat(tensors, dim=axis))


def _joined(cameras: Sequence[Cameras], join: Callable[[list[Tensor]], Tensor]) -> Cameras:
    sizes = {(camera.height, camera.width) for camera in cameras}
    if len(sizes) != 1:
        raise ValueError(f"cameras of one batch share an image size, got {sorted(sizes)}")
    poses, intrinsics = [c.world_from_cam for c in cameras], [c.intrinsics for c in cameras]
    return Cameras(join(poses), join(intrinsics), *sizes.pop())


def pixel_centres(height: int, width: int) -> Float[Tensor, "{height} {width} 2"]:
    """Image points (x, y) of all pixel centres."""
    y, x = torch.meshgrid(torch.arange(height) + 0.5, torch.arange(width) + 0.5, indexing="ij")
    return torch.stack([x, y], dim=-1)
