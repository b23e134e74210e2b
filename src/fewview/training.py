"""The one training loop: resumable to the bit, with a moving average of the weights and a JSONL log.

torchrun runs it in several processes, to the same weights but for rounding (`fewview.processes`).
"""

import json
import math
import shutil
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

import torch
from torch import Tensor, nn

from fewview.checkpoint import atomic_folder, check_state, kept_state, load_tensors, read_json, save_tensors, write_json
from fewview.parallel import Spread, cut_as, full, spread
from fewview.processes import agreed, generator_of, here, mean_of
from fewview.progress import Steps


@dataclass(frozen=True)
class TrainConfig:
    """How long and how fast; the loss and its data belong to the task."""

    steps: int
    learning_rate: float = 5e-5  # thesis A.2
    shares: tuple[tuple[str, float], ...] = ()  # of the rate, for parameters whose names begin with the given words
    warmup: int = 0
    decay: bool = False  # cosine to zero over `steps`; the thesis keeps the rate
    ema: float = 0.999
    clip: float | None = 1.0  # gradient norm
    betas: tuple[float, float] = (0.9, 0.999)  # Adam's; games of two networks want a shorter memory
    seed: int = 0
    log_every: int = 20
    save_every: int = 500
    validate_every: int = 500
    minutes: float | None = None  # stop (resumably) after so long
    bfloat16: bool = False  # autocast; on CPUs with AVX-512 BF16 convolutions take half of the time
    batch: int | None = None  # scenes (or pictures) of a step, over all processes; the recipe's own number unless given
    shard: bool = False  # of several processes, each keeps a part of the weights (FSDP2) instead of a copy (DDP)


@runtime_checkable
class Task(Protocol):
    """What is trained. `loss` sees only the step's own generator, so that a resumed run draws the same batches.

    Of several processes, each takes its rows of what is drawn (`processes.own`); a task that does not know of them does
    the same work in all, to the same result.
    """

    @property
    def model(self) -> nn.Module: ...

    def loss(self, generator: torch.Generator) -> dict[str, Tensor]: ...

    def validate(self, model: nn.Module) -> dict[str, float]: ...


def train(task: Task, config: TrainConfig, directory: Path, *, progress: Steps | None = None) -> nn.Module:
    """Optimise `task.model` from the last checkpoint of `directory`, or from the start; returns the averaged model.

    Only parameters that require gradients are optimised. Steps are numbered from zero, batch i depends on (seed, i)
    alone: a killed run continues as if nothing had happened, also with another number of processes.
    """
    inside = spread(task.model, shard=config.shard)
    trainable = {name: p for name, p in task.model.named_parameters() if p.requires_grad}
    optimiser = torch.optim.Adam(_groups(trainable, config), lr=config.learning_rate, betas=config.betas, fused=True)
    ema = {name: tensor.detach().clone() for name, tensor in task.model.state_dict().items()}
    state = _State(directory, task.model, ema, optimiser, trainable)
    step = state.resume()
    start = time.monotonic()
    directory.mkdir(parents=True, exist_ok=True)
    while step < config.steps:
        task.model.train()
        losses = _one_step(task, inside, optimiser, config=config, step=step)
        state.average(min(config.ema, (1 + step) / (10 + step)))
        step += 1
        late = config.minutes is not None and agreed(time.monotonic() - start > 60 * config.minutes)
        row: dict[str, Any] = {}
        if step % config.log_every == 0 or step == config.steps:
            row = {name: round(value, 6) for name, value in mean_of(losses).items()}
        if step % config.validate_every == 0 or step == config.steps or late:
            row.update(_validated(task, inside, ema))
        if row and here().first:
            row = {"step": step, "seconds": round(time.monotonic() - start, 1), **row}
            with (directory / "log.jsonl").open("a") as stream:
                stream.write(json.dumps(row) + "\n")
            if progress:
                progress(step, row)
        if step % config.save_every == 0 or step == config.steps or late:
            state.save(step)
        if late:
            break
    task.model.load_state_dict(ema)
    inside.gather()
    return task.model.eval()


def learning_rate(config: TrainConfig, step: int) -> float:
    """Linear warm-up, then constant or a cosine to zero at the last step."""
    rate = config.learning_rate * min(1.0, (step + 1) / max(1, config.warmup))
    return rate * (0.5 + 0.5 * math.cos(math.pi * step / config.steps)) if config.decay else rate


