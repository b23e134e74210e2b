"""CPU kernels of `splatting.shown`: colours of harmonics in the directions of splats, forward and backward.

Threads share the splats, each of which is seen once by a camera, so that no sum crosses them: the bits are the same
whatever the number of threads. Coefficients of splats that are not seen are not touched.
"""

from typing import no_type_check

import numba
import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from fewview.geometry import harmonics as real
from fewview.geometry.harmonics import degree_of
from fewview.render.threads import follow_torch_threads

A, B, C, D, E, F, G, H, I = (np.float32(value) for value in (  # noqa: E741
    real.A, real.B, real.C, real.D, real.E, real.F, real.G, real.H, real.I
))  # fmt: skip
ZERO, ONE, TWO, THREE, FOUR, SIX, EIGHT = (np.float32(value) for value in (0, 1, 2, 3, 4, 6, 8))
TINY = np.float32(1e-12)

_compile = numba.njit(cache=True, error_model="numpy")
_compile_parallel = numba.njit(cache=True, error_model="numpy", parallel=True)


def shown(
    means: Float[Tensor, "n 3"],
    features: Float[Tensor, "n channels"],
    harmonics: Float[Tensor, "n k channels"],
    *,
    eye: Float[Tensor, "3"],
    indices: Int[Tensor, " m"],
) -> Float[Tensor, "m channels"]:
    """Features and harmonics of the splats of some indices, seen from `eye` (world), not below 0."""
    return _Shown.apply(means, features, harmonics, eye, indices)  # type: ignore[return-value]


class _Shown(torch.autograd.Function):
    @staticmethod
    def forward(ctx, means, features, harmonics, eye, indices):
        follow_torch_threads()
        ctx.save_for_backward(means, features, harmonics, eye, indices)
        colours = np.empty((len(indices), features.shape[1]), np.float32)
        _forward(_arrays((means, features, harmonics, eye, indices)), degree_of(harmonics.shape[1]), colours)
        return torch.from_numpy(colours).to(features)

    @staticmethod
    def backward(ctx, *gradients):
        follow_torch_threads()
        means, features, harmonics = ctx.saved_tensors[:3]
        made = tuple(np.zeros(tensor.shape, np.float32) for tensor in (means, features, harmonics))
        _backward(_arrays(ctx.saved_tensors), degree_of(harmonics.shape[1]), (_numpy(gradients[0]), *made))
        of_means, of_features, of_harmonics = (torch.from_numpy(array).to(features) for array in made)
        of_eye = -of_means.sum(0) if ctx.needs_input_grad[3] else None
        return of_means, of_features, of_harmonics, of_eye, None


def _numpy(tensor: Tensor) -> np.ndarray:
    return tensor.detach().to("cpu", torch.float32).contiguous().numpy()


def _arrays(tensors) -> tuple[np.ndarray, ...]:
    *values, indices = tensors
    return (*(_numpy(tensor) for tensor in values), indices.cpu().numpy())


@_compile
@no_type_check
def _direction(mean, eye):
    """Unit vector from the eye to a mean, and one over the distance."""
    x, y, z = mean[0] - eye[0], mean[1] - eye[1], mean[2] - eye[2]
    inverse = ONE / max(np.sqrt(x * x + y * y + z * z), TINY)
    return x * inverse, y * inverse, z * inverse, inverse


@_compile
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


@_compile
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


@_compile_parallel
@no_type_check
def _forward(splats, degree, colours):
    means, features, harmonics, eye, indices = splats
    count, channels = harmonics.shape[1], harmonics.shape[2]
    for i in numba.prange(len(indices)):
        at = indices[i]
        x, y, z, _ = _direction(means[at], eye)
        weights = np.empty(15, np.float32)
        _basis((x, y, z), degree, weights)
        for c in range(channels):
            total = features[at, c]
            for k in range(count):
                total += weights[k] * harmonics[at, k, c]
            colours[i, c] = max(total, ZERO)


@_compile_parallel
@no_type_check
def _backward(splats, degree, gradients):
    means, features, harmonics, eye, indices = splats
    of_colours, of_means, of_features, of_harmonics = gradients
    count, channels = harmonics.shape[1], harmonics.shape[2]
    for i in numba.prange(len(indices)):
        at = indices[i]
        x, y, z, inverse = _direction(means[at], eye)
        weights, of = np.empty(15, np.float32), np.zeros(15, np.float32)
        _basis((x, y, z), degree, weights)
        for c in range(channels):
            total = features[at, c]
            for k in range(count):
                total += weights[k] * harmonics[at, k, c]
            gradient = of_colours[i, c] if total >= ZERO else ZERO
            of_features[at, c] = gradient
            for k in range(count):
                of_harmonics[at, k, c] = weights[k] * gradient
                of[k] += harmonics[at, k, c] * gradient
        dx, dy, dz = _pull((x, y, z), degree, of)
        along = x * dx + y * dy + z * dz
        of_means[at, 0] = (dx - along * x) * inverse
        of_means[at, 1] = (dy - along * y) * inverse
        of_means[at, 2] = (dz - along * z) * inverse
