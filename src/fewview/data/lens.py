"""Lens distortion, undone when a photo is read (OpenCV: "Camera Calibration and 3D Reconstruction", and its fisheye).

A lens maps directions to image points. Points are at depth 1 in camera axes; r is their distance from the optical axis.
"""

import math
from dataclasses import dataclass, replace
from functools import lru_cache

import torch
from jaxtyping import Float
from torch import Tensor

from fewview.cameras import Cameras, pixel_centres
from fewview.errors import InputError

WIDEST_ZOOM = 0.5  # a fisheye's pinhole picture ends where it would take in more than twice the nominal angle
WIDEST_ANGLE = math.radians(89)
BORDER_POINTS = 33  # along each side of the picture
NEWTON_STEPS, BISECTIONS = 30, 60


@dataclass(frozen=True)
class Lens:
    """Coefficients of one lens and the intrinsics (x, y; pixels) that it was calibrated with.

    Perspective: radial (k1, k2, k3, then k4, k5, k6 of the denominator) and tangential (p1, p2). Fisheye: radial alone,
    with theta, the angle to the axis, in the place of r: theta (1 + k1 theta^2 + k2 theta^4 + ...).
    """

    focal: tuple[float, float]
    centre: tuple[float, float]
    radial: tuple[float, ...]
    tangential: tuple[float, float] = (0.0, 0.0)
    fisheye: bool = False

    @property
    def straight(self) -> bool:
        """Whether the lens does nothing."""
        return not self.fisheye and not any((*self.radial, *self.tangential))

    def scaled(self, x: float, y: float) -> "Lens":
        """The lens of a copy of the picture that is so many times as wide and as high."""
        (fx, fy), (cx, cy) = self.focal, self.centre
        return replace(self, focal=(fx * x, fy * y), centre=(cx * x, cy * y))

    def distort(self, points: Float[Tensor, "*n 2"]) -> Float[Tensor, "*n 2"]:
        """Where the lens draws points of the plane at depth 1, before focal length and centre."""
        if self.fisheye:
            r = points.norm(dim=-1, keepdim=True).clamp(min=1e-12)
            theta = torch.atan(r)
            return points * theta * _polynomial(self.radial, theta**2) / r
        x, y = points.unbind(-1)
        r2 = x * x + y * y
        p1, p2 = self.tangential
        scale = _polynomial(self.radial[:3], r2) / _polynomial(self.radial[3:], r2)
        dx = 2 * p1 * x * y + p2 * (r2 + 2 * x * x)
        dy = p1 * (r2 + 2 * y * y) + 2 * p2 * x * y
        return torch.stack([x * scale + dx, y * scale + dy], dim=-1)

    def undistort(self, points: Float[Tensor, "*n 2"]) -> Float[Tensor, "*n 2"]:
        """The inverse of `distort`; NaN where it has none near the axis. A fisheye's points end at 89 degrees."""
        target = points.double().reshape(-1, 2)
        found = self._undistort_fisheye(target) if self.fisheye else self._undistort_perspective(target)
        return found.reshape(points.shape).to(points)

    def _undistort_fisheye(self, target: Float[Tensor, "n 2"]) -> Float[Tensor, "n 2"]:
        """By bisection of the angle to the axis."""
        drawn = target.norm(dim=-1, keepdim=True).clamp(min=1e-12)
        low, high = torch.zeros_like(drawn), torch.full_like(drawn, WIDEST_ANGLE)
        for _ in range(BISECTIONS):
            theta = (low + high) / 2
            beyond = theta * _polynomial(self.radial, theta**2) > drawn
            low, high = torch.where(beyond, low, theta), torch.where(beyond, theta, high)
        return target / drawn * ((low + high) / 2).tan()

    def _undistort_perspective(self, target: Float[Tensor, "n 2"]) -> Float[Tensor, "n 2"]:
        """By Newton's method, with steps short enough to stay on this side of a fold."""
        guess = target
        for _ in range(NEWTON_STEPS):
            error = self.distort(guess) - target
            (xx, xy), (yx, yy) = (row.unbind(-1) for row in self.jacobian(guess).unbind(-2))
            across = torch.stack([yy * error[:, 0] - xy * error[:, 1], xx * error[:, 1] - yx * error[:, 0]], dim=-1)
            step = across / (xx * yy - xy * yx)[:, None]
            longest = 0.5 * (1 + guess.norm(dim=-1, keepdim=True))
            guess = guess - step * (longest / step.norm(dim=-1, keepdim=True).clamp(min=1e-12)).clamp(max=1)
            if bool((step.abs() < 1e-12).all()):
                break
        wrong = ~((self.distort(guess) - target).norm(dim=-1, keepdim=True) < 1e-7)
        return torch.where(wrong, torch.nan, guess)

    def jacobian(self, points: Float[Tensor, "n 2"]) -> Float[Tensor, "n 2 2"]:
        """Derivative of `distort` (row) by the point (column)."""
        with torch.enable_grad():
            points = points.detach().requires_grad_()
            drawn = self.distort(points)
            rows = [torch.autograd.grad(drawn[:, i].sum(), points, retain_graph=i == 0)[0] for i in (0, 1)]
        return torch.stack(rows, dim=-2)

    def pinhole(self, camera: Cameras, *, where: str) -> Cameras:
        """The pinhole camera (batch shape ()) of this size whose picture the lens fills, and no more than it must.

        Its focal lengths are the lens's times one zoom factor. InputError where the lens folds the picture over.
        """
        zoom = _zoom(self, camera.height, camera.width)
        if zoom is None:
            numbers = ", ".join(f"{k:g}" for k in (*self.radial, *self.tangential))
            raise InputError(f"{where} has a lens distortion ({numbers}) that folds the picture; calibrate it again.")
        intrinsics = torch.diag(torch.tensor([zoom * self.focal[0], zoom * self.focal[1], 1.0]))
        intrinsics[:2, 2] = torch.tensor(self.centre)
        return replace(camera, intrinsics=intrinsics.to(camera.intrinsics))

    def undone(self, image: Float[Tensor, "c h w"], camera: Cameras) -> Float[Tensor, "c h w"]:
        """The picture that the pinhole `camera` sees, from the one that the lens drew (bilinear)."""
        centre, focal = camera.intrinsics[:2, 2], camera.intrinsics[[0, 1], [0, 1]]
        points = (pixel_centres(camera.height, camera.width).to(centre) - centre) / focal
        pixels = self.distort(points) * torch.tensor(self.focal).to(centre) + torch.tensor(self.centre).to(centre)
        grid = pixels * 2 / torch.tensor([camera.width, camera.height]).to(centre) - 1
        return torch.nn.functional.grid_sample(image[None], grid[None], padding_mode="border", align_corners=False)[0]


