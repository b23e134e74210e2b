"""Methods as functions of photos, and what is made of the scenes they return."""

from dataclasses import replace

import pytest
import torch
import trimesh
import worlds
from ggs_rooms import MICRO, lively, painted, walk
from torch.nn import functional as F

import fewview
from fewview.cameras import Cameras
from fewview.detail.stage import DetailConfig
from fewview.errors import InputError
from fewview.ggs.grow import GGSMethodConfig
from fewview.ggs.model import GGS
from fewview.pipeline import methods
from fewview.pipeline.reconstruction import Reconstruction
from fewview.pipeline.scale import ROOM, metres_per_unit
from fewview.render.asset import GaussianAsset
from fewview.render.gaussians import Gaussians
from fewview.views import Views


@pytest.fixture(scope="module", autouse=True)
def quick():
    with pytest.MonkeyPatch.context() as patch:
        worlds.quick_exports(patch)
        yield


@pytest.fixture(scope="module")
def views():
    return worlds.photograph(worlds.ring(3, size=16))


@pytest.fixture(scope="module")
def pipe():
    return fewview.SparseFusion(worlds.smallest_model(), worlds.quick())


@pytest.fixture(scope="module")
def told() -> list[tuple[str, float]]:
    return []


@pytest.fixture(scope="module")
def scene(pipe, views, told) -> Reconstruction:
    generator = torch.Generator().manual_seed(3)
    return pipe(views, generator=generator, name="balls", progress=lambda stage, done: told.append((stage, done)))


def test_a_call_gives_what_reconstruct_gives(pipe, views, scene):
    field = pipe.reconstruct(views, generator=torch.Generator().manual_seed(3))
    want = field.render(views.cameras)
    assert torch.equal(scene.render(views.cameras).image, want.image)
    assert repr(scene) == "<Reconstruction 'balls' of 3 photos: FieldAsset>"


def test_progress_is_told_to_the_end_of_every_stage(scene, told, tmp_path):
    scene.export(tmp_path / "x.ply")
    last = dict(told)
    assert {"distilling the scene", "fitting splats"} <= set(last) and all(done == 1 for done in last.values())


def test_exports_go_by_the_ending_and_replace_files_but_not_folders(scene, tmp_path):
    (tmp_path / "x.glb").write_text("before")
    scene.export(tmp_path / "x.glb")
    assert isinstance(trimesh.load(tmp_path / "x.glb"), trimesh.Scene)
    scene.export(str(tmp_path / "films" / "x.webp"))
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "mine.txt").write_text("precious")
    with pytest.raises(InputError, match="something in it"):
        scene.export(tmp_path / "full", "colmap")
    with pytest.raises(InputError, match="name a file in"):
        scene.export(tmp_path / "x.stl")
    assert (tmp_path / "full" / "mine.txt").exists()


def test_saved_results_are_opened_again_and_their_photos_are_an_input(scene, views, tmp_path):
    scene.save(tmp_path / "out")
    again = Reconstruction.open(tmp_path / "out")
    assert torch.equal(again.render(views.cameras).image, scene.render(views.cameras).image)
    with pytest.raises(InputError, match="photos of out are not known"):
        again.save(tmp_path / "twice")
    photos = fewview.open_scene(tmp_path / "out" / "inputs").read([0, 1, 2])
    torch.testing.assert_close(photos.cameras.world_from_cam, views.cameras.world_from_cam, atol=1e-5, rtol=0)
    torch.testing.assert_close(photos.on_black().images, views.on_black().images, atol=0.01, rtol=0)


def test_a_notebook_shows_it_turning(scene):
    assert scene._repr_html_().startswith('<img src="data:image/webp;base64,')


def test_a_walk_is_filmed_along_itself_and_remembered(views, tmp_path):
    turns = F.normalize(torch.randn(50, 4), dim=-1)
    splats = Gaussians(torch.randn(50, 3), torch.full((50, 3), 0.1), turns, torch.rand(50), torch.rand(50, 3))
    asset = GaussianAsset(splats)
    path = Cameras.look_at(
        torch.tensor([[0.0, 0, -4], [1, 0, -4], [2, 0, -3]]), torch.zeros(3), torch.tensor([0, -1.0, 0]),
        focal=16, height=16, width=20,
    )  # fmt: skip
    room = Reconstruction.along(asset, path, views, name="room")
    torch.testing.assert_close(room.path(3).centers, path.centers)
    room.save(tmp_path / "room")
    assert not (tmp_path / "room" / "mesh.glb").exists()
    again = Reconstruction.open(tmp_path / "room")
    assert again.walk and isinstance(again.asset, GaussianAsset)
    assert torch.equal(again.asset.gaussians.means, splats.means)
    torch.testing.assert_close(again.path(5).centers[[0, -1]], path.centers[[0, -1]], atol=1e-5, rtol=0)
    single = Reconstruction.along(asset, path[:1], views)
    torch.testing.assert_close(single.path(2).centers, path.centers[[0, 0]])


