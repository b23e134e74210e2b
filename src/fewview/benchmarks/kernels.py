"""Speed of the CPU kernels beside their PyTorch twins, which `fewview bench` measures.

Each figure is the shortest of several runs, forward and backward, with the same number of threads for both.
"""

import argparse
import json
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from functools import partial

import torch
from jaxtyping import Float
from torch import Tensor

from fewview.cameras import Cameras, Rays
from fewview.render.asset import FieldAsset, FieldAssetConfig
from fewview.render.field import FieldConfig
from fewview.render.hashgrid import HashGrid, HashGridConfig, hash_encode, hash_encode_torch
from fewview.render.mlp import MLP, mlp, mlp_torch
from fewview.render.occupancy import Occupancy, march_torch
from fewview.render.sampling import Samples, near_far
from fewview.render.volume import VolumeConfig, composite, composite_torch, render_rays
from fewview.render.volume_numba import march_numba

BALLS = (  # centre, radius, colour: an object whose points have a standard deviation of about 1
    ((0.0, 0.0, 0.0), 1.3, (0.9, 0.2, 0.1)),
    ((1.2, 0.6, 0.3), 0.9, (0.1, 0.8, 0.3)),
    ((-0.7, -1.1, 0.8), 0.8, (0.2, 0.3, 0.9)),
    ((-0.4, 1.0, -1.0), 0.7, (0.9, 0.8, 0.2)),
)


FAST = FieldAssetConfig(
    ngp=FieldConfig(
        grid=HashGridConfig(levels=8, finest=512, log2_table=15, kind="hash"), blob=3.0, blob_std=1.0, log_density=-2.0
    ),
    volume=VolumeConfig(samples=32, importance=0),
)


@dataclass(frozen=True)
class Row:
    """Milliseconds of one kernel on n items; the twin's are missing where there is none to run."""

    kernel: str
    n: int
    threads: int
    torch_ms: float | None
    numba_ms: float
    ratio: float | None


def trace_balls(rays: Rays) -> tuple[Float[Tensor, "n 3"], Float[Tensor, " n"], Float[Tensor, " n"]]:
    """Colour, coverage and distance (0 where empty) of BALLS along flat rays, in closed form."""
    nearest, colour = torch.full(rays.shape, torch.inf), torch.zeros_like(rays.origins)
    for centre, radius, paint in BALLS:
        offset = rays.origins - rays.origins.new_tensor(centre)
        b = (offset * rays.directions).sum(dim=-1)
        root = b.square() - offset.square().sum(dim=-1) + radius**2
        t = -b - root.clamp(min=0).sqrt()
        hit = (root > 0) & (t > 0) & (t < nearest)
        nearest = torch.where(hit, t, nearest)
        points = rays.origins + t[:, None] * rays.directions
        waves = 0.75 + 0.25 * torch.sin(3 * points.sum(dim=-1, keepdim=True))
        colour = torch.where(hit[:, None], rays.origins.new_tensor(paint) * waves, colour)
    covered = nearest.isfinite()
    return colour, covered.float(), torch.where(covered, nearest, 0)


def cameras_around(count: int, size: int, *, generator: torch.Generator) -> Cameras:
    """Cameras in random directions at a distance of 8; the balls fill about a third of each size x size image."""
    centres = 8 * torch.nn.functional.normalize(torch.randn(count, 3, generator=generator), dim=-1)
    up = torch.tensor([0.0, 0.0, 1.0])
    return Cameras.look_at(centres, torch.zeros(3), up, focal=1.6 * size, height=size, width=size)


def train_step(
    asset: FieldAsset,
    optimiser: torch.optim.Optimizer,
    rays: Rays,
    *,
    use_occupancy: bool,
    generator: torch.Generator,
) -> tuple[float, int]:
    """One step towards the balls' colour and coverage along flat rays; returns the loss and the number of samples."""
    colour, cover, _ = trace_balls(rays)
    occupancy = asset.occupancy if use_occupancy else None
    seen = render_rays(asset.field, rays, asset.config.volume, occupancy=occupancy, generator=generator)
    loss = (seen.features - colour).square().mean() + 0.1 * (seen.alpha - cover).square().mean()
    optimiser.zero_grad(set_to_none=True)
    loss.backward()
    optimiser.step()
    return loss.item(), len(seen.weights)


