"""Front-to-back blending of footprints on the CPU: numba kernels forward and backward, threaded over tiles.

Bit-identical whatever the number of threads: each (tile, footprint) pair has its own slot for gradients, and the slots
of a footprint lie side by side and are summed in order. Letters: k runs over slots, p over the pixels of a tile.
"""

import math
from typing import no_type_check

import numba
import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

TILE = 16
ALPHA_MIN, ALPHA_MAX = np.float32(1 / 255), np.float32(0.999)
TRANSMITTANCE_MIN = np.float32(1e-4)
GEOMETRY = 6  # gradients of a slot that come before its channels: centre (2), conic (3), opacity
ZERO, HALF, ONE = np.float32(0), np.float32(0.5), np.float32(1)

_compile = numba.njit(cache=True, fastmath={"contract", "reassoc", "nsz", "arcp"}, error_model="numpy")
_compile_parallel = numba.njit(
    cache=True, fastmath={"contract", "reassoc", "nsz", "arcp"}, error_model="numpy", parallel=True
)


def blend(
    centres: Float[Tensor, "m 2"],
    conics: Float[Tensor, "m 3"],
    opacities: Float[Tensor, " m"],
    channels: Float[Tensor, "m channels"],
    reach: Float[Tensor, "m 2"],
    size: tuple[int, int],
) -> tuple[Float[Tensor, "channels {size[0]} {size[1]}"], Float[Tensor, "1 {size[0]} {size[1]}"]]:
    """Blended channels and alpha of footprints sorted near to far; `size` is (height, width) in pixels."""
    blended, alpha = _Blend.apply(centres, conics, opacities, channels, reach, size)  # type: ignore[misc]
    return blended, alpha


class _Blend(torch.autograd.Function):
    @staticmethod
    def forward(ctx, centres, conics, opacities, channels, reach, size):
        height, width = size
        arrays = tuple(_numpy(tensor) for tensor in (centres, conics, opacities, _padded(channels)))
        starts, slots, owners, firsts = _bin(arrays[0], _numpy(reach), height, width)
        image = np.zeros((height, width, arrays[3].shape[1]), np.float32)
        left = np.ones((height, width), np.float32)
        _forward(*arrays, starts, slots, owners, image, left)
        ctx.save_for_backward(centres, conics, opacities, channels)
        ctx.plan = starts, slots, owners, firsts, image, left
        count = channels.shape[1]
        blended = torch.from_numpy(image)[..., :count].permute(2, 0, 1)
        return blended.to(channels), (1 - torch.from_numpy(left))[None].to(channels)

    @staticmethod
    def backward(ctx, *gradients):
        centres, conics, opacities, channels = ctx.saved_tensors
        starts, slots, owners, firsts, image, left = ctx.plan
        padded = _padded(channels)
        arrays = tuple(_numpy(tensor) for tensor in (centres, conics, opacities, padded))
        of_image = _numpy(_padded(gradients[0].permute(1, 2, 0)))
        of_alpha = _numpy(gradients[1][0])
        per_slot = np.zeros((len(owners), GEOMETRY + padded.shape[1]), np.float32)
        _backward(*arrays, starts, slots, owners, image, left, of_image, of_alpha, per_slot)
        summed = torch.from_numpy(_sum_slots(per_slot, firsts)).to(centres)
        geometry, features = summed[:, :GEOMETRY], summed[:, GEOMETRY : GEOMETRY + channels.shape[1]]
        return geometry[:, :2], geometry[:, 2:5], geometry[:, 5], features, None, None


def _numpy(tensor: Tensor) -> np.ndarray:
    return tensor.detach().to(torch.float32).contiguous().numpy()


def _padded(tensor: Tensor) -> Tensor:
    """Zeros appended to the last axis up to a multiple of 4, the step of the kernels' channel loops."""
    return torch.nn.functional.pad(tensor.detach(), (0, -tensor.shape[-1] % 4))


