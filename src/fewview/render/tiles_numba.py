"""Which footprints touch which tile of an image, near to far: compiled for the CPU.

A footprint is listed in the tiles whose pixels' centres have its ellipse of alpha 1/255 among them. Entries are the
same in any number of threads. Lists are made anew for each picture, which takes a tenth of the time of forward and
backward: the next step of an optimiser mostly has another camera, and for the same one all but the order (1 ms of
50,000 splats) would have to be checked by making it again.
"""

from typing import NamedTuple, no_type_check

import numba
import numpy as np

from fewview.render.lanes import prefetch
from fewview.render.threads import share

WIDE, HIGH = 16, 16  # pixels of a tile
GEOMETRY, OPACITY = 6, 5  # columns of a footprint before its channels: centre (2), conic (3), opacity
ALPHA_MIN = 1 / 255
SCALE = 8  # exponents are kept divided by this: `blending_numba.falloff`
SLACK = 1e-3  # pixels that an ellipse is taken larger by, against rounding
DIGIT = 11  # bits
AHEAD = 16  # footprints that are asked of memory before their turn

_njit = numba.njit(cache=True, error_model="numpy", nogil=True)


class Tiles(NamedTuple):
    """The entries of tile t are starts[t] to starts[t + 1]; each is the number of a footprint, `owners`.

    `entries[firsts[i]:firsts[i + 1]]` are those of footprint i. `shapes` are what blending needs of it: centre, factors
    of dx^2, dx dy and dy^2 in the exponent over 8, opacity, the least exponent over 8 that shows, and half the height.
    """

    shapes: np.ndarray
    starts: np.ndarray
    owners: np.ndarray
    firsts: np.ndarray
    entries: np.ndarray


