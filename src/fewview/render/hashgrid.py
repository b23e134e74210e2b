"""Multi-resolution hash grid encoding (Müller et al. 2022, arXiv 2201.05989, section 3).

Level l cuts the unit cube into N_l^3 cells. A corner's features live in a table row: its own row where the level's
(N_l + 1)^3 corners fit into the table, else a row that corners share by a hash ("hash") or by wrapping the linear
index around ("tiled"). A point's features are the trilinear blend of its cell's corners, level after level.
"""

import math
from dataclasses import dataclass
from functools import lru_cache
from typing import Literal

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

PRIMES = (1, 2654435761, 805459861)  # arXiv 2201.05989, Eq. 4


@dataclass(frozen=True)
class HashGridConfig:
    """Sizes of the encoding. `finest` is cells a side at the last level."""

    levels: int = 16  # SparseFusion release, network_grid.py
    features: int = 2  # same
    base: int = 16  # same
    finest: int = 8192  # same: 2048 * bound, bound = 4
    log2_table: int = 16  # same
    kind: Literal["hash", "tiled"] = "tiled"  # same; the thesis says hash grid
    init: float = 1e-4  # features start in U(-init, init), arXiv 2201.05989 section 4

    @property
    def channels(self) -> int:
        return self.levels * self.features


@dataclass(frozen=True)
class Level:
    """One resolution: `cells` a side, and its rows offset:offset + rows in the table."""

    cells: int
    offset: int
    rows: int
    hashed: bool


@lru_cache
def levels(config: HashGridConfig) -> tuple[Level, ...]:
    """Resolutions in geometric progression from base to finest (arXiv 2201.05989, Eq. 2 and 3)."""
    growth = math.exp(math.log(config.finest / config.base) / max(config.levels - 1, 1))
    found, offset = [], 0
    for i in range(config.levels):
        cells = math.floor(config.base * growth**i + 1e-6)
        dense = (cells + 1) ** 3 <= 2**config.log2_table
        rows = (cells + 1) ** 3 if dense else 2**config.log2_table
        found.append(Level(cells, offset, rows, config.kind == "hash" and not dense))
        offset += rows
    return tuple(found)


def table_rows(config: HashGridConfig) -> int:
    """Rows of the table, all levels together."""
    last = levels(config)[-1]
    return last.offset + last.rows


def hash_encode(
    points: Float[Tensor, "n 3"], table: Float[Tensor, "rows features"], config: HashGridConfig
) -> Float[Tensor, "n channels"]:
    """Features of points in [0, 1]^3 (others are clamped).

    On a CPU in float32 the kernels of `hashgrid_numba` run, unless the points need a gradient. They give the same bits
    for any number of threads.
    """
    if points.device.type == "cpu" and points.dtype == table.dtype == torch.float32 and not points.requires_grad:
        from fewview.render.hashgrid_numba import HashEncode

        return HashEncode.apply(points, table, config)
    return hash_encode_torch(points, table, config)


def hash_encode_torch(
    points: Float[Tensor, "n 3"], table: Float[Tensor, "rows features"], config: HashGridConfig
) -> Float[Tensor, "n channels"]:
    """`hash_encode` in plain PyTorch, on any device, differentiable in the points too."""
    clamped = points.clamp(0, 1)
    return torch.cat([_encode_level(clamped, table, level) for level in levels(config)], dim=-1)


def _encode_level(points: Tensor, table: Tensor, level: Level) -> Float[Tensor, "n features"]:
    position = points * level.cells
    cell = position.detach().floor().clamp(max=level.cells - 1)
    corners = torch.cartesian_prod(*[torch.arange(2, device=points.device)] * 3)  # 8 x 3
    fraction = (position - cell)[:, None]
    weights = torch.where(corners == 1, fraction, 1 - fraction).prod(dim=-1)
    rows = level.offset + _row(cell.long()[:, None] + corners, level)
    return (weights[..., None] * table[rows]).sum(dim=1)


def _row(corners: Int[Tensor, "*batch 3"], level: Level) -> Int[Tensor, "*batch"]:
    x, y, z = corners.unbind(-1)
    if level.hashed:
        return (x * PRIMES[0] ^ y * PRIMES[1] ^ z * PRIMES[2]) % level.rows
    side = level.cells + 1
    return (x + side * (y + side * z)) % level.rows


class HashGrid(nn.Module):
    """The encoding with its trainable table."""

    def __init__(self, config: HashGridConfig, *, generator: torch.Generator | None = None) -> None:
        super().__init__()
        self.config = config
        table = torch.empty(table_rows(config), config.features)
        self.table = nn.Parameter(table.uniform_(-config.init, config.init, generator=generator))

    def forward(self, points: Float[Tensor, "n 3"]) -> Float[Tensor, "n channels"]:
        """Features of points in [0, 1]^3."""
        return hash_encode(points, self.table, self.config)
