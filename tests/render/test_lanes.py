import numba
import numpy as np

from fewview.render.lanes import COUNT, lanes, load, smaller, some, store, total, where

HALF, ONE, LEAST, MOST = (np.float32(x) for x in (0.5, 1, 0.25, 0.75))


@numba.njit
def mixed(x, y, out):
    """Every operation, among lanes and with scalars; the sum of what was hit."""
    added = lanes(np.float32(0))
    for p in range(0, len(x), COUNT):
        a, b = load(x, p), load(y, p)
        hit = (a > LEAST) & (a < MOST)
        if some(hit):
            made = where(hit, (ONE - a) * b / (b + ONE) + HALF * a, smaller(b, HALF))
            store(out, p, made)
            added = added + where(hit, made, np.float32(0))
    return total(added)


def test_lanes_do_what_numpy_does_and_skip_what_is_not_hit():
    rng = np.random.default_rng(0)
    x, y = rng.random((2, 5 * COUNT), dtype=np.float32)
    x[2 * COUNT : 3 * COUNT] = 0.9  # none of these is hit
    out = np.full_like(x, -1)
    summed = mixed(x, y, out)
    hit = (x > 0.25) & (x < 0.75)
    want = np.where(hit, (1 - x) * y / (y + 1) + x / 2, np.minimum(y, 0.5))
    want[2 * COUNT : 3 * COUNT] = -1
    np.testing.assert_allclose(out, want, rtol=1e-6)
    np.testing.assert_allclose(summed, want[hit].sum(), rtol=1e-5)
