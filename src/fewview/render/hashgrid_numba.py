"""CPU kernels of `hashgrid.hash_encode`, forward and backward.

Points are taken TILE at a time: a loop that vectorises finds the 8 corners' rows and weights, a second one gathers or
scatters. Threads share the points of the forward pass and the levels of the backward pass, whose rows are disjoint:
every sum is taken in the order of the points whatever the threads do, so results are the same bit for bit.
"""

from functools import lru_cache
from typing import no_type_check

import numpy as np
import torch
from numba import njit

from fewview.render.hashgrid import HashGridConfig, levels, table_rows
from fewview.render.threads import share

TILE = 256
Y_PRIME, Z_PRIME = np.uint32(2654435761), np.uint32(805459861)
ONE = np.uint32(1)


@njit(cache=True, error_model="numpy")
@no_type_check
def _load(points, lo, n, columns):
    """Points lo to lo + n, clamped to the unit cube, as columns."""
    for s in range(n):
        for axis in range(3):
            columns[axis, s] = min(max(points[lo + s, axis], np.float32(0)), np.float32(1))


@njit(cache=True, error_model="numpy", fastmath={"contract"})
@no_type_check
def _weights(columns, n, cells, weights):
    """Trilinear weights (8 x n) of the corners around each point, x fastest."""
    size, top, one = np.float32(cells), np.int32(cells - 1), np.float32(1)
    for s in range(n):
        x, y, z = columns[0, s] * size, columns[1, s] * size, columns[2, s] * size
        x, y, z = x - min(np.int32(x), top), y - min(np.int32(y), top), z - min(np.int32(z), top)
        x, y, z = np.float32(x), np.float32(y), np.float32(z)
        u, v = one - x, one - y
        a, b, c, d = v * (one - z), y * (one - z), v * z, y * z
        weights[0, s], weights[1, s], weights[2, s], weights[3, s] = u * a, x * a, u * b, x * b
        weights[4, s], weights[5, s], weights[6, s], weights[7, s] = u * c, x * c, u * d, x * d


@njit(cache=True, error_model="numpy")
@no_type_check
def _hashed_rows(columns, n, cells, wrap, rows):
    """Table rows (8 x n) of the same corners: the products' exclusive or, modulo the table's size."""
    size, top, low = np.float32(cells), np.int32(cells - 1), np.uint32(wrap)
    for s in range(n):
        x = np.uint32(min(np.int32(columns[0, s] * size), top))
        y = np.uint32(np.uint32(min(np.int32(columns[1, s] * size), top)) * Y_PRIME)
        z = np.uint32(np.uint32(min(np.int32(columns[2, s] * size), top)) * Z_PRIME)
        x1, y1, z1 = np.uint32(x + ONE), np.uint32(y + Y_PRIME), np.uint32(z + Z_PRIME)
        rows[0, s], rows[1, s], rows[2, s], rows[3, s] = x ^ y ^ z, x1 ^ y ^ z, x ^ y1 ^ z, x1 ^ y1 ^ z
        rows[4, s], rows[5, s], rows[6, s], rows[7, s] = x ^ y ^ z1, x1 ^ y ^ z1, x ^ y1 ^ z1, x1 ^ y1 ^ z1
        for c in range(8):
            rows[c, s] &= low


@njit(cache=True, error_model="numpy")
@no_type_check
def _linear_rows(columns, n, cells, wrap, rows):
    """Table rows (8 x n) of the same corners: x + side * (y + side * z), modulo the table's size if it does not fit."""
    size, top, low = np.float32(cells), np.int32(cells - 1), np.uint32(wrap)
    dy = np.uint32(cells + 1)
    dz = np.uint32(dy * dy)
    for s in range(n):
        x = np.uint32(min(np.int32(columns[0, s] * size), top))
        y = np.uint32(min(np.int32(columns[1, s] * size), top))
        z = np.uint32(min(np.int32(columns[2, s] * size), top))
        q = np.uint32(x + dy * y + dz * z)
        rows[0, s], rows[1, s], rows[2, s], rows[3, s] = q, q + ONE, q + dy, q + dy + ONE
        rows[4, s], rows[5, s], rows[6, s], rows[7, s] = q + dz, q + dz + ONE, q + dz + dy, q + dz + dy + ONE
        for c in range(8):
            rows[c, s] &= low


@njit(cache=True, error_model="numpy")
@no_type_check
def _corners(columns, n, cells, wrap, hashed, rows, weights):
    _weights(columns, n, cells, weights)
    if hashed:
        _hashed_rows(columns, n, cells, wrap, rows)
    else:
        _linear_rows(columns, n, cells, wrap, rows)


