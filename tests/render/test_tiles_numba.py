import numpy as np
import torch
from clouds import cloud, facing

from fewview.render.splatting_numba import numpy_of, project
from fewview.render.tiles_numba import ALPHA_MIN, HIGH, WIDE, near_to_far, tiles_of


def alphas(footprint: np.ndarray, height: int, width: int) -> np.ndarray:
    """Of every pixel, in closed form."""
    y, x = np.mgrid[:height, :width] + 0.5
    dx, dy = x - footprint[0], y - footprint[1]
    a, b, c, opacity = footprint[2:6].astype(np.float64)
    return opacity * np.exp(-0.5 * (a * dx * dx + c * dy * dy) - b * dx * dy)


def test_a_footprint_is_listed_in_all_tiles_where_it_shows_and_in_hardly_another(generator):
    height, width = 75, 101
    gaussians = cloud(120, generator)
    gaussians.scales[::3, 0] *= 8  # some are needles
    footprints = numpy_of(project(gaussians, facing(width, height)[0], antialiased=False))
    tiles = tiles_of(footprints, height, width)
    across = -(-width // WIDE)
    listed = {(t, i) for t in range(len(tiles.starts) - 1) for i in tiles.owners[tiles.starts[t] : tiles.starts[t + 1]]}
    surely, perhaps = set(), set()
    for i in np.flatnonzero(footprints[:, 5]):
        alpha = alphas(footprints[i], height, width)
        for found, least in ((surely, 1.001 * ALPHA_MIN), (perhaps, 0.99 * ALPHA_MIN)):
            y, x = np.nonzero(alpha >= least)
            found |= {(int(t), int(i)) for t in y // HIGH * across + x // WIDE}
    assert len(surely) > 300
    assert surely <= listed
    assert len(listed - perhaps) < 0.02 * len(listed)


def test_entries_of_a_tile_go_from_near_to_far_and_each_footprint_knows_its_own(generator):
    footprints = numpy_of(project(cloud(200, generator), facing(64)[0], antialiased=False))
    tiles = tiles_of(footprints, 64, 64)
    for start, end in zip(tiles.starts[:-1], tiles.starts[1:]):
        assert (np.diff(footprints[tiles.owners[start:end], -1]) >= 0).all()
    owners = np.repeat(np.arange(len(footprints)), np.diff(tiles.firsts))
    assert (tiles.owners[tiles.entries] == owners).all()
    assert sorted(tiles.entries) == list(range(len(tiles.owners)))


def test_the_order_of_depths_is_that_of_a_stable_sort(generator):
    depths = torch.rand(5000, generator=generator).mul(6).exp()
    depths[::7] = depths[3]  # ties keep their order
    depths[5] = 0
    assert (near_to_far(depths.numpy()) == torch.argsort(depths, stable=True).numpy()).all()
