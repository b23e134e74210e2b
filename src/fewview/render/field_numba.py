"""CPU kernels of `volume.render_rays` for an InstantNGP: one pass from rays to what they see, and one back.

Forward takes TILE samples at a time from their place on a ray through encoding, MLP and colours while they are in the
cache, then blends the rays that they belong to. Backward blends from the back, and takes the samples that have a
gradient through the layers. Rays are cut into BLOCKS blocks whatever the number of threads; each has places of its own
for the gradients of weights and of encoded points, and the table's are summed in order, so bits do not depend on
threads. Gradients go to the field's parameters, not to rays.
"""

from typing import TYPE_CHECKING, no_type_check

import numpy as np
import torch
from numba import njit

from fewview.cameras import Rays
from fewview.render.hashgrid import table_rows
from fewview.render.hashgrid_numba import encode, plan_of, scatter, scratch_for
from fewview.render.mlp_numba import (
    ANY,
    BLOCKS,
    TILE,
    backward_tile,
    hidden_layers,
    padded_weights,
    product,
    summed,
    tiles_of_layers,
    turned_weights,
    zero_gradients,
)
from fewview.render.sampling import Samples
from fewview.render.threads import share
from fewview.render.volume_numba import blend, blend_backward

if TYPE_CHECKING:
    from fewview.render.field import InstantNGP
    from fewview.render.volume import Composite

STEEPEST = np.float32(np.exp(15.0))  # slope of the density in its logarithm, at most: field.truncated_exp


@njit(cache=True, error_model="numpy")
@no_type_check
def _place(rays, distances, offsets, numbers, lo, n, ray, columns, bump):
    """Samples lo to lo + n as columns of the unit cube, and what the log density starts with; -inf outside the box.

    `ray` is the one that sample lo belongs to, or an earlier one; returns the one of the last.
    """
    origins, directions = rays
    bound, blob, sharpness, log_density = numbers
    for s in range(n):
        while offsets[ray + 1] <= lo + s:
            ray += 1
        t, square, outside = distances[lo + s], np.float32(0), False
        for axis in range(3):
            p = origins[ray, axis] + t * directions[ray, axis]
            square += p * p
            outside |= abs(p) > bound
            unit = (p / bound + np.float32(1)) / np.float32(2)
            columns[axis, s] = min(max(unit, np.float32(0)), np.float32(1))
        bump[s] = np.float32(-np.inf) if outside else blob * np.exp(-square * sharpness) + log_density
    return ray


@njit(cache=True, error_model="numpy")
@no_type_check
def _shade(outputs, bump, lo, n, density, colours):
    """Densities and colours of the MLP's outputs."""
    one = np.float32(1)
    for s in range(n):
        density[lo + s] = np.exp(outputs[s, 0] + bump[s])
        for c in range(3):
            colours[lo + s, c] = one / (one + np.exp(-outputs[s, c + 1]))


@njit(cache=True, error_model="numpy", nogil=True)
@no_type_check
def _render(start, end, rays, samples, field, kept, out):
    """What the rays of the blocks start to end see, and what backward wants to know of their samples."""
    distances, lengths, offsets = samples
    plan, table, weights, numbers = field
    points, encoded, density, colours, opacity, after = kept
    _, b1, _, b2, w3, b3 = weights
    columns, scratch, bump = np.empty((3, TILE), np.float32), scratch_for(TILE), np.empty(TILE, np.float32)
    h0, h1 = np.zeros((TILE, encoded.shape[1]), np.float32), np.empty((TILE, len(b1)), np.float32)
    h2, h3 = np.empty((TILE, len(b2)), np.float32), np.empty((TILE, len(b3)), np.float32)
    count = len(offsets) - 1
    for block in range(start, end):
        first, last = count * block // BLOCKS, count * (block + 1) // BLOCKS
        ray = first
        for lo in range(offsets[first], offsets[last], TILE):
            n = min(TILE, offsets[last] - lo)
            ray = _place(rays, distances, offsets, numbers, lo, n, ray, columns, bump)
            encode(columns, n, table, plan, scratch, h0, 0)
            for s in range(n):
                for axis in range(3):
                    points[lo + s, axis] = columns[axis, s]
                for i in range(encoded.shape[1]):
                    encoded[lo + s, i] = h0[s, i]
            hidden_layers(h0, weights, h1, h2)
            product(h2, w3, b3, h3, ANY)
            _shade(h3, bump, lo, n, density, colours)
        blend(first, last, density, colours, distances, lengths, offsets, out, opacity, after)


@njit(cache=True, error_model="numpy")
@no_type_check
def _has_gradient(i, grad_density, grad_colours):
    some = grad_density[i] != 0
    for c in range(3):
        some |= grad_colours[i, c] != 0
    return some