def _bin(centres, reach, height, width):
    """Slots by tile: `slots[starts[t]:starts[t + 1]]` near to far; `owners[k]`; `firsts[i]` of footprint i."""
    boxes, firsts = _boxes(centres, reach, height, width)
    owners = np.empty(firsts[-1], np.int32)
    tiles = -(-height // TILE) * -(-width // TILE)
    starts = np.zeros(tiles + 1, np.int64)
    slots = np.empty(firsts[-1], np.int32)
    _fill(boxes, firsts, -(-width // TILE), owners, starts, slots)
    return starts, slots, owners, firsts


@_compile
@no_type_check
def _boxes(centres, reach, height, width):
    """Tile ranges (x0, x1, y0, y1; ends excluded) of footprints, and the running count of their slots."""
    boxes = np.zeros((len(centres), 4), np.int32)
    firsts = np.zeros(len(centres) + 1, np.int64)
    limits = ((width + TILE - 1) // TILE, (height + TILE - 1) // TILE)
    for i in range(len(centres)):
        for axis in range(2):
            low, high = centres[i, axis] - reach[i, axis], centres[i, axis] + reach[i, axis]
            boxes[i, 2 * axis] = max(0, min(limits[axis], int(math.floor(low / TILE))))
            boxes[i, 2 * axis + 1] = max(0, min(limits[axis], int(math.floor(high / TILE)) + 1))
        firsts[i + 1] = firsts[i] + (boxes[i, 1] - boxes[i, 0]) * (boxes[i, 3] - boxes[i, 2])
    return boxes, firsts


@_compile
@no_type_check
def _fill(boxes, firsts, tiles_x, owners, starts, slots):
    """A stable counting sort of slots by tile; footprints come in depth order, so each tile's slots do too."""
    for i in range(len(boxes)):
        for y in range(boxes[i, 2], boxes[i, 3]):
            for x in range(boxes[i, 0], boxes[i, 1]):
                starts[y * tiles_x + x + 1] += 1
    for t in range(len(starts) - 1):
        starts[t + 1] += starts[t]
    cursor = starts[:-1].copy()
    for i in range(len(boxes)):
        k = firsts[i]
        for y in range(boxes[i, 2], boxes[i, 3]):
            for x in range(boxes[i, 0], boxes[i, 1]):
                t = y * tiles_x + x
                slots[cursor[t]] = k
                cursor[t] += 1
                owners[k] = i
                k += 1


@_compile
@no_type_check
def _span(centre_x, dy, a, b, c, cut, left, right):
    """Columns [x0, x1) of a row, dy below the centre, that can reach 1/255: the ellipse cut, one pixel generous."""
    root = b * b * dy * dy - a * (c * dy * dy - cut)
    if root < 0:
        return left, left
    middle = centre_x - b * dy / a
    half = math.sqrt(root) / a
    return max(left, int(middle - half - HALF)), min(right, int(math.ceil(middle + half + HALF)))


@_compile_parallel
@no_type_check
def _forward(centres, conics, opacities, channels, starts, slots, owners, image, left):
    height, width, count = image.shape
    tiles_x = (width + TILE - 1) // TILE
    for t in numba.prange(len(starts) - 1):
        x_low, y_low = t % tiles_x * TILE, t // tiles_x * TILE
        x_high, y_high = min(x_low + TILE, width), min(y_low + TILE, height)
        closed = np.zeros((TILE, TILE), np.bool_)
        remaining = (x_high - x_low) * (y_high - y_low)
        for at in range(starts[t], starts[t + 1]):
            i = owners[slots[at]]
            centre_x, centre_y, opacity = centres[i, 0], centres[i, 1], opacities[i]
            a, b, c = conics[i, 0], conics[i, 1], conics[i, 2]
            cut = np.float32(2) * math.log(opacity / ALPHA_MIN) + np.float32(1e-3)
            for y in range(y_low, y_high):
                dy = np.float32(y) + HALF - centre_y
                x0, x1 = _span(centre_x, dy, a, b, c, cut, x_low, x_high)
                for x in range(x0, x1):
                    dx = np.float32(x) + HALF - centre_x
                    alpha = opacity * math.exp(-HALF * (a * dx * dx + c * dy * dy) - b * dx * dy)
                    if alpha < ALPHA_MIN or closed[y - y_low, x - x_low]:
                        continue
                    alpha = min(alpha, ALPHA_MAX)
                    before = left[y, x]
                    after = before * (ONE - alpha)
                    if after <= TRANSMITTANCE_MIN:
                        closed[y - y_low, x - x_low] = True
                        remaining -= 1
                        continue
                    left[y, x] = after
                    weight = before * alpha
                    for j in range(0, count, 4):
                        image[y, x, j] += weight * channels[i, j]
                        image[y, x, j + 1] += weight * channels[i, j + 1]
                        image[y, x, j + 2] += weight * channels[i, j + 2]
                        image[y, x, j + 3] += weight * channels[i, j + 3]
            if remaining == 0:
                break


@_compile_parallel
@no_type_check
def _backward(
    centres, conics, opacities, channels, starts, slots, owners, image, final, of_image, of_alpha, per_slot
):
    """Replays the forward pass; the light behind a footprint is the pixel's total less what has been seen so far."""
    height, width, count = image.shape
    tiles_x = (width + TILE - 1) // TILE
    for t in numba.prange(len(starts) - 1):
        x_low, y_low = t % tiles_x * TILE, t // tiles_x * TILE
        x_high, y_high = min(x_low + TILE, width), min(y_low + TILE, height)
        closed = np.zeros((TILE, TILE), np.bool_)
        left = np.ones((TILE, TILE), np.float32)
        behind = np.zeros((TILE, TILE), np.float64)
        for y in range(y_low, y_high):
            for x in range(x_low, x_high):
                total = np.float64(of_alpha[y, x] * (ONE - final[y, x]))
                for j in range(count):
                    total += of_image[y, x, j] * image[y, x, j]
                behind[y - y_low, x - x_low] = total
        for at in range(starts[t], starts[t + 1]):
            k = slots[at]
            i = owners[k]
            centre_x, centre_y, opacity = centres[i, 0], centres[i, 1], opacities[i]
            a, b, c = conics[i, 0], conics[i, 1], conics[i, 2]
            cut = np.float32(2) * math.log(opacity / ALPHA_MIN) + np.float32(1e-3)
            d_x = d_y = d_a = d_b = d_c = d_opacity = ZERO
            for y in range(y_low, y_high):
                dy = np.float32(y) + HALF - centre_y
                x0, x1 = _span(centre_x, dy, a, b, c, cut, x_low, x_high)
                for x in range(x0, x1):
                    dx = np.float32(x) + HALF - centre_x
                    falloff = math.exp(-HALF * (a * dx * dx + c * dy * dy) - b * dx * dy)
                    alpha = opacity * falloff
                    if alpha < ALPHA_MIN or closed[y - y_low, x - x_low]:
                        continue
                    clamped = alpha > ALPHA_MAX
                    alpha = min(alpha, ALPHA_MAX)
                    before = left[y - y_low, x - x_low]
                    after = before * (ONE - alpha)
                    if after <= TRANSMITTANCE_MIN:
                        closed[y - y_low, x - x_low] = True
                        continue
                    left[y - y_low, x - x_low] = after
                    weight = before * alpha
                    value = of_alpha[y, x]
                    for j in range(0, count, 4):
                        value += (
                            of_image[y, x, j] * channels[i, j]
                            + of_image[y, x, j + 1] * channels[i, j + 1]
                            + of_image[y, x, j + 2] * channels[i, j + 2]
                            + of_image[y, x, j + 3] * channels[i, j + 3]
                        )
                        per_slot[k, GEOMETRY + j] += weight * of_image[y, x, j]
                        per_slot[k, GEOMETRY + j + 1] += weight * of_image[y, x, j + 1]
                        per_slot[k, GEOMETRY + j + 2] += weight * of_image[y, x, j + 2]
                        per_slot[k, GEOMETRY + j + 3] += weight * of_image[y, x, j + 3]
                    behind[y - y_low, x - x_low] -= weight * value
                    if clamped:
                        continue
                    d_alpha = before * value - np.float32(behind[y - y_low, x - x_low]) / (ONE - alpha)
                    d_opacity += falloff * d_alpha
                    d_power = alpha * d_alpha
                    d_x += d_power * (a * dx + b * dy)
                    d_y += d_power * (b * dx + c * dy)
                    d_a -= d_power * HALF * dx * dx
                    d_b -= d_power * dx * dy
                    d_c -= d_power * HALF * dy * dy
            per_slot[k, 0], per_slot[k, 1], per_slot[k, 2] = d_x, d_y, d_a
            per_slot[k, 3], per_slot[k, 4], per_slot[k, 5] = d_b, d_c, d_opacity


@_compile_parallel
@no_type_check
def _sum_slots(per_slot, firsts):
    """Gradients of footprints from those of their slots."""
    summed = np.zeros((len(firsts) - 1, per_slot.shape[1]), np.float32)
    for i in numba.prange(len(summed)):
        for k in range(firsts[i], firsts[i + 1]):
            for j in range(per_slot.shape[1]):
                summed[i, j] += per_slot[k, j]
    return summed
