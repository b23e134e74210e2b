"""Focal lengths, principal point and lens of a frame of transforms.json: which of its numbers wins.

Frame before file: the first of the two that says anything of the focal length is believed alone. In each, an axis takes
`x_fov` (degrees), else `fl_x` (pixels), else `camera_angle_x` (radians), and an axis of which nothing is said takes the
other's focal length: the order of instant-ngp's loader (src/nerf_loader.cu), which like nerfstudio's prefers pixels to
camera_angle_x. Lens coefficients are OpenCV's.
"""

import math
from typing import Any

import numpy as np

from fewview.data.fields import field, shown
from fewview.data.lens import Lens
from fewview.errors import InputError

PERSPECTIVE = ("PINHOLE", "SIMPLE_PINHOLE", "SIMPLE_RADIAL", "RADIAL", "OPENCV", "FULL_OPENCV", "PERSPECTIVE")
FISHEYE = ("OPENCV_FISHEYE", "SIMPLE_RADIAL_FISHEYE", "RADIAL_FISHEYE", "FISHEYE")
RADIAL, TANGENTIAL = ("k1", "k2", "k3", "k4", "k5", "k6"), ("p1", "p2")
NOTHING = (None, "", [], {})


def present(data: dict[str, Any]) -> dict[str, Any]:
    """The entries that say something: null and empty ones are as good as absent."""
    return {key: value for key, value in data.items() if not any(value is x or value == x for x in NOTHING)}


def intrinsics(
    top: dict[str, Any], frame: dict[str, Any], size: tuple[float, float], *, where: str
) -> tuple[np.ndarray, np.ndarray]:
    """Focal lengths and principal point (x, y; pixels) for a picture of size (height, width)."""
    height, width = size
    level = next((level for level in (frame, top) if any(_focal(level, axis, 1, where=where) for axis in "xy")), None)
    if level is None:
        raise InputError(f"{where} has neither 'fl_x' nor 'camera_angle_x'; add the focal length in pixels.")
    found = [_focal(level, axis, side, where=where) for axis, side in (("x", width), ("y", height))]
    x, y = (value if value is not None else found[1 - i] for i, value in enumerate(found))
    assert x is not None and y is not None
    if not min(x[0], y[0]) > 0:
        raise InputError(f"{where} has a focal length of {x[0]:g} x {y[0]:g} pixels; it must be positive.")
    both = {**top, **frame}
    number = lambda key, default: field(both, key, float, where=where) if key in both else default
    return np.array([x[0], y[0]]), np.array([number("cx", width / 2), number("cy", height / 2)])


def _focal(level: dict[str, Any], axis: str, side: float, *, where: str) -> tuple[float] | None:
    """A focal length in pixels, in a tuple so that 0 is something; None where the level does not say it."""
    for key, unit in ((f"{axis}_fov", math.radians(1)), (f"fl_{axis}", None), (f"camera_angle_{axis}", 1.0)):
        if key in level:
            value = field(level, key, float, where=where)
            if unit is None:
                return (value,)
            if not 0 < value * unit < math.pi:
                raise InputError(f"{where}: '{key}' is {value:g}; a field of view must be positive, below 180 degrees.")
            return (side / 2 / math.tan(value * unit / 2),)
    return None


def lens_of(data: dict[str, Any], focal: np.ndarray, centre: np.ndarray, *, where: str) -> Lens | None:
    """The lens of a frame, None for a pinhole."""
    model = data.get("camera_model", "PINHOLE")
    name = model.upper() if isinstance(model, str) else ""
    fisheye = name in FISHEYE or ("is_fisheye" in data and field(data, "is_fisheye", bool, where=where))
    if not fisheye and name not in PERSPECTIVE:
        raise InputError(f"{where}: 'camera_model' is {shown(model)}; undistort the images to a pinhole camera first.")
    known = 4 if fisheye else 6 if name == "FULL_OPENCV" else 3
    number = {k: field(data, k, float, where=where) if k in data else 0.0 for k in RADIAL + TANGENTIAL}
    for key in RADIAL[known:] + (TANGENTIAL if fisheye else ()):
        if number[key] != 0:
            raise InputError(f"{where} has the lens coefficient {key}, unknown to {model}; undistort the images first.")
    radial = tuple(number[key] for key in RADIAL[:known])
    (fx, fy), (cx, cy) = focal.tolist(), centre.tolist()
    lens = Lens((fx, fy), (cx, cy), radial, (number["p1"], number["p2"]), fisheye)
    return None if lens.straight else lens
