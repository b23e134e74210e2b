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
RUNS = ["2/some", "begun by 1", "sharded", "2/killed"]
HALF = replace(SOME, steps=2)


@pytest.fixture(scope="module")
def runs(tmp_path_factory) -> Path:
    """A step of each stage and four of one, by one process and by two; runs that the other number went on with, and one
    that ended when the second process died."""
    out = tmp_path_factory.mktemp("runs")
    some(out / "1")
    for run in ("begun by 1", "sharded"):
        train_all(out / run, HALF, ("joint",))
    with pytest.raises(InputError, match=r"went away, so all of them end here; .* goes on from the last checkpoint\.$"):
        in_two_processes(some, out / "2", out)
    train_all(out / "2" / "killed", SOME, ("joint",))
    return out


def some(out: Path, begun: Path | None = None) -> None:
    """What each member of a group does."""
    train_all(out / "one", ONE, STAGES)
    train_all(out / "some", SOME, ("joint",))
    if begun is not None:
        train_all(begun / "begun by 1", SOME, ("joint",))
        train_all(begun / "sharded", replace(SOME, shard=True), ("joint",))
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
def test_gradients_of_two_processes_are_those_of_one_with_the_whole_batch(runs, stage):
    moments = []  # Adam's first moment after one step: a tenth of the gradient
    for count in "12":
        states = state(runs / count / "one" / stage, "optimizer")
        moments.append({name: tensor for name, tensor in states.items() if name.endswith("exp_avg")})
    assert len(moments[0]) > 5 and differ(*moments) < 1e-4  # rounding may turn the sign of an L1 term


def test_statistics_of_batches_are_those_of_the_whole_batch(runs):
    one, two = (state(runs / count / "one" / "eft", "model") for count in "12")
    names = [name for name in one if name.endswith(("running_mean", "running_var"))]
    assert len(names) > 5 and differ({n: one[n] for n in names}, {n: two[n] for n in names}) < 1e-5


@pytest.mark.parametrize("run", RUNS)
def test_any_number_of_processes_ends_with_the_same_moments(runs, run):
    one, other = (state(runs / name / "joint", "optimizer") for name in ("1/some", run))
    assert differ(one, other) < 1e-3  # weights whose gradient is but rounding are moved as far as others by Adam
    assert last_checkpoint(runs / run / "joint").name == "00000004"
