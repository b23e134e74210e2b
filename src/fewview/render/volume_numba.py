"""CPU kernels of `volume.composite` and `occupancy.march`, threads share the rays, and no sum crosses rays."""

from typing import no_type_check

import numpy as np
import torch
from numba import njit

from fewview.cameras import Rays
from fewview.render.occupancy import March, Occupancy
from fewview.render.sampling import Samples
from fewview.render.threads import share

MIN_TRANSMITTANCE = np.float32(1e-4)  # volume.MIN_TRANSMITTANCE


@njit(cache=True, error_model="numpy", nogil=True)
@no_type_check
def blend(start, end, density, features, distances, lengths, offsets, out, weights, after):
    """out: a row for each ray: channels, alpha, distance; `after` is the transmittance behind each interval."""
    channels = features.shape[1]
    for ray in range(start, end):
        transmittance = np.float32(1)
        for i in range(offsets[ray], offsets[ray + 1]):
            if transmittance < MIN_TRANSMITTANCE:
                weights[i] = 0
                after[i] = transmittance
                continue
            passed = np.exp(-density[i] * lengths[i])
            weight = transmittance * (np.float32(1) - passed)
            transmittance *= passed
            weights[i] = weight
            after[i] = transmittance
            for c in range(channels):
                out[ray, c] += weight * features[i, c]
            out[ray, channels] += weight
            out[ray, channels + 1] += weight * distances[i]


@njit(cache=True, error_model="numpy", nogil=True)
@no_type_check
def blend_backward(start, end, saved, grad_out, grad_weights, grad_density, grad_features):
    """With g_i the gradient of w_i: d/ds_i = l_i (T_(i+1) g_i - sum over j > i of w_j g_j), back to front."""
    features, distances, lengths, offsets, weights, after = saved
    channels = features.shape[1]
    for ray in range(start, end):
        behind = np.float32(0)
        for back in range(offsets[ray + 1] - offsets[ray]):
            i = offsets[ray + 1] - 1 - back
            if weights[i] == 0 and after[i] < MIN_TRANSMITTANCE:
                continue
            grad = grad_weights[i] + grad_out[ray, channels] + grad_out[ray, channels + 1] * distances[i]
            for c in range(channels):
                grad += grad_out[ray, c] * features[i, c]
                grad_features[i, c] = grad_out[ray, c] * weights[i]
            grad_density[i] = lengths[i] * (after[i] * grad - behind)
            behind += weights[i] * grad


class CompositeRays(torch.autograd.Function):
    """Sums over rays of w * features, w and w * distance; and w."""

    @staticmethod
    def forward(ctx, density, features, samples):
        features = features.detach().contiguous()
        fixed = (samples.distances.contiguous(), samples.lengths.contiguous(), samples.offsets.contiguous())
        out = torch.zeros(len(samples.offsets) - 1, features.shape[1] + 2)
        weights, after = torch.empty_like(samples.distances), torch.empty_like(samples.distances)
        arrays = [t.detach().numpy() for t in (density.contiguous(), features, *fixed, out, weights, after)]
        share(blend, out.shape[0], *arrays)
        ctx.save_for_backward(features, *fixed, weights, after)
        return out[:, :-2], out[:, -2], out[:, -1], weights.clone()

    @staticmethod
    def backward(ctx, grad_features, grad_alpha, grad_distance, grad_weights):
        saved = tuple(tensor.numpy() for tensor in ctx.saved_tensors)
        grad_out = torch.cat([grad_features, grad_alpha[:, None], grad_distance[:, None]], dim=1)
        gradients = torch.zeros_like(ctx.saved_tensors[1]), torch.zeros_like(ctx.saved_tensors[0])
        arrays = [t.contiguous().numpy() for t in (grad_out, grad_weights, *gradients)]
        share(blend_backward, grad_out.shape[0], saved, *arrays)
        return *gradients, None


@njit(cache=True, error_model="numpy")
@no_type_check
def _cells(origin, direction, near, steps, size, bound, step, cells):
    """Index of the grid cell at each step of a ray, in a loop that vectorises."""
    top = np.int32(size - 1)
    scale = np.float32(size / (2 * bound))
    for k in range(steps):
        t = near + np.float32(k) * step
        x = np.int32((origin[0] + t * direction[0] + bound) * scale)
        y = np.int32((origin[1] + t * direction[1] + bound) * scale)
        z = np.int32((origin[2] + t * direction[2] + bound) * scale)
        x, y, z = min(max(x, 0), top), min(max(y, 0), top), min(max(z, 0), top)
        cells[k] = np.uint32((x * size + y) * size + z)


@njit(cache=True, error_model="numpy", nogil=True)
@no_type_check
def _march(start, end, rays, layers, numbers, found, counts):
    """Numbers of the steps that rays start to end take in occupied cells: found[ray, :counts[ray]].

    `layers` is a flat grid of optical depths a step, negative where empty.
    """
    origins, directions, near, far = rays
    size, bound, step, opaque = numbers
    cells = np.empty(found.shape[1], np.uint32)
    for ray in range(start, end):
        steps = min(found.shape[1], max(0, int((far[ray] - near[ray]) / step) + 1))
        _cells(origins[ray], directions[ray], near[ray], steps, size, bound, step, cells)
        depth, count = np.float32(0), 0
        for k in range(steps):
            layer = layers[np.uint64(cells[k])]
            if layer >= 0 and near[ray] + np.float32(k) * step < far[ray]:
                found[ray, count] = k
                count += 1
                depth += layer
                if depth >= opaque:
                    break
        counts[ray] = count


@njit(cache=True, error_model="numpy", nogil=True)
@no_type_check
def _distances(start, end, near, step, found, offsets, distances):
    for ray in range(start, end):
        first = offsets[ray]
        for i in range(offsets[ray + 1] - first):
            distances[first + i] = near[ray] + np.float32(found[ray, i]) * step


def march_numba(rays: Rays, start: torch.Tensor, far: torch.Tensor, occupancy: Occupancy, how: March) -> Samples:
    """`occupancy.march_torch`, ray by ray."""
    size, n = occupancy.config.resolution, len(start)
    layers = torch.where(occupancy.occupied, occupancy.lower * how.step, -1).flatten().numpy()
    tensors = (rays.origins, rays.directions, start, far)
    lines = tuple(tensor.detach().contiguous().numpy() for tensor in tensors)
    numbers = (np.int32(size), *(np.float32(v) for v in (occupancy.config.bound, how.step, how.opaque)))
    most = int(((far - start).amax() / how.step).item()) + 1 if n else 1
    found = np.empty((n, max(most, 1)), np.uint16)
    offsets = torch.zeros(n + 1, dtype=torch.int64)
    share(_march, n, lines, layers, numbers, found, offsets[1:].numpy())
    torch.cumsum(offsets, 0, out=offsets)
    distances = torch.empty(int(offsets[-1]))
    share(_distances, n, lines[2], numbers[2], found, offsets.numpy(), distances.numpy())
    return Samples(distances, torch.full_like(distances, how.step), offsets)
