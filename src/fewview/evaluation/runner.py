"""Any methods on any cases: rows and failures in a folder that a second run goes on with.

A case is what methods are compared on: a scene, or a walk through a room in a setting. What it shows, how it is judged
and what a row is, it says itself; when to go on, what a failure ends and what is told is the same for all, and here.
"""

import time
import traceback
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol, TypeVar, runtime_checkable

import torch

from fewview.cameras import Cameras
from fewview.evaluation.rows import Failure, KeyedRow, append_lines, read_lines
from fewview.views import Asset, Reconstructor, Render

FAILURES = "failures.jsonl"


Row = TypeVar("Row", bound=KeyedRow)
Shown = TypeVar("Shown")
T = TypeVar("T")


@runtime_checkable
class Case(Protocol[Shown, Row]):
    """One comparison. `open` may fail, which fails all methods; `judge` may fail, which fails one."""

    @property
    def name(self) -> str: ...

    @property
    def seed(self) -> int: ...

    def keys(self, method: str) -> set[Any]:
        """Those of the rows that `judge` gives."""
        ...

    def open(self) -> Shown:
        """What all methods share."""
        ...

    def judge(self, name: str, method: Reconstructor, shown: Shown, generator: torch.Generator) -> list[Row]: ...

    def draw(self, shown: Shown) -> None:
        """Pictures, from the renders on disk (of earlier runs too)."""
        ...

    def sentence(self, rows: list[Row]) -> str: ...


@dataclass(frozen=True, eq=False)
class Runner:
    """Where rows go, what is there already, and who is told."""

    out: Path
    results: str  # a file in `out`
    done: set[Any]
    progress: Callable[[str], None] | None = None
    device: torch.device | str = "cpu"

    def run(self, methods: Mapping[str, Reconstructor], cases: Iterable[Case[Shown, Row]]) -> list[list[Row] | Failure]:
        """The rows, or the Failure, of each method on each case where it has anything to do."""
        outcomes: list[list[Row] | Failure] = []
        for case in cases:
            todo = [name for name in methods if not case.keys(name) <= self.done]
            if not todo:
                continue
            try:
                shown = case.open()
            except Exception as error:
                outcomes += [self.failed(case, name, error) for name in todo]
                continue
            for name in todo:
                generator = torch.Generator(self.device).manual_seed(case.seed)
                try:
                    rows = case.judge(name, methods[name], shown, generator)
                except Exception as error:
                    outcomes.append(self.failed(case, name, error))
                    continue
                append_lines(self.out / self.results, [row for row in rows if row.key not in self.done])
                self.tell(case.sentence(rows))
                outcomes.append(rows)
            case.draw(shown)
        return outcomes

    def failed(self, case: Case, method: str, error: Exception) -> Failure:
        """The failure, written down and told."""
        text = f"{type(error).__name__}: {error}"
        failure = Failure(case.name, method, text, "".join(traceback.format_exception(error)))
        append_lines(self.out / FAILURES, [failure])
        self.tell(f"{failure.scene}: {failure.method} failed, {failure.error}")
        return failure

    def tell(self, sentence: str) -> None:
        if self.progress is not None:
            self.progress(sentence)


def failures_of(outcomes: Iterable[list[Row] | Failure]) -> list[Failure]:
    """Those among the outcomes."""
    return [outcome for outcome in outcomes if isinstance(outcome, Failure)]


def open_failures(out: Path, mended: Callable[[Failure], bool]) -> list[Failure]:
    """The last failure of each case and method that has not been made good since."""
    last = {(failure.scene, failure.method): failure for failure in read_lines(out / FAILURES, Failure)}
    return [failure for failure in last.values() if not mended(failure)]


def timed(make: Callable[[], T], device: torch.device | None = None) -> tuple[T, float]:
    """What is made, and the seconds it took."""
    start = time.perf_counter()
    made = make()
    if device is not None and device.type == "cuda":
        torch.cuda.synchronize(device)
    return made, round(time.perf_counter() - start, 3)


@torch.no_grad()
def render_each(asset: Asset, cameras: Cameras) -> Render:
    """Renders camera by camera, which bounds the memory, with colours in [0, 1].

    ValueError for another shape, or a value that is not finite.
    """
    parts = []
    for i in range(len(cameras)):
        seen = asset.render(cameras[i : i + 1])
        if seen.image.shape != (1, 3, cameras.height, cameras.width):
            raise ValueError(f"a render is {tuple(seen.image.shape)}, not (1, 3, {cameras.height}, {cameras.width})")
        if not all(x.isfinite().all() for x in (seen.image, seen.alpha, seen.depth)):
            raise ValueError(f"the render of judged view {i} has values that are not finite")
        parts.append((seen.image.clamp(0, 1), seen.alpha, seen.depth))
    return Render(*(torch.cat(tensors).to(cameras.world_from_cam) for tensors in zip(*parts)))
