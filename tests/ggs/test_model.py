from dataclasses import replace

import pytest
import torch
from ggs_rooms import MICRO, lively, room, similarity_of

from fewview.checkpoint import load_model, save_model
from fewview.config import from_json, to_json
from fewview.diffusion.samplers import euler
from fewview.diffusion.schedules import karras
from fewview.errors import InputError
from fewview.ggs.model import GGS, GGSConfig, in_world
from fewview.ggs.scene_maps import splats_of_depth
from fewview.ggs.velocity import clean_of
from fewview.nn.multiview_unet import MultiViewUNetConfig
from fewview.nn.svd import SVDConfig
from fewview.priors import Prior
from fewview.recipes import ggs
from fewview.views import Views


def noise_like(clip, generator, config=MICRO):
    b, count = clip.targets.cameras.shape
    x = 2 * torch.randn(b, count, config.autoencoder.total_channels, *config.cells, generator=generator)
    return x, torch.full((b, count), 2.0)


def moved(views: Views, matrix) -> Views:
    return Views(views.images, views.cameras.transformed(matrix))


def test_a_prediction_has_everything_in_its_shape(model, clip, generator):
    inputs = model.inputs(clip.references, clip.targets.cameras)
    x, sigma = noise_like(clip, generator)
    p = model(inputs, x, sigma, novel=clip.novel.cameras)
    assert p.z0.shape == (2, 3, 4, 8, 8) and p.velocity.shape == (2, 5, 4, 8, 8)
    assert p.splats.means.shape == (2, 5, 8, 8, 3) and p.splats.features.shape[-1] == 5 + 3
    assert p.views.image.shape == (2, 5, 3, 8, 8) and p.views.depth.shape == (2, 5, 1, 8, 8)
    assert p.novel.image.shape == (2, 2, 3, 8, 8)
    torch.testing.assert_close(p.z0, clean_of(p.velocity[:, 2:], x, sigma))


def test_it_is_a_prior_whose_denoiser_samplers_run(model, clip, generator):
    assert isinstance(model, Prior)
    denoise = model.condition(clip.references[0], clip.targets.cameras[0])
    x, sigma = noise_like(clip, generator)
    with torch.no_grad():
        alone = model(model.inputs(clip.references, clip.targets.cameras), x, sigma)
        torch.testing.assert_close(denoise(x[0], sigma[0]), alone.z0[0].clamp(-10, 10), atol=1e-4, rtol=1e-4)
        latents = euler(denoise, 80 * x[0], karras(3, 0.02, 80.0))
    assert latents.shape == (3, 4, 8, 8) and latents.isfinite().all()


def test_the_order_of_targets_does_not_matter(model, clip, generator):
    x, sigma = noise_like(clip, generator)
    order = [2, 0, 1]
    p = model(model.inputs(clip.references, clip.targets.cameras), x, sigma)
    q = model(model.inputs(clip.references, clip.targets[:, order].cameras), x[:, order], sigma)
    torch.testing.assert_close(q.z0, p.z0[:, order], atol=1e-3, rtol=1e-3)


def test_no_similarity_of_the_world_changes_the_answer(model, clip, generator):
    x, sigma = noise_like(clip, generator)
    inputs = model.inputs(clip.references, clip.targets.cameras)
    matrix = similarity_of(3.0)
    other = model.inputs(moved(clip.references, matrix), clip.targets.cameras.transformed(matrix))
    p, q = model(inputs, x, sigma), model(other, x, sigma)
    torch.testing.assert_close(q.z0, p.z0, atol=1e-2, rtol=1e-2)
    expected = in_world(p.splats, inputs, 0).transformed(matrix)
    got = in_world(q.splats, other, 0)
    torch.testing.assert_close(got.means, expected.means, atol=2e-2, rtol=1e-2)
    torch.testing.assert_close(got.scales, expected.scales, atol=1e-2, rtol=1e-2)


def test_cameras_and_references_and_noise_levels_matter(model, clip, generator):
    x, sigma = noise_like(clip, generator)
    plain = model(model.inputs(clip.references, clip.targets.cameras), x, sigma).velocity
    elsewhere = clip.targets.cameras[:, [1, 2, 0]]
    darker = Views(clip.references.images * 0.3, clip.references.cameras)
    for inputs, level in [
        (model.inputs(clip.references, elsewhere), sigma),
        (model.inputs(darker, clip.targets.cameras), sigma),
        (model.inputs(clip.references, clip.targets.cameras), sigma / 4),
    ]:
        assert (model(inputs, x, level).velocity - plain)[:, 2:].abs().max() > 1e-3


