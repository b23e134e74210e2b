"""CPU kernels of `mlp.mlp`: TILE points go through all layers while they are in the cache.

A point is a row, and its channels are lanes, padded with zeros to a multiple of 16. A product keeps 4 rows x 64 columns
in registers and runs along what is summed. Only the input is kept for the backward pass, which runs the layers again;
points without gradient are left out. Work is cut into BLOCKS blocks whatever the number of threads, and the blocks'
sums are added in order, so results are the same bit for bit.
"""

from collections.abc import Sequence
from typing import no_type_check

import numpy as np
import torch
from numba import njit

from fewview.render.lanes import COUNT, lanes, load, store, where
from fewview.render.threads import share

TILE = 64  # points, a multiple of 8; a hidden layer of 64 then takes 16 KiB
BLOCKS = 16
WIDE = 4 * COUNT  # columns
Arrays = tuple[np.ndarray, ...]
ANY = np.float32(-np.inf)  # a floor that holds nothing up; 0 is ReLU's


@njit(cache=True, error_model="numpy")
@no_type_check
def _store(out, at, value, floor):
    store(out, at, where(value < floor, lanes(floor), value))


@njit(cache=True, error_model="numpy")
@no_type_check
def product(x, w, bias, out, floor):
    """out = max(x @ w + bias, floor) for TILE rows; w has a multiple of 16 columns."""
    width = w.shape[1]
    wide = width - width % WIDE
    for s in range(0, TILE, 4):
        for n in range(0, wide, WIDE):
            _product_wide(x, w, bias, out, floor, s, n)
    for s in range(0, TILE, 8):
        for n in range(wide, width, COUNT):
            _product_narrow(x, w, bias, out, floor, s, n)


@njit(cache=True, error_model="numpy")
@no_type_check
def _product_wide(x, w, bias, out, floor, s, n):
    """4 rows from s on, 64 columns from n on."""
    width = w.shape[1]
    p0, p1, p2, p3 = load(bias, n), load(bias, n + 16), load(bias, n + 32), load(bias, n + 48)
    q0, q1, q2, q3 = p0, p1, p2, p3
    r0, r1, r2, r3 = p0, p1, p2, p3
    t0, t1, t2, t3 = p0, p1, p2, p3
    for k in range(w.shape[0]):
        at = k * width + n
        w0, w1, w2, w3 = load(w, at), load(w, at + 16), load(w, at + 32), load(w, at + 48)
        a, b, c, d = lanes(x[s, k]), lanes(x[s + 1, k]), lanes(x[s + 2, k]), lanes(x[s + 3, k])
        p0, p1, p2, p3 = p0 + a * w0, p1 + a * w1, p2 + a * w2, p3 + a * w3
        q0, q1, q2, q3 = q0 + b * w0, q1 + b * w1, q2 + b * w2, q3 + b * w3
        r0, r1, r2, r3 = r0 + c * w0, r1 + c * w1, r2 + c * w2, r3 + c * w3
        t0, t1, t2, t3 = t0 + d * w0, t1 + d * w1, t2 + d * w2, t3 + d * w3
    _store4(out, s * width + n, p0, p1, p2, p3, floor)
    _store4(out, (s + 1) * width + n, q0, q1, q2, q3, floor)
    _store4(out, (s + 2) * width + n, r0, r1, r2, r3, floor)
    _store4(out, (s + 3) * width + n, t0, t1, t2, t3, floor)


@njit(cache=True, error_model="numpy")
@no_type_check
def _store4(out, at, a, b, c, d, floor):
    _store(out, at, a, floor)
    _store(out, at + 16, b, floor)
    _store(out, at + 32, c, floor)
    _store(out, at + 48, d, floor)