def test_a_room_is_made_and_filmed_along_the_path_that_was_asked_for():
    cameras = walk(1, 6)[0]
    pipe = fewview.GenerativeGaussianSplatting(lively(GGS(MICRO)), GGSMethodConfig(steps=1, chunk=3))
    room = pipe(painted(cameras[:2]), path=cameras[2:], name="hall")
    torch.testing.assert_close(room.path(4).centers, cameras.centers[2:], atol=1e-4, rtol=0)
    assert room.walk and repr(room) == "<Reconstruction 'hall' of 2 photos: GaussianAsset>"
    assert len(pipe(painted(cameras[:1]), path=cameras[3:4]).cameras) == 2


def before_a_wall(depth: float, *, count: int = 3, focal: float = 160.0) -> Views:
    """Photos half a unit apart of a flat wall at a z-depth: windows of one picture, at their parallax."""
    wall = F.interpolate(torch.rand(1, 3, 40, 90, generator=torch.Generator().manual_seed(2)), scale_factor=4)[0]
    steps = [round(0.5 * i * focal / depth) for i in range(count)]
    images = torch.stack([wall[:, :160, x : x + 160] for x in steps])
    centers = torch.tensor([[0.5 * i, 0.0, 0.0] for i in range(count)])
    towards = centers + torch.tensor([0, 0, 1.0])
    cameras = Cameras.look_at(centers, towards, torch.tensor([0, -1.0, 0]), focal=focal, height=160, width=160)
    return Views(images, cameras)


@pytest.mark.parametrize("depth", [4.0, 10.0])
def test_the_size_of_the_world_is_seen_in_what_photos_share(depth):
    pytest.importorskip("cv2")
    assert metres_per_unit(before_a_wall(depth)) == pytest.approx(ROOM / depth, rel=0.15)


def test_a_method_is_told_the_size_once_and_only_where_its_model_asks():
    pytest.importorskip("cv2")
    views = before_a_wall(4.0)
    pipe = lambda metric, metres=None: fewview.GenerativeGaussianSplatting(
        GGS(replace(MICRO, metric=metric)), GGSMethodConfig(metres=metres)
    )
    assert pipe(True).in_metres(views).config.metres == metres_per_unit(views)
    assert pipe(True).in_metres(views[:1]).config.metres == 1.0
    assert pipe(True, 3.0).in_metres(views).config.metres == 3.0
    assert pipe(False).in_metres(views).config.metres is None


def test_photos_without_common_points_tell_no_size():
    views = before_a_wall(4.0)
    assert metres_per_unit(views[:1]) is None
    assert metres_per_unit(Views(torch.zeros_like(views.images), views.cameras)) is None


def test_splats_are_their_own_splats(scene, views):
    asset = GaussianAsset(scene.splats)
    assert Reconstruction.of(asset, views).splats is asset.gaussians


def test_pretrained_weights_come_with_the_perceptual_loss_where_it_helps(pipe, tmp_path, monkeypatch):
    loss = torch.nn.L1Loss()
    monkeypatch.setattr(methods, "find_lpips", lambda kind: loss)
    pipe.save_pretrained(tmp_path)
    made = fewview.SparseFusion.from_pretrained(tmp_path)
    assert isinstance(made, fewview.SparseFusion) and made.perceptual is loss
    assert torch.equal(made.model.eft.colour.weight, pipe.model.eft.colour.weight)
    without = fewview.SparseFusionConfig(seeking="photos")
    assert fewview.SparseFusion.from_pretrained(tmp_path, without).perceptual is None


def test_splats_of_a_scene_that_knows_its_photos_are_kept_with_the_results(scene, tmp_path):
    scene.save(tmp_path / "out")
    again = Reconstruction.open(tmp_path / "out")
    torch.testing.assert_close(again.splats.means, scene.splats.means)
    assert not again.splat_asset.antialiased


def test_pictures_among_the_results_are_of_the_sharp_splats(scene, tmp_path):
    scene.save(tmp_path / "out")
    shown = fewview.open_scene(tmp_path / "out").read([0])
    splats, field = (made.render(shown.cameras).image for made in (scene.splat_asset, scene.asset))
    assert (shown.images - splats.clamp(0, 1)).abs().mean() < 0.01
    assert (shown.images - field).abs().mean() > (shown.images - splats.clamp(0, 1)).abs().mean()


def test_photos_alone_become_splats_that_plain_renderers_show(views, tmp_path):
    pipe = methods.PhotoSplats(DetailConfig(steps=3))
    scene = pipe(views, name="alone", generator=torch.Generator().manual_seed(0))
    assert isinstance(scene.asset, GaussianAsset) and scene.asset.antialiased
    assert bool((scene.splats.opacities <= scene.asset.gaussians.opacities + 1e-6).all())
    scene.export(tmp_path / "x.spz")
    assert not Reconstruction.open(tmp_path / "x.spz").asset.antialiased
    again = pipe.reconstruct(views, generator=torch.Generator().manual_seed(0))
    assert torch.equal(again.gaussians.means, scene.asset.gaussians.means)
