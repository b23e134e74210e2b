"""GGS from photos to scenes with the smallest random networks."""

from dataclasses import replace

import pytest
import torch
from ggs_rooms import MICRO, lively, painted, similarity_of, walk

import fewview
from fewview.detail.stage import DetailConfig
from fewview.errors import InputError
from fewview.ggs.grow import GGSMethodConfig
from fewview.ggs.method import GGSMethod
from fewview.ggs.model import GGS
from fewview.states import StateFile
from fewview.views import Asset, Reconstructor, Views
from fewview.weights import model_folder

QUICK = GGSMethodConfig(steps=2, chunk=3, frames=4)


def method(config=MICRO, **changes) -> GGSMethod:
    torch.manual_seed(0)
    changed = replace(QUICK, fit=replace(QUICK.fit, count=100, steps=3))
    return GGSMethod(lively(GGS(config)), replace(changed, **changes))


def scene_of(count: int = 7, given: int = 2):
    cameras = walk(1, count)[0]
    return painted(cameras[:given]), cameras[given:]


def test_photos_and_a_path_give_a_scene_and_the_images_on_the_way():
    photos, path = scene_of()
    made = method().generate(photos, path)
    assert isinstance(method(), Reconstructor) and isinstance(made.scene, Asset)
    assert made.images.images.shape == (5, 3, 16, 16) and len(made.counts) == 2
    torch.testing.assert_close(made.images.cameras.world_from_cam, path.world_from_cam)
    assert made.images.images.amin() >= 0 and made.images.images.amax() <= 1
    assert len(made.scene.gaussians) >= made.counts[-1] > 0
    assert torch.equal(made.scene.gaussians.means, method().reconstruct(photos, path=path).gaussians.means)


def test_it_is_reached_by_its_public_name():
    assert issubclass(fewview.GenerativeGaussianSplatting, GGSMethod)


def test_the_generator_decides():
    photos, path = scene_of()
    draw = lambda seed: method().reconstruct(photos, path=path, generator=torch.Generator().manual_seed(seed))
    first, again, other = draw(1), draw(1), draw(2)
    assert torch.equal(first.gaussians.means, again.gaussians.means)
    assert not torch.equal(first.gaussians.features, other.gaussians.features)


@pytest.mark.parametrize("scene", [False, True])
def test_a_moved_turned_and_scaled_world_has_the_same_scene_moved_turned_and_scaled(scene):
    config = replace(MICRO, scene=scene)
    photos, path = scene_of()
    matrix = similarity_of(3.0)
    first = method(config).generate(photos, path)
    moved = Views(photos.images, photos.cameras.transformed(matrix))
    second = method(config).generate(moved, path.transformed(matrix))
    torch.testing.assert_close(second.images.images, first.images.images, atol=2e-2, rtol=0)
    a, b = first.scene.render(path), second.scene.render(path.transformed(matrix))
    assert (a.image - b.image).abs().mean() < 5e-3 and (a.alpha - b.alpha).abs().mean() < 5e-3
    covered = (a.alpha > 0.5) & (b.alpha > 0.5)
    ratio = (b.depth / a.depth.clamp(min=1e-6))[covered]
    assert ratio.median() == pytest.approx(3.0, rel=0.01)


def test_a_model_that_sees_metres_is_told_how_many_a_unit_has():
    config, matrix = replace(MICRO, metric=True), torch.diag(torch.tensor([4.0, 4, 4, 1]))
    photos, path = scene_of()
    first = method(config).generate(photos, path)
    larger, there = Views(photos.images, photos.cameras.transformed(matrix)), path.transformed(matrix)
    told = method(config, metres=0.25).generate(larger, there)
    torch.testing.assert_close(told.images.images, first.images.images, atol=1e-3, rtol=0)
    torch.testing.assert_close(told.scene.gaussians.scales, 4 * first.scene.gaussians.scales, atol=1e-3, rtol=1e-3)
    untold = method(config).generate(larger, there)
    assert (untold.images.images - first.images.images).abs().max() > 0.01
    with pytest.raises(InputError, match="'metres' is -1"):
        method(config, metres=-1).generate(photos, path)


@pytest.mark.parametrize("given", [1, 2, 5])
def test_one_two_or_five_photos_and_no_path_are_enough(given):
    photos, _ = scene_of(given=given)
    made = method().generate(photos)
    assert len(made.images) == 4 and made.scene.gaussians.means.isfinite().all()
    torch.testing.assert_close(made.images.cameras.world_from_cam, method().path(photos).world_from_cam)


def test_photos_that_no_chunk_was_told_are_in_the_scene_too():
    photos, path = scene_of(given=5)
    added = method(references=1, covered=2.0, merge=0.0, faint=0.0).generate(photos, path[:1])
    assert len(added.scene.gaussians) == (5 + 1) * 16 * 16 and added.counts == (2 * 16 * 16,)


def test_the_denoisers_own_splats_are_one_a_cell():
    photos, path = scene_of()
    made = method(decoder=False, covered=2.0, merge=0.0, faint=0.0).generate(photos, path)
    assert len(made.scene.gaussians) == 7 * 8 * 8


def test_samples_of_a_model_without_splats_are_lifted():
    photos, path = scene_of()
    told = []
    made = method(replace(MICRO, no_3d=True)).generate(photos, path, progress=lambda stage, _: told.append(stage))
    assert 0 < len(made.scene.gaussians) <= 100 and made.images.images.shape[0] == 5
    assert set(told) == {"imagining views", "fitting splats"}


def test_frames_of_a_model_with_splats_can_be_lifted_as_those_of_one_without():
    photos, path = scene_of()
    own, lifted = (method(lifted=on).generate(photos, path) for on in (False, True))
    assert torch.equal(own.images.images, lifted.images.images)  # the same frames, another scene
    assert 0 < len(lifted.scene.gaussians) <= 100 < len(own.scene.gaussians)


