import dataclasses

import pytest
import torch
from sparsefusion.test_distill import ASSET, ball, ring
from sparsefusion.test_vldm import MICRO

from fewview.cameras import Cameras
from fewview.errors import InputError
from fewview.recipes import sparsefusion as recipes
from fewview.sparsefusion.method import (
    EFTImages,
    SparseFusionConfig,
    SparseFusionMethod,
    VLDMSamples,
    eft_image,
    prepare,
    sample_view,
)
from fewview.sparsefusion.vldm import VLDM
from fewview.views import Asset, Reconstructor, Views
from fewview.weights import model_folder


def config(seeking: str = "mode", steps: int = 4) -> SparseFusionConfig:
    fast = SparseFusionConfig.preset("fast")
    distill = dataclasses.replace(
        fast.distill, steps=steps, bootstrap_steps=2, pseudo_views=3, render_size=16, asset=ASSET, input_rays=64
    )
    return dataclasses.replace(fast, distill=distill, seeking=seeking, photo_size=32, first_size=8)


@pytest.fixture
def model() -> VLDM:
    torch.manual_seed(0)
    return VLDM(MICRO)


def photos() -> Views:
    return ball(ring(torch.tensor([0.0, 1.0])))


@pytest.mark.parametrize("seeking", ["mode", "eft-mean", "vldm-mean", "photos"])
def test_every_way_of_seeking_gives_an_asset_that_renders(model, seeking):
    method = SparseFusionMethod(model, config(seeking))
    assert isinstance(method, Reconstructor)
    stages = set()
    asset = method.reconstruct(photos(), progress=lambda stage, fraction: stages.add(stage))
    assert isinstance(asset, Asset) and "distilling the scene" in stages
    render = asset.render(ring(torch.tensor([0.5])))
    assert render.image.shape == (1, 3, 32, 32) and render.image.isfinite().all()


def test_the_scene_lies_where_the_photos_say(model):
    """Moving and scaling the world of the photos moves the scene with it."""
    similarity = torch.eye(4)
    similarity[:3, :3] *= 2.5
    similarity[:3, 3] = torch.tensor([3.0, -2.0, 5.0])
    views = photos()
    moved = Views(views.images, views.cameras.transformed(similarity), views.masks)
    method, target = SparseFusionMethod(model, config("photos", steps=30)), ring(torch.tensor([0.5]))
    here = method.reconstruct(views).render(target)
    there = method.reconstruct(moved).render(target.transformed(similarity))
    assert torch.allclose(here.image, there.image, atol=0.05)
    seen = here.alpha > 0.5
    assert torch.allclose(2.5 * here.depth[seen], there.depth[seen], rtol=0.02)


@pytest.mark.parametrize("kind", [EFTImages, VLDMSamples])
def test_networks_alone_are_assets_too(model, kind):
    asset = kind(model).reconstruct(photos())
    image = asset.render(ring(torch.tensor([0.5, 2.0]))).image
    assert image.shape == (2, 3, 32, 32) and image.min() >= 0 and image.max() <= 1


def test_samples_depend_on_the_generator_and_on_nothing_else(model):
    torch.nn.init.normal_(model.unet.out.weight)
    model.eval()
    prepared = prepare(photos(), MICRO)
    camera = prepared.context.cameras[0]
    draw = lambda seed: sample_view(
        model, prepared.context, camera, steps=4, generator=torch.Generator().manual_seed(seed)
    )
    assert torch.equal(draw(1), draw(1)) and not torch.equal(draw(1), draw(2))


def test_samples_from_a_known_image_keep_it_the_more_the_less_noise_they_start_with(model):
    """At a time of almost 0 a sample is EFT's image through the autoencoder; from noise it is something else."""
    torch.nn.init.normal_(model.unet.out.weight)
    prepared = prepare(photos(), MICRO)
    camera = prepared.context.cameras[0]
    with torch.no_grad():
        known = eft_image(model, prepared.context, camera, size=MICRO.size)[None, :3]
        decoded = model.codec.decode(model.codec.encode(known)).clamp(0, 1)[0]

    def error(start: float) -> float:
        generator = torch.Generator().manual_seed(1)
        sample = sample_view(model, prepared.context, camera, steps=8, generator=generator, start=start)
        return float((sample - decoded).abs().mean())

    assert error(1e-4) < 0.05 < error(1.0) and error(1e-4) < error(0.5)


