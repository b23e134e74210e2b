"""What is said of a set before it is made, which are the options of `fewview data`; and its parts made in processes.

Without PyTorch, for commands import it to be asked what they can.
"""

import multiprocessing
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, TypeVar

from tyro.conf import arg

from fewview.errors import InputError

T = TypeVar("T")
Count = Annotated[int, arg(metavar="N")]
Pixels = Annotated[int, arg(metavar="PIXELS")]
Folder = Annotated[Path | None, arg(metavar="FOLDER")]


@dataclass(frozen=True)
class ObjectsConfig:
    """How many instances of objects; an instance is one sequence, all on one side of the split."""

    train: Count = 130
    """Instances of each training category."""
    test: Count = 14
    """Held-out instances of each category."""
    frames: Count = 16
    """Pictures of each instance."""
    size: Pixels = 128
    """Side of the pictures."""
    furniture: Folder = None
    """Unpacked Sweet Home 3D furniture libraries (.sh3f; Debian's sweethome3d-furniture), as further objects."""
    variants: Count = 2
    """Recoloured and reshaped variants of each library model for training, at most 10; 0 leaves the held-out models."""
    seed: int = 0
    """The same seed gives the same set."""
    workers: Count = 2
    """Processes."""

    def check(self) -> None:
        """InputError where no set can be made."""
        if min(self.train, self.test, self.frames, self.size, self.workers) < 1:
            raise InputError("--train, --test, --frames, --size and --workers must be at least 1.")
        if not 0 <= self.variants <= 10:
            raise InputError("--variants must be between 0 and 10.")


@dataclass(frozen=True)
class RoomsConfig:
    """How many rooms, with how many clips each; all clips of a room are on one side of the split."""

    train: Count = 400
    """Training rooms."""
    test: Count = 40
    """Held-out rooms, furnished with held-out pieces alone."""
    clips: Count = 1
    """Walks through each room."""
    frames: Count = 24
    """Pictures of each walk."""
    size: Pixels = 64
    """Side of the pictures."""
    furniture: Folder = None
    """Sweet Home 3D libraries (*.sh3f, Debian's sweethome3d-furniture); procedural furniture alone without."""
    pieces: Count = 32
    """Procedural training instances of each kind of furniture."""
    seed: int = 0
    """The same seed gives the same rooms."""
    workers: Count = 1
    """Processes."""

    def check(self) -> None:
        """InputError where no set can be made."""
        if min(self.train + self.test, self.clips, self.size, self.pieces, self.workers) < 1 or self.frames < 2:
            raise InputError("--frames must be at least 2, --clips, --size, --pieces and --workers at least 1.")


def in_processes(render: Callable[[list[T]], int], missing: list[T], workers: int) -> Iterator[int]:
    """Renders 16 at a time, in so many processes or in this one; how many became complete, time and again."""
    chunks = [missing[i : i + 16] for i in range(0, len(missing), 16)]
    if workers <= 1:
        yield from map(render, chunks)
        return
    with ProcessPoolExecutor(workers, multiprocessing.get_context("spawn")) as pool:
        for future in as_completed([pool.submit(render, chunk) for chunk in chunks]):
            yield future.result()
