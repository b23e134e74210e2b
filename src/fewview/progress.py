"""How long work tells of itself: the two callbacks that everything here takes."""

from collections.abc import Callable

Progress = Callable[[str, float], None]
"""(stage, fraction of it that is done in [0, 1])."""

Steps = Callable[[int, dict[str, float]], None]
"""(optimiser steps done, losses and other numbers by name)."""


def silent(stage: str, fraction: float) -> None:
    """A Progress for nobody."""


def steps_of(progress: Progress, stage: str, total: int) -> Steps:
    """Steps, of `total`, told as one stage, which begins now."""
    progress(stage, 0.0)
    return lambda step, numbers: progress(stage, step / total)
