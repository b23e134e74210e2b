"""`fewview bench`: the CPU kernels beside their PyTorch twins."""

from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

from tyro.conf import Positional, arg

from fewview.commands.console import say
from fewview.commands.targets import check_new
from fewview.errors import InputError

COLUMNS = (("kernel", 32), ("n", 8), ("threads", 7), ("torch_ms", 10), ("numba_ms", 10), ("ratio", 7))


@dataclass(frozen=True)
class Bench:
    """Time the CPU kernels, forward and backward, beside their PyTorch twins."""

    kernels: Positional[Literal["all", "hashgrid", "volume", "splats"]] = "all"
    """Which."""
    threads: Annotated[int | None, arg(metavar="N")] = None
    """Threads for both sides; all cores unless given."""
    out: Annotated[Path | None, arg(aliases=["-o"], metavar="FILE")] = None
    """Write the rows as JSON too."""

    def run(self) -> None:
        import torch

        from fewview.checkpoint import write_json

        if self.threads is not None and self.threads < 1:
            raise InputError("--threads must be at least 1.")
        if self.out is not None:
            check_new(self.out, True)
        if self.threads is not None:
            torch.set_num_threads(self.threads)
        say("  ".join(name.rjust(width) if i else name.ljust(width) for i, (name, width) in enumerate(COLUMNS)))
        rows = []
        for row in measured(self.kernels, torch.get_num_threads()):
            rows.append(row)
            say("  ".join(_cell(row[name], width, left=i == 0) for i, (name, width) in enumerate(COLUMNS)))
        if self.out is not None:
            write_json(self.out, rows)


def measured(kernels: str, threads: int) -> Iterator[dict[str, Any]]:
    """Rows of milliseconds, one after the other."""
    import torch

    from fewview.benchmarks import kernels as bench
    from fewview.benchmarks.splatting import bench_detail, bench_splat

    if kernels in ("all", "hashgrid"):
        yield from map(asdict, bench.hashgrid())
    if kernels in ("all", "volume"):
        yield from map(asdict, bench.volume())
    if kernels in ("all", "splats"):
        torch.set_num_threads(threads)  # numba's first parallel loop may have changed OpenMP's number, which is torch's
        rows = bench_splat(counts=(1000, 10_000)) + bench_splat(counts=(100_000,), twin=False)  # a minute a row
        for degree in (0, 3):
            rows += bench_splat((50_000,), (3,), size=512, repeats=9, twin=False, degree=degree)
        for row in rows:
            shown = f" degree {row.degree}" if row.degree else ""
            numba_ms, name = row.forward_ms + row.backward_ms, f"splat {row.channels} channels {row.pixels}px{shown}"
            times = {"threads": row.threads, "torch_ms": row.twin_ms, "numba_ms": numba_ms, "ratio": row.speedup}
            yield {"kernel": name, "n": row.splats, **times}
        step = {"threads": threads, "torch_ms": None, "numba_ms": bench_detail(), "ratio": None}
        yield {"kernel": "detail step 256px", "n": 25_000, **step}


def _cell(value: Any, width: int, *, left: bool) -> str:
    text = "-" if value is None else f"{value:.2f}" if isinstance(value, float) else str(value)
    return text.ljust(width) if left else text.rjust(width)
