"""`splatting.project` in one pass over splats, forward and backward: compiled for the CPU.

A splat is read once and its footprint written once; backward computes again what forward did not keep. Each splat is
treated by itself, geometry in double precision, so that bits do not depend on the number of threads.
"""

from typing import no_type_check

import numba
import numpy as np

from fewview.render.tiles_numba import ALPHA_MIN, OPACITY

NEAR, DILATION, GUARD = 0.01, 0.3, 0.15  # as in `splatting`
LEAST_KEPT = 1e-12  # of the share of opacity that antialiasing leaves, squared

_njit = numba.njit(cache=True, error_model="numpy", nogil=True)
_njit_inside = numba.njit(error_model="numpy", fastmath={"contract"}, forceinline=True)


def view_of(world_from_cam: np.ndarray, intrinsics: np.ndarray, size: tuple[int, int]) -> tuple:
    """A camera as tuples: eye, axes (rows of world_from_cam), pinhole's rows, limits of slopes, and (width, height)."""
    pose, pinhole = world_from_cam.astype(np.float64), intrinsics.astype(np.float64)
    extent = np.array(size[::-1], np.float64)
    focal, middle = pinhole.diagonal()[:2], pinhole[:2, 2]
    margin = GUARD * extent / focal
    limits = np.stack([-middle / focal - margin, (extent - middle) / focal + margin], axis=1)
    parts = pose[:3, 3], pose[:3, :3], pinhole[:2], limits, extent
    return tuple(_tuples(part) for part in parts)


def _tuples(array: np.ndarray) -> tuple:
    return tuple(float(v) for v in array) if array.ndim == 1 else tuple(_tuples(row) for row in array)


@_njit_inside
@no_type_check
def _dot(a, b):
    return a[0] * b[0] + a[1] * b[1] + a[2] * b[2]


@_njit_inside
@no_type_check
def _dots(rows, b):
    """A 3 x 3 matrix of rows times a column."""
    return _dot(rows[0], b), _dot(rows[1], b), _dot(rows[2], b)


@_njit_inside
@no_type_check
def _sums(a, rows):
    """A row times a 3 x 3 matrix of rows."""
    x, y, z = rows
    return (
        a[0] * x[0] + a[1] * y[0] + a[2] * z[0],
        a[0] * x[1] + a[1] * y[1] + a[2] * z[1],
        a[0] * x[2] + a[1] * y[2] + a[2] * z[2],
    )


@_njit_inside
@no_type_check
def _three(rows, i):
    return np.float64(rows[i, 0]), np.float64(rows[i, 1]), np.float64(rows[i, 2])


@_njit_inside
@no_type_check
def _in_camera(means, i, view):
    eye, mean = view[0], _three(means, i)
    return _sums((mean[0] - eye[0], mean[1] - eye[1], mean[2] - eye[2]), view[1])


@_njit_inside
@no_type_check
def _unit(quaternions, i):
    """A unit quaternion, and one over the length of what it was."""
    x, y, z = np.float64(quaternions[i, 1]), np.float64(quaternions[i, 2]), np.float64(quaternions[i, 3])
    w = np.float64(quaternions[i, 0])
    inverse = 1 / max(np.sqrt(w * w + x * x + y * y + z * z), 1e-12)
    return (w * inverse, x * inverse, y * inverse, z * inverse), inverse


@_njit_inside
@no_type_check
def _rotation(quaternion):
    """`geometry.quaternions.rotations` of a unit quaternion."""
    w, x, y, z = quaternion
    return (
        (1 - 2 * (y * y + z * z), 2 * (x * y - w * z), 2 * (x * z + w * y)),
        (2 * (x * y + w * z), 1 - 2 * (x * x + z * z), 2 * (y * z - w * x)),
        (2 * (x * z - w * y), 2 * (y * z + w * x), 1 - 2 * (x * x + y * y)),
    )


@_njit_inside
@no_type_check
def _of_quaternion(quaternion, inverse, of):
    """The gradient in a quaternion of any length, from that in its rotation."""
    w, x, y, z = quaternion
    (a, b, c), (d, e, f), (g, h, i) = of
    of_w = 2 * (x * (h - f) + y * (c - g) + z * (d - b))
    of_x = 2 * (y * (b + d) + z * (c + g) + w * (h - f) - 2 * x * (e + i))
    of_y = 2 * (x * (b + d) + z * (f + h) + w * (c - g) - 2 * y * (a + i))
    of_z = 2 * (x * (c + g) + y * (f + h) + w * (d - b) - 2 * z * (a + e))
    along = w * of_w + x * of_x + y * of_y + z * of_z
    return (
        (of_w - along * w) * inverse,
        (of_x - along * x) * inverse,
        (of_y - along * y) * inverse,
        (of_z - along * z) * inverse,
    )


