"""Two processes train what one does: gradients, weights, checkpoints; whole copies (DDP) and shards (FSDP2)."""

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from several import in_two_processes, train_all

from fewview.checkpoint import load_tensors
from fewview.errors import InputError
from fewview.training import TrainConfig, last_checkpoint

STAGES = ("autoencoder", "eft", "unet", "joint")
ONE = TrainConfig(steps=1, learning_rate=1e-3, clip=None, log_every=1, save_every=1, validate_every=1)
SOME = replace(ONE, steps=4, clip=1.0, save_every=2, validate_every=4)
HALF = replace(SOME, steps=2)


@pytest.fixture(scope="module")
def steps(tmp_path_factory) -> Path:
    """One step of each stage by one process and by two, the second of which then dies in another training."""
    out = tmp_path_factory.mktemp("steps")
    train_all(out / "1", ONE, STAGES)
    with pytest.raises(InputError, match=r"went away, so all of them end here; .* goes on from the last checkpoint\.$"):
        in_two_processes(step, out)
    return out


def step(out: Path) -> None:
    """What both processes do."""
    train_all(out / "2", ONE, STAGES)
    train_all(out / "killed", ONE, ("autoencoder",), die_at=0)


@pytest.fixture(scope="module")
def runs(tmp_path_factory) -> Path:
    """Four steps by one process and by two; runs that the other number went on with, also in shards; and one that went
    on after the second process had died."""
    out = tmp_path_factory.mktemp("runs")
    train_all(out / "one", SOME, ("joint",))
    for run in ("begun by one", "sharded"):
        train_all(out / run, HALF, ("joint",))
    with pytest.raises(InputError):
        in_two_processes(some, out)
    train_all(out / "killed", SOME, ("joint",))
    return out


def some(out: Path) -> None:
    """What both processes do."""
    train_all(out / "two", SOME, ("joint",))
    train_all(out / "begun by one", SOME, ("joint",))
    train_all(out / "sharded", replace(SOME, shard=True), ("joint",))
    train_all(out / "killed", SOME, ("joint",), die_at=3)


def state(run: Path, name: str) -> dict[str, torch.Tensor]:
    folder = last_checkpoint(run)
    assert folder is not None
    return load_tensors(folder / f"{name}.safetensors")


def differ(one: dict[str, torch.Tensor], two: dict[str, torch.Tensor]) -> float:
    """The largest difference over the largest number of all."""
    assert one.keys() == two.keys()
    largest = max(float(tensor.abs().max()) for tensor in one.values())
    return max(float((tensor.double() - two[name]).abs().max()) for name, tensor in one.items()) / largest


@pytest.mark.parametrize("stage", STAGES)
def test_gradients_of_two_processes_are_those_of_one_with_the_whole_batch(steps, stage):
    moments = []  # Adam's first moment after one step: a tenth of the gradient
    for count in "12":
        states = state(steps / count / stage, "optimizer")
        moments.append({name: tensor for name, tensor in states.items() if name.endswith("exp_avg")})
    assert len(moments[0]) > 5 and differ(*moments) < 1e-4  # rounding may turn the sign of an L1 term


def test_statistics_of_batches_are_those_of_the_whole_batch(steps):
    one, two = (state(steps / count / "eft", "model") for count in "12")
    names = [name for name in one if name.endswith(("running_mean", "running_var"))]
    assert len(names) > 5 and differ({n: one[n] for n in names}, {n: two[n] for n in names}) < 1e-5


@pytest.mark.slow
@pytest.mark.parametrize("run", ["two", "begun by one", "sharded", "killed"])
def test_any_number_of_processes_ends_with_the_same_moments(runs, run):
    one, other = (state(runs / name / "joint", "optimizer") for name in ("one", run))
    assert differ(one, other) < 1e-3  # weights whose gradient is but rounding are moved as far as others by Adam
    assert last_checkpoint(runs / run / "joint").name == "00000004"
