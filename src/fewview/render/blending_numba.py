"""Front-to-back blending of footprints on the CPU, forward and backward: compiled, threaded over tiles.

A row of a tile is one value of 16 lanes, so that a footprint costs a few instructions for each row that it reaches.
Backward blends once more from the front: what lies behind a footprint is what is left of the pixel's own sum, so that
nothing of the forward pass but its pictures is kept. Each entry of a tile's list has a place of its own for gradients,
which are written in order and summed for each footprint in order: no atomics, and the same bits in any number of
threads.
"""

from typing import no_type_check

import numba
import numpy as np

from fewview.render.lanes import lanes, load, prefetch, smaller, some, store, total, where
from fewview.render.tiles_numba import GEOMETRY, HIGH, WIDE

ALPHA_MAX, TRANSMITTANCE_MIN = np.float32(0.999), np.float32(1e-4)
ZERO, HALF, ONE = np.float32(0), np.float32(0.5), np.float32(1)
E1, E2, E3, E4, E5 = (np.float32(e) for e in (0.99999476, 0.49989978, 0.16602840, 0.03984831, 0.00588525))
PIXELS = WIDE * HIGH
AHEAD = 6  # entries whose footprints are asked of memory before their turn
OFTEN = 16  # entries between two looks at whether a tile is closed

# Sections of a tile's memory. LEFT is the transmittance, negative once a pixel is closed.
COLUMN, LEFT, PICTURE = 0, WIDE, WIDE + PIXELS
BEHIND, OF_ALPHA, SUMS = WIDE + PIXELS, WIDE + 2 * PIXELS, WIDE + 3 * PIXELS  # backward

_njit = numba.njit(cache=True, error_model="numpy", nogil=True)
_njit_inside = numba.njit(error_model="numpy", inline="always")


