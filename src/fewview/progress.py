"""How long work tells of itself, and lets itself be looked at: the callbacks that everything here takes."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

Progress = Callable[[str, float], None]
"""(stage, fraction of it that is done in [0, 1]). One with a method `look` is shown what is being made; see `show`."""

Steps = Callable[[int, dict[str, float]], None]
"""(optimiser steps done, losses and other numbers by name). It may have a method `look`, too."""

See = Callable[[Any], Any]
"""Cameras (batch shape (n,)) to a Render of what is being made, as it is now."""


def silent(stage: str, fraction: float) -> None:
    """A Progress for nobody."""


def show(progress: Progress | Steps | None, see: See) -> None:
    """Hand `see` to a progress that wants to look; it is called at once or never, and draws nothing at random."""
    look = getattr(progress, "look", None)
    if look is not None:
        look(see)


def steps_of(progress: Progress, stage: str, total: int) -> Steps:
    """Steps, of `total`, told as one stage."""
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