@njit(cache=True, error_model="numpy", fastmath={"contract"})
@no_type_check
def _gather(table, rows, weights, out, channel, lo, n):
    """out[lo + s, channel + f] = sum over corners, two features at a time; unsigned indices need no sign test."""
    for f in range(0, table.shape[1], 2):
        left, right = np.uint64(f), np.uint64(f + 1)
        for s in range(n):
            a, b = np.float32(0), np.float32(0)
            for c in range(8):
                row, weight = np.uint64(rows[c, s]), weights[c, s]
                a += weight * table[row, left]
                b += weight * table[row, right]
            out[lo + s, channel + f], out[lo + s, channel + f + 1] = a, b


@njit(cache=True, error_model="numpy", fastmath={"contract"})
@no_type_check
def _scatter(grad, rows, weights, grad_out, channel, lo, n):
    """grad[row, f] += weight * grad_out[lo + s, channel + f]; points without gradient cost nothing."""
    for f in range(0, grad.shape[1], 2):
        left, right = np.uint64(f), np.uint64(f + 1)
        for s in range(n):
            a, b = grad_out[lo + s, channel + f], grad_out[lo + s, channel + f + 1]
            if a != 0 or b != 0:
                for c in range(8):
                    row, weight = np.uint64(rows[c, s]), weights[c, s]
                    grad[row, left] += weight * a
                    grad[row, right] += weight * b


@njit(cache=True, error_model="numpy")
@no_type_check
def encode(columns, n, table, plan, scratch, out, lo):
    """out[lo:lo + n]: the features of n points of the unit cube, given as columns, level after level."""
    rows, weights = scratch
    for level in range(plan.shape[0]):
        cells, wrap, hashed, first, last, channel = plan[level]
        _corners(columns, n, cells, wrap, hashed, rows, weights)
        _gather(table[first:last], rows, weights, out, channel, lo, n)


@njit(cache=True, error_model="numpy")
@no_type_check
def scratch_for(n):
    """Places for the rows and weights of n points' corners."""
    return np.empty((8, n), np.uint32), np.empty((8, n), np.float32)


@njit(cache=True, error_model="numpy", nogil=True)
@no_type_check
def _forward(start, end, points, table, plan, out):
    """Encode the tiles start to end."""
    columns, scratch = np.empty((3, TILE), np.float32), scratch_for(TILE)
    for tile in range(start, end):
        lo = tile * TILE
        n = min(points.shape[0] - lo, TILE)
        _load(points, lo, n, columns)
        encode(columns, n, table, plan, scratch, out, lo)


@njit(cache=True, error_model="numpy", nogil=True)
@no_type_check
def scatter(start, end, points, grad_out, spans, plan, grad):
    """Add the gradients of the levels start to end, in the order of the plan, of the points of each span."""
    columns = np.empty((3, TILE), np.float32)
    rows, weights = scratch_for(TILE)
    for level in range(start, end):
        cells, wrap, hashed, first, last, channel = plan[level]
        for span in range(spans.shape[0]):
            for lo in range(spans[span, 0], spans[span, 1], TILE):
                n = min(spans[span, 1] - lo, TILE)
                _load(points, lo, n, columns)
                _corners(columns, n, cells, wrap, hashed, rows, weights)
                _scatter(grad[first:last], rows, weights, grad_out, channel, lo, n)


@lru_cache
def plan_of(config: HashGridConfig) -> np.ndarray:
    """A row a level: cells a side, mask that wraps an index, hashed or not, first and last row, first channel.

    Coarse and fine levels take turns, so that pieces of the plan take equally long.
    """
    plan = []
    for i, level in enumerate(levels(config)):
        wrap = level.rows - 1 if level.rows == 2**config.log2_table else 2**32 - 1
        last = level.offset + level.rows
        plan.append((level.cells, wrap, level.hashed, level.offset, last, i * config.features))
    order = [i // 2 if i % 2 == 0 else len(plan) - 1 - i // 2 for i in range(len(plan))]
    return np.array([plan[i] for i in order], np.int64)


class HashEncode(torch.autograd.Function):
    """`hash_encode` with the gradient of the table."""

    @staticmethod
    def forward(ctx, points, table, config):
        ctx.save_for_backward(points)
        ctx.config = config
        out = torch.empty(points.shape[0], config.channels)
        arrays = points.detach().contiguous().numpy(), table.detach().contiguous().numpy(), plan_of(config), out.numpy()
        share(_forward, -(-points.shape[0] // TILE), *arrays)
        return out

    @staticmethod
    def backward(ctx, grad_out):
        (points,) = ctx.saved_tensors
        grad, plan = torch.zeros(table_rows(ctx.config), ctx.config.features), plan_of(ctx.config)
        spans = np.array([[0, points.shape[0]]])
        arrays = points.contiguous().numpy(), grad_out.contiguous().numpy(), spans
        share(scatter, len(plan), *arrays, plan, grad.numpy())
        return None, grad, None
