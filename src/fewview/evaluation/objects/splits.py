"""Which frames of a scene go in and which are held out (SparseFusion thesis, section 5.1), kept on disk."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import torch

from fewview.config import from_json, to_json
from fewview.errors import InputError
from fewview.evaluation.plans import PLAN, keep_plan, planned, read_plan_data
from fewview.views import Scene

KEYS = ("protocol", "scenes")  # of protocol.json


@dataclass(frozen=True)
class Split:
    """Frame numbers of one scene: what every method is given, and what it is judged on."""

    context: tuple[int, ...]
    held_out: tuple[int, ...]


@dataclass(frozen=True)
class Protocol:
    """Of `views` linearly spaced frames of each scene, `context` drawn by chance go in, and the rest is held out."""

    context: int = 2
    views: int | None = 32  # None takes every frame
    size: int = 256  # px, square
    seed: int = 0  # scene i draws with seed + i, as the release does
    pictures: int = 2  # held-out views of each scene that are shown

    def __post_init__(self):
        if self.context < 1 or (self.views is not None and self.views <= self.context):
            raise InputError(
                f"A protocol puts in 1 or more views, and holds out others: not {self.context} of {self.views}."
            )
        if self.size < 1 or self.pictures < 0:
            raise InputError(f"A protocol of {self.size} px and {self.pictures} pictures; neither can be so small.")

    def split(self, index: int, count: int) -> Split:
        """Context (in the order drawn, so that 2 views are the first of 3) and held-out frames of scene `index`."""
        chosen = linspaced(count if self.views is None else self.views, count)
        if len(chosen) <= self.context:
            raise InputError(f"{count} views are too few to put {self.context} in and hold out the rest.")
        order = torch.randperm(len(chosen), generator=torch.Generator().manual_seed(self.seed + index)).tolist()
        frames = [chosen[i] for i in order]
        return Split(tuple(frames[: self.context]), tuple(sorted(frames[self.context :])))


def linspaced(count: int, total: int) -> list[int]:
    """`count` >= 2 distinct numbers spread evenly over 0 .. total - 1, ends included; all where there are fewer."""
    if count >= total:
        return list(range(total))
    return [(2 * k * (total - 1) + count - 1) // (2 * (count - 1)) for k in range(count)]  # rounds half up


def shown_views(split: Split, pictures: int) -> list[int]:
    """Positions of the held-out views that are shown: the middles of equal parts."""
    count = min(pictures, len(split.held_out))
    return [(2 * k + 1) * len(split.held_out) // (2 * count) for k in range(count)]


def plan_splits(scenes: Sequence[Scene], protocol: Protocol, out: Path) -> dict[str, Split]:
    """The split of each scene, written to `out`/protocol.json. InputError where that holds other splits."""
    splits = planned(scenes, protocol.split, kind="scene")
    keep_plan(out, KEYS, protocol, plans={name: to_json(split) for name, split in splits.items()})
    return splits


def read_plan(out: Path) -> tuple[Protocol, dict[str, Split]]:
    """The protocol of an evaluation's folder, and the split of each scene."""
    head, body = read_plan_data(out, KEYS)
    splits = {name: from_json(Split, split, f"{out / PLAN}.{name}") for name, split in body.items()}
    return from_json(Protocol, head, f"{out / PLAN}.protocol"), splits