@njit(cache=True, error_model="numpy")
@no_type_check
def _product_narrow(x, w, bias, out, floor, s, n):
    """8 rows from s on, 16 columns from n on."""
    width = w.shape[1]
    a = load(bias, n)
    b, c, d, e, f, g, h = a, a, a, a, a, a, a
    for k in range(w.shape[0]):
        v = load(w, k * width + n)
        a, b, c, d = a + x[s, k] * v, b + x[s + 1, k] * v, c + x[s + 2, k] * v, d + x[s + 3, k] * v
        e, f, g, h = e + x[s + 4, k] * v, f + x[s + 5, k] * v, g + x[s + 6, k] * v, h + x[s + 7, k] * v
    at = s * width + n
    _store(out, at, a, floor)
    _store(out, at + width, b, floor)
    _store(out, at + 2 * width, c, floor)
    _store(out, at + 3 * width, d, floor)
    _store(out, at + 4 * width, e, floor)
    _store(out, at + 5 * width, f, floor)
    _store(out, at + 6 * width, g, floor)
    _store(out, at + 7 * width, h, floor)


@njit(cache=True, error_model="numpy")
@no_type_check
def _add_outer(d, x, out):
    """out += d.T @ x over TILE rows; out has a multiple of 8 rows, and of 16 columns."""
    width = x.shape[1]
    wide = width - width % WIDE
    for j in range(0, out.shape[0], 4):
        for n in range(0, wide, WIDE):
            _add_outer_wide(d, x, out, j, n)
    for j in range(0, out.shape[0], 8):
        for n in range(wide, width, COUNT):
            _add_outer_narrow(d, x, out, j, n)


@njit(cache=True, error_model="numpy")
@no_type_check
def _add_outer_wide(d, x, out, j, n):
    """4 rows of out from j on, 64 columns from n on."""
    width, at, zero = x.shape[1], j * x.shape[1] + n, lanes(np.float32(0))
    p0, p1, p2, p3, q0, q1, q2, q3 = zero, zero, zero, zero, zero, zero, zero, zero
    r0, r1, r2, r3, t0, t1, t2, t3 = zero, zero, zero, zero, zero, zero, zero, zero
    for s in range(TILE):
        i = s * width + n
        x0, x1, x2, x3 = load(x, i), load(x, i + 16), load(x, i + 32), load(x, i + 48)
        a, b, c, e = lanes(d[s, j]), lanes(d[s, j + 1]), lanes(d[s, j + 2]), lanes(d[s, j + 3])
        p0, p1, p2, p3 = p0 + a * x0, p1 + a * x1, p2 + a * x2, p3 + a * x3
        q0, q1, q2, q3 = q0 + b * x0, q1 + b * x1, q2 + b * x2, q3 + b * x3
        r0, r1, r2, r3 = r0 + c * x0, r1 + c * x1, r2 + c * x2, r3 + c * x3
        t0, t1, t2, t3 = t0 + e * x0, t1 + e * x1, t2 + e * x2, t3 + e * x3
    _add4(out, at, p0, p1, p2, p3)
    _add4(out, at + width, q0, q1, q2, q3)
    _add4(out, at + 2 * width, r0, r1, r2, r3)
    _add4(out, at + 3 * width, t0, t1, t2, t3)


@njit(cache=True, error_model="numpy")
@no_type_check
def _add4(out, at, a, b, c, d):
    store(out, at, load(out, at) + a)
    store(out, at + 16, load(out, at + 16) + b)
    store(out, at + 32, load(out, at + 32) + c)
    store(out, at + 48, load(out, at + 48) + d)


@njit(cache=True, error_model="numpy")
@no_type_check
def _add_outer_narrow(d, x, out, j, n):
    """8 rows of out from j on, 16 columns from n on."""
    width, zero = x.shape[1], lanes(np.float32(0))
    p, q, r, t, u, v, y, z = zero, zero, zero, zero, zero, zero, zero, zero
    for s in range(TILE):
        x0 = load(x, s * width + n)
        p, q, r, t = p + d[s, j] * x0, q + d[s, j + 1] * x0, r + d[s, j + 2] * x0, t + d[s, j + 3] * x0
        u, v, y, z = u + d[s, j + 4] * x0, v + d[s, j + 5] * x0, y + d[s, j + 6] * x0, z + d[s, j + 7] * x0
    at = j * width + n
    store(out, at, load(out, at) + p)
    store(out, at + width, load(out, at + width) + q)
    store(out, at + 2 * width, load(out, at + 2 * width) + r)
    store(out, at + 3 * width, load(out, at + 3 * width) + t)
    store(out, at + 4 * width, load(out, at + 4 * width) + u)
    store(out, at + 5 * width, load(out, at + 5 * width) + v)
    store(out, at + 6 * width, load(out, at + 6 * width) + y)
    store(out, at + 7 * width, load(out, at + 7 * width) + z)


