"""What commands say while they work: progress bars on a terminal, plain lines in a log."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from rich.console import Console

from fewview.errors import InputError
from fewview.progress import Pace, See, duration

if TYPE_CHECKING:
    from rich.progress import Progress, TaskID

    from fewview.profiling import Profile, Profiler


class _Pipe(Console):
    """A console that leaves a reader that went away to the caller, instead of exiting with 1."""

    def on_broken_pipe(self) -> None:
        raise BrokenPipeError


OUT = _Pipe(highlight=False, soft_wrap=True)


def say(text: str) -> None:
    """One line for the user."""
    OUT.print(text, markup=False)


def check_device(name: str) -> None:
    """InputError where PyTorch cannot compute on cpu or cuda, whichever it is."""
    import torch

    if name == "cuda" and not torch.cuda.is_available():
        raise InputError("--device cuda: PyTorch finds no CUDA card here; leave --device out to compute on the CPU.")


def tell_threads() -> None:
    """Says so where the machine is busy, so that fewer threads work than there are cores (`fewview.busy`)."""
    import torch

    from fewview.busy import cores

    if torch.get_num_threads() < cores():
        say(f"Working with {torch.get_num_threads()} of {cores()} threads (OMP_NUM_THREADS chooses another number).")


def effort(start: float) -> str:
    """Wall time since `start` (of time.monotonic) and peak memory, as text."""
    from fewview.export.report import peak_memory

    peak = peak_memory()
    memory = "" if peak is None else f", peak memory {peak:.2f} GiB"
    return f"{duration(time.monotonic() - start)}{memory}"


@dataclass
class Stages:
    """One bar for each stage, in the order in which they are first reported; `seconds` of those that are done.

    `began` is when the command did (time.monotonic), the one clock of its last line and of the report.
    """

    bars: "Progress"
    tasks: "dict[str, TaskID]" = field(default_factory=dict)
    paces: dict[str, Pace] = field(default_factory=dict)
    seconds: dict[str, float] = field(default_factory=dict)
    began: float | None = None
    profiler: "Profiler | None" = None  # is told too
    onlooker: Callable[[See], None] | None = None

    @property
    def profile(self) -> "Callable[[], Profile] | None":
        """What tells what the profiler has measured, where there is one."""
        return None if self.profiler is None else self.profiler.profile

    def __call__(self, stage: str, fraction: float) -> None:
        """Says that `fraction` in [0, 1] of a stage is done."""
        if self.profiler is not None:
            self.profiler(stage, fraction)
        if stage not in self.tasks:
            self.tasks[stage] = self.bars.add_task(stage, total=1.0)
            self.paces[stage] = Pace()
            if not OUT.is_terminal:
                say(f"{stage} ...")
        self.bars.update(self.tasks[stage], completed=fraction)
        line = self.paces[stage].line(fraction)
        if fraction >= 1 and stage not in self.seconds:
            self.seconds[stage] = time.monotonic() - self.paces[stage].start
            line = f"done in {duration(self.seconds[stage])}"
        if line is not None and not OUT.is_terminal:
            say(f"{stage}: {line}")

    def look(self, see: See) -> None:
        """Shows the work to the onlooker, if there is one; see `progress.show`."""
        if self.onlooker is not None:
            self.onlooker(see)


@contextmanager
def stages(began: float | None = None, profiler: "Profiler | None" = None) -> Iterator[Stages]:
    """Progress bars for the stages that are reported in the block, of a command that `began` then."""
    with _bars() as bars:
        yield Stages(bars, began=began, profiler=profiler)


@contextmanager
def counted(title: str, total: int) -> Iterator[Callable[[int, str], None]]:
    """One bar of `total` steps, told the number done and a note; in a log, `Pace`'s lines and one at the end."""
    with _bars() as bars:
        task, pace = bars.add_task(title, total=total), Pace()

        def tell(done: int, note: str = "") -> None:
            bars.update(task, completed=done, description=f"{title} {note}".strip())
            line = pace.line(done / max(total, 1))
            if done >= total:
                line = f"{duration(time.monotonic() - pace.start)} in all"
            if line is not None and not OUT.is_terminal:
                say(f"{title} {done}/{total} {note}".strip() + f" ({line})")

        yield tell


def _bars() -> "Progress":
    from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

    columns = (
        TextColumn("{task.description}", markup=False),
        BarColumn(bar_width=30),
        TextColumn("{task.percentage:>3.0f} %"),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
    )
    return Progress(*columns, console=OUT, disable=not OUT.is_terminal)
