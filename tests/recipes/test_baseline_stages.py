from dataclasses import replace

import pytest
import torch
from baselines.scenes import SMALL
from baselines.test_codebook import SMALL as BOOK
from baselines.test_viewformer import SMALL as VIEWFORMER
from worlds import write_co3d

from fewview.baselines.named import load_network
from fewview.checkpoint import load_tensors, read_json
from fewview.errors import InputError
from fewview.recipes import baselines
from fewview.recipes.baselines.stages import STAGES, numbered, run_stage, schedule
from fewview.recipes.runs import StageOptions
from fewview.recipes.sparsefusion.training import packed_set
from fewview.training import TrainConfig, last_checkpoint

BRIEF = TrainConfig(steps=1, learning_rate=1e-3, ema=0.0, log_every=1, save_every=1, validate_every=1, batch=2)
FEW = {**SMALL, "viewformer-codebook": BOOK, "viewformer": VIEWFORMER}


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    return write_co3d(tmp_path_factory.mktemp("set"), sequences=3, size=32)


@pytest.fixture
def small(monkeypatch):
    for name, config in FEW.items():
        monkeypatch.setitem(baselines.TINY, name, config)
    monkeypatch.setattr("fewview.recipes.baselines.stages.find_lpips", lambda *_, **__: None)


def test_every_baseline_is_a_stage_that_leaves_a_model(data, tmp_path, small):
    for stage in STAGES:
        folder = run_stage(stage, data, tmp_path, options=StageOptions(training=BRIEF))
        assert read_json(folder / "config.json")["recipe"] == stage
        assert "psnr" in (folder / "log.jsonl").read_text()
        if stage != "viewformer-codebook":
            assert load_network(stage, folder / "model").size == FEW[stage].size
    first, second = (load_tensors(tmp_path / s / "model" / "model.safetensors") for s in STAGES[2:4])
    assert all(second[f"codebook.{name}"].equal(tensor) for name, tensor in first.items())


def test_a_run_goes_on_and_another_starts_from_its_model(data, tmp_path, small):
    options = StageOptions(training=BRIEF)
    folder = run_stage("gpnr", data, tmp_path, options=options)
    run_stage("gpnr", data, tmp_path, options=replace(options, training=replace(BRIEF, steps=2)))
    assert last_checkpoint(folder).name == "00000002"
    still = replace(BRIEF, learning_rate=1e-12)
    again = run_stage("gpnr", data, tmp_path / "b", options=replace(options, init=folder / "model", training=still))
    a, b = (load_tensors(f / "model" / "model.safetensors") for f in (folder, again))
    assert all(
        torch.allclose(a[name], b[name], atol=1e-6) for name in a if not name.endswith(("_mean", "_var", "_tracked"))
    )


def test_what_a_stage_cannot_do_is_told(data, tmp_path, small):
    with pytest.raises(InputError, match="viewformer-codebook to its end first"):
        run_stage("viewformer", data, tmp_path, options=StageOptions(training=BRIEF))
    with pytest.raises(InputError, match="no size 'small'"):
        run_stage("gpnr", data, tmp_path, options=StageOptions(size="small"))
    with pytest.raises(InputError, match="no autoencoder"):
        run_stage("gpnr", data, tmp_path, options=StageOptions(autoencoder=tmp_path))


def test_the_schedule_is_the_thesis_at_paper_size():
    assert schedule("pixelnerf", "paper").steps == 300_000


def test_a_scene_s_number_goes_with_its_views(data):
    packed = packed_set(data, 16, "train")
    scenes, views = numbered(packed, 4, "cpu")(torch.Generator().manual_seed(0))
    for i, scene in enumerate(scenes.tolist()):
        start, count = int(packed.starts[scene]), int(packed.counts[scene])
        own = packed.images[start : start + count, :3].float() / 255
        for image in views.images[i]:
            assert (own - image).abs().amax((1, 2, 3)).min() < 1e-6