def shortest(run: Callable[[], object], seconds: float = 1.0) -> float:
    """Milliseconds of the fastest run, after one to warm up."""
    run()
    times, end = [], time.perf_counter() + seconds
    while len(times) < 5 or time.perf_counter() < end:
        start = time.perf_counter()
        run()
        times.append(time.perf_counter() - start)
    return 1000 * min(times)


def both_ways(function: Callable[[], Tensor | tuple[Tensor, ...]]) -> Callable[[], None]:
    """Run forward, and backward from ones."""

    def run() -> None:
        out = function()
        outs = out if isinstance(out, tuple) else (out,)
        torch.autograd.backward(outs, [torch.ones_like(o) for o in outs])

    return run


def _row(kernel: str, n: int, slow: Callable[[], object] | None, fast: Callable[[], object]) -> Row:
    torch_ms, numba_ms = None if slow is None else shortest(slow), shortest(fast)
    ratio = None if torch_ms is None else torch_ms / numba_ms
    return Row(kernel, n, torch.get_num_threads(), torch_ms, numba_ms, ratio)


def hashgrid() -> Iterator[Row]:
    """The encoding at 65,536 points along rays, for both kinds and two table sizes."""
    generator = torch.Generator().manual_seed(0)
    starts, ways = (torch.randn(1024, 1, 3, generator=generator) for _ in range(2))
    steps = torch.linspace(0, 0.3, 64)[:, None]
    points = (0.5 + 0.2 * starts + steps * torch.nn.functional.normalize(ways, dim=-1)).clamp(0, 1).reshape(-1, 3)
    for config in (HashGridConfig(kind="tiled"), *(HashGridConfig(kind="hash", log2_table=n) for n in (15, 19))):
        table = HashGrid(config, generator=generator).table
        encoders = [partial(f, points, table, config) for f in (hash_encode_torch, hash_encode)]
        runs = [both_ways(encode) for encode in encoders]
        yield _row(f"hash_encode {config.kind} 2^{config.log2_table}", len(points), *runs)


def _composite_row(generator: torch.Generator) -> Row:
    counts = torch.randint(0, 33, (4096,), generator=generator)
    n = int(counts.sum())
    offsets = torch.cat([torch.zeros(1, dtype=torch.long), counts.cumsum(0)])
    samples = Samples(torch.rand(n, generator=generator), torch.full((n,), 0.05), offsets)
    density = torch.rand(n, generator=generator).mul(4).requires_grad_()
    features = torch.rand(n, 3, generator=generator).requires_grad_()
    runs = [both_ways(lambda f=f: f(density, features, samples)[:3]) for f in (composite_torch, composite)]
    return _row("composite", n, *runs)


def _learnt(generator: torch.Generator, steps: int = 150) -> tuple[FieldAsset, torch.optim.Optimizer]:
    """A field that has looked at random rays through the balls, with an occupancy grid that has found them."""
    asset = FieldAsset(FAST, generator=generator)
    optimiser = torch.optim.Adam(asset.field.parameter_groups(1e-2, 1e-3), fused=True, eps=1e-15)
    rays = cameras_around(20, 64, generator=generator).rays().flatten()
    for _ in range(steps):
        some = rays[torch.randint(len(rays.origins), (1024,), generator=generator)]
        train_step(asset, optimiser, some, use_occupancy=False, generator=generator)
    for _ in range(8):
        occupancy_of(asset).update(asset.field, generator=generator, everywhere=True)
    return asset, optimiser


def occupancy_of(asset: FieldAsset) -> Occupancy:
    """The grid, which FAST has."""
    assert asset.occupancy is not None
    return asset.occupancy