@_njit_inside
@no_type_check
def _jacobian(point, view):
    """Rows of the image point's derivative by the point in the camera's frame, and the slopes that it is taken at."""
    first, second = view[2]
    (left, right), (top, bottom) = view[3]
    inverse = 1 / point[2]
    x, y = min(max(point[0] * inverse, left), right), min(max(point[1] * inverse, top), bottom)
    return (
        (first[0] * inverse, first[1] * inverse, -(first[0] * x + first[1] * y) * inverse),
        (second[0] * inverse, second[1] * inverse, -(second[0] * x + second[1] * y) * inverse),
        (x, y),
    )


@_njit_inside
@no_type_check
def _scaled(a, b):
    return a[0] * b[0], a[1] * b[1], a[2] * b[2]


@_njit_inside
@no_type_check
def _flat(jacobian, view, rotation):
    """Rows of J R' (from world), and of the splat's axes of length 1 in the image."""
    first, second = _dots(view[1], jacobian[0]), _dots(view[1], jacobian[1])
    return first, second, _sums(first, rotation), _sums(second, rotation)


@_njit_inside
@no_type_check
def _kept(xx, xy, yy):
    """The share of opacity that antialiasing leaves, squared, and the determinant of the widened covariance."""
    determinant = (xx + DILATION) * (yy + DILATION) - xy * xy
    return (xx * yy - xy * xy) / determinant, determinant


@_njit_inside
@no_type_check
def _seen(x, y, square, size):
    """Whether a footprint's box touches the image; `square` holds the squares of its half-sizes."""
    if not (square[0] >= 0 and square[1] >= 0):
        return False
    reach_x, reach_y = np.sqrt(square[0]), np.sqrt(square[1])
    return x + reach_x > 0 and y + reach_y > 0 and x - reach_x < size[0] and y - reach_y < size[1]


@_njit
@no_type_check
def project(start, end, view, splats, antialiased, footprints):
    """Geometry, opacity and depth of the footprints [start, end), which begin as zeros; those not seen stay so."""
    means, scales, quaternions, opacities = splats
    first, second = view[2]
    for i in range(start, end):
        point, opacity = _in_camera(means, i, view), np.float64(opacities[i])
        if not (point[2] > NEAR and opacity >= ALPHA_MIN):
            continue
        jacobian, (quaternion, _), lengths = _jacobian(point, view), _unit(quaternions, i), _three(scales, i)
        _, _, across, down = _flat(jacobian, view, _rotation(quaternion))
        across, down = _scaled(across, lengths), _scaled(down, lengths)
        xx, xy, yy = _dot(across, across), _dot(across, down), _dot(down, down)
        kept, determinant = _kept(xx, xy, yy)
        opacity *= np.sqrt(max(kept, LEAST_KEPT)) if antialiased else 1.0
        slope_x, slope_y = point[0] / point[2], point[1] / point[2]
        x = first[0] * slope_x + first[1] * slope_y + first[2]
        y = second[0] * slope_x + second[1] * slope_y + second[2]
        cut = 2 * np.log(opacity / ALPHA_MIN)
        if not _seen(x, y, (cut * (xx + DILATION), cut * (yy + DILATION)), view[4]):
            continue
        footprints[i, 0], footprints[i, 1], footprints[i, OPACITY] = x, y, opacity
        footprints[i, 2], footprints[i, 3] = (yy + DILATION) / determinant, -xy / determinant
        footprints[i, 4], footprints[i, -1] = (xx + DILATION) / determinant, point[2]


@_njit_inside
@no_type_check
def _of_covariance(xx, xy, yy, opacity, antialiased, of):
    """Gradients in opacity and the covariance (xx, xy, yy), from those in conic and opacity of the footprint."""
    kept, determinant = _kept(xx, xy, yy)
    a, b, c = (yy + DILATION) / determinant, -xy / determinant, (xx + DILATION) / determinant
    of_a, of_b, of_c, of_opacity = of
    of_xx = -(a * a * of_a + a * b * of_b + b * b * of_c)
    of_yy = -(b * b * of_a + b * c * of_b + c * c * of_c)
    of_xy = -(2 * a * b * of_a + (a * c + b * b) * of_b + 2 * b * c * of_c)
    if antialiased:
        root = np.sqrt(max(kept, LEAST_KEPT))
        if kept > LEAST_KEPT:
            of_kept = 0.5 * of_opacity * opacity / (root * determinant)
            of_xx += of_kept * (yy - kept * (yy + DILATION))
            of_yy += of_kept * (xx - kept * (xx + DILATION))
            of_xy -= of_kept * 2 * xy * (1 - kept)
        of_opacity *= root
    return of_opacity, of_xx, of_xy, of_yy


