"""CPU kernels of `triplanes.triplanes`: channels lie last, so that one cell is one vector; threads share the boxes."""

from typing import no_type_check

import numpy as np
import torch
from numba import njit

from fewview.render.threads import share


@njit(cache=True, error_model="numpy", nogil=True, inline="always")
@no_type_check
def _place(value, cells):
    """Lower cell and the share of the upper one, of a coordinate in [-1, 1] along so many cells."""
    x = (value + np.float32(1)) * np.float32(0.5) * np.float32(cells) - np.float32(0.5)
    x = min(max(x, np.float32(0)), np.float32(cells - 1))
    low = min(int(x), max(cells - 2, 0))
    return low, x - np.float32(low)


@njit(cache=True, error_model="numpy", nogil=True, inline="always")
@no_type_check
def _corners(u, v, first, rows, columns):
    """Rows of the flat planes that hold the four cells around a point, and their weights."""
    x, a = _place(u, columns)
    y, b = _place(v, rows)
    right, below = min(x + 1, columns - 1), min(y + 1, rows - 1)
    top, bottom = first + y * columns, first + below * columns
    one = np.float32(1)
    weights = ((one - a) * (one - b), a * (one - b), (one - a) * b, a * b)
    return (top + x, top + right, bottom + x, bottom + right), weights


@njit(cache=True, error_model="numpy", nogil=True, inline="always")
@no_type_check
def _cells(point, box, p, size):
    """`_corners` on plane p of a box (xy, xz, yz), of a point in it."""
    u, v = point[1] if p == 2 else point[0], point[1] if p == 0 else point[2]
    return _corners(u, v, (3 * box + p) * size[0] * size[1], size[0], size[1])


@njit(cache=True, error_model="numpy", nogil=True, fastmath=True)
@no_type_check
def _sample(start, end, planes, size, points, offsets, out):
    """planes: a row for each cell of (box, plane, row, column)."""
    for box in range(start, end):
        for i in range(offsets[box], offsets[box + 1]):
            for p in range(3):
                (k, m, n, o), (a, b, c, d) = _cells(points[i], box, p, size)
                for j in range(out.shape[1]):
                    out[i, j] += a * planes[k, j] + b * planes[m, j] + c * planes[n, j] + d * planes[o, j]


@njit(cache=True, error_model="numpy", nogil=True, fastmath=True)
@no_type_check
def _sample_backward(start, end, grad, size, points, offsets, planes):
    """Adds to the gradient of `planes`."""
    for box in range(start, end):
        for i in range(offsets[box], offsets[box + 1]):
            for p in range(3):
                (k, m, n, o), (a, b, c, d) = _cells(points[i], box, p, size)
                for j in range(grad.shape[1]):
                    planes[k, j] += a * grad[i, j]
                for j in range(grad.shape[1]):
                    planes[m, j] += b * grad[i, j]
                for j in range(grad.shape[1]):
                    planes[n, j] += c * grad[i, j]
                for j in range(grad.shape[1]):
                    planes[o, j] += d * grad[i, j]


class SampleTriplanes(torch.autograd.Function):
    """Planes "batch 3 channels rows columns", points and offsets to summed features; no gradient to the points."""

    @staticmethod
    def forward(ctx, planes, points, offsets):
        batch, _, channels, *size = planes.shape
        cells = planes.detach().permute(0, 1, 3, 4, 2).reshape(-1, channels).contiguous()
        where, ends = points.detach().float().contiguous(), offsets.contiguous()
        out = torch.zeros(len(where), channels)
        share(_sample, batch, cells.numpy(), tuple(size), *(t.numpy() for t in (where, ends, out)))
        ctx.save_for_backward(where, ends)
        ctx.shape = planes.shape
        return out

    @staticmethod
    def backward(ctx, *grads):
        where, ends = ctx.saved_tensors
        batch, _, channels, *size = ctx.shape
        found = torch.zeros(batch * 3 * size[0] * size[1], channels)
        arrays = (where.numpy(), ends.numpy(), found.numpy())
        share(_sample_backward, batch, grads[0].contiguous().numpy(), tuple(size), *arrays)
        return found.reshape(batch, 3, *size, channels).permute(0, 1, 4, 2, 3), None, None
