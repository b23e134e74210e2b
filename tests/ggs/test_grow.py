"""Growth, compaction, lifting and paths: what each part promises on its own."""

import math
from dataclasses import replace

import pytest
import torch
from ggs_rooms import MICRO, lively, painted, plane_depth, walk

from fewview.cameras import Cameras
from fewview.checkpoint import load_tensors, save_tensors
from fewview.errors import InputError
from fewview.fitting import GaussianFitConfig
from fewview.ggs.compact import areas, compact, merged
from fewview.ggs.grow import GGSMethodConfig, GrowthPlan, grow, sample
from fewview.ggs.lift import lift
from fewview.ggs.model import GGS
from fewview.ggs.scene_maps import splats_of_depth
from fewview.ggs.walks import (
    SQUEEZE,
    automatic_path,
    checked_path,
    chosen_references,
    framed,
    framed_cameras,
    pace_of,
    size_for,
    window,
)
from fewview.progress import silent, steps_of
from fewview.render.asset import GaussianAsset
from fewview.render.gaussians import Gaussians
from fewview.render.splatting import splat
from fewview.states import StateFile
from fewview.stereo import stereo
from fewview.views import Views

STATE = "grown.safetensors"
QUICK = GGSMethodConfig(steps=2, chunk=3)


def model_of(config=MICRO) -> GGS:
    torch.manual_seed(0)
    return lively(GGS(config))


def along(places: list[float], *, turn: float = 0.0, size: int = 16) -> Cameras:
    """Cameras on the x axis that look along z."""
    centers = torch.tensor([[x, 0.0, 0.0] for x in places])
    ahead = torch.tensor([torch.tensor(turn).sin(), 0.0, torch.tensor(turn).cos()])
    up = torch.tensor([0.0, -1, 0])
    return Cameras.look_at(centers, centers + ahead, up, focal=1.2 * size, height=size, width=size)


def splats(n: int, generator, *, opacity: float = 0.8) -> Gaussians:
    draw = lambda *shape: torch.rand(*shape, generator=generator)
    quaternions = torch.nn.functional.normalize(draw(n, 4) - 0.5, dim=-1)
    return Gaussians(draw(n, 3) * 4, 0.05 + 0.1 * draw(n, 3), quaternions, torch.full((n,), opacity), draw(n, 3))


def psnr(a, b) -> float:
    return -10 * torch.log10((a - b).square().mean()).item()


# -- compaction -----------------------------------------------------------------------------------------------------


def test_splats_alone_in_their_cells_are_not_touched(generator):
    scene = splats(40, generator)
    one = merged(scene, 1e-4)
    assert all(torch.equal(getattr(one, name), tensor) for name, tensor in scene.tensors().items())


def test_twice_the_same_splat_is_one_that_blends_like_both(generator):
    scene = splats(30, generator, opacity=0.6)
    one = merged(Gaussians.cat([scene, scene]), 1e-4)
    assert len(one) == 30
    order, again = scene.means[:, 0].argsort(), one.means[:, 0].argsort()
    torch.testing.assert_close(one.means[again], scene.means[order], atol=1e-5, rtol=0)
    torch.testing.assert_close(one.covariances()[again], scene.covariances()[order], atol=1e-6, rtol=1e-4)
    torch.testing.assert_close(one.features[again], scene.features[order])
    torch.testing.assert_close(one.opacities, torch.full((30,), 1 - 0.4 * 0.4), atol=1e-4, rtol=0)


def test_the_one_has_the_moments_of_the_mixture():
    means = torch.tensor([[0.01, 0.02, 0.03], [0.05, 0.02, 0.03]])
    upright = torch.tensor([[1.0, 0, 0, 0]]).expand(2, 4)
    scales = torch.tensor([[0.1, 0.1, 0.1], [0.1, 0.1, 0.1]])
    colours = torch.tensor([[1.0, 0, 0], [0, 0, 1.0]])
    one = merged(Gaussians(means, scales, upright, torch.tensor([0.6, 0.2]), colours), 2.0)
    torch.testing.assert_close(one.means, torch.tensor([[0.02, 0.02, 0.03]]))
    expected = torch.diag(torch.tensor([0.01 + 0.75 * 0.01**2 + 0.25 * 0.03**2, 0.01, 0.01]))
    torch.testing.assert_close(one.covariances()[0], expected)
    torch.testing.assert_close(one.features, torch.tensor([[0.75, 0, 0.25]]))


