"""Front-to-back blending of footprints on the CPU: numba kernels forward and backward, threaded over tiles.

Bit-identical whatever the number of threads: each (tile, footprint) pair has its own slot for gradients, and the slots
of a footprint lie side by side and are summed in order. The pixels of a tile are one flat range; a footprint goes over
the rows that it reaches in loops without branches, which compile to vector instructions because all the state of a tile
is sections of one array `work`: what the compiler must not fear is that two of them overlap.
"""

from typing import no_type_check

import numba
import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from fewview.render.threads import follow_torch_threads

TILE = 8
PIXELS = np.uint64(TILE * TILE)
ALPHA_MIN, ALPHA_MAX = np.float32(1 / 255), np.float32(0.999)
TRANSMITTANCE_MIN = np.float32(1e-4)
GEOMETRY = 6  # gradients of a slot that come before its channels: centre (2), conic (3), opacity
ZERO, HALF, ONE = np.float32(0), np.float32(0.5), np.float32(1)
POWER_MIN, SIXTEENTH = np.float32(-6), np.float32(1 / 16)
C2, C3, C4, C5, C6, C7 = (np.float32(1 / factorial) for factorial in (2, 6, 24, 120, 720, 5040))

# Sections of `work`. LEFT is the transmittance, negative once the pixel is closed; LAST the position in the tile's list
# of the last footprint that the pixel saw; BEHIND the blended value of all that lies behind, seen through nothing.
X, Y, FALLOFF, WEIGHT, LEFT, LAST, VALUE, BEHIND, POWER, OF_ALPHA, CHANNELS = (np.uint64(k) * PIXELS for k in range(11))

FAST = {"contract", "reassoc", "nsz", "arcp"}
_compile = numba.njit(cache=True, fastmath=FAST, error_model="numpy")
_compile_parallel = numba.njit(cache=True, fastmath=FAST, error_model="numpy", parallel=True)


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
        follow_torch_threads()
        footprints = tuple(_numpy(tensor) for tensor in (centres, conics, opacities, channels, reach))
        starts, slots, owners, firsts = _bin(footprints[0], footprints[4], *size)
        image = np.empty((channels.shape[1], *size), np.float32)
        left = np.empty(size, np.float32)
        last = np.empty(size, np.int32)
        _forward(footprints, starts, slots, owners, image, left, last)
        ctx.save_for_backward(centres, conics, opacities, channels, reach)
        ctx.plan = (starts, slots, owners), firsts, left, last
        return torch.from_numpy(image).to(channels), (1 - torch.from_numpy(left))[None].to(channels)

    @staticmethod
    def backward(ctx, *gradients):
        follow_torch_threads()
        footprints = tuple(_numpy(tensor) for tensor in ctx.saved_tensors)
        (starts, slots, owners), firsts, left, last = ctx.plan
        of_image, of_alpha = _numpy(gradients[0]), _numpy(gradients[1][0])
        per_slot = np.zeros((firsts[-1], GEOMETRY + of_image.shape[0]), np.float32)
        _backward(footprints, starts, slots, owners, (left, last, of_image, of_alpha), per_slot)
        summed = torch.from_numpy(_sum_slots(per_slot, firsts)).to(gradients[0])
        return summed[:, :2], summed[:, 2:5], summed[:, 5], summed[:, GEOMETRY:], None, None


def _numpy(tensor: Tensor) -> np.ndarray:
    return tensor.detach().to("cpu", torch.float32).contiguous().numpy()