@njit(cache=True, error_model="numpy")
@no_type_check
def _add_rows(d, out):
    """out += the sum of the TILE rows of d."""
    for n in range(0, d.shape[1], COUNT):
        sums = load(out, n)
        for s in range(TILE):
            sums = sums + load(d, s * d.shape[1] + n)
        store(out, n, sums)


@njit(cache=True, error_model="numpy")
@no_type_check
def _where_active(d, h):
    """d = 0 where ReLU was not active: h, what came out of it, is not above 0."""
    for at in range(0, d.size, COUNT):
        store(d, at, where(load(h, at) > np.float32(0), load(d, at), lanes(np.float32(0))))


@njit(cache=True, error_model="numpy")
@no_type_check
def hidden_layers(h0, weights, h1, h2):
    """The outputs of both hidden layers for TILE rows."""
    w1, b1, w2, b2, _, _ = weights
    product(h0, w1, b1, h1, np.float32(0))
    product(h1, w2, b2, h2, np.float32(0))


@njit(cache=True, error_model="numpy", nogil=True)
@no_type_check
def _forward(start, end, x, weights, out):
    """Outputs of the tiles start to end."""
    _, b1, _, b2, w3, b3 = weights
    h0, h1 = np.zeros((TILE, x.shape[1]), np.float32), np.empty((TILE, len(b1)), np.float32)
    h2, h3 = np.empty((TILE, len(b2)), np.float32), np.empty((TILE, len(b3)), np.float32)
    for tile in range(start, end):
        lo = tile * TILE
        n = min(TILE, x.shape[0] - lo)
        for s in range(n):
            for i in range(x.shape[1]):
                h0[s, i] = x[lo + s, i]
        hidden_layers(h0, weights, h1, h2)
        product(h2, w3, b3, h3, ANY)
        for s in range(n):
            for i in range(out.shape[1]):
                out[lo + s, i] = h3[s, i]


@njit(cache=True, error_model="numpy")
@no_type_check
def _pick(source, points, lo, n, out):
    """out[s] = source[points[lo + s]]; rows and columns left over become 0."""
    out.fill(0)
    for s in range(n):
        for i in range(source.shape[1]):
            out[s, i] = source[points[lo + s], i]


@njit(cache=True, error_model="numpy")
@no_type_check
def tiles_of_layers(weights, turned):
    """Places for what the layers give in TILE rows, from the input on, and for its gradients."""
    _, b1, _, b2, _, b3 = weights
    widths = (turned[0].shape[1], len(b1), len(b2), len(b3))
    h0, h1 = np.zeros((TILE, widths[0]), np.float32), np.zeros((TILE, widths[1]), np.float32)
    h2, d0 = np.zeros((TILE, widths[2]), np.float32), np.zeros((TILE, widths[0]), np.float32)
    d1, d2 = np.zeros((TILE, widths[1]), np.float32), np.zeros((TILE, widths[2]), np.float32)
    return (h0, h1, h2), (d0, d1, d2, np.zeros((TILE, widths[3]), np.float32))