def test_near_things_keep_finer_cells():
    """Two pairs, equally many deviations apart: both merge or neither, whatever their size."""
    for size in (0.01, 1.0):
        means = size * torch.tensor([[0.1, 0.1, 0.1], [0.3, 0.1, 0.1]])
        pair = Gaussians(
            means, torch.full((2, 3), size), torch.eye(4)[[0, 0]], torch.full((2,), 0.5), torch.zeros(2, 3)
        )
        assert len(merged(pair, 1.0)) == 1 and len(merged(pair, 0.05)) == 2


def test_a_wall_seen_twice_looks_the_same_in_half_the_splats():
    cameras = walk(1, 4, size=32)[0]
    views, depths = painted(cameras), plane_depth(cameras)
    once = splats_of_depth(views[:1], depths[:1])
    twice = Gaussians.cat([once, splats_of_depth(views, depths)])
    less = compact(twice, faint=0.005, edge=1.5, most=10**6)
    assert len(less) < 0.7 * len(twice)
    assert psnr(splat(less, cameras).image, splat(twice, cameras).image) > 40


def test_pruning_changes_no_pixel_by_more_than_what_went(generator):
    scene = splats(300, generator)
    scene = replace(scene, opacities=torch.rand(300, generator=generator) ** 4)
    cameras = walk(1, 3, size=24)[0]
    kept = compact(scene, faint=0.02, edge=0, most=10**6)
    assert 0.2 * len(scene) < len(kept) < 0.8 * len(scene)
    gone = scene[scene.opacities < 0.02]
    bound = splat(replace(gone, features=torch.ones(len(gone), 3)), cameras).alpha.max()
    assert (splat(kept, cameras).image - splat(scene, cameras).image).abs().max() < 2 * bound + 1e-3
    unseen = compact(scene, faint=1 / 255, edge=0, most=10**6)
    torch.testing.assert_close(splat(unseen, cameras).image, splat(scene, cameras).image, atol=1e-6, rtol=0)


def test_no_more_splats_than_allowed(generator):
    scene = splats(400, generator)
    assert len(compact(scene, faint=0.0, edge=0.5, most=100)) <= 100
    assert len(compact(scene, faint=0.0, edge=0, most=3)) == 3
    assert (areas(scene) > 0).all() and len(merged(scene[:0], 1.0)) == 0


# -- references and paths ---------------------------------------------------------------------------------------------


def test_references_are_those_that_leave_no_target_far():
    pick = lambda places, targets, count, reach=9.0: chosen_references(
        along(places), along(targets), count, pace=1.0, reach=reach
    )
    assert sorted(pick([0, 1, 5, 6], [2, 3, 4], 2)) == [1, 2]
    assert pick([0, 1, 2, 3], [4, 5], 2) == [3, 0]  # the second brings nothing: the first photo
    assert pick([0, 1, 2, 3], [4, 5], 2, reach=3.5) == [3, 2]  # but not one from too far away
    assert pick([0, 50], [100.0], 2) == [1]  # the only one, however far
    assert pick([0.0], [1.0], 3) == [0]


def test_references_look_the_same_way():
    candidates = Cameras.cat([along([0.0], turn=2.5), along([0.4])])
    assert chosen_references(candidates, along([0.0]), 1, pace=1.0, reach=9.0) == [1]


def test_the_automatic_path_lies_between_the_photos_or_about_the_only_one():
    path = automatic_path(along([0.0, 1.0, 4.0]), 5)
    assert (path.centers[:, 0].diff() > 0).all() and path.centers[0, 0] > 0 and path.centers[-1, 0] < 4
    given = walk(1, 1)[0]
    stroll = automatic_path(given, 8)
    local = stroll.transformed(given.cam_from_world[0])
    assert stroll.shape == (8,) and local.centers.norm(dim=-1).max() <= 1.0001
    assert (local.centers[:, 2] > 0).all() and local.centers[:, 1].abs().max() < 1e-6
    assert (local.forward[:, 2] > 0.9).all() and local.forward[0, 0] > 0 > local.forward[-1, 0]
    with pytest.raises(InputError, match="at least one"):
        automatic_path(given, 0)