def _bin(centres, reach, height, width):
    """Slots by tile: `slots[starts[t]:starts[t + 1]]` near to far; `owners[k]`; `firsts[i]` of footprint i."""
    boxes, firsts = _boxes(centres, reach, height, width)
    owners, slots = np.empty(firsts[-1], np.int32), np.empty(firsts[-1], np.int32)
    starts = np.zeros(-(-height // TILE) * -(-width // TILE) + 1, np.int64)
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
            boxes[i, 2 * axis] = max(0, min(limits[axis], int(np.floor(low / TILE))))
            boxes[i, 2 * axis + 1] = max(0, min(limits[axis], int(np.floor(high / TILE)) + 1))
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
def _workspace(count, corner_x, corner_y):
    """A tile's state before its first footprint, with room for `count` channels."""
    work = np.zeros(CHANNELS + np.uint64(count) * PIXELS, np.float32)
    for p in range(PIXELS):
        work[X + p] = np.float32(corner_x + p % np.uint64(TILE)) + HALF
        work[Y + p] = np.float32(corner_y + p // np.uint64(TILE)) + HALF
        work[LEFT + p] = ONE
        work[LAST + p] = -ONE
    return work


@_compile
@no_type_check
def _rows(centre_y, reach_y, corner_y):
    """The pixels [first, end) of the tile rows that a footprint reaches."""
    first = min(max(int(np.floor(centre_y - reach_y)) - corner_y, 0), TILE)
    end = min(max(int(np.ceil(centre_y + reach_y)) - corner_y, first), TILE)
    return np.uint64(first * TILE), np.uint64(end * TILE)


@_compile
@no_type_check
def _falloff(work, first, end, centres, conics, i):
    """exp(-(a dx^2 + c dy^2) / 2 - b dx dy), to about 1e-6 where it is above e^-6."""
    centre_x, centre_y, a, b, c = (
        centres[i, 0],
        centres[i, 1],
        -HALF * conics[i, 0],
        -conics[i, 1],
        -HALF * conics[i, 2],
    )
    for p in range(first, end):
        dx, dy = work[X + p] - centre_x, work[Y + p] - centre_y
        x = max(a * dx * dx + b * dx * dy + c * dy * dy, POWER_MIN) * SIXTEENTH
        e = ONE + x * (ONE + x * (C2 + x * (C3 + x * (C4 + x * (C5 + x * (C6 + x * C7))))))
        e *= e
        e *= e
        e *= e
        work[FALLOFF + p] = e * e


@_compile
@no_type_check
def _weigh(work, first, end, opacity, at):
    """Blending weights of footprint number `at`; returns their sum."""
    total, at = ZERO, np.float32(at)
    for p in range(first, end):
        alpha = opacity * work[FALLOFF + p]
        alpha = min(alpha, ALPHA_MAX) if alpha >= ALPHA_MIN else ZERO
        before = work[LEFT + p]
        after = before * (ONE - alpha)
        visible = after > TRANSMITTANCE_MIN
        weight = before * alpha if visible else ZERO
        work[WEIGHT + p] = weight
        work[LEFT + p] = after if visible else -abs(before)
        work[LAST + p] = at if visible else work[LAST + p]
        total += weight
    return total


@_compile
@no_type_check
def _forward_tile(work, corner_y, footprints, slots, owners):
    centres, conics, opacities, channels, reach = footprints
    for at in range(len(slots)):
        i = owners[slots[at]]
        first, end = _rows(centres[i, 1], reach[i, 1], corner_y)
        _falloff(work, first, end, centres, conics, i)
        if _weigh(work, first, end, opacities[i], at) > ZERO:
            row = CHANNELS
            for j in range(channels.shape[1]):
                feature = channels[i, j]
                for p in range(first, end):
                    work[row + p] += work[WEIGHT + p] * feature
                row += PIXELS
        if at % 16 == 15 and work[LEFT : LEFT + PIXELS].max() < ZERO:
            break


@_compile_parallel
@no_type_check
def _forward(footprints, starts, slots, owners, image, left, last):
    count, height, width = image.shape
    tiles_x = (width + TILE - 1) // TILE
    for t in numba.prange(len(starts) - 1):
        x, y = t % tiles_x * TILE, t // tiles_x * TILE
        work = _workspace(count, x, y)
        _forward_tile(work, y, footprints, slots[starts[t] : starts[t + 1]], owners)
        w, h = min(TILE, width - x), min(TILE, height - y)
        image[:, y : y + h, x : x + w] = work[CHANNELS:].reshape(count, TILE, TILE)[:, :h, :w]
        left[y : y + h, x : x + w] = np.abs(work[LEFT : LEFT + PIXELS]).reshape(TILE, TILE)[:h, :w]
        last[y : y + h, x : x + w] = work[LAST : LAST + PIXELS].reshape(TILE, TILE)[:h, :w]


@_compile
@no_type_check
def _unweigh(work, first, end, opacity, at):
    """Undo `_weigh`: weights again, and the gradients of the exponent of the falloff."""
    at = np.float32(at)
    for p in range(first, end):
        alpha = opacity * work[FALLOFF + p]
        seen = (alpha >= ALPHA_MIN) & (at <= work[LAST + p])
        free = seen & (alpha < ALPHA_MAX)
        alpha = min(alpha, ALPHA_MAX) if seen else ZERO
        before = work[LEFT + p] / (ONE - alpha)
        work[LEFT + p] = before
        weight = before * alpha
        work[WEIGHT + p] = weight
        ahead = work[VALUE + p] - work[BEHIND + p]
        work[POWER + p] = weight * ahead if free else ZERO
        work[BEHIND + p] += alpha * ahead


@_compile
@no_type_check
def _moments(work, first, end, centre_x, centre_y):
    """Sums of the exponent's gradient times 1, dx, dy, dx^2, dx dy, dy^2."""
    m, mx, my, mxx, mxy, myy = ZERO, ZERO, ZERO, ZERO, ZERO, ZERO
    for p in range(first, end):
        power, dx, dy = work[POWER + p], work[X + p] - centre_x, work[Y + p] - centre_y
        m += power
        mx += power * dx
        my += power * dy
        mxx += power * dx * dx
        mxy += power * dx * dy
        myy += power * dy * dy
    return m, mx, my, mxx, mxy, myy


@_compile
@no_type_check
def _backward_tile(work, corner_y, footprints, slots, owners, per_slot):
    centres, conics, opacities, channels, reach = footprints
    for at in range(int(work[LAST : LAST + PIXELS].max()), -1, -1):
        k = slots[at]
        i = owners[k]
        first, end = _rows(centres[i, 1], reach[i, 1], corner_y)
        for p in range(first, end):
            work[VALUE + p] = work[OF_ALPHA + p]
        row = CHANNELS
        for j in range(channels.shape[1]):
            feature = channels[i, j]
            for p in range(first, end):
                work[VALUE + p] += work[row + p] * feature
            row += PIXELS
        _falloff(work, first, end, centres, conics, i)
        _unweigh(work, first, end, opacities[i], at)
        m, mx, my, mxx, mxy, myy = _moments(work, first, end, centres[i, 0], centres[i, 1])
        a, b, c = conics[i, 0], conics[i, 1], conics[i, 2]
        per_slot[k, 0], per_slot[k, 1], per_slot[k, 5] = a * mx + b * my, b * mx + c * my, m / opacities[i]
        per_slot[k, 2], per_slot[k, 3], per_slot[k, 4] = -HALF * mxx, -mxy, -HALF * myy
        row = CHANNELS
        for j in range(channels.shape[1]):
            total = ZERO
            for p in range(first, end):
                total += work[WEIGHT + p] * work[row + p]
            per_slot[k, GEOMETRY + j] = total
            row += PIXELS


@_compile_parallel
@no_type_check
def _backward(footprints, starts, slots, owners, pixels, per_slot):
    left, last, of_image, of_alpha = pixels
    count, height, width = of_image.shape
    tiles_x = (width + TILE - 1) // TILE
    for t in numba.prange(len(starts) - 1):
        x, y = t % tiles_x * TILE, t // tiles_x * TILE
        w, h = min(TILE, width - x), min(TILE, height - y)
        work = _workspace(count, x, y)
        work[CHANNELS:].reshape(count, TILE, TILE)[:, :h, :w] = of_image[:, y : y + h, x : x + w]
        work[OF_ALPHA:CHANNELS].reshape(TILE, TILE)[:h, :w] = of_alpha[y : y + h, x : x + w]
        work[LEFT : LEFT + PIXELS].reshape(TILE, TILE)[:h, :w] = left[y : y + h, x : x + w]
        work[LAST : LAST + PIXELS].reshape(TILE, TILE)[:h, :w] = last[y : y + h, x : x + w]
        _backward_tile(work, y, footprints, slots[starts[t] : starts[t + 1]], owners, per_slot)


@_compile
@no_type_check
def _sum_slots(per_slot, firsts):
    """Gradients of footprints from those of their slots."""
    summed = np.zeros((len(firsts) - 1, per_slot.shape[1]), np.float32)
    for i in range(len(summed)):
        for k in range(firsts[i], firsts[i + 1]):
            for j in range(per_slot.shape[1]):
                summed[i, j] += per_slot[k, j]
    return summed