@lru_cache(maxsize=64)
def _zoom(lens: Lens, height: int, width: int) -> float | None:
    """The least factor of the focal lengths without blank corners; None for a lens that folds the picture over."""
    size = torch.tensor([width, height], dtype=torch.float64)
    focal, centre = (torch.tensor(v, dtype=torch.float64) for v in (lens.focal, lens.centre))
    border = _border() * size - centre
    sides = lens.undistort(border / focal).reshape(4, BORDER_POINTS, 2).unbind()
    left, top = (sides[i][:, axis].nan_to_num(-math.inf).max() for i, axis in ((0, 0), (2, 1)))
    right, bottom = (sides[i][:, axis].nan_to_num(math.inf).min() for i, axis in ((1, 0), (3, 1)))
    reach = torch.stack([left, top, right, bottom])  # of the largest rectangle in the undistorted picture
    nominal = torch.cat([-centre / focal, (size - centre) / focal])  # the same sides with the lens's focal lengths
    zoom = max(float((nominal / reach).max()), WIDEST_ZOOM)
    inner = torch.cat([border / (focal * zoom) * share for share in (1.0, 0.75, 0.5, 0.25)])
    drawn = lens.distort(inner) * focal + centre
    inside = (drawn > -1).all() and (drawn < size + 1).all()
    unfolded = (torch.linalg.det(lens.jacobian(inner)) > 0).all()
    return zoom if bool(reach.isfinite().all() and (reach * nominal > 0).all() and inside and unfolded) else None


def _polynomial(coefficients: tuple[float, ...], x: Float[Tensor, "*n"]) -> Float[Tensor, "*n"]:
    """1 + c1 x + c2 x^2 + ..."""
    total = torch.zeros_like(x)
    for coefficient in reversed(coefficients):
        total = (total + coefficient) * x
    return 1 + total


def _border() -> Float[Tensor, "n 2"]:
    """Points along the left, right, top and bottom side of the unit square."""
    along = torch.linspace(0, 1, BORDER_POINTS, dtype=torch.float64)
    zero, one = torch.zeros_like(along), torch.ones_like(along)
    sides = [(zero, along), (one, along), (along, zero), (along, one)]
    return torch.cat([torch.stack(side, dim=-1) for side in sides])