def test_photos_of_another_size_are_resampled(model, clip, generator):
    x, sigma = noise_like(clip, generator)
    large = room(size=32)
    p = model(model.inputs(large.references, large.targets.cameras), x, sigma)
    torch.testing.assert_close(
        p.z0, model(model.inputs(clip.references, clip.targets.cameras), x, sigma).z0, atol=0.3, rtol=0
    )


def test_without_3d_nothing_is_splatted(clip, generator):
    model = lively(GGS(replace(MICRO, no_3d=True)))
    x, sigma = noise_like(clip, generator)
    inputs = model.inputs(clip.references, clip.targets.cameras)
    p = model(inputs, x, sigma, novel=clip.novel.cameras)
    assert p.z0.shape == x.shape and p.splats is None and p.views is None and p.novel is None
    with pytest.raises(InputError, match="no_3d"):
        model.decode(inputs, clip.references.images, x)


def test_a_scene_so_far_is_seen_by_its_variant_alone(clip, generator):
    model = lively(GGS(replace(MICRO, scene=True)))
    x, sigma = noise_like(clip, generator)
    so_far = [splats_of_depth(clip.references[i], clip.reference_depths[i]) for i in range(2)]
    with_scene = model.inputs(clip.references, clip.targets.cameras, scenes=so_far)
    without = model.inputs(clip.references, clip.targets.cameras)
    nothing = model.inputs(clip.references, clip.targets.cameras, scenes=[scene[:0] for scene in so_far])
    p, q, r = (model(inputs, x, sigma).z0 for inputs in (with_scene, without, nothing))
    assert (p - q).abs().max() > 1e-3
    torch.testing.assert_close(q, r)
    with pytest.raises(InputError, match="scene"):
        lively(GGS(MICRO))(with_scene, x, sigma)


def test_scenes_come_out_in_the_world(model, clip, generator):
    x, _ = noise_like(clip, generator)
    fine = model.scene(clip.references[0], clip.targets.cameras[0], x[0])
    coarse = model.scene(clip.references[0], clip.targets.cameras[0], x[0], fine=False)
    assert len(fine.gaussians) == 5 * 16 * 16 and len(coarse.gaussians) == 5 * 8 * 8
    assert fine.gaussians.features.shape[1] == 3
    pixels, depth = clip.references.cameras[0, 0].project(coarse.gaussians.means[:64])
    assert (depth > 0).all()
    assert (pixels >= -0.01).all() and (pixels <= 16.01).all()


def test_a_saved_model_is_the_same_model(model, clip, generator, tmp_path):
    save_model(tmp_path / "m", model, model.config)
    again = load_model(tmp_path / "m", GGS, GGSConfig)
    x, sigma = noise_like(clip, generator)
    inputs = model.inputs(clip.references, clip.targets.cameras)
    torch.testing.assert_close(again(inputs, x, sigma).z0, model(inputs, x, sigma).z0)


@pytest.mark.parametrize("recipe", [ggs.paper, ggs.small, ggs.tiny])
def test_configs_survive_json(recipe):
    assert from_json(GGSConfig, to_json(recipe())) == recipe()


def test_recipes_have_the_sizes_that_they_promise():
    assert isinstance(ggs.paper().backbone, SVDConfig) and ggs.paper().cells == (40, 72)
    assert isinstance(ggs.tiny().backbone, MultiViewUNetConfig) and ggs.tiny().cells == (16, 16)
    with torch.device("meta"):
        tiny, small = GGS(ggs.tiny()), GGS(ggs.small())
    trained = lambda m: sum(p.numel() for p in m.parameters() if p.requires_grad)
    assert 4e6 < trained(tiny) < 8.5e6 and trained(small) == trained(tiny)
    assert small.config.cells == (32, 32)
    for size in (tiny, small):
        assert len(size.config.decoder.widths) == len(size.config.autoencoder.channels)


def test_the_tiny_recipe_takes_the_shipped_autoencoder():
    model = ggs.start(ggs.tiny())
    codec = replace(model.config.autoencoder, scale=ggs.tiny().autoencoder.scale)  # the scale comes with the weights
    assert replace(model.config, autoencoder=codec) == ggs.tiny()
    image = torch.zeros(1, 3, 64, 64)  # it was trained on objects on black
    image[:, :2, 16:48, 16:48] = 0.6
    assert (model.codec.decode(model.codec.encode(image)) - image).abs().mean() < 0.05
