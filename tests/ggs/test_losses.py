from dataclasses import replace

import pytest
import torch
from ggs_rooms import MICRO, lively, plane_depth, room, walk

from fewview.ggs.clips import Clip
from fewview.ggs.losses import (
    LossConfig,
    decoder_loss,
    denoiser_loss,
    depth_error,
    draw_sigma,
    scenes_so_far,
)
from fewview.ggs.model import GGS
from fewview.ggs.splats import place_of, place_splats
from fewview.ggs.tasks import DecoderTask, DenoiserTask
from fewview.recipes import ggs
from fewview.training import TrainConfig, train
from fewview.views import Views


def splats_at(factor: float, cells: int = 8):
    cameras = walk(1, 2, size=16)
    depths = plane_depth(cameras.resized(cells, cells))
    zeros = torch.zeros(1, 2, cells, cells, 10)
    return (
        place_splats(place_of(depths * factor, MICRO.splats), zeros, cameras, config=MICRO.splats, features=zeros),
        cameras,
        depths,
    )


def test_splats_at_true_points_have_no_depth_error():
    splats, cameras, depths = splats_at(1.0)
    assert depth_error(splats, cameras, depths, relative=True) < 1e-5


def test_relative_depth_error_is_the_factor_along_the_ray():
    splats, cameras, depths = splats_at(1.25)
    rays = cameras.resized(8, 8).rays()
    along = 1 / (rays.directions * cameras.forward[..., None, None, :]).sum(-1)
    assert depth_error(splats, cameras, depths, relative=True) == pytest.approx(0.25 * along.mean().item(), rel=1e-3)
    distance = (0.25 * depths * along).mean().item()
    assert depth_error(splats, cameras, depths, relative=False) == pytest.approx(distance, rel=1e-3)


def test_unknown_depths_do_not_count():
    splats, cameras, depths = splats_at(1.25)
    half = depths.clone()
    half[..., :4] = 0
    wrong = depths.clone()
    wrong[..., :4] = 100
    assert depth_error(splats, cameras, half, relative=True) < depth_error(splats, cameras, wrong, relative=True)
    assert depth_error(splats, cameras, torch.zeros_like(depths), relative=True) == 0


def test_levels_are_those_of_their_schedules(generator):
    cosine, normal = (draw_sigma(kind, 4000, generator) for kind in ("cosine", "lognormal"))
    assert cosine.min() >= 0.012 and cosine.max() <= 643 and cosine.median() == pytest.approx(1.0, rel=0.05)
    assert normal.log().mean() == pytest.approx(0.7, abs=0.02) and normal.log().std() == pytest.approx(1.6, abs=0.03)


def test_the_loss_is_the_weighted_sum_of_its_terms(model, clip, generator):
    config = LossConfig(reference=0.5, low=2.0, novel=3.0, depth=0.25)
    terms = denoiser_loss(model, clip, config, generator=generator)
    weights = {"v": 1.0, "v0": 0.5, "low": 2.0, "novel": 3.0, "depth": 0.25}
    assert set(terms) == {"loss", *weights}
    torch.testing.assert_close(terms["loss"], sum(w * terms[n] for n, w in weights.items()))


def test_ablations_leave_their_terms_out(model, clip, generator):
    blind = Clip(clip.references, clip.targets, clip.novel)
    assert set(denoiser_loss(model, blind, LossConfig(novel=0.0), generator=generator)) == {"loss", "v", "v0", "low"}
    flat = lively(GGS(replace(MICRO, no_3d=True)))
    assert set(denoiser_loss(flat, clip, LossConfig(), generator=generator)) == {"loss", "v", "v0"}


def test_the_regressor_never_sees_its_targets(model, clip):
    config = LossConfig(regressor=True)
    black = Clip(clip.references, Views(clip.targets.images * 0, clip.targets.cameras), clip.novel, *clip.depths)
    first, second = (denoiser_loss(model, c, config, generator=torch.Generator().manual_seed(0)) for c in (clip, black))
    assert set(first) == {"loss", "low", "novel", "depth"}
    assert first["low"] == second["low"] and first["depth"] == second["depth"] and first["novel"] != second["novel"]