@_njit_inside
@no_type_check
def _of_point(point, view, at, of_centre, of_first, of_second):
    """The gradient in the point in the camera's frame, from those in the image point and the Jacobian."""
    first, second = view[2]
    (left, right), (top, bottom) = view[3]
    inverse = 1 / point[2]
    x, y = point[0] * inverse, point[1] * inverse
    of_x, of_y = of_centre[0] * first[0] + of_centre[1] * second[0], of_centre[0] * first[1] + of_centre[1] * second[1]
    if left <= x <= right:
        of_x -= inverse * (of_first[2] * first[0] + of_second[2] * second[0])
    if top <= y <= bottom:
        of_y -= inverse * (of_first[2] * first[1] + of_second[2] * second[1])
    of_inverse = of_x * point[0] + of_y * point[1]
    of_inverse += of_first[0] * first[0] + of_first[1] * first[1] - of_first[2] * (first[0] * at[0] + first[1] * at[1])
    of_inverse += of_second[0] * second[0] + of_second[1] * second[1]
    of_inverse -= of_second[2] * (second[0] * at[0] + second[1] * at[1])
    return of_x * inverse, of_y * inverse, -inverse * inverse * of_inverse


@_njit
@no_type_check
def pull(start, end, view, splats, antialiased, footprints, of_footprints, made):
    """Gradients (which begin as zeros) of those of the splats [start, end) that are seen, from their footprints'."""
    means, scales, quaternions, opacities = splats
    of_means, of_scales, of_quaternions, of_opacities = made
    for i in range(start, end):
        if footprints[i, OPACITY] == 0:
            continue
        point, opacity, lengths = _in_camera(means, i, view), np.float64(opacities[i]), _three(scales, i)
        quaternion, inverse = _unit(quaternions, i)
        jacobian, rotation = _jacobian(point, view), _rotation(quaternion)
        first, second, across, down = _flat(jacobian, view, rotation)
        wide, high = _scaled(across, lengths), _scaled(down, lengths)
        conic = of_footprints[i, 2], of_footprints[i, 3], of_footprints[i, 4], of_footprints[i, OPACITY]
        of_opacities[i], of_xx, of_xy, of_yy = _of_covariance(
            _dot(wide, wide), _dot(wide, high), _dot(high, high), opacity, antialiased, conic
        )
        of_wide = _mixed(2 * of_xx, wide, of_xy, high)
        of_high = _mixed(of_xy, wide, 2 * of_yy, high)
        of_scales[i, 0] = of_wide[0] * across[0] + of_high[0] * down[0]
        of_scales[i, 1] = of_wide[1] * across[1] + of_high[1] * down[1]
        of_scales[i, 2] = of_wide[2] * across[2] + of_high[2] * down[2]
        of_wide, of_high = _scaled(of_wide, lengths), _scaled(of_high, lengths)
        of_rotation = (
            _mixed(first[0], of_wide, second[0], of_high),
            _mixed(first[1], of_wide, second[1], of_high),
            _mixed(first[2], of_wide, second[2], of_high),
        )
        w, x, y, z = _of_quaternion(quaternion, inverse, of_rotation)
        of_quaternions[i, 0], of_quaternions[i, 1], of_quaternions[i, 2], of_quaternions[i, 3] = w, x, y, z
        of_first, of_second = _sums(_dots(rotation, of_wide), view[1]), _sums(_dots(rotation, of_high), view[1])
        of_centre = of_footprints[i, 0], of_footprints[i, 1]
        x, y, z = _of_point(point, view, jacobian[2], of_centre, of_first, of_second)
        of_mean = _dots(view[1], (x, y, z + of_footprints[i, -1]))
        of_means[i, 0], of_means[i, 1], of_means[i, 2] = of_mean


@_njit_inside
@no_type_check
def _mixed(a, x, b, y):
    """a x + b y of triples."""
    return a * x[0] + b * y[0], a * x[1] + b * y[1], a * x[2] + b * y[2]
