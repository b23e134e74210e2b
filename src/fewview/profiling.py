"""Where time goes: stages by clock, processor, memory and calls of networks, and what was running in them, sampled.

A Profiler is a Progress: what tells of its stages is measured, without further plumbing.
"""

import os
import sys
import threading
import time
from collections import Counter, defaultdict
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from itertools import takewhile
from pathlib import Path
from types import FrameType
from typing import Any

INTERVAL = 0.01  # seconds between samples, where Python lets us in
BETWEEN = "between stages"
NETWORKS = ("UNet", "EFT", "GGS", "Encoder", "Decoder", "Lpips")  # classes of modules whose calls are counted
STATM = Path("/proc/self/statm")


@dataclass
class StageCost:
    """What a stage took: seconds of the clock and of all processors, the largest resident memory, calls by class."""

    name: str
    wall: float = 0.0
    cpu: float = 0.0
    peak: int = 0  # bytes; 0 where the system does not tell
    calls: Counter[str] = field(default_factory=Counter)


@dataclass(frozen=True)
class Profile:
    """Stages in the order in which they began, and seconds by (stage, function, function that it called, ...)."""

    stages: tuple[StageCost, ...]
    samples: Mapping[tuple[str, ...], float]

    @property
    def total(self) -> StageCost:
        """All stages together."""
        calls = sum((stage.calls for stage in self.stages), Counter())
        wall, cpu = sum(stage.wall for stage in self.stages), sum(stage.cpu for stage in self.stages)
        return StageCost("together", wall, cpu, max((stage.peak for stage in self.stages), default=0), calls)


class Profiler:
    """Measures the thread that enters it, until it leaves."""

    def __init__(self, interval: float = INTERVAL) -> None:
        self.interval = interval
        self.stages: dict[str, StageCost] = {}
        self.samples: defaultdict[tuple[str, ...], float] = defaultdict(float)
        self.current = StageCost(BETWEEN)
        self._ended = threading.Event()
        self._lock = threading.RLock()

    def __enter__(self) -> "Profiler":
        from torch.nn.modules.module import register_module_forward_pre_hook

        self._hook = register_module_forward_pre_hook(self._count)
        self._begin(BETWEEN)
        self._thread = threading.Thread(target=self._watch, args=(threading.get_ident(),), daemon=True)
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        self._thread.join()
        self._hook.remove()
        self._close()

    def __call__(self, stage: str, fraction: float) -> None:
        """Says that `fraction` in [0, 1] of a stage is done."""
        if stage != self.current.name:
            self._close()
            self._begin(stage)
        if fraction >= 1:
            self._close()
            self._begin(BETWEEN)

    def profile(self) -> Profile:
        """What was measured so far."""
        with self._lock:
            self._close()
            self._begin(self.current.name)
            stages = tuple(replace(stage, calls=Counter(stage.calls)) for stage in self.stages.values())
            return Profile(stages, _trimmed(self.samples))

    def _begin(self, stage: str) -> None:
        with self._lock:
            self.current = self.stages.setdefault(stage, StageCost(stage))
            self._since = time.perf_counter(), time.process_time()
            self.current.peak = max(self.current.peak, resident())

    def _close(self) -> None:
        with self._lock:
            wall, cpu = self._since
            self.current.wall += time.perf_counter() - wall
            self.current.cpu += time.process_time() - cpu
            self.current.peak = max(self.current.peak, resident())
            self._since = time.perf_counter(), time.process_time()

    def _count(self, module: Any, arguments: Any) -> None:
        name = type(module).__name__
        if name in NETWORKS:
            self.current.calls[name] += 1

    def _watch(self, thread: int) -> None:
        """Adds the time since the last sample to what is running now."""
        before = time.perf_counter()
        while not self._ended.wait(self.interval):
            frame = sys._current_frames().get(thread)
            now = time.perf_counter()
            with self._lock:
                self.samples[(self.current.name, *_stack(frame))] += now - before
                self.current.peak = max(self.current.peak, resident())
            before = now


def resident() -> int:
    """Bytes of memory that the process holds; 0 where the system does not tell."""
    try:
        return int(STATM.read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    except (OSError, ValueError):
        return 0


def _stack(frame: FrameType | None) -> list[str]:
    """Functions from the outermost to the running one, and the line of that: kernels have no frames of their own."""
    names: list[str] = [] if frame is None else [f"line {frame.f_lineno}"]
    while frame is not None:
        code = frame.f_code
        names.append(f"{frame.f_globals.get('__name__', '?')}.{getattr(code, 'co_qualname', code.co_name)}")
        frame = frame.f_back
    return names[::-1]


def _trimmed(samples: Mapping[tuple[str, ...], float]) -> dict[tuple[str, ...], float]:
    """The samples from the last function on that was running in all of them: what led there tells nothing."""
    columns = zip(*([name.partition(":")[0] for name in stack[1:]] for stack in samples))
    shared = sum(1 for _ in takewhile(lambda column: len(set(column)) == 1, columns))
    return {(stack[0], *stack[max(shared, 1) :]): seconds for stack, seconds in samples.items()}


def table(profile: Profile) -> list[tuple[str, ...]]:
    """Rows of words: a head, a row for each stage that took time, and the sum."""
    rows = [("stage", "seconds", "processor s", "peak GiB", "calls of networks")]
    for stage in [*(s for s in profile.stages if s.wall >= 0.005), profile.total]:
        calls = ", ".join(f"{name} {count}" for name, count in sorted(stage.calls.items()))
        peak = f"{stage.peak / 2**30:.2f}" if stage.peak else "?"
        rows.append((stage.name, f"{stage.wall:.2f}", f"{stage.cpu:.2f}", peak, calls))
    return rows