def test_a_regressor_takes_the_photos_alone():
    photos, path = scene_of()
    made = method(regressor=True).generate(photos, path)
    assert len(made.images) == 0 and len(made.scene.gaussians) == 2 * 16 * 16
    model = method().model
    direct = model.scene(photos, path[:0], torch.zeros(0, 4, 8, 8)).gaussians
    torch.testing.assert_close(made.scene.gaussians.means, direct.means, atol=1e-4, rtol=1e-4)


def test_refining_brings_the_scene_nearer_to_the_images():
    photos, path = scene_of()
    error = lambda made: (made.scene.render(made.images.cameras).image - made.images.images).abs().mean()
    plain, refined = method().generate(photos, path), method(refine=30).generate(photos, path)
    assert torch.equal(plain.images.images, refined.images.images)
    assert error(refined) < 0.9 * error(plain)


def test_photos_may_have_any_size_and_masks_are_not_used():
    cameras = walk(1, 4, size=48)[0]
    large = painted(cameras)
    small = large.resized(16, 16)
    masked = Views(large.images, cameras, torch.zeros_like(large.images[:, :1]))
    a = method().generate(small[:2], small.cameras[2:]).images.images
    b = method().generate(masked[:2], cameras[2:]).images.images
    torch.testing.assert_close(a, b, atol=1e-3, rtol=0)


def wide(cameras):
    """Of twice the field of view across."""
    return cameras.cropped(-cameras.width // 2, 0, cameras.height, 2 * cameras.width)


@pytest.mark.parametrize("changes", [{}, {"regressor": True}, {"decoder": False}, {"refine": 2}])
def test_photos_that_are_not_square_are_in_the_scene_to_their_edges(changes):
    cameras = wide(walk(1, 5)[0])
    made = method(**changes).generate(painted(cameras)[:2], cameras[2:])
    assert made.given.images.shape[-2:] == (16, 32) and made.images.images.shape[-2:] == (16, 32)
    seen = made.scene.render(cameras[:1]).alpha[0, 0]
    assert seen[:, :8].mean() > 0.5 and seen[:, 24:].mean() > 0.5


def test_a_scene_becomes_as_sharp_as_its_photos_and_keeps_what_none_of_them_shows():
    cameras = wide(walk(1, 5, size=32)[0])
    photos = painted(cameras[:1])
    stripes = 0.5 + 0.4 * torch.sin(1.5 * torch.arange(64.0))  # too fine for the 16 pixels that the network sees
    photos = replace(photos, images=stripes.expand_as(photos.images))
    sharp = DetailConfig(steps=40, coarsest=32)
    plain, fitted = (method(detail=how).generate(photos, cameras[2:]).scene for how in (None, sharp))
    error = lambda scene: (scene.render(photos.cameras).image - photos.images).square().mean()
    assert fitted.antialiased and error(fitted) < 0.8 * error(plain)
    away = replace(
        cameras[2:3], world_from_cam=cameras[2:3].world_from_cam @ torch.diag(torch.tensor([-1.0, 1, -1, 1]))
    )
    assert float((fitted.render(away).image - plain.render(away).image).abs().mean()) < 0.1


def test_a_stopped_run_goes_on_to_the_same_scene(tmp_path):
    photos, path = scene_of()
    keeper, whole = StateFile(tmp_path / "state.safetensors"), method(refine=2).reconstruct(photos, path=path)

    def stop(stage, fraction):
        if fraction > 0.5:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        method(refine=2).generate(photos, path, progress=stop, keeper=keeper)
    again = method(refine=2).generate(photos, path, keeper=keeper).scene
    assert all(torch.equal(getattr(again.gaussians, n), t) for n, t in whole.gaussians.tensors().items())


def test_weights_go_to_a_folder_and_back(tmp_path):
    photos, path = scene_of()
    method().save_pretrained(tmp_path / "w")
    again = GGSMethod.from_pretrained(tmp_path / "w", method().config)
    assert torch.equal(
        again.reconstruct(photos, path=path).gaussians.means, method().reconstruct(photos, path=path).gaussians.means
    )
    with pytest.raises(InputError, match="neither a model folder nor one of the shipped weights of ggs"):
        GGSMethod.from_pretrained("nothing")


def test_shipped_weights_are_found_with_and_without_their_prefix(tmp_path, monkeypatch):
    (tmp_path / "ggs-tiny").mkdir()
    monkeypatch.setattr("fewview.weights.WEIGHTS", tmp_path)
    assert model_folder("tiny", "ggs") == model_folder("ggs-tiny", "ggs") == tmp_path / "ggs-tiny"


@pytest.mark.parametrize(
    "changes, words",
    [
        ({"conditioning": "scene"}, "take no scene so far"),
        ({"steps": 0}, "'steps' is 0"),
        ({"chunk": 0}, "'chunk' is 0"),
        ({"refine": -1}, "'refine' is -1"),
        ({"frames": 0}, "at least one"),
    ],
)
def test_what_cannot_be_done_is_said(changes, words):
    photos, _ = scene_of()
    with pytest.raises(InputError, match=words):
        method(**changes).generate(photos)


def test_no_photo_and_no_splats_to_regress_are_refused():
    photos, path = scene_of()
    with pytest.raises(InputError, match="no photo"):
        method().generate(photos[:0], path)
    with pytest.raises(InputError, match="no regressor"):
        method(replace(MICRO, no_3d=True), regressor=True).generate(photos)
    with pytest.raises(InputError, match="does not exist"):
        GGSMethodConfig.preset("slow")