def test_a_chunk_walks_its_share_of_the_way():
    assert pace_of(along([0.0]), along([1.0, 2.0, 3.0, 6.0]), 2) == pytest.approx(3.0)
    assert pace_of(along([0.0, 5.0]), along([5.0, 5.0]), 1) == pytest.approx(5.0)
    assert pace_of(along([7.0]), along([7.0]), 1) == 1.0


def test_whole_photos_are_cut_to_shape_and_rays_stay():
    cameras = walk(1, 2, size=24)[0]
    wide = replace(cameras, height=12, intrinsics=cameras.intrinsics.clone())
    views = framed(painted(wide), 16, 16)
    assert views.images.shape == (2, 3, 16, 16)
    torch.testing.assert_close(views.images, painted(framed_cameras(wide, 16, 16)).images, atol=0.02, rtol=0)


@pytest.mark.parametrize(
    "photo, size",
    [
        ((1000, 1000), (64, 64)),
        ((683, 1024), (64, 96)),
        ((1024, 683), (96, 64)),
        ((480, 640), (64, 84)),
        ((1080, 1920), (64, 112)),
        ((100, 1000), (64, 160)),
        ((64, 65), (64, 64)),
    ],
)
def test_photos_are_shown_in_their_own_shape(photo, size):
    cameras = walk(1, 2)[0].resized(*photo)
    assert size_for(cameras, 64, 64, step=4) == size
    h, w, top, left = window(cameras, *size)
    assert (h, w) == photo or photo == (100, 1000)
    assert abs(math.log(w / h * size[0] / size[1])) < SQUEEZE
    assert (2 * top + h, 2 * left + w) == photo


def test_a_model_that_is_not_square_keeps_its_size_for_photos_of_its_shape():
    assert size_for(walk(1, 2)[0].resized(1080, 1920), 320, 576, step=8) == (320, 576)
    assert size_for(walk(1, 2)[0].resized(1920, 1080), 320, 576, step=8) == (568, 320)


def test_a_path_needs_cameras_of_the_photos_kind():
    given = along([0.0, 1.0])
    assert checked_path(along([0.5]), given).shape == (1,)
    scale = torch.tensor([2.0, 2.0, 1.0])[:, None]
    zoomed = replace(along([0.2, 0.5]), intrinsics=scale * along([0.2, 0.5]).intrinsics)
    zoomed.intrinsics[:, :2, 2] /= 2
    with pytest.raises(InputError, match=r"2\.00 times the photos' focal length"):
        checked_path(zoomed, given)
    with pytest.raises(InputError, match="no camera"):
        checked_path(given[:0], given)
    with pytest.raises(InputError, match="NaN"):
        checked_path(replace(given, world_from_cam=given.world_from_cam * float("nan")), given)


# -- growth -----------------------------------------------------------------------------------------------------------


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


# -- images to splats -------------------------------------------------------------------------------------------------


def test_stereo_finds_the_wall():
    cameras = walk(1, 5, size=32)[0]
    rays = cameras.rays()
    points = rays.origins + rays.directions * ((4 - rays.origins[..., 2:]) / rays.directions[..., 2:])
    fine = (points[..., :1] * 9).sin() * (points[..., 1:2] * 11).cos()
    views = Views((0.5 + 0.4 * fine).expand(*fine.shape[:-1], 3).movedim(-1, -3).contiguous(), cameras)
    found, true = stereo(views, 1.0, 20.0).depth, plane_depth(cameras)
    assert ((found / true).log().abs() < 0.1).float().mean() > 0.9


def test_lifted_splats_show_the_images(generator):
    cameras = walk(1, 5, size=24)[0]
    views = painted(cameras)
    told: list[float] = []
    tell = steps_of(lambda stage, done: told.append(done), "fitting", 60)
    fit = GaussianFitConfig(count=400, steps=60)
    asset = lift(views, 1.0, 20.0, config=fit, generator=generator, progress=tell)
    assert told[-1] == 1.0 and psnr(asset.render(cameras).image, views.images) > 22


def test_a_single_view_is_lifted_too(generator):
    cameras = walk(1, 1, size=16)[0]
    depth = stereo(painted(cameras), 1.0, 16.0).depth
    torch.testing.assert_close(depth, torch.full((1, 16, 16), 2 / (1 + 1 / 16)))