@pytest.mark.parametrize("depth", ["gaussian", "discrete"])
@pytest.mark.parametrize("scene", [False, True])
def test_gradients_reach_every_parameter_of_the_denoiser(clip, generator, depth, scene):
    config = replace(MICRO, scene=scene, splats=replace(MICRO.splats, depth=depth))
    task = DenoiserTask(lively(GGS(config)), lambda _: clip, clip, LossConfig(scene_chance=1.0))
    task.loss(generator)["loss"].backward()
    names = [n for n, p in task.model.named_parameters() if p.requires_grad and (p.grad is None or not p.grad.any())]
    allowed = {"splats.geometry.3"} if depth == "discrete" else set()  # the unused opacity's row; others are in it
    assert not [n for n in names if n.rsplit(".", 1)[0] not in allowed]
    assert all(p.grad is None for p in task.model.codec.parameters())


def test_gradients_reach_every_parameter_of_the_decoder_and_no_other(model, clip, generator):
    task = DecoderTask(model, lambda _: clip, clip)
    losses = task.loss(generator)
    losses["loss"].backward()
    assert set(losses) == {"loss", "low", "novel", "depth"}
    for name, parameter in model.named_parameters():
        reached = parameter.grad is not None and bool(parameter.grad.any())
        assert reached == name.startswith("decoder."), name


def test_a_perceptual_distance_can_be_added(model, clip):
    distance = lambda a, b: (a - b).abs().mean((1, 2, 3))
    losses = decoder_loss(model, clip, LossConfig(), perceptual=distance, perceptual_weight=0.5)
    torch.testing.assert_close(
        losses["loss"],
        5 * losses["low"] + 5 * losses["novel"] + losses["depth"] + 0.5 * losses["perceptual"],
    )


def test_scenes_so_far_hold_the_references_and_some_novel_views(clip, generator):
    model = GGS(replace(MICRO, scene=True))
    counts = set()
    for _ in range(8):
        scenes = scenes_so_far(model, clip, LossConfig(scene_chance=1.0), generator=generator)
        counts |= {len(scene) // 256 for scene in scenes}
    assert counts == {2, 3, 4}
    assert all(len(s) == 0 for s in scenes_so_far(model, clip, LossConfig(scene_chance=0.0), generator=generator))
    assert scenes_so_far(GGS(MICRO), clip, LossConfig(), generator=generator) is None


def test_both_stages_train_and_resume(clip, tmp_path):
    model = lively(GGS(MICRO))
    for stage, task in [("one", DenoiserTask), ("two", DecoderTask)]:
        for steps in (1, 2):
            config = TrainConfig(steps, 1e-3, validate_every=1, log_every=1, save_every=1)
            train(task(model, lambda _: clip, clip), config, tmp_path / stage)
        rows = (tmp_path / stage / "log.jsonl").read_text().splitlines()
        assert len(rows) == 2 and "val_loss" in rows[0] and "novel_psnr" in rows[0]


@pytest.mark.slow
def test_the_tiny_model_learns_one_clip_by_heart(tmp_path):
    clip = room(1, 2, 4, 2, size=64)
    model = ggs.start(ggs.tiny())
    task = DenoiserTask(model, lambda _: clip, clip)
    before = task.validate(model.eval())
    train(task, TrainConfig(60, 1e-3, warmup=10, ema=0.9, bfloat16=True, validate_every=1000), tmp_path / "one")
    after = task.validate(model)
    assert after["val_v"] < 0.6 * before["val_v"]
    assert after["low_psnr"] > before["low_psnr"] + 5 and after["novel_psnr"] > before["novel_psnr"] + 5
    assert after["val_depth"] < 0.5 * before["val_depth"]


def test_the_references_target_is_minus_their_latents(generator):
    """v of latents whose noise is zero where all is noise: a head that says so has no error of v0."""
    model, clip = lively(GGS(MICRO)), room(1, 2, 2, 1)
    references = model.inputs(clip.references, clip.targets.cameras).references
    answer = torch.cat([-references, torch.zeros_like(references)], dim=1)
    model.velocity.forward = lambda rendered, skip, sigma: answer
    assert denoiser_loss(model, clip, LossConfig(), generator=generator)["v0"] < 1e-10
