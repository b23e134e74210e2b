"""What commands say while they work: progress bars on a terminal, plain lines in a log."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from rich.console import Console
from rich.progress import BarColumn, Progress, TaskID, TextColumn, TimeElapsedColumn, TimeRemainingColumn

from fewview.errors import InputError
from fewview.progress import See


class _Pipe(Console):
    """A console that leaves a reader that went away to the caller, instead of exiting with 1."""

    def on_broken_pipe(self) -> None:
        raise BrokenPipeError


OUT = _Pipe(highlight=False, soft_wrap=True)
LOG_SECONDS = 10
ERR = Console(stderr=True, highlight=False, soft_wrap=True, markup=False)


def say(text: str) -> None:
    """One line for the user."""
    OUT.print(text, markup=False)


def check_device(name: str) -> None:
    """InputError where PyTorch cannot compute on cpu or cuda, whichever it is."""
    import torch

    if name == "cuda" and not torch.cuda.is_available():
        raise InputError("--device cuda: PyTorch finds no CUDA card here; leave --device out to compute on the CPU.")


def effort(start: float) -> str:
    """Wall time since `start` (of time.monotonic) and peak memory, as text."""
    from fewview.export.report import peak_memory

    peak = peak_memory()
    memory = "" if peak is None else f", peak memory {peak:.2f} GiB"
    return f"{duration(time.monotonic() - start)}{memory}"


def duration(seconds: float) -> str:
    """0.8 s, 42 s, 3 min 05 s or 2 h 07 min."""
    if seconds < 10:
        return f"{seconds:.1f} s"
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60:02d} s"
    return f"{whole // 3600} h {whole % 3600 // 60:02d} min"


@dataclass
class Stages:
    """One bar for each stage, in the order in which they are first reported; `seconds` of those that are done."""

    bars: Progress
    tasks: dict[str, TaskID] = field(default_factory=dict)
    started: dict[str, float] = field(default_factory=dict)
    seconds: dict[str, float] = field(default_factory=dict)
    onlooker: Callable[[See], None] | None = None

    def __call__(self, stage: str, fraction: float) -> None:
        """Says that `fraction` in [0, 1] of a stage is done."""
        if stage not in self.tasks:
            self.tasks[stage] = self.bars.add_task(stage, total=1.0)
            self.started[stage] = time.monotonic()
            if not OUT.is_terminal:
                say(f"{stage} ...")
        self.bars.update(self.tasks[stage], completed=fraction)
        if fraction >= 1 and stage not in self.seconds:
            self.seconds[stage] = time.monotonic() - self.started[stage]
            if not OUT.is_terminal:
                say(f"{stage}: done in {duration(self.seconds[stage])}")

    def look(self, see: See) -> None:
        """Shows the work to the onlooker, if there is one; see `progress.show`."""
        if self.onlooker is not None:
            self.onlooker(see)


@contextmanager
def stages() -> Iterator[Stages]:
    """Progress bars for the stages that are reported in the block."""
    with _bars() as bars:
        yield Stages(bars)


@contextmanager
def counted(title: str, total: int) -> Iterator[Callable[[int, str], None]]:
    """One bar of `total` steps, told the number done and a note; in a log, a line every ten seconds and at the end."""
    with _bars() as bars:
        task = bars.add_task(title, total=total)
        last = time.monotonic()

        def tell(done: int, note: str = "") -> None:
            nonlocal last
            bars.update(task, completed=done, description=f"{title} {note}".strip())
            if not OUT.is_terminal and (done >= total or time.monotonic() - last > LOG_SECONDS):
                last = time.monotonic()
                say(f"{title} {done}/{total} {note}".strip())

        yield tell


def _bars() -> Progress:
    columns = (
        TextColumn("{task.description}", markup=False),
        BarColumn(bar_width=30),
        TextColumn("{task.percentage:>3.0f} %"),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
    )
    return Progress(*columns, console=OUT, disable=not OUT.is_terminal)
