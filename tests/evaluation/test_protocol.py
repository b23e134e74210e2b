import math

import pytest
import torch
from evaluation.fakes import Black, BrokenScene, Emits, Fails, Knows, RingScene, ring
from torch import nn

from fewview.evaluation.objects.protocol import angle_to_nearest, evaluate, square, unmended
from fewview.evaluation.objects.splits import Protocol, read_plan
from fewview.evaluation.pictures import load_png
from fewview.evaluation.rows import read_rows
from fewview.views import Views

PROTOCOL = Protocol(context=2, views=6, size=16, pictures=1)


def _scenes(count=2, **options):
    return [RingScene(f"cup/{i}", **options) for i in range(count)]


class MeanDifference(nn.Module):
    """Stands in for LPIPS."""

    def forward(self, images, truth):
        return (images - truth).abs().mean((1, 2, 3))


def test_the_true_world_scores_perfectly_and_a_constant_error_its_decibels(tmp_path):
    scenes = _scenes(masked=True)
    failures = evaluate({"right": Knows(), "dark": Black()}, scenes, PROTOCOL, out=tmp_path, lpips=MeanDifference())
    assert failures == []
    rows = read_rows(tmp_path / "results.jsonl")
    assert len(rows) == 2 * 2 * 4
    for row in rows:
        scene = scenes[int(row.scene[-1])]
        truth = scene.read([row.view]).on_black().images
        known = -10 * math.log10(truth.square().mean()) if row.method == "dark" else None
        if known is not None:
            assert row.psnr == pytest.approx(known, abs=1e-3)
            assert row.lpips == pytest.approx(truth.mean().item(), abs=1e-5)
        assert row.category == "cup"


def test_an_unmasked_true_world_reaches_the_cap(tmp_path):
    evaluate({"right": Knows(), "off": Knows(0.1)}, _scenes(), PROTOCOL, out=tmp_path)
    for row in read_rows(tmp_path / "results.jsonl"):
        if row.method == "right":
            assert row.psnr > 99 and row.ssim == pytest.approx(1)
        else:
            assert 19.999 < row.psnr < 24  # 20 dB but where clamping at black makes it less
        assert row.lpips is None and row.seconds >= 0


def test_inputs_are_the_same_for_every_method_and_never_judged(tmp_path):
    methods = {"a": Knows(), "b": Knows()}
    evaluate(methods, _scenes(), PROTOCOL, out=tmp_path)
    _, splits = read_plan(tmp_path)
    for i in range(2):
        a, b = methods["a"].inputs[i], methods["b"].inputs[i]
        assert len(a) == 2 and torch.equal(a.images, b.images)
        assert torch.equal(a.cameras.world_from_cam, b.cameras.world_from_cam)
    assert methods["a"].drawn == methods["b"].drawn and methods["a"].drawn[0] != methods["a"].drawn[1]
    for row in read_rows(tmp_path / "results.jsonl"):
        assert row.view in splits[row.scene].held_out and row.view not in splits[row.scene].context


def test_methods_get_masks_and_uncut_colours(tmp_path):
    method = Knows()
    evaluate({"m": method}, _scenes(1, masked=True), PROTOCOL, out=tmp_path)
    views = method.inputs[0]
    assert views.masks is not None and views.images[..., 0].max() > 0.2


def test_angles_are_those_of_the_ring(tmp_path):
    evaluate({"m": Knows()}, _scenes(1), PROTOCOL, out=tmp_path)
    context = read_plan(tmp_path)[1]["cup/0"].context
    for row in read_rows(tmp_path / "results.jsonl"):
        steps = min(min((row.view - c) % 12, (c - row.view) % 12) for c in context)
        assert row.angle_to_nearest_context_deg == pytest.approx(30 * steps, abs=1e-2)


def test_small_angles_are_exact():
    cameras = ring(36000)
    assert angle_to_nearest(cameras[1:2], cameras[0:1]).item() == pytest.approx(0.01, rel=1e-3)
    assert angle_to_nearest(cameras[18000:18001], cameras[0:1]).item() == pytest.approx(180, abs=1e-2)


def test_a_second_run_does_nothing_and_a_torn_one_makes_the_missing_rows(tmp_path):
    path = tmp_path / "results.jsonl"
    evaluate({"m": Knows()}, _scenes(), PROTOCOL, out=tmp_path)
    before = read_rows(path)
    again, scenes = Knows(), _scenes()
    evaluate({"m": again}, scenes, PROTOCOL, out=tmp_path)
    assert again.inputs == [] and scenes[0].reads == [] and read_rows(path) == before
    path.write_bytes(path.read_bytes()[:-10])
    evaluate({"m": again}, _scenes(), PROTOCOL, out=tmp_path)
    assert len(again.inputs) == 1
    after = read_rows(path)
    assert [row.key for row in after] == [row.key for row in before]
    assert [row.psnr for row in after] == [row.psnr for row in before]


