import os
import subprocess
import sys
from itertools import pairwise

import pytest
import torch

from fewview.render.hashgrid import HashGrid, HashGridConfig, hash_encode, hash_encode_torch, levels, table_rows

CONFIGS = [
    HashGridConfig(levels=5, base=4, finest=300, log2_table=9, kind="hash"),
    HashGridConfig(levels=5, base=4, finest=300, log2_table=9, kind="tiled"),
    HashGridConfig(levels=3, features=4, base=4, finest=64, log2_table=9, kind="hash"),
]


def _points_and_table(config: HashGridConfig, generator: torch.Generator, n: int = 700):
    points = torch.rand(n, 3, generator=generator) * 1.1 - 0.05  # some outside the unit cube
    points[0], points[1] = 0, 1
    return points, torch.randn(table_rows(config), config.features, generator=generator)


@pytest.mark.parametrize("config", CONFIGS)
def test_kernels_equal_their_twin_in_values_and_gradients(config, generator):
    points, table = _points_and_table(config, generator)
    weights = torch.randn(len(points), config.channels, generator=generator)
    weights[100:400] = 0  # the kernel skips points without gradient
    results = []
    for encode in (hash_encode, hash_encode_torch):
        leaf = table.clone().requires_grad_()
        out = encode(points, leaf, config)
        out.backward(weights)
        results.append((out.detach(), leaf.grad))
    torch.testing.assert_close(results[0], results[1], atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize("kind", ["hash", "tiled"])
def test_gradients_of_table_and_points_are_right(kind, generator):
    config = HashGridConfig(levels=2, base=2, finest=7, log2_table=5, kind=kind)
    points, table = _points_and_table(config, generator, n=4)
    points = points.double().clamp(0.013, 0.987).requires_grad_()
    table = table.double().requires_grad_()
    assert torch.autograd.gradcheck(lambda p, t: hash_encode(p, t, config), (points, table), eps=1e-7, atol=1e-4)


def test_points_that_need_a_gradient_get_one_in_float32(generator):
    points, table = _points_and_table(CONFIGS[0], generator)
    points.requires_grad_()
    hash_encode(points, table, CONFIGS[0]).sum().backward()
    assert points.grad is not None and points.grad.abs().sum() > 0


def test_resolutions_grow_in_proportion_from_base_to_finest():
    cells = [level.cells for level in levels(HashGridConfig())]
    assert cells[0] == 16 and cells[-1] == 8192 and len(cells) == 16
    ratios = [b / a for a, b in pairwise(cells)]
    assert all(abs(ratio - 512 ** (1 / 15)) < 0.1 for ratio in ratios)


def test_levels_own_disjoint_rows_and_small_ones_only_what_they_need():
    config = HashGridConfig(log2_table=15)
    rows = [(level.offset, level.rows) for level in levels(config)]
    assert rows[0] == (0, 17**3)
    assert all(start + count == following for (start, count), (following, _) in pairwise(rows))
    assert rows[-1][1] == 2**15


@pytest.mark.parametrize("encode", [hash_encode, hash_encode_torch])
def test_a_linear_function_is_reproduced(encode, generator):
    config = HashGridConfig(levels=1, base=6, finest=6, log2_table=9)
    z, y, x = torch.meshgrid(*[torch.arange(7) / 6] * 3, indexing="ij")
    corners = torch.stack([x, y, z], dim=-1).reshape(-1, 3)
    slopes = torch.randn(3, 2, generator=generator)
    points = torch.rand(50, 3, generator=generator)
    torch.testing.assert_close(encode(points, corners @ slopes + 0.3, config), points @ slopes + 0.3)


@pytest.mark.parametrize(("kind", "row"), [("hash", (5 ^ 7 * 2654435761 ^ 3 * 805459861) % 64), ("tiled", 0)])
def test_a_corner_reads_its_row(kind, row):
    config = HashGridConfig(levels=1, base=10, finest=10, log2_table=6, kind=kind)
    row = row or (5 + 11 * (7 + 11 * 3)) % 64
    table = torch.arange(128.0).reshape(64, 2)
    point = torch.tensor([[0.5, 0.7, 0.3]])
    torch.testing.assert_close(hash_encode(point, table, config), table[row][None], atol=1e-3, rtol=0)


def test_features_start_small_and_depend_on_the_generator_alone(generator):
    config = HashGridConfig(levels=2, log2_table=10)
    tables = [HashGrid(config, generator=torch.Generator().manual_seed(s)).table for s in (1, 1, 2)]
    assert torch.equal(tables[0], tables[1]) and not torch.equal(tables[0], tables[2])
    assert tables[0].abs().max() <= 1e-4


THREADS = """
import hashlib, torch
from fewview.render.hashgrid import HashGrid, HashGridConfig
from fewview.render.mlp import MLP
generator = torch.Generator().manual_seed(0)
grid = HashGrid(HashGridConfig(log2_table=12), generator=generator)
net = MLP(32, 64, 4, generator=generator)
torch.set_num_threads({threads})
net(grid(torch.rand(20000, 3, generator=generator))).square().sum().backward()
grads = [grid.table.grad, *(p.grad for p in net.parameters())]
print(hashlib.sha256(b"".join(g.numpy().tobytes() for g in grads)).hexdigest())
"""


@pytest.mark.slow
def test_bits_do_not_depend_on_the_number_of_threads():
    environment = {**os.environ, "NUMBA_NUM_THREADS": "2", "OMP_NUM_THREADS": "2"}
    digests = [
        subprocess.run(
            [sys.executable, "-c", THREADS.format(threads=threads)], env=environment, capture_output=True, check=True
        ).stdout
        for threads in (1, 2)
    ]
    assert digests[0] == digests[1] and len(digests[0]) == 65