def _groups(trainable: dict[str, nn.Parameter], config: TrainConfig) -> list[dict[str, Any]]:
    """The optimiser's groups: parameters with the same share of the learning rate."""
    groups: dict[float, list[nn.Parameter]] = {}
    for name, parameter in trainable.items():
        share = next((share for start, share in config.shares if name.startswith(start)), 1.0)
        groups.setdefault(share, []).append(parameter)
    return [{"params": parameters, "share": share} for share, parameters in groups.items()]


def _one_step(
    task: Task, inside: Spread, optimiser: torch.optim.Optimizer, *, config: TrainConfig, step: int
) -> dict[str, Tensor]:
    parameters = [p for group in optimiser.param_groups for p in group["params"]]
    seed = config.seed * 1_000_003 + step
    generator = generator_of(here(), seed)
    torch.manual_seed(seed + (here().rank << 40))  # dropout has no generator argument
    for group in optimiser.param_groups:
        group["lr"] = group["share"] * learning_rate(config, step)
    with torch.autocast(parameters[0].device.type, torch.bfloat16, enabled=config.bfloat16):
        losses = inside(lambda: task.loss(generator))
    if not losses["loss"].isfinite():
        raise FloatingPointError(f"The loss is {losses['loss'].item()} at step {step}; lower the learning rate.")
    optimiser.zero_grad(set_to_none=True)
    losses["loss"].backward()
    if config.clip is not None:
        torch.nn.utils.clip_grad_norm_(parameters, config.clip)
    optimiser.step()
    return losses


def _validated(task: Task, inside: Spread, ema: dict[str, Tensor]) -> dict[str, float]:
    """The task's own numbers for the averaged weights; the model gets its weights back."""
    kept = {name: tensor.clone() for name, tensor in task.model.state_dict().items()}
    task.model.load_state_dict(ema)
    with torch.no_grad():
        numbers = inside(lambda: task.validate(task.model.eval()))
    task.model.load_state_dict(kept)
    return {name: round(value, 5) for name, value in numbers.items()}


@dataclass(frozen=True, eq=False)
class _State:
    """What a run keeps: weights, their moving average, and the optimiser of the trainable ones, by their names."""

    directory: Path
    model: nn.Module
    ema: dict[str, Tensor]
    optimiser: torch.optim.Optimizer
    trainable: dict[str, Any]

    def average(self, decay: float) -> None:
        """One step of the moving average."""
        with torch.no_grad():
            for name, tensor in self.model.state_dict().items():
                if tensor.is_floating_point():
                    self.ema[name].lerp_(tensor, 1 - decay)
                else:
                    self.ema[name].copy_(tensor)

    def save(self, step: int) -> None:
        """A checkpoint, whole or not at all; the last two are kept."""
        states = {}
        for name, parameter in self.trainable.items():
            for key, value in self.optimiser.state[parameter].items():
                states[f"{name}/{key}"] = full(value)
        held = (self.model.state_dict(), self.ema)
        weights, means = ({n: full(t.detach()) for n, t in tensors.items()} for tensors in held)
        if not here().first:
            return
        with atomic_folder(self.directory / "checkpoints" / f"{step:08d}") as folder:
            save_tensors(folder / "model.safetensors", weights)
            save_tensors(folder / "ema.safetensors", means)
            save_tensors(folder / "optimizer.safetensors", states)
            write_json(folder / "state.json", {"step": step})
        for old in sorted((self.directory / "checkpoints").glob("[0-9]*"))[:-2]:
            shutil.rmtree(old)

    def resume(self) -> int:
        """Takes over the last checkpoint, if there is one, and returns its step."""
        folder = last_checkpoint(self.directory)
        if folder is None:
            return 0
        with kept_state(folder):
            state = load_tensors(folder / "model.safetensors")
            check_state(self.model, state, where=str(folder))
            with torch.no_grad():
                for name, tensor in self.model.state_dict().items():
                    tensor.copy_(cut_as(state[name], tensor))
            for name, tensor in load_tensors(folder / "ema.safetensors").items():
                self.ema[name].copy_(cut_as(tensor, self.ema[name]))
            for name, value in load_tensors(folder / "optimizer.safetensors").items():
                parameter, key = name.rsplit("/", 1)
                self.optimiser.state[self.trainable[parameter]][key] = cut_as(value.clone(), self.trainable[parameter])
            return int(read_json(folder / "state.json")["step"])


def last_checkpoint(directory: Path) -> Path | None:
    """The newest whole checkpoint folder of a run."""
    folders = sorted((directory / "checkpoints").glob("[0-9]*"))
    return folders[-1] if folders else None