def test_two_runs_write_the_same_but_for_the_seconds(tmp_path):
    for name in ("one", "two"):
        evaluate({"m": Knows(0.1), "n": Black()}, _scenes(), PROTOCOL, out=tmp_path / name)
    rows = [[vars(r) | {"seconds": 0} for r in read_rows(tmp_path / n / "results.jsonl")] for n in ("one", "two")]
    assert rows[0] == rows[1]
    pictures = [(tmp_path / name / "pictures/cup_1.png").read_bytes() for name in ("one", "two")]
    assert pictures[0] == pictures[1]


def _width(out):
    sheet = load_png(out / "pictures/cup_0.png")
    assert sheet is not None
    return sheet.shape[-1]


def test_a_method_added_later_joins_rows_and_pictures(tmp_path):
    evaluate({"dark": Black()}, _scenes(1), PROTOCOL, out=tmp_path)
    dark = _width(tmp_path)
    evaluate({"right": Knows()}, _scenes(1), PROTOCOL, out=tmp_path)
    assert _width(tmp_path) == dark + 16 + 4
    assert {row.method for row in read_rows(tmp_path / "results.jsonl")} == {"dark", "right"}


def test_a_failure_is_recorded_told_and_made_good_later(tmp_path):
    said: list[str] = []
    methods = {"weak": Fails(times=1), "right": Knows()}
    failures = evaluate(methods, _scenes(), PROTOCOL, out=tmp_path, progress=said.append)
    assert [(f.scene, f.method, f.error) for f in failures] == [("cup/0", "weak", "RuntimeError: out of memory")]
    assert "in reconstruct" in failures[0].traceback
    assert unmended(tmp_path) == failures and "weak failed" in said[0] and len(said) == 4
    assert {(r.scene, r.method) for r in read_rows(tmp_path / "results.jsonl")} == {
        ("cup/0", "right"), ("cup/1", "right"), ("cup/1", "weak"),
    }  # fmt: skip
    assert evaluate(methods, _scenes(), PROTOCOL, out=tmp_path) == [] and unmended(tmp_path) == []


def test_a_scene_that_cannot_be_read_fails_for_each_method_and_stops_no_other(tmp_path):
    scenes = [BrokenScene("cup/0"), RingScene("cup/1")]
    failures = evaluate({"a": Knows(), "b": Knows()}, scenes, PROTOCOL, out=tmp_path)
    assert [(f.scene, f.method) for f in failures] == [("cup/0", "a"), ("cup/0", "b")]
    assert {row.scene for row in read_rows(tmp_path / "results.jsonl")} == {"cup/1"}


@pytest.mark.parametrize("method", [Emits(math.nan), Emits(math.inf), Emits(0.5, shrink=1)])
def test_a_render_that_is_not_finite_or_of_another_size_is_a_failure(tmp_path, method):
    failures = evaluate({"bad": method}, _scenes(1), PROTOCOL, out=tmp_path)
    assert len(failures) == 1 and "render" in failures[0].error
    assert read_rows(tmp_path / "results.jsonl") == []


def test_stopping_by_hand_is_no_failure(tmp_path):
    class Stopped(Knows):
        def reconstruct(self, views, *, generator=None):
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        evaluate({"m": Stopped()}, _scenes(1), PROTOCOL, out=tmp_path)
    assert not (tmp_path / "failures.jsonl").exists()


def test_rows_without_lpips_are_made_again_when_it_is_there(tmp_path):
    evaluate({"m": Knows(0.1)}, _scenes(), PROTOCOL, out=tmp_path)
    evaluate({"m": Knows(0.1)}, _scenes(), PROTOCOL, out=tmp_path, lpips=MeanDifference())
    rows = read_rows(tmp_path / "results.jsonl")
    assert len(rows) == 8 and all(row.lpips is not None for row in rows)
    evaluate({"m": Knows(0.1)}, _scenes(), PROTOCOL, out=tmp_path)
    assert read_rows(tmp_path / "results.jsonl") == rows


def test_square_keeps_each_point_on_its_pixel():
    views = RingScene("wide", 3, size=16, width=40).read([0, 1, 2])
    views = Views(views.images, views.cameras, torch.ones_like(views.images[:, :1]))
    small = square(views, 8)
    assert small.images.shape == (3, 3, 8, 8) and small.masks is not None and small.masks.shape == (3, 1, 8, 8)
    points = torch.tensor([[0.3, -0.2, 0.1], [0.0, 0.4, -0.3]])
    old, new = views.cameras.project(points)[0], small.cameras.project(points)[0]
    assert torch.allclose(new, (old - torch.tensor([12.0, 0.0])) / 2, atol=1e-4)