def _march_row(asset: FieldAsset, rays: Rays) -> Row:
    how, occupancy = asset.config.volume.march, occupancy_of(asset)
    near, far = near_far(rays, occupancy.box(), how.min_near)
    start = near + how.step / 2
    runs = [lambda f=f: f(rays, start, far, occupancy, how) for f in (march_torch, march_numba)]
    return _row("march", len(rays.origins), *runs)


def _render_row(asset: FieldAsset, rays: Rays) -> Row:
    """Everything that volume rendering does: march, encode, MLP and compositing, forward and backward."""
    field, how, occupancy = asset.field, asset.config.volume.march, occupancy_of(asset)

    def slow() -> tuple[Tensor, Tensor]:
        near, far = near_far(rays, occupancy.box(), how.min_near)
        samples = march_torch(rays, near + how.step / 2, far, occupancy, how)
        index = samples.rays
        points = rays.origins[index] + samples.distances[:, None] * rays.directions[index]
        return composite_torch(*field.decode(points, mlp_torch(encode(points), field.mlp.layers)), samples)[:2]

    def encode(points: Float[Tensor, "n 3"]) -> Tensor:
        return hash_encode_torch(field.unit(points), field.grid.table, field.grid.config)

    def fast() -> tuple[Tensor, Tensor]:
        seen = render_rays(field, rays, asset.config.volume, occupancy=occupancy)
        return seen.features, seen.alpha

    return _row("volume rendering", len(rays.origins), both_ways(slow), both_ways(fast))


def _step_rows(asset: FieldAsset, optimiser: torch.optim.Optimizer, generator: torch.Generator) -> Iterator[Row]:
    """A training step on a 64 x 64 image, Adam included: with the occupancy grid, and with 32 samples on each ray."""
    rays = cameras_around(1, 64, generator=generator).rays().flatten()
    for use_occupancy in (True, False):
        step = lambda use=use_occupancy: train_step(asset, optimiser, rays, use_occupancy=use, generator=generator)
        name = "step with occupancy" if use_occupancy else "step without occupancy"
        samples = step()[1]
        yield _row(f"{name}, {samples} samples", len(rays.origins), None, step)


def volume() -> Iterator[Row]:
    """The MLP, compositing, marching, and whole training steps on 64 x 64 images of the balls."""
    generator = torch.Generator().manual_seed(0)
    net = MLP(32, 64, 4, generator=generator)
    x = torch.randn(65536, 32, generator=generator, requires_grad=True)
    yield _row("mlp", len(x), both_ways(lambda: mlp_torch(x, net.layers)), both_ways(lambda: mlp(x, net.layers)))
    yield _composite_row(generator)
    asset, optimiser = _learnt(generator)
    rays = cameras_around(1, 64, generator=generator).rays().flatten()
    yield _march_row(asset, rays)
    yield _render_row(asset, rays)
    yield from _step_rows(asset, optimiser, generator)


def show(row: Row) -> str:
    """A line of the table."""
    slow, ratio = ("-" if v is None else f"{v:.2f}" for v in (row.torch_ms, row.ratio))
    return f"{row.kernel:42} {row.n:>7} {row.threads:>3} {slow:>10} {row.numba_ms:>10.2f} {ratio:>7}"


def main(arguments: list[str] | None = None) -> None:
    """Print a table, or JSON rows."""
    parser = argparse.ArgumentParser(prog="python -m fewview.benchmarks.kernels", description=__doc__)
    parser.add_argument("what", choices=("hashgrid", "volume", "all"))
    parser.add_argument("--json", action="store_true", help="one JSON object a row")
    parser.add_argument("--threads", type=int, nargs="+", default=[1, 2])
    options = parser.parse_args(arguments)
    if not options.json:
        print(f"{'kernel':42} {'n':>7} {'thr':>3} {'torch ms':>10} {'numba ms':>10} {'ratio':>7}")
    for threads in options.threads:
        torch.set_num_threads(threads)
        for benchmark in (hashgrid, volume):
            if options.what in (benchmark.__name__, "all"):
                for row in benchmark():
                    print(json.dumps(asdict(row)) if options.json else show(row), flush=True)


if __name__ == "__main__":
    main()
