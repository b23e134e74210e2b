"""Where to look from: the camera distribution of a scene (SparseFusion thesis A.3), and paths for videos.

Everything here follows from the input cameras alone. (The release fits its circle to the held-out cameras too.)
"""

import math
from dataclasses import dataclass, replace
from typing import Literal

import torch
from jaxtyping import Float
from torch import Tensor

from fewview.cameras import Cameras
from fewview.geometry.quaternions import quaternions_of, rotations
from fewview.geometry.transforms import normalise

JITTER = 0.17  # radians, thesis A.3
HEIGHT_SPREAD, ROLL_SPREAD = 0.3, 0.05  # of hand-held cameras: along the axis (in distances), about theirs (radians)
LEAN = 0.5  # radians: how far cameras look down or up
ON_SIDE, FROM_BELOW = 6.0, 1.0  # costs (2 log likelihood) of photos stored on their side, and of looking from below
POLE = 0.05  # radians: sampled cameras stay this far from the axis, where "up" means nothing


@dataclass(frozen=True, eq=False)
class Circle:
    """A circle about the axis `normal`, which points up, seen from a `target` on the axis or beside it."""

    centre: Float[Tensor, "3"]
    normal: Float[Tensor, "3"]
    radius: Float[Tensor, ""]
    start: Float[Tensor, "3"]

    def points(self, angles: Float[Tensor, " n"]) -> Float[Tensor, "n 3"]:
        """Points at angles (radians) from the unit vector `start`, counter-clockwise seen from above."""
        side = torch.linalg.cross(self.normal, self.start)
        angles = angles.to(self.start)[:, None]
        return self.centre + self.radius * (angles.cos() * self.start + angles.sin() * side)


@dataclass(frozen=True, eq=False)
class CameraPrior:
    """Cameras on a circle that look at `target` as large as the inputs saw it, without roll."""

    circle: Circle
    target: Float[Tensor, "3"]
    size_per_distance: Float[Tensor, "2"]  # focal lengths (x, y; pixels) over the distance to the target
    height: int
    width: int

    @staticmethod
    def fit(cameras: Cameras, *, centre: Literal["axis", "mean"] = "axis") -> "CameraPrior":
        """The distribution around one set of input cameras; works for a single one."""
        target = look_at_point(cameras)
        distances = (cameras.centers - target).norm(dim=-1, keepdim=True)
        focal = cameras.intrinsics[:, [0, 1], [0, 1]]
        circle = fit_circle(cameras, target, centre=centre)
        return CameraPrior(circle, target, (focal / distances).mean(0), cameras.height, cameras.width)

    def sample(self, n: int, *, generator: torch.Generator | None = None, jitter: float = JITTER) -> Cameras:
        """One camera from each of `n` equal arcs; the angle between it, the target and the axis gets N(0, jitter)."""
        arcs = (torch.arange(n) + torch.rand(n, generator=generator)) * (2 * math.pi / n)
        return self.at(arcs, torch.randn(n, generator=generator) * jitter)

    def at(self, angles: Float[Tensor, " n"], tilt: Float[Tensor, "*#n"]) -> Cameras:
        """Cameras at angles (radians) along the circle, turned about the target away from the axis by `tilt`."""
        arms = self.circle.points(angles) - self.target
        along = (arms @ self.circle.normal)[:, None]
        across = arms - along * self.circle.normal
        distance = arms.norm(dim=-1, keepdim=True)
        polar = torch.atan2(across.norm(dim=-1, keepdim=True), along) + tilt.to(arms).expand(len(arms))[:, None]
        polar = polar.clamp(POLE, math.pi - POLE)
        centers = self.target + distance * (polar.cos() * self.circle.normal + polar.sin() * normalise(across))
        return self.looking_from(centers)

    def looking_from(self, centers: Float[Tensor, "n 3"]) -> Cameras:
        """Cameras at given points that look at the target."""
        sized = {"focal": 1.0, "height": self.height, "width": self.width}
        cameras = Cameras.look_at(centers, self.target, self.circle.normal, **sized)
        intrinsics = cameras.intrinsics.clone()
        distances = (centers - self.target).norm(dim=-1, keepdim=True)
        intrinsics[:, [0, 1], [0, 1]] = self.size_per_distance * distances
        return replace(cameras, intrinsics=intrinsics)


def look_at_point(cameras: Cameras) -> Float[Tensor, "3"]:
    """The point nearest to the rays through the middles of the images, in front of the cameras (thesis A.3).

    These are the optical axes, but for photos cut around their object. Directions along which (nearly) parallel rays
    leave the point open are settled by looking ahead by three times the distance between the cameras.
    """
    middle = cameras.intrinsics.new_tensor([cameras.width / 2, cameras.height / 2])
    rays = cameras.rays_at(middle.expand(len(cameras), 1, 2))
    origins, directions = rays.origins[:, 0].double(), rays.directions[:, 0].double()
    across = torch.eye(3).to(origins) - directions[:, :, None] * directions[:, None, :]
    spread, axes = torch.linalg.eigh(across.mean(0))
    exact = (axes.mT @ (across @ origins[..., None]).mean(0))[:, 0] / spread.clamp(min=1e-12)
    baseline = torch.cdist(origins, origins).max()
    ahead = origins.mean(0) + directions.mean(0) * torch.where(baseline > 1e-9, 3 * baseline, torch.ones_like(baseline))
    point = axes @ torch.where(spread > 1e-3, exact, axes.mT @ ahead)
    behind = ((point - origins) * directions).sum(-1).mean() <= 0
    return torch.where(behind, ahead, point).to(cameras.intrinsics)


