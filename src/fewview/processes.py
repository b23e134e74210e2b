"""Processes that torchrun starts to train one model: who draws what, who writes, and how they end.

A step's batch is drawn whole by every process, from (seed, step) as ever, and each takes its own rows: for any number
of processes the batches, and but for rounding the weights, are the same.
"""

import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import torch
from jaxtyping import Shaped
from torch import Tensor
from torch import distributed as dist

from fewview.errors import InputError

GONE = ("Connection closed by peer", "Connection reset by peer", "Broken pipe", "remote process exited")  # in errors
TOLD = "fewview/told"  # a counter in the store of the group


@dataclass(frozen=True)
class Group:
    """The processes that train together, and which of them this one is."""

    rank: int = 0
    count: int = 1

    @property
    def first(self) -> bool:
        """Whether this one writes and speaks."""
        return self.rank == 0


class SharedGenerator(torch.Generator):
    """Draws for a whole batch in every process; `own` then gives each its rows."""

    group: Group = Group()


def generator_of(group: Group, seed: int) -> SharedGenerator:
    """One that all processes of a group seed alike."""
    generator = SharedGenerator()
    generator.group = group
    generator.manual_seed(seed)
    return generator


def whole(rows: int, generator: torch.Generator | None) -> int:
    """How many rows to draw where this process wants so many."""
    return rows * generator.group.count if isinstance(generator, SharedGenerator) else rows


def own(drawn: Shaped[Tensor, "whole *rest"], generator: torch.Generator | None) -> Shaped[Tensor, "rows *rest"]:
    """This process' rows of what was drawn for the whole batch; InputError where they do not divide."""
    if not isinstance(generator, SharedGenerator) or generator.group.count == 1:
        return drawn
    group = generator.group
    if len(drawn) % group.count:
        raise InputError(
            f"A batch of {len(drawn)} cannot be divided among {group.count} processes; "
            "start a number of them that divides it, or choose another --batch."
        )
    rows = len(drawn) // group.count
    return drawn[group.rank * rows : (group.rank + 1) * rows]


def here() -> Group:
    """The group that this process is in, or one of it alone."""
    if dist.is_available() and dist.is_initialized():
        return Group(dist.get_rank(), dist.get_world_size())
    return Group()


@contextmanager
def joined(device: str) -> Iterator[Group]:
    """In the group that torchrun's variables tell of, by gloo on a CPU and NCCL on CUDA; alone without them.

    Where another process goes away, this one ends too: with an InputError, in one of those that are left.
    """
    if int(os.environ.get("WORLD_SIZE", "1")) == 1:
        yield Group()
        return
    if device == "cuda":
        torch.cuda.set_device(int(os.environ.get("LOCAL_RANK", "0")))
    dist.init_process_group("nccl" if device == "cuda" else "gloo")
    before = signal.signal(signal.SIGTERM, _terminated)  # torchrun ends the others so, once one has gone
    try:
        yield here()
        dist.barrier()
    except (RuntimeError, _Terminated) as error:
        if not isinstance(error, _Terminated) and not any(word in str(error) for word in GONE):
            raise
        if not _tells():
            raise SystemExit(2) from None
        raise InputError(
            "A process of this training went away, so all of them end here; "
            "start the same command again, and it goes on from the last checkpoint."
        ) from None
    finally:
        signal.signal(signal.SIGTERM, before)
        dist.destroy_process_group()


@contextmanager
def first_before_others() -> Iterator[None]:
    """A block that the first process is through before the others enter: it writes, and they find what it wrote."""
    group = here()
    if group.count > 1 and not group.first:
        dist.barrier()
    yield
    if group.count > 1 and group.first:
        dist.barrier()


def agreed(value: bool) -> bool:
    """What the first process says; a clock must not part them."""
    if here().count == 1:
        return value
    said = torch.tensor(int(value), device=_device())
    dist.broadcast(said, 0)
    return bool(said)


def mean_of(numbers: dict[str, Tensor]) -> dict[str, float]:
    """Numbers averaged over the processes."""
    names, group = list(numbers), here()
    if group.count == 1 or not names:
        return {name: numbers[name].item() for name in names}
    values = torch.stack([numbers[name].detach().double().reshape(()) for name in names]).to(_device())
    dist.all_reduce(values)
    return dict(zip(names, (values / group.count).tolist()))


class _Terminated(Exception):
    """Somebody asked the process to end."""


def _terminated(*_: object) -> None:
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    raise _Terminated


def _tells() -> bool:
    """Whether this is the process that tells the user; all do where they cannot ask each other any more."""
    try:
        store = dist.distributed_c10d._get_default_store()
        return store.add(TOLD, 1) == 1
    except RuntimeError:
        return True


def _device() -> str:
    return "cuda" if dist.get_backend() == "nccl" else "cpu"