@njit(cache=True, error_model="numpy")
@no_type_check
def _collect(i, kept, grad_density, grad_colours, encoded, gradients, n):
    """Row n of a tile: sample i as it was encoded, and the gradient of what the MLP said of it."""
    _, before, density, colours, _, _ = kept
    gradients[n, 0] = grad_density * min(density[i], STEEPEST)
    for c in range(3):
        gradients[n, c + 1] = grad_colours[i, c] * colours[i, c] * (np.float32(1) - colours[i, c])
    for k in range(before.shape[1]):
        encoded[n, k] = before[i, k]


@njit(cache=True, error_model="numpy", nogil=True)
@no_type_check
def _backward(start, end, samples, kept, grad_out, grad_weights, layers, places, grads):
    """From the blocks' gradients to those of the weights, and of the encoded points that have some.

    Those points and gradients are written from the block's first sample on; `spans` tells where they end.
    """
    distances, lengths, offsets = samples
    points, _, _, colours, opacity, after = kept
    grad_density, grad_colours, grad_encoded, moved, spans = places
    weights, turned = layers
    values, gradients = tiles_of_layers(weights, turned)
    h0, d0, d3 = values[0], gradients[0], gradients[3]
    saved = colours, distances, lengths, offsets, opacity, after
    count = len(offsets) - 1
    for block in range(start, end):
        first, last = count * block // BLOCKS, count * (block + 1) // BLOCKS
        blend_backward(first, last, saved, grad_out, grad_weights, grad_density, grad_colours)
        done, n = offsets[first], 0
        for i in range(offsets[first], offsets[last]):
            if _has_gradient(i, grad_density, grad_colours):
                _collect(i, kept, grad_density[i], grad_colours, h0, d3, n)
                for axis in range(3):
                    moved[done + n, axis] = points[i, axis]
                n += 1
            if n == TILE or (n > 0 and i == offsets[last] - 1):
                d3[n:] = 0
                backward_tile(values, gradients, weights, turned, grads, block)
                for s in range(n):
                    for k in range(grad_encoded.shape[1]):
                        grad_encoded[done + s, k] = d0[s, k]
                done, n = done + n, 0
        spans[block, 0], spans[block, 1] = offsets[first], done


class RenderField(torch.autograd.Function):
    """Sums over rays of w * colour, w and w * distance; and w: `CompositeRays` of what a field says of samples."""

    @staticmethod
    def forward(ctx, samples, rays, field, table, *weights):
        config, n = field.config, len(samples.distances)
        lines = tuple(t.detach().contiguous().numpy() for t in (rays.origins, rays.directions))
        fixed = tuple(t.contiguous().numpy() for t in (samples.distances, samples.lengths, samples.offsets))
        sharpness = 1 / (2 * config.blob_std**2)
        numbers = tuple(np.float32(v) for v in (config.bound, config.blob, sharpness, config.log_density))
        how = plan_of(config.grid), table.detach().numpy(), padded_weights(weights), numbers
        shapes = (n, 3), (n, config.grid.channels), (n,), (n, 3), (n,), (n,)
        kept = tuple(np.empty(shape, np.float32) for shape in shapes)
        out = torch.zeros(len(samples.offsets) - 1, 5)
        share(_render, BLOCKS, lines, fixed, how, kept, out.numpy())
        ctx.save_for_backward(*weights)
        ctx.fixed, ctx.kept, ctx.grid = fixed, kept, config.grid
        return out[:, :3], out[:, 3], out[:, 4], torch.from_numpy(kept[4]).clone()

    @staticmethod
    def backward(ctx, grad_colours, grad_alpha, grad_distance, grad_weights):
        weights = ctx.saved_tensors
        points, encoded, density, colours, *_ = ctx.kept
        grad_out = torch.cat([grad_colours, grad_alpha[:, None], grad_distance[:, None]], dim=1).numpy()
        places = np.zeros_like(density), np.zeros_like(colours), np.empty_like(encoded), np.empty_like(points)
        spans = np.zeros((BLOCKS, 2), np.int64)
        layers, grads = (padded_weights(weights), turned_weights(weights)), zero_gradients(weights)
        arrays = ctx.fixed, ctx.kept, grad_out, grad_weights.contiguous().numpy(), layers, (*places, spans), grads
        share(_backward, BLOCKS, *arrays)
        grad, plan = torch.zeros(table_rows(ctx.grid), ctx.grid.features), plan_of(ctx.grid)
        share(scatter, len(plan), places[3], places[2], spans, plan, grad.numpy())
        return None, None, None, grad, *summed(grads, weights)


def shaded(field: "InstantNGP", rays: Rays, samples: Samples) -> "Composite":
    """What `volume.composite` gives of a field's answers at samples of rays."""
    blended, alpha, distance, weights = RenderField.apply(samples, rays, field, field.grid.table, *field.mlp.layers)
    return blended, alpha, distance / alpha.clamp(min=1e-6), weights
