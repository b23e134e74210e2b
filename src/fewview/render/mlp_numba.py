"""CPU kernels of `mlp.mlp`: TILE points go through all layers while they are in the cache.

Only the input is kept for the backward pass, which runs the layers again; points without gradient are left out. Arrays
hold a row a channel and a column a point, so that loops vectorise over points. Work is cut into BLOCKS blocks whatever
the number of threads, and the blocks' sums are added in order, so results are the same bit for bit.
"""

from typing import no_type_check

import numpy as np
import torch
from numba import njit

from fewview.render.threads import share

TILE = 256  # points; a hidden layer of 64 then takes 64 KiB
BLOCKS = 16


@njit(cache=True, error_model="numpy", fastmath={"contract"})
@no_type_check
def _add_product(a, b, out):
    """out += a @ b, 4 x 4 entries of a at a time, which stay in registers."""
    for i in range(0, a.shape[0], 4):
        for k in range(0, a.shape[1], 4):
            p0, p1, p2, p3 = a[i, k], a[i, k + 1], a[i, k + 2], a[i, k + 3]
            q0, q1, q2, q3 = a[i + 1, k], a[i + 1, k + 1], a[i + 1, k + 2], a[i + 1, k + 3]
            r0, r1, r2, r3 = a[i + 2, k], a[i + 2, k + 1], a[i + 2, k + 2], a[i + 2, k + 3]
            t0, t1, t2, t3 = a[i + 3, k], a[i + 3, k + 1], a[i + 3, k + 2], a[i + 3, k + 3]
            for s in range(b.shape[1]):
                b0, b1, b2, b3 = b[k, s], b[k + 1, s], b[k + 2, s], b[k + 3, s]
                out[i, s] += p0 * b0 + p1 * b1 + p2 * b2 + p3 * b3
                out[i + 1, s] += q0 * b0 + q1 * b1 + q2 * b2 + q3 * b3
                out[i + 2, s] += r0 * b0 + r1 * b1 + r2 * b2 + r3 * b3
                out[i + 3, s] += t0 * b0 + t1 * b1 + t2 * b2 + t3 * b3


@njit(cache=True, error_model="numpy", fastmath={"contract", "reassoc", "nsz"})
@no_type_check
def _add_dots(a, b, out):
    """out += a @ b.T, 4 x 4 dot products at a time."""
    zero = np.float32(0)
    for i in range(0, a.shape[0], 4):
        for k in range(0, b.shape[0], 4):
            p0, p1, p2, p3, q0, q1, q2, q3 = zero, zero, zero, zero, zero, zero, zero, zero
            r0, r1, r2, r3, t0, t1, t2, t3 = zero, zero, zero, zero, zero, zero, zero, zero
            for s in range(a.shape[1]):
                b0, b1, b2, b3 = b[k, s], b[k + 1, s], b[k + 2, s], b[k + 3, s]
                p, q, r, t = a[i, s], a[i + 1, s], a[i + 2, s], a[i + 3, s]
                p0, p1, p2, p3 = p0 + p * b0, p1 + p * b1, p2 + p * b2, p3 + p * b3
                q0, q1, q2, q3 = q0 + q * b0, q1 + q * b1, q2 + q * b2, q3 + q * b3
                r0, r1, r2, r3 = r0 + r * b0, r1 + r * b1, r2 + r * b2, r3 + r * b3
                t0, t1, t2, t3 = t0 + t * b0, t1 + t * b1, t2 + t * b2, t3 + t * b3
            _add4(out[i], k, p0, p1, p2, p3)
            _add4(out[i + 1], k, q0, q1, q2, q3)
            _add4(out[i + 2], k, r0, r1, r2, r3)
            _add4(out[i + 3], k, t0, t1, t2, t3)


@njit(cache=True, error_model="numpy")
@no_type_check
def _add4(row, k, a, b, c, d):
    row[k] += a
    row[k + 1] += b
    row[k + 2] += c
    row[k + 3] += d


@njit(cache=True, error_model="numpy", fastmath={"contract", "reassoc", "nsz"})
@no_type_check
def _add_sums(a, out):
    """out += sums of the rows of a."""
    for i in range(a.shape[0]):
        total = np.float32(0)
        for s in range(a.shape[1]):
            total += a[i, s]
        out[i] += total


@njit(cache=True, error_model="numpy")
@no_type_check
def _layer(weight, bias, x, out):
    """out = weight @ x + bias."""
    for i in range(out.shape[0]):
        for s in range(out.shape[1]):
            out[i, s] = bias[i]
    _add_product(weight, x, out)


@njit(cache=True, error_model="numpy")
@no_type_check
def _relu(x):
    for i in range(x.shape[0]):
        for s in range(x.shape[1]):
            x[i, s] = max(x[i, s], np.float32(0))


@njit(cache=True, error_model="numpy")
@no_type_check
def _before_relu(transposed, grad, after, out):
    """out = transposed @ grad where the layer's output `after` is positive, else 0."""
    out.fill(0)
    _add_product(transposed, grad, out)
    for i in range(out.shape[0]):
        for s in range(out.shape[1]):
            out[i, s] = out[i, s] if after[i, s] > 0 else np.float32(0)


