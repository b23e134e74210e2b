"""How long work tells of itself, and lets itself be looked at: the callbacks that all take; and times in words."""

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

Progress = Callable[[str, float], None]
"""(stage, fraction of it that is done in [0, 1]). One with a method `look` is shown what is being made; see `show`."""

Steps = Callable[[int, dict[str, float]], None]
"""(optimiser steps done, losses and other numbers by name). It may have a method `look`, too."""

See = Callable[[Any], Any]
"""Cameras (batch shape (n,)) to a Render of what is being made, as it is now."""

SHARE = 0.1  # of a stage: what a line of a log is worth
SILENCE, HASTE = 60.0, 2.0  # seconds: the longest between two lines, where anything is reported; and the shortest


def silent(stage: str, fraction: float) -> None:
    """A Progress for nobody."""


def show(progress: Progress | Steps | None, see: See) -> None:
    """Hand `see` to a progress that wants to look; it is called at once or never, and draws nothing at random."""
    look = getattr(progress, "look", None)
    if look is not None:
        look(see)


def steps_of(progress: Progress, stage: str, total: int) -> Steps:
    """Steps, of `total`, told as one stage, which begins now."""
    progress(stage, 0.0)
    return _Stage(progress, stage, total)


def through(progress: Progress, move: Callable[[Any], Any]) -> Progress:
    """The same progress for work in another frame, where `move` brings the cameras to look from."""
    return _Moved(progress, move)


@dataclass(frozen=True)
class _Stage:
    progress: Progress
    stage: str
    total: int

    def __call__(self, step: int, numbers: dict[str, float]) -> None:
        self.progress(self.stage, step / self.total)

    def look(self, see: See) -> None:
        show(self.progress, see)


@dataclass(frozen=True)
class _Moved:
    progress: Progress
    move: Callable[[Any], Any]

    def __call__(self, stage: str, fraction: float) -> None:
        self.progress(stage, fraction)

    def look(self, see: See) -> None:
        show(self.progress, lambda cameras: see(self.move(cameras)))


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
class Pace:
    """How work gets on that may become slower or faster: when a line of a log is due, and what it says."""

    clock: Callable[[], float] = time.monotonic
    start: float = field(init=False)
    last: tuple[float, float] = field(init=False)  # time and fraction of the line before

    def __post_init__(self) -> None:
        self.start = self.clock()
        self.last = self.start, 0.0

    def line(self, fraction: float) -> str | None:
        """Such as "30 %, 12 s so far, about 28 s to go"; None where no line is due.

        One is due after each tenth and after a minute of silence, but never twice in two seconds. What is to go is
        foretold from the time since the line before, so that it follows a machine that others slow down.
        """
        now, (before, done) = self.clock(), self.last
        waited, gained = now - before, fraction - done
        due = int(fraction / SHARE + 1e-9) > int(done / SHARE + 1e-9) or waited >= SILENCE
        if not due or waited < HASTE or gained <= 0 or fraction >= 1:
            return None
        self.last = now, fraction
        left = (1 - fraction) * waited / gained
        return f"{100 * fraction:.0f} %, {duration(now - self.start)} so far, about {duration(left)} to go"