@_njit
@no_type_check
def _memory(size):
    """Floats that begin where a register's worth of them does not straddle two lines of the cache."""
    raw = np.zeros(size + 16, np.float32)
    work = raw[(-(raw.ctypes.data // 4)) % 16 :]
    for p in range(WIDE):
        work[COLUMN + p] = p + HALF
    return work


@_njit
@no_type_check
def _open(work, x, y, height, width):
    """Transmittance 1, but pixels beyond the picture are closed; says how many are inside, across and down."""
    across, down = min(WIDE, width - x), min(HIGH, height - y)
    inside = where(load(work, COLUMN) < np.float32(across), ONE, -ONE)
    for row in range(HIGH):
        store(work, LEFT + row * WIDE, inside if row < down else lanes(-ONE))
    return across, down


@_njit
@no_type_check
def _closed(work):
    """Whether no pixel lets anything through."""
    for row in range(HIGH):  # noqa: SIM110 (numba has no generators of lanes)
        if some(load(work, LEFT + row * WIDE) > ZERO):
            return False
    return True


@_njit
@no_type_check
def _rows(shape, y):
    """The rows of the tile at y, from the first to the end, whose pixels' centres a footprint reaches."""
    first = int(np.ceil(shape[1] - shape[7] - HALF)) - y
    end = int(np.floor(shape[1] + shape[7] - HALF)) - y + 1
    return max(first, 0), min(end, HIGH)


@_njit_inside
@no_type_check
def falloff(x):
    """exp(8 x) to 2e-6 for x in [log(1/255) / 8, 0]: a polynomial that is 1 at 0, fitted to the relative error."""
    e = ONE + x * (E1 + x * (E2 + x * (E3 + x * (E4 + x * E5))))
    e = e * e
    e = e * e
    return e * e


@_njit_inside
@no_type_check
def _asked(work, x, tiles, footprints, entry, end_entry):
    """An entry's footprint by number, its shape, and how far the pixels of a row are from its centre."""
    shapes, _, owners = tiles
    i, soon = owners[entry], owners[min(entry + AHEAD, end_entry - 1)]
    prefetch(shapes, soon * shapes.shape[1])
    prefetch(footprints, soon * footprints.shape[1] + GEOMETRY)
    return i, shapes[i], load(work, COLUMN) + (np.float32(x) - shapes[i, 0])


@_njit_inside
@no_type_check
def _let_through(work, p, left, weight, hit):
    """Takes a footprint's weight from the light of a row's pixels; which show it, for others are closed by it."""
    after = left - weight
    store(work, LEFT + p, where(hit, where(after > TRANSMITTANCE_MIN, after, ZERO - left), left))
    return hit & (after > TRANSMITTANCE_MIN)


@_njit
@no_type_check
def forward(start, end, tiles, footprints, image, alpha, depth, like):
    """Pictures of the tiles [start, end); `like` has as many elements as there are channels, depth among them."""
    starts = tiles[1]
    height, width = alpha.shape
    work = _memory(PICTURE + len(like) * PIXELS)
    for t in range(start, end):
        x, y = t % ((width + WIDE - 1) // WIDE) * WIDE, t // ((width + WIDE - 1) // WIDE) * HIGH
        work[PICTURE:] = ZERO
        across, down = _open(work, x, y, height, width)
        _blend(work, x, y, tiles, footprints, starts[t], starts[t + 1], like)
        for row in range(down):
            deep = PICTURE + (len(like) - 1) * PIXELS + row * WIDE
            for column in range(across):
                seen = ONE - abs(work[LEFT + row * WIDE + column])
                alpha[y + row, x + column] = seen
                depth[y + row, x + column] = work[deep + column] / max(seen, np.float32(1e-10))
            for c in range(len(like) - 1):
                for column in range(across):
                    image[c, y + row, x + column] = work[PICTURE + c * PIXELS + row * WIDE + column]


@_njit
@no_type_check
def _blend(work, x, y, tiles, footprints, first_entry, end_entry, like):
    for entry in range(first_entry, end_entry):
        i, shape, dx = _asked(work, x, tiles, footprints, entry, end_entry)
        square, slope = shape[2] * dx * dx, shape[3] * dx
        first, end = _rows(shape, y)
        for row in range(first, end):
            p = row * WIDE
            dy = np.float32(y + row) + HALF - shape[1]
            power = square + (slope * dy + shape[4] * dy * dy)
            left = load(work, LEFT + p)
            hit = (power > shape[6]) & (left > ZERO)
            if some(hit):
                weight = left * smaller(shape[5] * falloff(power), ALPHA_MAX)
                weight = where(_let_through(work, p, left, weight, hit), weight, ZERO)
                for c in range(len(like)):
                    at = PICTURE + c * PIXELS + p
                    store(work, at, load(work, at) + footprints[i, GEOMETRY + c] * weight)
        if (entry - first_entry) % OFTEN == OFTEN - 1 and _closed(work):
            break


@_njit
@no_type_check
def backward(start, end, tiles, footprints, seen, gradients, per_entry, like):
    """Gradients of the entries of the tiles [start, end); `like` has as many elements as channels have gradients.

    `seen` and `gradients` are picture, alpha and depth and what a loss says of them; the depth is the last channel.
    """
    starts = tiles[1]
    height, width = seen[1].shape
    work = _memory(SUMS + len(like) * (PIXELS + WIDE))
    for t in range(start, end):
        x, y = t % ((width + WIDE - 1) // WIDE) * WIDE, t // ((width + WIDE - 1) // WIDE) * HIGH
        across, down = _open(work, x, y, height, width)
        _ask(work, (x, y, across, down), seen, gradients, like)
        done = _pull(work, x, y, tiles, footprints, starts[t], starts[t + 1], per_entry, like)
        per_entry[done : starts[t + 1]] = ZERO


@_njit
@no_type_check
def _ask(work, place, seen, gradients, like):
    """What a loss says of a tile's alpha and channels (after WIDE sums of each), and of all that a pixel sums up."""
    x, y, across, down = place
    image, alpha, depth = seen
    of_image, of_alpha, of_depth = gradients
    channels = SUMS + len(like) * WIDE
    for row in range(y, y + down):
        p = (row - y) * WIDE - x
        for column in range(x, x + across):
            work[OF_ALPHA + p + column] = of_alpha[row, column]
            work[BEHIND + p + column] = of_alpha[row, column] * alpha[row, column]
        for c in range(len(of_image)):
            for column in range(x, x + across):
                work[channels + c * PIXELS + p + column] = of_image[c, row, column]
                work[BEHIND + p + column] += of_image[c, row, column] * image[c, row, column]
        if len(like) > len(of_image):
            for column in range(x, x + across):
                share = of_depth[row, column] / max(alpha[row, column], np.float32(1e-10))
                work[channels + len(of_image) * PIXELS + p + column] = share
                work[OF_ALPHA + p + column] -= share * depth[row, column]


@_njit
@no_type_check
def _pull(work, x, y, tiles, footprints, first_entry, end_entry, per_entry, like):
    """Gradients of a tile's entries; says where they end, for none is left once all pixels are closed."""
    channels = SUMS + len(like) * WIDE
    for entry in range(first_entry, end_entry):
        i, shape, dx = _asked(work, x, tiles, footprints, entry, end_entry)
        square, slope = shape[2] * dx * dx, shape[3] * dx
        for c in range(len(like)):
            store(work, SUMS + c * WIDE, lanes(ZERO))
        m, my, myy = lanes(ZERO), lanes(ZERO), lanes(ZERO)
        first, end = _rows(shape, y)
        for row in range(first, end):
            p = row * WIDE
            dy = np.float32(y + row) + HALF - shape[1]
            power = square + (slope * dy + shape[4] * dy * dy)
            left = load(work, LEFT + p)
            hit = (power > shape[6]) & (left > ZERO)
            if some(hit):
                alpha = shape[5] * falloff(power)
                capped = smaller(alpha, ALPHA_MAX)
                weight = left * capped
                shown = _let_through(work, p, left, weight, hit)
                weight = where(shown, weight, ZERO)
                value = load(work, OF_ALPHA + p)
                for c in range(len(like)):
                    of_channel = load(work, channels + c * PIXELS + p)
                    value = value + footprints[i, GEOMETRY + c] * of_channel
                    at = SUMS + c * WIDE
                    store(work, at, load(work, at) + weight * of_channel)
                own = weight * value
                behind = load(work, BEHIND + p) - own
                store(work, BEHIND + p, behind)
                of_power = where(shown & (alpha < ALPHA_MAX), own - behind * capped / (ONE - capped), ZERO)
                m = m + of_power
                my = my + of_power * dy
                myy = myy + of_power * (dy * dy)
        _write(per_entry, entry, shape, (dx, m, my, myy), work, like)
        if (entry - first_entry) % OFTEN == OFTEN - 1 and _closed(work):
            return entry + 1
    return end_entry


@_njit
@no_type_check
def _write(per_entry, entry, shape, sums, work, like):
    """Gradients of centre, conic and opacity of the moments of the exponent's gradient, and those of channels."""
    dx, m, my, myy = sums
    a, b, c = np.float32(-16) * shape[2], np.float32(-8) * shape[3], np.float32(-16) * shape[4]
    of_x, of_y = total(m * dx), total(my)
    per_entry[entry, 0] = a * of_x + b * of_y
    per_entry[entry, 1] = b * of_x + c * of_y
    per_entry[entry, 2] = -HALF * total(m * dx * dx)
    per_entry[entry, 3] = -total(my * dx)
    per_entry[entry, 4] = -HALF * total(myy)
    per_entry[entry, 5] = total(m) / shape[5]
    for k in range(len(like)):
        per_entry[entry, GEOMETRY + k] = total(load(work, SUMS + k * WIDE))


@_njit
@no_type_check
def gather(start, end, firsts, entries, per_entry, summed):
    """Gradients of the footprints [start, end) from those of their entries; `summed` begins as zeros."""
    for i in range(start, end):
        for at in range(firsts[i], firsts[i + 1]):
            entry = entries[at]
            prefetch(per_entry, entries[min(at + 2 * AHEAD, len(entries) - 1)] * per_entry.shape[1])
            for j in range(per_entry.shape[1]):
                summed[i, j] += per_entry[entry, j]