@njit(cache=True, error_model="numpy", nogil=True)
@no_type_check
def _forward(start, end, x, weights, out):
    """Outputs of the tiles start to end."""
    w1, b1, w2, b2, w3, b3 = weights
    h0, h1 = np.zeros((x.shape[0], TILE), np.float32), np.empty((len(b1), TILE), np.float32)
    h2, h3 = np.empty((len(b2), TILE), np.float32), np.empty((len(b3), TILE), np.float32)
    for tile in range(start, end):
        lo = tile * TILE
        n = min(TILE, x.shape[1] - lo)
        for i in range(x.shape[0]):
            for s in range(n):
                h0[i, s] = x[i, lo + s]
        _layer(w1, b1, h0, h1)
        _relu(h1)
        _layer(w2, b2, h1, h2)
        _relu(h2)
        _layer(w3, b3, h2, h3)
        for i in range(out.shape[0]):
            for s in range(n):
                out[i, lo + s] = h3[i, s]


@njit(cache=True, error_model="numpy")
@no_type_check
def _pick(source, points, lo, n, out):
    """out[:, s] = source[:, points[lo + s]]; rows and columns left over become 0."""
    for i in range(out.shape[0]):
        for s in range(out.shape[1]):
            out[i, s] = source[i, points[lo + s]] if i < source.shape[0] and s < n else np.float32(0)


@njit(cache=True, error_model="numpy")
@no_type_check
def _place(source, points, lo, n, out):
    """out[:, points[lo + s]] = source[:, s]."""
    for i in range(source.shape[0]):
        for s in range(n):
            out[i, points[lo + s]] = source[i, s]


@njit(cache=True, error_model="numpy", nogil=True)
@no_type_check
def _backward(start, end, x, grad_out, points, weights, grad_x, grads):
    """Gradients at the given points: grad_x is set there, block i adds into grads[...][i]."""
    w1, b1, w2, b2, w3, _ = weights
    dw1, db1, dw2, db2, dw3, db3 = grads
    t1, t2, t3 = np.ascontiguousarray(w1.T), np.ascontiguousarray(w2.T), np.ascontiguousarray(w3.T)
    h0, d0 = np.empty((w1.shape[1], TILE), np.float32), np.empty((w1.shape[1], TILE), np.float32)
    h1, d1 = np.empty((len(b1), TILE), np.float32), np.empty((len(b1), TILE), np.float32)
    h2, d2 = np.empty((len(b2), TILE), np.float32), np.empty((len(b2), TILE), np.float32)
    d3 = np.empty((w3.shape[0], TILE), np.float32)
    size = TILE * (-(-len(points) // (TILE * BLOCKS)))
    for block in range(start, end):
        for lo in range(block * size, min(len(points), (block + 1) * size), TILE):
            n = min(TILE, len(points) - lo)
            _pick(x, points, lo, n, h0)
            _pick(grad_out, points, lo, n, d3)
            _layer(w1, b1, h0, h1)
            _relu(h1)
            _layer(w2, b2, h1, h2)
            _relu(h2)
            _before_relu(t3, d3, h2, d2)
            _before_relu(t2, d2, h1, d1)
            d0.fill(0)
            _add_product(t1, d1, d0)
            _place(d0, points, lo, n, grad_x)
            _add_dots(d3, h2, dw3[block])
            _add_dots(d2, h1, dw2[block])
            _add_dots(d1, h0, dw1[block])
            _add_sums(d3, db3[block])
            _add_sums(d2, db2[block])
            _add_sums(d1, db1[block])


@njit(cache=True, error_model="numpy")
@no_type_check
def _points_with_gradient(grad_out):
    points, count = np.empty(grad_out.shape[1], np.int64), 0
    for s in range(grad_out.shape[1]):
        some = False
        for i in range(grad_out.shape[0]):
            some |= grad_out[i, s] != 0
        points[count] = s
        count += some
    return points[:count]


def _padded(array: np.ndarray) -> np.ndarray:
    """Rows of zeros up to a multiple of 4."""
    return np.concatenate([array, np.zeros((-len(array) % 4, *array.shape[1:]), array.dtype)])


def _columns(tensor: torch.Tensor) -> np.ndarray:
    """The transpose, contiguous."""
    return tensor.detach().T.contiguous().numpy()


class FusedMLP(torch.autograd.Function):
    """`mlp` with all its gradients."""

    @staticmethod
    def forward(ctx, x, *weights):
        ctx.save_for_backward(x, *weights)
        arrays = tuple(_padded(weight.detach().numpy()) for weight in weights)
        out = torch.empty(weights[-1].shape[0], x.shape[0])
        share(_forward, -(-x.shape[0] // TILE), _columns(x), arrays, out.numpy())
        return out.T

    @staticmethod
    def backward(ctx, grad_out):
        x, *weights = ctx.saved_tensors
        arrays = tuple(_padded(weight.detach().numpy()) for weight in weights)
        grads = tuple(np.zeros((BLOCKS, *array.shape), np.float32) for array in arrays)
        grad_out = _columns(grad_out)
        grad_x = torch.zeros(x.shape[1], x.shape[0])
        points = _points_with_gradient(grad_out)
        share(_backward, BLOCKS, _columns(x), grad_out, points, arrays, grad_x.numpy(), grads)
        sums = (torch.from_numpy(grad.sum(axis=0)[: len(weight)]) for grad, weight in zip(grads, weights))
        return grad_x.T, *sums
