"""What packed formats of splats share.

An order in which neighbours follow each other, quaternions without their largest component, and codebooks of values.
"""

import numpy as np
from jaxtyping import Float, Int, UInt8

ORDER_BITS = 10  # of each axis in the order of splats
CODES = 256  # values of a codebook, for one byte
OTHERS = np.array([[1, 2, 3], [0, 2, 3], [0, 1, 3], [0, 1, 2]])  # components beside the largest


def spatial_order(means: Float[np.ndarray, "n 3"]) -> Int[np.ndarray, " n"]:
    """Indices along a Morton curve through the box of the means, so that neighbours in space are near in the order."""
    low, high = means.min(0), means.max(0)
    cells = ((means - low) / np.maximum(high - low, 1e-30) * (2**ORDER_BITS - 1)).astype(np.int64)
    code = np.zeros(len(means), np.int64)
    for bit in range(ORDER_BITS):
        for axis in range(3):
            code |= ((cells[:, axis] >> bit) & 1) << (3 * bit + axis)
    return np.argsort(code, kind="stable")


def without_largest(
    quaternions: Float[np.ndarray, "n 4"],
) -> tuple[Int[np.ndarray, " n"], Float[np.ndarray, "n 3"]]:
    """Which component is the largest, and the others in order, in [-1/sqrt 2, 1/sqrt 2], where the largest is not
    negative. Quaternions have length one."""
    largest = np.abs(quaternions).argmax(-1)
    sign = np.where(np.take_along_axis(quaternions, largest[:, None], -1) < 0, -1, 1)
    return largest, np.take_along_axis(quaternions * sign, OTHERS[largest], -1)


def with_largest(largest: Int[np.ndarray, " n"], others: Float[np.ndarray, "n 3"]) -> Float[np.ndarray, "n 4"]:
    """The inverse: quaternions of length one."""
    whole = np.zeros((len(others), 4), np.float32)
    rest = np.sqrt((1 - np.square(others).sum(-1, keepdims=True)).clip(0))
    np.put_along_axis(whole, OTHERS[largest], others.astype(np.float32), -1)
    np.put_along_axis(whole, largest[:, None], rest.astype(np.float32), -1)
    return whole


def codebook(values: Float[np.ndarray, "*n"]) -> tuple[Float[np.ndarray, " codes"], UInt8[np.ndarray, "*n"]]:
    """CODES ascending numbers, and for each value the nearest of them, which is at most a 255th of the range away.

    Half of the numbers lie evenly in the range and half evenly among the values. So many values or fewer are all there.
    """
    flat = np.unique(values.astype(np.float32)).astype(np.float64)
    if len(flat) <= CODES:
        codes = np.pad(flat, (0, CODES - len(flat)), mode="edge")
    else:
        flat = np.sort(values.astype(np.float64).reshape(-1))
        share = (np.linspace(0, 1, len(flat)) + (flat - flat[0]) / (flat[-1] - flat[0])) / 2
        codes = np.interp(np.linspace(0, 1, CODES), share, flat)
    codes = codes.astype(np.float32)
    places = np.searchsorted((codes[1:].astype(np.float64) + codes[:-1]) / 2, values.astype(np.float64))
    return codes, places.astype(np.uint8)
