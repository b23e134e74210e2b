"""Which frames of a scene go in and which are held out (SparseFusion thesis, section 5.1), kept on disk."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import torch

from fewview.checkpoint import read_json, write_json
from fewview.config import from_json, to_json
from fewview.errors import InputError
from fewview.views import Scene

PLAN = "protocol.json"


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


def shown(split: Split, pictures: int) -> list[int]:
    """Positions of the held-out views that are shown: the middles of equal parts."""
    count = min(pictures, len(split.held_out))
    return [(2 * k + 1) * len(split.held_out) // (2 * count) for k in range(count)]


def file_name(name: str) -> str:
    """A scene's or method's name without anything that a file name may not hold."""
    return re.sub(r"[^\w.+-]+", "_", name)


def plan_splits(scenes: Sequence[Scene], protocol: Protocol, out: Path) -> dict[str, Split]:
    """The split of each scene, written to `out`/protocol.json. InputError where that holds other splits."""
    splits: dict[str, Split] = {}
    for index, scene in enumerate(scenes):
        if file_name(scene.name) in map(file_name, splits):
            raise InputError(f"Two scenes are called {scene.name}; give each scene a name of its own.")
        try:
            splits[scene.name] = protocol.split(index, len(scene))
        except InputError as error:
            raise InputError(f"{scene.name}: {error}") from None
    known: dict[str, Split] = {}
    if (out / PLAN).exists():
        before, known = read_plan(out)
        if before != protocol or any(known.get(name, split) != split for name, split in splits.items()):
            raise InputError(f"{out / PLAN} is of another protocol or another order of scenes; choose an empty folder.")
    named = {name: to_json(split) for name, split in (known | splits).items()}
    write_json(out / PLAN, {"protocol": to_json(protocol), "scenes": named})
    return splits


def read_plan(out: Path) -> tuple[Protocol, dict[str, Split]]:
    """The protocol of an evaluation's folder, and the split of each scene."""
    path = out / PLAN
    data = read_json(path)
    if not isinstance(data, dict) or set(data) != {"protocol", "scenes"} or not isinstance(data["scenes"], dict):
        raise InputError(f"{path} is not the protocol of an evaluation; choose the folder of one, or an empty one.")
    splits = {name: from_json(Split, split, f"{path}.{name}") for name, split in data["scenes"].items()}
    return from_json(Protocol, data["protocol"], f"{path}.protocol"), splits