def tiles_of(footprints: np.ndarray, height: int, width: int) -> Tiles:
    """Lists of n x (6 + channels) footprints, of which the last channel is the depth; opacity 0 is never seen."""
    count, down, across = len(footprints), -(-height // HIGH), -(-width // WIDE)
    shapes, bands = np.empty((count, 8), np.float32), np.empty((count, 2), np.int32)
    share(_shape, count, footprints, shapes, bands, down)
    rows = np.zeros(count + 1, np.int64)
    np.cumsum(bands[:, 1] - bands[:, 0], out=rows[1:])
    spans = np.empty((rows[-1], 2), np.int32)
    share(_span, count, footprints, shapes, bands, rows, spans, across)
    firsts, starts = np.zeros(count + 1, np.int64), np.zeros(down * across + 1, np.int64)
    _count(bands, rows, spans, firsts, starts, across)
    owners, entries = np.empty(firsts[-1], np.int32), np.empty(firsts[-1], np.int32)
    depths = np.ascontiguousarray(footprints[:, -1])
    _fill(near_to_far(depths), (bands, rows, spans, firsts, starts), owners, entries, across)
    return Tiles(shapes, starts, owners, firsts, entries)


def near_to_far(depths: np.ndarray) -> np.ndarray:
    """A stable order of float32 depths, none of them negative: bits of such floats are ordered as they are."""
    return _radix_order(depths.view(np.uint32))


@_njit
@no_type_check
def _radix_order(keys):
    """The stable order of 32-bit keys, by three digits from the lowest."""
    order, other = np.arange(len(keys), dtype=np.int32), np.empty(len(keys), np.int32)
    mask = np.uint32((1 << DIGIT) - 1)
    for shift in (np.uint32(0), np.uint32(DIGIT), np.uint32(2 * DIGIT)):
        places = np.zeros((1 << DIGIT) + 1, np.int64)
        for i in range(len(keys)):
            places[((keys[i] >> shift) & mask) + 1] += 1
        for digit in range(1 << DIGIT):
            places[digit + 1] += places[digit]
        for j in range(len(order)):
            digit = (keys[order[j]] >> shift) & mask
            other[places[digit]] = order[j]
            places[digit] += 1
        order, other = other, order
    return order


@_njit
@no_type_check
def _conic(footprints, i):
    """a, b, c and their determinant."""
    a, b, c = np.float64(footprints[i, 2]), np.float64(footprints[i, 3]), np.float64(footprints[i, 4])
    return a, b, c, max(a * c - b * b, 1e-8 * a * c)  # rounding may leave nothing of it


@_njit
@no_type_check
def _shape(start, end, footprints, shapes, bands, down):
    """Shapes, and the rows of tiles that footprints reach (end excluded; none for those that are never seen)."""
    for i in range(start, end):
        bands[i, 0], bands[i, 1] = 0, 0
        opacity, middle = footprints[i, 5], footprints[i, 1]
        if opacity < ALPHA_MIN:
            continue
        a, b, c, determinant = _conic(footprints, i)
        square = 2 * np.log(opacity / ALPHA_MIN)  # of the radius in standard deviations where alpha is 1/255
        reach = np.sqrt(square * a / determinant) + SLACK
        shapes[i, 0], shapes[i, 1] = footprints[i, 0], middle
        shapes[i, 2], shapes[i, 3], shapes[i, 4] = -0.5 * a / SCALE, -b / SCALE, -0.5 * c / SCALE
        shapes[i, 5], shapes[i, 6], shapes[i, 7] = opacity, -0.5 * square / SCALE, reach
        first, last = np.ceil(middle - reach - 0.5), np.floor(middle + reach - 0.5)  # rows of pixels
        bands[i, 0] = min(max(np.floor(first / HIGH), 0), down)
        bands[i, 1] = max(min(np.floor(last / HIGH) + 1, down), bands[i, 0]) if last >= first else bands[i, 0]


@_njit
@no_type_check
def _span(start, end, footprints, shapes, bands, rows, spans, across):
    """The tiles of each row of tiles that the ellipse reaches among centres of pixels (end excluded)."""
    for i in range(start, end):
        if bands[i, 0] == bands[i, 1]:
            continue
        a, b, c, determinant = _conic(footprints, i)
        square = -2.0 * SCALE * shapes[i, 6]
        x, y, slant = footprints[i, 0], footprints[i, 1], b / a
        highest = np.sqrt(square * a / determinant)
        at_widest = np.sqrt(square * c / determinant) * b / c  # y where the ellipse is widest, to the left
        for row in range(bands[i, 0], bands[i, 1]):
            top = max(row * HIGH + 0.5 - y, -highest)
            bottom = max(min(row * HIGH + HIGH - 0.5 - y, highest), top)
            left_y, right_y = min(max(at_widest, top), bottom), min(max(-at_widest, top), bottom)
            left = -slant * left_y - np.sqrt(max(square - left_y * left_y * determinant / a, 0) / a) - SLACK
            right = -slant * right_y + np.sqrt(max(square - right_y * right_y * determinant / a, 0) / a) + SLACK
            first, last = np.ceil(x + left - 0.5), np.floor(x + right - 0.5)  # columns of pixels
            low = min(max(np.floor(first / WIDE), 0), across)
            k = rows[i] + row - bands[i, 0]
            spans[k, 0] = low
            spans[k, 1] = max(min(np.floor(last / WIDE) + 1, across), low) if last >= first else low


@_njit
@no_type_check
def _count(bands, rows, spans, firsts, starts, across):
    """Entries of each footprint and of each tile, as running sums."""
    for i in range(len(bands)):
        firsts[i + 1] = firsts[i]
        for k in range(rows[i], rows[i + 1]):
            base = (bands[i, 0] + k - rows[i]) * across + 1
            for x in range(spans[k, 0], spans[k, 1]):
                starts[base + x] += 1
            firsts[i + 1] += spans[k, 1] - spans[k, 0]
    for t in range(len(starts) - 1):
        starts[t + 1] += starts[t]


@_njit
@no_type_check
def _fill(order, lists, owners, entries, across):
    """A counting sort by tile that keeps the order of the footprints."""
    bands, rows, spans, firsts, starts = lists
    cursor = starts[:-1].copy()
    for j in range(len(order)):
        i, soon = order[j], order[min(j + AHEAD, len(order) - 1)]
        prefetch(bands, 2 * soon)
        prefetch(rows, soon)
        prefetch(firsts, soon)
        prefetch(spans, 2 * rows[order[min(j + AHEAD // 2, len(order) - 1)]])
        at = firsts[i]
        for k in range(rows[i], rows[i + 1]):
            base = (bands[i, 0] + k - rows[i]) * across
            for x in range(spans[k, 0], spans[k, 1]):
                entry = cursor[base + x]
                cursor[base + x] = entry + 1
                owners[entry], entries[at] = i, entry
                at += 1
