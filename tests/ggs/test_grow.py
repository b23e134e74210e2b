"""Growth: chunks in order, resumed to the bit, and a scene that stops where all is seen."""

from dataclasses import replace

import pytest
import torch
from ggs_rooms import MICRO, along, lively, painted, plane_depth, psnr, walk

from fewview.cameras import Cameras
from fewview.checkpoint import load_tensors, save_tensors
from fewview.errors import InputError
from fewview.ggs.grow import GGSMethodConfig, GrowthPlan, grow, sample
from fewview.ggs.model import GGS
from fewview.ggs.scene_maps import splats_of_depth
from fewview.progress import silent
from fewview.render.asset import GaussianAsset
from fewview.render.splatting import splat
from fewview.states import StateFile
from fewview.views import Views

STATE = "grown.safetensors"
QUICK = GGSMethodConfig(steps=2, chunk=3)


def model_of(config=MICRO) -> GGS:
    torch.manual_seed(0)
    return lively(GGS(config))


def task_of(count: int = 7, seed: int = 3) -> GrowthPlan:
    cameras = walk(1, count + 2)[0]
    return GrowthPlan(painted(cameras[:2]), cameras[2:], 1.0, seed)


@pytest.mark.parametrize(
    "count, chunks", [(1, [(0, 1)]), (3, [(0, 3)]), (4, [(0, 2), (2, 4)]), (7, [(0, 2), (2, 4), (4, 7)])]
)
def test_chunks_are_few_and_even_and_leave_nothing_out(count, chunks):
    assert task_of(count).chunks(3) == chunks


def test_images_come_in_the_order_of_the_path(monkeypatch):
    """A sampler that knows the answer: each generated image is the painting seen from its own camera."""
    model = model_of(MICRO)

    def oracle(model, context, targets, steps, **_):
        return model.codec.encode(painted(targets).images)

    monkeypatch.setattr("fewview.ggs.grow.sample", oracle)
    task = task_of()
    grown = grow(model, task, QUICK, progress=silent)
    want = model.codec.decode(model.codec.encode(painted(task.path).images)).clamp(0, 1)
    torch.testing.assert_close(grown.images, want)


def test_chunks_of_true_depth_join_to_one_wall(monkeypatch):
    """An oracle in place of the networks: a long walk is a wall that later chunks only extend."""
    model = model_of()
    monkeypatch.setattr("fewview.ggs.grow.sample", lambda model, context, targets, steps, **_: targets)
    monkeypatch.setattr(model.codec, "decode", lambda targets: painted(targets).images)
    truth = lambda context, targets, z0, fine: GaussianAsset(
        splats_of_depth(painted(c := Cameras.cat([context.cameras, targets])), plane_depth(c))
    )
    monkeypatch.setattr(model, "scene", truth)
    cameras = along([0.3 * i for i in range(13)], size=32)
    task = GrowthPlan(painted(cameras[:1]), cameras[1:], 1.0, 0)
    grown = grow(model, task, replace(QUICK, chunk=4, merge=1.5), progress=silent)
    between = along([0.45, 1.35, 2.55, 3.15], size=32)
    assert psnr(splat(grown.scene, between).image, painted(between).images) > 30
    pixels = 32 * 32
    assert pixels < grown.counts[0] < 1.5 * pixels and grown.counts[-1] < 2.5 * pixels, grown.counts  # of 13 views


def test_samples_depend_on_their_seed_and_follow_the_ode(generator):
    model, task = model_of(MICRO), task_of()
    with torch.no_grad():
        a, b, c = (sample(model, task.given, task.path[:2], steps=3, seed=seed) for seed in (1, 1, 2))
    assert torch.equal(a, b) and not torch.equal(a, c)
    with torch.no_grad():
        cold = [sample(model, task.given, task.path[:2], steps=3, seed=seed, temperature=0.0) for seed in (1, 2)]
    assert torch.equal(*cold) and not torch.equal(cold[0], a)
    lognormal = model_of(replace(MICRO, noise="lognormal"))
    with torch.no_grad():
        assert sample(lognormal, task.given, task.path[:2], steps=3, seed=1).isfinite().all()


