import dataclasses
import json
import math

import pytest
import torch
from safetensors.torch import save
from torch import nn

from fewview.errors import InputError
from fewview.training import TrainConfig, last_checkpoint, learning_rate, train

CONFIG = TrainConfig(
    steps=12, learning_rate=0.1, ema=0.5, log_every=1, save_every=4, validate_every=6, warmup=2, decay=True
)


class Line:
    """Fit y = 3 x + 1 from noisy batches; the frozen parameter must not move."""

    def __init__(self):
        torch.manual_seed(3)
        self.model = nn.Linear(1, 1)
        self.model.register_parameter("frozen", nn.Parameter(torch.ones(2), requires_grad=False))
        self.model.register_buffer("count", torch.zeros((), dtype=torch.long))
        self.die_at: int | None = None
        self.steps = 0

    def loss(self, generator: torch.Generator) -> dict[str, torch.Tensor]:
        if self.steps == self.die_at:
            raise KeyboardInterrupt
        self.steps += 1
        self.model.count += 1
        x = torch.randn(16, 1, generator=generator)
        return {"loss": (self.model(nn.functional.dropout(x, 0.1)) - 3 * x - 1).square().mean()}

    def validate(self, model: nn.Module) -> dict[str, float]:
        return {"slope": float(self.model.weight)}


def test_a_killed_run_resumes_to_the_same_weights_as_an_unbroken_one(tmp_path):
    whole, broken = Line(), Line()
    expected = {n: t.clone() for n, t in train(whole, CONFIG, tmp_path / "whole").state_dict().items()}
    broken.die_at = 10
    with pytest.raises(KeyboardInterrupt):
        train(broken, CONFIG, tmp_path / "broken")
    again = train(Line(), CONFIG, tmp_path / "broken").state_dict()
    assert all(torch.equal(again[name], tensor) for name, tensor in expected.items())


@pytest.mark.parametrize("name", ["ema.safetensors", "model.safetensors", "optimizer.safetensors", "state.json"])
def test_a_damaged_checkpoint_is_refused(tmp_path, name):
    train(Line(), CONFIG, tmp_path)
    file = last_checkpoint(tmp_path) / name
    for content in (b"", b"[1]", save({"strange": torch.zeros(2)})):
        file.write_bytes(content)
        with pytest.raises(InputError, match=str(file.parent)):
            train(Line(), dataclasses.replace(CONFIG, steps=20), tmp_path)


def test_frozen_parameters_stay_and_buffers_follow(tmp_path):
    model = train(Line(), CONFIG, tmp_path)
    assert torch.equal(model.frozen, torch.ones(2)) and model.count == 12


def test_returned_weights_are_the_moving_average(tmp_path):
    task = Line()
    seen = []
    original = task.loss

    def spy(generator):
        seen.append(task.model.weight.item())
        return original(generator)

    task.loss = spy
    config = dataclasses.replace(CONFIG, steps=3)
    average = float(train(task, config, tmp_path).weight)
    last = float(_state(tmp_path)["weight"])
    weights = [*seen, last]  # before step 1, 2, 3 and after 3
    expected = weights[0]
    for i, weight in enumerate(weights[1:]):
        decay = min(config.ema, (1 + i) / (10 + i))
        expected = decay * expected + (1 - decay) * weight
    assert math.isclose(average, expected, rel_tol=1e-5)


def _state(directory):
    from fewview.checkpoint import load_tensors

    return load_tensors(last_checkpoint(directory) / "model.safetensors")


def test_log_has_a_row_a_step_and_validation_uses_the_average(tmp_path):
    train(Line(), CONFIG, tmp_path)
    rows = [json.loads(line) for line in (tmp_path / "log.jsonl").read_text().splitlines()]
    assert [row["step"] for row in rows] == list(range(1, 13))
    assert "slope" in rows[5] and "slope" not in rows[4]


def test_two_checkpoints_are_kept_and_both_are_whole(tmp_path):
    train(Line(), CONFIG, tmp_path)
    names = sorted(p.name for p in (tmp_path / "checkpoints").iterdir())
    assert names == ["00000008", "00000012"]
    assert {p.name for p in last_checkpoint(tmp_path).iterdir()} == {
        "model.safetensors",
        "ema.safetensors",
        "optimizer.safetensors",
        "state.json",
    }


def test_learning_rate_warms_up_and_decays_to_zero():
    assert learning_rate(CONFIG, 0) < learning_rate(CONFIG, 1) and learning_rate(CONFIG, 12) < 1e-12
    assert learning_rate(TrainConfig(steps=10), 9) == 5e-5


def test_a_loss_that_is_not_finite_stops_the_run(tmp_path):
    task = Line()
    task.loss = lambda generator: {"loss": task.model.weight.sum() * float("nan")}
    with pytest.raises(FloatingPointError, match="step 0"):
        train(task, CONFIG, tmp_path)


def test_minutes_stop_a_run_with_a_checkpoint(tmp_path):
    train(Line(), dataclasses.replace(CONFIG, minutes=0.0), tmp_path)
    assert last_checkpoint(tmp_path).name == "00000001"


def test_parameters_with_a_share_learn_at_that_share_of_the_rate(tmp_path):
    """Adam's first step is the rate itself, whatever the gradient."""
    line = Line()
    before = {name: p.detach().clone() for name, p in line.model.named_parameters()}
    config = TrainConfig(steps=1, learning_rate=0.1, ema=0.0, clip=None, shares=(("wei", 0.25),))
    after = dict(train(line, config, tmp_path).named_parameters())
    assert float((after["weight"] - before["weight"]).abs()) == pytest.approx(0.025, rel=1e-4)
    assert float((after["bias"] - before["bias"]).abs()) == pytest.approx(0.1, rel=1e-4)


def test_a_run_with_shares_resumes_to_the_same_weights(tmp_path):
    config = dataclasses.replace(CONFIG, shares=(("bias", 0.5),))
    expected = train(Line(), config, tmp_path / "whole").state_dict()
    broken = Line()
    broken.die_at = 10
    with pytest.raises(KeyboardInterrupt):
        train(broken, config, tmp_path / "broken")
    again = train(Line(), config, tmp_path / "broken").state_dict()
    assert all(torch.equal(again[name], tensor) for name, tensor in expected.items())
