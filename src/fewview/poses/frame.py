"""The world that estimated cameras are put into: object at the origin, y up, cameras four units away on average."""

import torch
from jaxtyping import Float
from torch import Tensor

from fewview.cameras import Cameras
from fewview.geometry.transforms import normalise
from fewview.paths import look_at_point, turntable_axis

DISTANCE = 4.0  # of the cameras from the origin, on average


def scene_from_world(
    world_from_cam: Float[Tensor, "n 4 4"], points: Float[Tensor, "m 3"], seen_by: Float[Tensor, " m"]
) -> Float[Tensor, "4 4"]:
    """The similarity into that world. `seen_by` is the number of photos that see each sparse point.

    The object is where the optical axes meet; where they do not (a walk, parallel views), it is the median point that
    most photos see. Up is square to the circle of the cameras, and to their images' horizontal.
    """
    eye = torch.eye(3, dtype=world_from_cam.dtype)
    middle = torch.tensor([[0.5, 0.5]], dtype=world_from_cam.dtype)
    eye[:2, 2] = middle[0]
    cameras = Cameras(world_from_cam, eye.expand(len(world_from_cam), 3, 3), 1, 1)
    target = look_at_point(cameras)
    if len(points) and not _meet(cameras, target):
        common = points[seen_by >= seen_by.quantile(0.5)]
        target = common.median(0).values
    up = normalise(turntable_axis(cameras, target))
    distance = (cameras.centers - target).norm(dim=-1).mean().clamp(min=1e-9)
    side = cameras.centers[0] - target  # the first camera stands towards +z
    toward = side - (side @ up) * up
    if toward.norm() < 1e-3 * distance:
        toward = cameras.up[0] - (cameras.up[0] @ up) * up
    toward = normalise(toward)
    rotation = torch.stack([torch.linalg.cross(up, toward), up, toward])
    matrix = torch.eye(4, dtype=world_from_cam.dtype)
    matrix[:3, :3] = rotation * (DISTANCE / distance)
    matrix[:3, 3] = -matrix[:3, :3] @ target
    return matrix


def _meet(cameras: Cameras, target: Float[Tensor, "3"]) -> bool:
    """Whether the target is before every camera and near every axis (15 degrees)."""
    toward = normalise(target - cameras.centers)
    return bool(((toward * cameras.forward).sum(-1) > 0.966).all())
