"""`losses.dissimilarity` and its gradient in one go: compiled for the CPU, threaded over channels.

Windows are swept row by row: down the columns of a row for all five means, then along it. What the means say of a pixel
goes back to the picture through the same windows, for they are symmetric.
"""

from typing import no_type_check

import numba
import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from fewview.render.lanes import COUNT, lanes, load, store, total, where
from fewview.render.threads import share

REACH = 5  # pixels of a window on each side of its middle
MARGIN = COUNT  # zeros before and after a row
ZERO, ONE, TWO = (np.float32(x) for x in (0, 1, 2))

_njit = numba.njit(cache=True, error_model="numpy", nogil=True)


def dissimilarity(
    a: Float[Tensor, "c h w"], b: Float[Tensor, "c h w"], *, taps: Float[Tensor, " 11"], stable: tuple[float, float]
) -> Float[Tensor, ""]:
    """1 - SSIM of a window's `taps` and constants, differentiable in a."""
    return _Dissimilarity.apply(a, b, taps, stable)  # type: ignore[return-value]


class _Dissimilarity(torch.autograd.Function):
    @staticmethod
    def forward(ctx, a, b, taps, stable):
        images, others = (tensor.detach().contiguous().numpy() for tensor in (a, b))
        gradients, sums = np.empty_like(images), np.empty(len(images), np.float32)
        constants = tuple(np.float32(value) for value in stable)
        share(_channels, len(images), images, others, taps.numpy(), constants, gradients, sums)
        ctx.save_for_backward(torch.from_numpy(gradients))
        return a.new_tensor(1 - float(sums.astype(np.float64).sum()) / images.size)

    @staticmethod
    def backward(ctx, *gradients):
        (of_a,) = ctx.saved_tensors
        return gradients[0] * of_a, None, None, None


@_njit
@no_type_check
def _channels(start, end, images, others, taps, constants, gradients, sums):
    _, height, width = images.shape
    wide = (width + COUNT - 1) // COUNT * COUNT
    columns = np.arange(wide).astype(np.float32)
    for c in range(start, end):
        a, b = np.zeros(height * wide, np.float32), np.zeros(height * wide, np.float32)
        for y in range(height):
            for x in range(width):
                a[y * wide + x], b[y * wide + x] = images[c, y, x], others[c, y, x]
        pulls = np.empty(3 * height * wide, np.float32)
        size = height, width, wide
        sums[c] = _compare(a, b, size, taps, constants, columns, pulls)
        _pull(a, b, size, taps, pulls, np.float32(-1 / images.size), gradients[c])


@_njit
@no_type_check
def _along(row, at, taps):
    """The window's mean of a row's values, whose middle is at `at`."""
    mean = lanes(ZERO)
    for k in range(2 * REACH + 1):
        mean = mean + taps[k] * load(row, at + k - REACH)
    return mean


@_njit
@no_type_check
def _compare(a, b, size, taps, constants, columns, pulls):
    """The sum of SSIM; `pulls` are its gradients in the means of a, of a^2 and of a b."""
    height, width, wide = size
    row, stride, area = np.zeros(5 * (wide + 2 * MARGIN), np.float32), wide + 2 * MARGIN, height * wide
    added = lanes(ZERO)
    for y in range(height):
        for x in range(0, wide, COUNT):
            p, q, pp, qq, pq = lanes(ZERO), lanes(ZERO), lanes(ZERO), lanes(ZERO), lanes(ZERO)
            for r in range(max(y - REACH, 0), min(y + REACH + 1, height)):
                u, v = load(a, r * wide + x), load(b, r * wide + x)
                tu, tv = taps[r - y + REACH] * u, taps[r - y + REACH] * v
                p, q, pp, qq, pq = p + tu, q + tv, pp + tu * u, qq + tv * v, pq + tu * v
            at = MARGIN + x
            store(row, at, p)
            store(row, at + stride, q)
            store(row, at + 2 * stride, pp)
            store(row, at + 3 * stride, qq)
            store(row, at + 4 * stride, pq)
        for x in range(0, wide, COUNT):
            at = MARGIN + x
            p, q = _along(row, at, taps), _along(row, at + stride, taps)
            pp, qq = _along(row, at + 2 * stride, taps), _along(row, at + 3 * stride, taps)
            pq = _along(row, at + 4 * stride, taps)
            value, of_p, of_pp, of_pq = _similar((p, q, pp, qq, pq), constants)
            inside = load(columns, x) < np.float32(width)
            added = added + where(inside, value, ZERO)
            store(pulls, y * wide + x, where(inside, of_p, ZERO))
            store(pulls, area + y * wide + x, where(inside, of_pp, ZERO))
            store(pulls, 2 * area + y * wide + x, where(inside, of_pq, ZERO))
    return total(added)


@_njit
@no_type_check
def _similar(means, constants):
    """SSIM (Wang et al. 2004, Eq. 13) of the means of a, b, a^2, b^2 and a b; its gradients in the 1st, 3rd and 5th."""
    p, q, pp, qq, pq = means
    luminance, squares = TWO * p * q + constants[0], p * p + q * q
    contrast = TWO * (pq - p * q) + constants[1]
    first = ONE / (squares + constants[0])
    second = ONE / (pp + qq - squares + constants[1])
    value = luminance * contrast * first * second
    both = TWO * q * (contrast - luminance) * first * second
    return value, both + TWO * p * value * (second - first), ZERO - value * second, TWO * luminance * first * second


@_njit
@no_type_check
def _pull(a, b, size, taps, pulls, factor, gradient):
    """The gradient in a of `factor` times the sum."""
    height, width, wide = size
    row, stride, area = np.zeros(3 * (wide + 2 * MARGIN), np.float32), wide + 2 * MARGIN, height * wide
    line = np.empty(wide, np.float32)
    for y in range(height):
        for x in range(0, wide, COUNT):
            for k in range(3):
                mean = lanes(ZERO)
                for r in range(max(y - REACH, 0), min(y + REACH + 1, height)):
                    mean = mean + taps[r - y + REACH] * load(pulls, k * area + r * wide + x)
                store(row, k * stride + MARGIN + x, mean)
        for x in range(0, wide, COUNT):
            u, v, at = load(a, y * wide + x), load(b, y * wide + x), MARGIN + x
            of_p, of_pp, of_pq = (
                _along(row, at, taps),
                _along(row, at + stride, taps),
                _along(row, at + 2 * stride, taps),
            )
            store(line, x, factor * (of_p + TWO * u * of_pp + v * of_pq))
        for x in range(width):
            gradient[y, x] = line[x]