@njit(cache=True, error_model="numpy", nogil=True)
@no_type_check
def _backward(start, end, x, grad_out, points, layers, grad_x, grads):
    """Gradients at the given points: grad_x is set there, block i adds into grads[...][i]."""
    weights, turned = layers
    values, gradients = tiles_of_layers(weights, turned)
    size = TILE * (-(-len(points) // (TILE * BLOCKS)))
    for block in range(start, end):
        for lo in range(block * size, min(len(points), (block + 1) * size), TILE):
            n = min(TILE, len(points) - lo)
            _pick(x, points, lo, n, values[0])
            _pick(grad_out, points, lo, n, gradients[3])
            backward_tile(values, gradients, weights, turned, grads, block)
            for s in range(n):
                for i in range(grad_x.shape[1]):
                    grad_x[points[lo + s], i] = gradients[0][s, i]


@njit(cache=True, error_model="numpy")
@no_type_check
def backward_tile(values, gradients, weights, turned, grads, block):
    """From the input h0 and the output's gradient d3 of TILE rows to the input's d0, and to a block's sums."""
    h0, h1, h2 = values
    d0, d1, d2, d3 = gradients
    t1, t2, t3 = turned
    none = np.zeros(max(t1.shape[1], t2.shape[1], t3.shape[1]), np.float32)
    hidden_layers(h0, weights, h1, h2)
    product(d3, t3, none, d2, ANY)
    _where_active(d2, h2)
    product(d2, t2, none, d1, ANY)
    _where_active(d1, h1)
    product(d1, t1, none, d0, ANY)
    add_gradients(values, gradients, grads, block)


@njit(cache=True, error_model="numpy")
@no_type_check
def add_gradients(values, gradients, grads, block):
    """Add what TILE rows say of the weights' gradients."""
    h0, h1, h2 = values
    _, d1, d2, d3 = gradients
    dw1, db1, dw2, db2, dw3, db3 = grads
    _add_outer(d3, h2, dw3[block])
    _add_outer(d2, h1, dw2[block])
    _add_outer(d1, h0, dw1[block])
    _add_rows(d3, db3[block])
    _add_rows(d2, db2[block])
    _add_rows(d1, db1[block])


@njit(cache=True, error_model="numpy")
@no_type_check
def _points_with_gradient(grad_out):
    points, count = np.empty(grad_out.shape[0], np.int64), 0
    for s in range(grad_out.shape[0]):
        some = False
        for i in range(grad_out.shape[1]):
            some |= grad_out[s, i] != 0
        points[count] = s
        count += some
    return points[:count]


def up(size: int, unit: int = COUNT) -> int:
    """The next multiple of a unit."""
    return size + -size % unit


def _padded(array: np.ndarray) -> np.ndarray:
    """Columns of zeros up to a multiple of 16."""
    return np.ascontiguousarray(np.pad(array, [(0, 0)] * (array.ndim - 1) + [(0, -array.shape[-1] % COUNT)]))


def padded_weights(weights: Sequence[torch.Tensor]) -> Arrays:
    """The layers as `product` wants them: "in out" matrices and biases, out padded to a multiple of 16."""
    return tuple(_padded(weight.detach().numpy().T) for weight in weights)


def turned_weights(weights: Sequence[torch.Tensor]) -> Arrays:
    """The three matrices for the way back: "out in", in padded to a multiple of 16."""
    return tuple(_padded(weight.detach().numpy()) for weight in weights if weight.dim() == 2)


def zero_gradients(weights: Sequence[torch.Tensor]) -> Arrays:
    """Places for the sums of BLOCKS blocks: rows padded to a multiple of 8, columns of 16."""
    rows = lambda shape: () if len(shape) == 1 else (up(shape[0], 8),)
    return tuple(np.zeros((BLOCKS, *rows(weight.shape), up(weight.shape[-1])), np.float32) for weight in weights)


def summed(grads: Arrays, weights: Sequence[torch.Tensor]) -> tuple[torch.Tensor, ...]:
    """The blocks' sums, in order, without the padding."""
    cut = (g.sum(axis=0)[tuple(slice(side) for side in w.shape)] for g, w in zip(grads, weights))
    return tuple(torch.from_numpy(np.ascontiguousarray(part)) for part in cut)


class FusedMLP(torch.autograd.Function):
    """`mlp` with all its gradients."""

    @staticmethod
    def forward(ctx, x, *weights):
        ctx.save_for_backward(x, *weights)
        out = torch.empty(x.shape[0], weights[-1].shape[0])
        rows = x.detach().contiguous().numpy()
        share(_forward, -(-x.shape[0] // TILE), rows, padded_weights(weights), out.numpy())
        return out

    @staticmethod
    def backward(ctx, grad_out):
        x, *weights = ctx.saved_tensors
        layers, grads = (padded_weights(weights), turned_weights(weights)), zero_gradients(weights)
        grad_out, grad_x = grad_out.contiguous().numpy(), torch.zeros(x.shape)
        rows, points = x.contiguous().numpy(), _points_with_gradient(grad_out)
        share(_backward, BLOCKS, rows, grad_out, points, layers, grad_x.numpy(), grads)
        return grad_x, *summed(grads, weights)
