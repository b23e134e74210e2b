"""Colours of splats with their harmonics, forward and backward: compiled for the CPU.

Each splat is treated by itself, so that bits do not depend on the number of threads; those that are not seen are not
touched.
"""

from typing import no_type_check

import numba
import numpy as np

from fewview.geometry import harmonics as real
from fewview.render.tiles_numba import GEOMETRY, OPACITY

A, B, C, D, E, F, G, H, I = (np.float32(value) for value in (  # noqa: E741
    real.A, real.B, real.C, real.D, real.E, real.F, real.G, real.H, real.I
))  # fmt: skip
ZERO, ONE, TWO, THREE, FOUR, SIX, EIGHT = (np.float32(value) for value in (0, 1, 2, 3, 4, 6, 8))
TINY = np.float32(1e-12)

_njit = numba.njit(cache=True, error_model="numpy", nogil=True, fastmath={"contract", "reassoc"})
_njit_inside = numba.njit(error_model="numpy", fastmath={"contract", "reassoc"}, forceinline=True)


@_njit_inside
@no_type_check
def _direction(means, i, eye):
    """Unit vector from the eye to a mean, and one over the distance."""
    x, y, z = np.float32(means[i, 0] - eye[0]), np.float32(means[i, 1] - eye[1]), np.float32(means[i, 2] - eye[2])
    inverse = ONE / max(np.sqrt(x * x + y * y + z * z), TINY)
    return x * inverse, y * inverse, z * inverse, inverse


@_njit_inside
@no_type_check
def _basis(direction, degree, out):
    """`harmonics.basis` of one direction."""
    x, y, z = direction
    out[0], out[1], out[2] = -A * y, A * z, -A * x
    xx, yy, zz = x * x, y * y, z * z
    if degree > 1:
        out[3], out[4], out[5] = B * x * y, -B * y * z, C * (TWO * zz - xx - yy)
        out[6], out[7] = -B * x * z, D * (xx - yy)
    if degree > 2:
        out[8], out[9] = -E * y * (THREE * xx - yy), F * x * y * z
        out[10], out[11] = -G * y * (FOUR * zz - xx - yy), H * z * (TWO * zz - THREE * xx - THREE * yy)
        out[12], out[13] = -G * x * (FOUR * zz - xx - yy), I * z * (xx - yy)
        out[14] = -E * x * (xx - THREE * yy)


@_njit_inside
@no_type_check
def _pull(direction, degree, of):
    """Gradient in (x, y, z) of the harmonics weighted by `of`, as if the direction had any length."""
    x, y, z = direction
    dx, dy, dz = -A * of[2], -A * of[0], A * of[1]
    xx, yy, zz = x * x, y * y, z * z
    if degree > 1:
        dx += B * (y * of[3] - z * of[6]) + TWO * x * (D * of[7] - C * of[5])
        dy += B * (x * of[3] - z * of[4]) - TWO * y * (D * of[7] + C * of[5])
        dz += FOUR * C * z * of[5] - B * (y * of[4] + x * of[6])
    if degree > 2:
        around = FOUR * zz - xx - yy
        dx += F * y * z * of[9] - SIX * E * x * y * of[8] + TWO * G * x * y * of[10] - SIX * H * x * z * of[11]
        dx += TWO * I * x * z * of[13] - G * (around - TWO * xx) * of[12] - THREE * E * (xx - yy) * of[14]
        dy += F * x * z * of[9] + SIX * E * x * y * of[14] + TWO * G * x * y * of[12] - SIX * H * y * z * of[11]
        dy += -TWO * I * y * z * of[13] - G * (around - TWO * yy) * of[10] - THREE * E * (xx - yy) * of[8]
        dz += F * x * y * of[9] - EIGHT * G * z * (y * of[10] + x * of[12])
        dz += THREE * H * (TWO * zz - xx - yy) * of[11] + I * (xx - yy) * of[13]
    return dx, dy, dz


@_njit_inside
@no_type_check
def _degree(count):
    return 0 if count == 0 else 1 if count == 3 else 2 if count == 8 else 3


@_njit
@no_type_check
def show(start, end, eye, means, features, harmonics, footprints, like):
    """The channels of the footprints [start, end) that are seen from the eye (world), as `splatting.shown`.

    `like` has as many elements as there are channels.
    """
    count, weights = harmonics.shape[1], np.empty(16, np.float32)
    for i in range(start, end):
        if footprints[i, OPACITY] == ZERO:
            continue
        if count > 0:
            x, y, z, _ = _direction(means, i, eye)
            _basis((x, y, z), _degree(count), weights)
        for c in range(len(like)):
            value = features[i, c]
            for k in range(count):
                value += weights[k] * harmonics[i, k, c]
            footprints[i, GEOMETRY + c] = max(value, ZERO) if count > 0 else value


@_njit
@no_type_check
def pull(start, end, eye, means, features, harmonics, footprints, of_footprints, made, like):
    """Gradients of the splats [start, end) that are seen, from those of what they show, added to those in `made`."""
    of_means, of_features, of_harmonics = made
    count, weights, of = harmonics.shape[1], np.empty(16, np.float32), np.empty(16, np.float32)
    for i in range(start, end):
        if footprints[i, OPACITY] == ZERO:
            continue
        if count == 0:
            for c in range(len(like)):
                of_features[i, c] = of_footprints[i, GEOMETRY + c]
            continue
        x, y, z, inverse = _direction(means, i, eye)
        _basis((x, y, z), _degree(count), weights)
        of[:] = ZERO
        for c in range(len(like)):
            gradient = of_footprints[i, GEOMETRY + c] if footprints[i, GEOMETRY + c] > ZERO else ZERO
            of_features[i, c] = gradient
            for k in range(count):
                of_harmonics[i, k, c] = weights[k] * gradient
                of[k] += harmonics[i, k, c] * gradient
        dx, dy, dz = _pull((x, y, z), _degree(count), of)
        along = x * dx + y * dy + z * dz
        of_means[i, 0] += (dx - along * x) * inverse
        of_means[i, 1] += (dy - along * y) * inverse
        of_means[i, 2] += (dz - along * z) * inverse
