"""Trainings of tiny models, by one process or by two."""

import multiprocessing
import os
import socket
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import pytest
import torch
import worlds

from fewview.data.packed import pack
from fewview.nn.autoencoder import Autoencoder
from fewview.processes import here, joined
from fewview.recipes.sparsefusion.training import Batching, batches
from fewview.sparsefusion.tasks import AutoencoderTask, EFTTask, JointTask, UNetTask
from fewview.training import Task, TrainConfig, train
from fewview.views import Views


class Balls:
    """Sixteen frames of the balls, as a scene of a set."""

    name, description = "balls", "balls"

    def __len__(self) -> int:
        return 16

    def read(self, indices) -> Views:
        return worlds.photograph(worlds.ring(16))[list(indices)]


def tasks() -> dict[str, Task]:
    """All stages of SparseFusion at toy size, four scenes or pictures a step."""
    packed = pack([Balls(), Balls()])
    draw = batches(packed, Batching(scenes=4, queries=1, min_context=2, max_context=2))
    held_out = draw(torch.Generator().manual_seed(3))
    pictures = lambda generator: draw(generator)[1].images[:, 0]
    features = torch.Generator().manual_seed(5)
    model = worlds.smallest_model()
    cells, channels = model.config.cells, model.config.unet.cond_images_channels
    cache = torch.randn(9, 4, cells, cells, generator=features), torch.randn(9, channels, cells, cells)
    torch.manual_seed(0)
    codec = Autoencoder(model.config.autoencoder)
    return {
        "autoencoder": AutoencoderTask(codec, pictures, held_out[1].images[:, 0], _distance),
        "eft": EFTTask(worlds.smallest_model(), draw, {"": held_out}, rays=8),
        "unet": UNetTask(worlds.smallest_model(), cache, cache, batch=4),
        "joint": JointTask(worlds.smallest_model(), draw, {"": held_out}),
    }


def _distance(a: torch.Tensor, b: torch.Tensor) -> torch.Tensor:
    return (a - b).square().mean((1, 2, 3))


def train_all(out: Path, config: TrainConfig, names: tuple[str, ...], *, die_at: int | None = None) -> None:
    """Trains the tasks of these names; the second process dies in a step, if asked to."""
    for name, task in tasks().items():
        if name in names:
            if die_at is not None and here().rank == 1:
                task.loss = partial(_dying, task.loss, iter(range(die_at)))  # type: ignore[method-assign]
            train(task, config, out / name)


def _dying(loss: Callable, left: Iterator[int], generator: torch.Generator) -> dict[str, torch.Tensor]:
    if next(left, None) is None:
        os._exit(9)
    return loss(generator)


def in_two_processes(work: Callable[..., None], *arguments: object) -> int | None:
    """Runs work in a group of this process and a new one; returns the exit code of that."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    other = multiprocessing.get_context("spawn").Process(target=_member, args=(1, port, work, arguments))
    other.start()
    try:
        with pytest.MonkeyPatch.context() as patch:
            for name, value in _environment(0, port).items():
                patch.setenv(name, value)
            with joined("cpu"):
                work(*arguments)
        other.join(60)
        return other.exitcode
    finally:
        other.kill()


def _member(rank: int, port: int, work: Callable[..., None], arguments: tuple) -> None:
    os.environ |= _environment(rank, port)
    torch.set_num_threads(1)
    with joined("cpu"):
        work(*arguments)


def _environment(rank: int, port: int) -> dict[str, str]:
    return {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port), "RANK": str(rank), "WORLD_SIZE": "2"}