def test_a_stopped_run_goes_on_to_the_same_bits(tmp_path):
    model, task = model_of(replace(MICRO, scene=True)), task_of()
    whole = grow(model, task, QUICK, progress=silent)

    def stop(stage, fraction):
        if fraction > 0.6:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        grow(model, task, QUICK, progress=stop, keeper=StateFile(tmp_path / STATE))
    steps: list[float] = []
    count = lambda stage, fraction: steps.append(fraction)
    again = grow(model, task, QUICK, progress=count, keeper=StateFile(tmp_path / STATE))
    assert len(steps) == 2 * 2  # two of three chunks were left
    assert again.counts == whole.counts and torch.equal(again.images, whole.images)
    assert all(torch.equal(getattr(again.scene, n), t) for n, t in whole.scene.tensors().items())
    done = grow(model, task, QUICK, progress=count, keeper=StateFile(tmp_path / STATE))
    assert len(steps) == 4 and torch.equal(done.scene.means, whole.scene.means)
    moved = replace(task, path=task.path[[0, 1, 2, 3, 4, 6, 5]])
    darker = replace(task, given=Views(task.given.images / 2, task.given.cameras))
    others = [("settings", replace(task, seed=4), QUICK), ("settings", task, replace(QUICK, chunk=2))]
    for what, other, config in [*others, ("path", moved, QUICK), ("photos", darker, QUICK)]:
        with pytest.raises(InputError, match=f"another run .its {what} differ"):
            grow(model, other, config, progress=count, keeper=StateFile(tmp_path / STATE))
    grow(model, task, replace(QUICK, refine=5), progress=count, keeper=StateFile(tmp_path / STATE))
    assert len(steps) == 4


@pytest.mark.parametrize("name", ["means", "images", "shown", "counts", "settings"])
def test_a_damaged_state_of_a_stopped_run_is_refused(tmp_path, name):
    model, task = model_of(MICRO), task_of()
    grow(model, task, QUICK, progress=silent, keeper=StateFile(tmp_path / STATE))
    path = tmp_path / STATE
    kept = load_tensors(path)
    whole = {key: tensor for key, tensor in kept.items() if key != name}
    for damaged in (whole, {**whole, name: torch.zeros(7, 7)}):
        save_tensors(path, damaged)
        with pytest.raises(InputError, match=str(path)):
            grow(model, task, QUICK, progress=silent, keeper=StateFile(tmp_path / STATE))


def test_the_scene_grows_at_most_linearly_and_stops_where_all_is_seen():
    model, task = model_of(MICRO), task_of(9)
    pixels = 16 * 16
    grown = grow(model, task, QUICK, progress=silent)
    added = torch.tensor([0, *grown.counts]).diff()
    assert len(grown.counts) == 3 and (added <= torch.tensor([5, 3, 3]) * pixels).all()
    everything = grow(model, task, replace(QUICK, covered=2.0, merge=0.0, faint=0.0), progress=silent)
    assert everything.counts == (5 * pixels, 8 * pixels, 11 * pixels)
    again = replace(task, path=task.path[[0, 1, 2] * 3])
    static = grow(model, again, replace(QUICK, covered=0.0), progress=silent)
    assert static.counts[1] <= static.counts[0] + pixels  # a photo that was not in the first chunk, at most


def test_the_scene_so_far_is_told_to_models_that_take_it(monkeypatch):
    told = []
    condition = GGS.condition

    def spy(self, context, targets, *, scene=None):
        told.append(None if scene is None else len(scene))
        return condition(self, context, targets, scene=scene)

    monkeypatch.setattr(GGS, "condition", spy)
    task = task_of(5)
    for config, method, want in [
        (replace(MICRO, scene=True), QUICK, True),
        (replace(MICRO, scene=True), replace(QUICK, conditioning="views"), False),
        (MICRO, QUICK, False),
    ]:
        told.clear()
        grown = grow(model_of(config), task, method, progress=silent)
        assert told == [None, grown.counts[0] if want else None]