def fit_circle(
    cameras: Cameras, target: Float[Tensor, "3"] | None = None, *, centre: Literal["axis", "mean"] = "axis"
) -> Circle:
    """The circle that the cameras stand on: about the axis through the target, or (thesis) about their mean.

    The mean lies beside the object unless the cameras surround it, so few cameras need "axis". The circle starts at the
    first camera.
    """
    target = look_at_point(cameras) if target is None else target
    normal = turntable_axis(cameras, target)
    arms = cameras.centers - target
    middle = target + (arms @ normal).mean() * normal if centre == "axis" else cameras.centers.mean(0)
    flat = cameras.centers - middle
    flat = flat - (flat @ normal)[:, None] * normal
    radius = flat.norm(dim=-1).mean().clamp(min=POLE * arms.norm(dim=-1).mean().item())
    start = normalise(flat[0])
    if start.norm() < 0.5:  # the first camera stands on the axis
        start = normalise(torch.linalg.cross(normal, torch.eye(3).to(normal)[normal.abs().argmin()]))
    return Circle(middle, normal, radius, start)


def turntable_axis(cameras: Cameras, target: Float[Tensor, "3"]) -> Float[Tensor, "3"]:
    """The likeliest unit axis that the cameras stand around, pointing up.

    It is square to the plane of the centres, the more so the flatter they lie, and to the images' horizontal, the more
    so the less they roll: two upright photos already tell it. Photos may be stored on their side, all in the same way.
    """
    arms, right, up = (v.double() for v in (cameras.centers - target, cameras.world_from_cam[:, :3, 0], cameras.up))
    fits = [_likeliest_axis(arms, *pair) for pair in ((right, up), (up, -right), (-up, right))]
    costs = [cost + prior for (cost, _), prior in zip(fits, (0.0, ON_SIDE, ON_SIDE))]
    return fits[costs.index(min(costs))][1].to(target)


def _likeliest_axis(
    arms: Float[Tensor, "n 3"], right: Float[Tensor, "n 3"], up: Float[Tensor, "n 3"]
) -> tuple[float, Float[Tensor, "3"]]:
    """The axis and its cost, -2 log likelihood where heights and rolls are Student-t (their spreads are not known)."""
    n = len(arms)
    spread = arms - arms.mean(0)
    heights = spread.mT @ spread / arms.square().sum(-1).mean()
    rolls = right.mT @ right
    mean_up = normalise(up.mean(0))
    leans = (torch.eye(3).to(arms) - mean_up[:, None] * mean_up) / LEAN**2
    free = torch.tensor([1 + max(n - 3, 0), 1 + max(n - 2, 0)]).to(
        arms
    )  # a plane takes three heights, an axis two rolls
    spreads = torch.tensor([HEIGHT_SPREAD, ROLL_SPREAD]).to(arms) ** 2
    squares = torch.stack([heights, rolls])
    axis = mean_up
    for _ in range(10):  # reweighted least squares
        weights = free / (spreads + axis @ squares @ axis)
        axis = torch.linalg.eigh((weights[:, None, None] * squares).sum(0) + leans).eigenvectors[:, 0]
        axis = torch.where(axis @ mean_up < 0, -axis, axis)
    cost = (free * (1 + axis @ squares @ axis / spreads).log()).sum() + (1 - (up @ axis) ** 2).sum() / LEAN**2
    return cost.item() + FROM_BELOW * bool((arms @ axis).mean() < 0), axis


def orbit(cameras: Cameras, n: int) -> Cameras:
    """A closed turntable path of `n` cameras at the inputs' mean height, from the first camera's side."""
    return CameraPrior.fit(cameras).at(torch.arange(n) * (2 * math.pi / n), torch.zeros(n))


def spiral(cameras: Cameras, n: int, *, turns: int = 2, swing: float = 0.3) -> Cameras:
    """A closed path of `turns` rounds that rises and sinks once by `swing` radians about the inputs' mean height."""
    phase = torch.arange(n) * (2 * math.pi / n)
    return CameraPrior.fit(cameras).at(phase * turns, -swing * phase.sin())


def interpolate(keyframes: Cameras, n: int) -> Cameras:
    """`n` cameras from the first keyframe to the last: straight centres, shortest rotations, linear intrinsics."""
    if len(keyframes) < 2:
        raise ValueError("a path needs two keyframes")
    steps = torch.linspace(0, len(keyframes) - 1, n).to(keyframes.intrinsics)
    left = steps.long().clamp(max=len(keyframes) - 2)
    share = (steps - left)[:, None]
    quaternions = quaternions_of(keyframes.world_from_cam[:, :3, :3])
    pose = torch.zeros(n, 4, 4).to(keyframes.world_from_cam)
    pose[:, :3, :3] = rotations(slerp(quaternions[left], quaternions[left + 1], share))
    pose[:, :3, 3] = torch.lerp(keyframes.centers[left], keyframes.centers[left + 1], share)
    pose[:, 3, 3] = 1
    intrinsics = torch.lerp(keyframes.intrinsics[left], keyframes.intrinsics[left + 1], share[..., None])
    return replace(keyframes, world_from_cam=pose, intrinsics=intrinsics)


def slerp(
    first: Float[Tensor, "n 4"], second: Float[Tensor, "n 4"], share: Float[Tensor, "n 1"]
) -> Float[Tensor, "n 4"]:
    """Unit quaternions on the shorter great circle between two, at `share` in [0, 1] of the way."""
    cosine = (first * second).sum(-1, keepdim=True)
    second = torch.where(cosine < 0, -second, second)
    angle = cosine.abs().clamp(max=1).acos()
    near = angle < 1e-4
    sine = torch.where(near, torch.ones_like(angle), angle.sin())
    mixed = (((1 - share) * angle).sin() * first + (share * angle).sin() * second) / sine
    return torch.nn.functional.normalize(torch.where(near, torch.lerp(first, second, share), mixed), dim=-1)
