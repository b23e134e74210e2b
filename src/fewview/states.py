"""Where runs keep their states, so that a stopped one goes on: what a method asks for, and the folders that give it.

A method knows its `Keeper` and no folder; whoever starts it chooses one.
"""

import json
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple, Protocol, runtime_checkable

import torch
from jaxtyping import Int64
from torch import Tensor

from fewview.checkpoint import kept_state, load_tensors, read_json, save_tensors, write_json


class State(NamedTuple):
    """What a run needs to go on: tensors by name, and whole numbers."""

    tensors: dict[str, Tensor]
    numbers: dict[str, int]


@runtime_checkable
class Keeper(Protocol):
    """Keeps the newest state of a run, and has it when the run starts again."""

    @property
    def where(self) -> str:
        """What complaints name."""
        ...

    def keep(self, tensors: dict[str, Tensor], **numbers: int) -> None:
        """The state, whole, in place of the one before."""

    def kept(self) -> AbstractContextManager[State | None]:
        """A block that has the newest state, None where there is none; what does not fit in it is an InputError."""
        ...


@dataclass(frozen=True)
class _OnDisk:
    """A Keeper whose state is at a path: there once `newest` is a file, which is then read."""

    path: Path

    @property
    def where(self) -> str:
        return str(self.path)

    @property
    def newest(self) -> Path:
        return self.path

    def read(self) -> State:
        return State(load_tensors(self.path), {})

    @contextmanager
    def kept(self) -> Iterator[State | None]:
        if not self.newest.exists():
            yield None
            return
        with kept_state(self.path):
            yield self.read()


class StepFolder(_OnDisk):
    """A Keeper of numbered steps: <path>/<step>.safetensors, and state.json that names it. Asks for a `step`."""

    @property
    def newest(self) -> Path:
        return self.path / "state.json"

    def keep(self, tensors: dict[str, Tensor], **numbers: int) -> None:
        """state.json is written last, and then older steps go: there is a whole state at any time."""
        path = self.path / f"{numbers['step']:06d}.safetensors"
        save_tensors(path, {name: tensor.detach() for name, tensor in tensors.items()})
        write_json(self.newest, numbers)
        for old in sorted(self.path.glob("*.safetensors"))[:-1]:
            old.unlink()

    def read(self) -> State:
        numbers = read_json(self.newest)
        return State(load_tensors(self.path / f"{numbers['step']:06d}.safetensors"), numbers)


class StateFile(_OnDisk):
    """A Keeper in one .safetensors file, which is replaced at once; of tensors alone."""

    def keep(self, tensors: dict[str, Tensor], **numbers: int) -> None:
        assert not numbers, "a file of tensors has no place for numbers"
        save_tensors(self.path, {name: tensor.detach().cpu() for name, tensor in tensors.items()})


def settings_tensor(settings: dict[str, Any]) -> Int64[Tensor, " bytes"]:
    """Settings (JSON values) as the bytes of their JSON, to lie among the tensors of a state and be compared."""
    return torch.tensor(list(json.dumps(settings).encode()))