def test_prepared_photos_see_the_object_in_the_middle_of_the_frame():
    prepared = prepare(photos(), MICRO, 48)
    assert prepared.photos.images.shape[-1] == 48 and prepared.context.images.shape[-1] == 16
    origin, _ = prepared.context.cameras.project(torch.zeros(2, 1, 3))
    assert (origin - 8).abs().max() < 1
    distance = prepared.photos.cameras.centers.norm(dim=-1)
    assert torch.allclose(
        distance, 6.3 / 0.75 * torch.ones(2), rtol=0.1
    )  # a ball of 1.5 has a silhouette deviation of 0.75


def test_weights_save_and_load_to_the_same_images(model, tmp_path):
    method = SparseFusionMethod(model, config())
    method.save_pretrained(tmp_path / "model")
    again = SparseFusionMethod.from_pretrained(tmp_path / "model", config())
    target = ring(torch.tensor([0.5]))
    images = [EFTImages(m.model).reconstruct(photos()).render(target).image for m in (method, again)]
    assert torch.equal(*images)


def test_unknown_names_are_refused_with_the_known_ones():
    with pytest.raises(InputError, match="neither a model folder"):
        model_folder("huge", "sparsefusion")
    with pytest.raises(InputError, match="fast, default, quality"):
        SparseFusionConfig.preset("slow")


def test_presets_cost_more_in_order():
    steps = [SparseFusionConfig.preset(name).distill.steps for name in ("fast", "default", "quality", "thesis")]
    assert steps == sorted(steps) and steps[-1] == 3000


def test_published_presets_are_to_the_letter():
    thesis, release = (SparseFusionConfig.preset(name) for name in ("thesis", "release"))
    for preset in (thesis, release):
        d, volume = preset.distill, preset.distill.asset.volume
        assert (d.steps, d.bootstrap_steps, d.render_size) == (3000, 1000, 128)
        assert d.asset.occupancy is None and (volume.samples, volume.importance) == (64, 64)
        assert (d.adam_eps, d.mlp_rate, d.grid_rate) == (1e-8, 5e-4, 5e-3)
        assert d.rendering_distance == "pseudo_huber" and preset.circle == "mean" and preset.guidance == 1
        ours = (d.coverage_weight, d.anchor_weight, d.hue_share, d.pose_rate, d.input_rays, d.reuse)
        assert ours == (0, 0, 0, 0, 0, 1)
    kinds = lambda p: (p.distance, p.sampler, p.photos_a_step, p.updates, p.asset.ngp.grid.kind)
    assert kinds(thesis.distill) == ("l2", "plms", "all", "summed", "hash")
    assert kinds(release.distill) == ("l1", "plms_ancestral", "one", "separate", "tiled")
    networks = [(m.weighting, m.noise_draws, m.rays) for m in (recipes.thesis(), recipes.release())]
    assert networks == [("one", 1, "centres"), ("p2", 12, "corners")]


def test_weights_of_the_world_frame_see_the_world_as_it_is():
    world = dataclasses.replace(MICRO, frame="world")
    prepared = prepare(photos(), world)
    assert torch.equal(prepared.norm_from_world, torch.eye(4))
    torch.testing.assert_close(prepared.photos.cameras.centers, photos().cameras.centers)
    assert not torch.equal(prepare(photos(), MICRO).norm_from_world, torch.eye(4))


def test_the_circle_of_the_thesis_is_centred_on_the_mean_of_the_cameras(model):
    prepared = prepare(photos(), MICRO)
    method = SparseFusionMethod(model, dataclasses.replace(config(), circle="mean"))
    cameras = method.pseudo_cameras(prepared, torch.Generator().manual_seed(0))
    ours = SparseFusionMethod(model, config()).pseudo_cameras(prepared, torch.Generator().manual_seed(0))
    mean = prepared.context.cameras.centers.mean(0)
    assert (cameras.centers.mean(0) - mean).norm() < (ours.centers.mean(0) - mean).norm()


def test_pseudo_cameras_know_the_inputs_only(model):
    """The release fits the camera distribution to held-out cameras as well; here nothing else can get in."""
    method, views = SparseFusionMethod(model, config()), photos()
    cameras = method.pseudo_cameras(prepare(views, MICRO, 32), torch.Generator().manual_seed(0))
    assert isinstance(cameras, Cameras) and cameras.shape == (3,)
    assert (cameras.height, cameras.width) == (16, 16)
