from dataclasses import replace

import pytest
import torch

pytest.importorskip("moderngl")

from test_cli import refused
from worlds import smallest

from fewview.checkpoint import load_model, load_tensors, read_json
from fewview.errors import InputError
from fewview.recipes.runs import StageOptions
from fewview.recipes.sparsefusion.stages import SIZES, STAGES, run_stage, schedule
from fewview.sparsefusion.method import SparseFusionMethod
from fewview.sparsefusion.vldm import VLDM, VLDMConfig
from fewview.synthetic.objects.build import build, tiny_build
from fewview.synthetic.opengl.rasterise import Rasteriser
from fewview.training import TrainConfig, last_checkpoint

BRIEF = TrainConfig(steps=1, learning_rate=1e-4, ema=0.0, log_every=1, save_every=1, validate_every=100)


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    try:
        Rasteriser(16).context.release()
    except InputError as error:
        pytest.skip(str(error))
    root = tmp_path_factory.mktemp("set")
    build(root, replace(tiny_build(), frames=12))
    return root


@pytest.fixture(scope="module")
def runs(data, tmp_path_factory):
    """All four stages of the smallest model, one step each."""
    out = tmp_path_factory.mktemp("runs")
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(SIZES, "tiny", smallest)
        patch.setattr("fewview.recipes.sparsefusion.training.find_lpips", lambda *_, **__: None)
        patch.setattr("fewview.recipes.sparsefusion.training.CACHED", 16)
        for stage in STAGES:
            run_stage(stage, data, out, options=StageOptions(training=BRIEF))
    return out


def test_the_last_stage_leaves_a_model_that_reconstructs(runs):
    model = SparseFusionMethod.from_pretrained(runs / "joint" / "model").model
    assert model.config.size == smallest().size and not model.training


def test_each_stage_starts_from_the_one_before(runs):
    eft, unet = (load_tensors(last_checkpoint(runs / s) / "model.safetensors") for s in ("eft", "unet"))
    assert all(unet[name].equal(tensor) for name, tensor in eft.items() if name.startswith("eft."))
    assert any(not unet[name].equal(tensor) for name, tensor in eft.items() if name.startswith("unet."))


def test_each_run_says_what_it_was(runs):
    for stage in STAGES:
        description = read_json(runs / stage / "config.json")
        assert description["recipe"] == f"sparsefusion/{stage}" and description["training"]["steps"] == 1


def test_a_model_is_trained_further_at_another_size(runs, data, tmp_path, monkeypatch):
    """Its networks and weights are taken as they are; --init wants no autoencoder and no stage before."""
    given = runs / "joint" / "model"
    monkeypatch.setitem(SIZES, "small", lambda: replace(smallest(), size=2 * smallest().size))
    still = replace(BRIEF, learning_rate=1e-12)
    run_stage("joint", data, tmp_path, options=StageOptions(size="small", training=still, init=given))
    before, after = (load_model(folder, VLDM, VLDMConfig) for folder in (given, tmp_path / "joint" / "model"))
    assert after.config == replace(before.config, size=2 * before.config.size)
    weights = dict(after.named_parameters())
    for name, tensor in before.named_parameters():
        torch.testing.assert_close(weights[name], tensor, atol=1e-6, rtol=0)


def test_a_run_that_is_complete_is_left_as_it_is(runs, data, monkeypatch):
    monkeypatch.setitem(SIZES, "tiny", smallest)
    before = (runs / "eft" / "log.jsonl").read_text()
    run_stage("eft", data, runs, options=StageOptions(training=BRIEF))
    assert (runs / "eft" / "log.jsonl").read_text() == before


def test_stages_out_of_order_are_refused(data, tmp_path):
    with pytest.raises(InputError, match="autoencoder first"):
        run_stage("eft", data, tmp_path / "nothing", options=StageOptions(training=BRIEF))


def test_the_folder_of_another_model_is_refused(runs, data):
    with pytest.raises(InputError, match="belongs to another model"):
        run_stage("autoencoder", data, runs, options=StageOptions(size="small", training=BRIEF))


def test_the_schedule_is_the_thesis_at_paper_size():
    config = schedule("joint", "paper")
    assert (config.learning_rate, config.ema, config.clip, config.warmup) == (5e-5, 0.0, None, 0)


def test_a_card_that_is_not_there_is_refused_before_anything_is_read(tmp_path, capsys, monkeypatch):
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    text = refused(capsys, "train", "eft", "--data", tmp_path, "-o", tmp_path / "out", "--device", "cuda")
    assert "no CUDA card" in text and not (tmp_path / "out").exists()
