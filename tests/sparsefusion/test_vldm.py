import dataclasses

import pytest
import torch
from torch.nn import functional as F

from fewview.cameras import Cameras, pixel_centres
from fewview.checkpoint import load_model, save_model
from fewview.diffusion.schedules import COSINE
from fewview.nn.autoencoder import AutoencoderConfig
from fewview.nn.unet import UNetConfig
from fewview.recipes import sparsefusion
from fewview.sparsefusion.eft import EFTConfig
from fewview.sparsefusion.tasks import AutoencoderTask, EFTTask, JointTask, UNetTask, feature_cache
from fewview.sparsefusion.vldm import (
    VLDM,
    VLDMConfig,
    colour_loss,
    diffusion_loss,
    joint_loss,
    patch_centres,
    patch_corners,
    point_samples,
)
from fewview.training import TrainConfig, train
from fewview.views import Views

MICRO = VLDMConfig(
    eft=EFTConfig(8, (1, 1, 1), hidden=8, dropout=0.0, octaves=2, depth_samples=4, depth_range=2.0, alpha=True),
    unet=UNetConfig(
        4,
        8,
        (1, 2),
        (1, 1),
        (False, True),
        cond_images_channels=8,
        kernels=(1, 3, 5),
        heads=2,
        head_dim=4,
        time_tokens=0,
    ),
    autoencoder=AutoencoderConfig((8, 8), blocks=1, groups=4, scale=1.0),
    size=16,
    noise_draws=2,
)


@pytest.fixture
def model() -> VLDM:
    torch.manual_seed(0)
    return VLDM(MICRO)


def pair(generator, batch: int = 2, size: int = 16) -> tuple[Views, Views]:
    eyes = F.normalize(torch.randn(batch, 4, 3, generator=generator), dim=-1) * 6
    cameras = Cameras.look_at(eyes, torch.zeros(3), torch.tensor([0.0, 0.1, 1.0]), focal=20.0, height=size, width=size)
    images = torch.rand(batch, 4, 3, size, size, generator=generator)
    masks = torch.ones(batch, 4, 1, size, size)
    return (
        Views(images[:, :2], cameras[:, :2], masks[:, :2]),
        Views(images[:, 2:], cameras[:, 2:], masks[:, 2:]),
    )


def test_patch_centres_are_the_middles_of_patches():
    camera = Cameras.look_at(torch.ones(3), torch.zeros(3), torch.tensor([0.0, 0, 1]), focal=9.0, height=64, width=64)
    centres = patch_centres(camera, 16)
    assert torch.equal(centres[0], torch.tensor([2.0, 2.0])) and torch.equal(centres[-1], torch.tensor([62.0, 62.0]))
    assert torch.equal(patch_centres(camera, 64), pixel_centres(64, 64).reshape(-1, 2))


def test_point_samples_at_pixel_centres_are_the_pixels(generator):
    _, queries = pair(generator)
    pixels = pixel_centres(16, 16).reshape(1, 1, -1, 2).expand(2, 2, -1, -1)
    sampled = point_samples(queries, pixels, 4)
    assert torch.allclose(sampled[..., :3].mT.reshape(queries.images.shape), queries.images, atol=1e-5)
    assert torch.allclose(sampled[..., 3], torch.ones(2, 2, 256))


def test_features_have_the_latents_resolution_and_do_not_depend_on_other_queries(model, generator):
    context, queries = pair(generator)
    model.eval()
    both = model.features(context, queries.cameras)
    assert both.shape == (2, 2, 8, 8, 8)
    assert torch.allclose(model.features(context, queries.cameras[:, 1:])[:, 0], both[:, 1], atol=1e-5)


def test_full_resolution_colours_agree_with_patch_colours_at_shared_rays(model, generator):
    context, queries = pair(generator)
    model.eval()
    coarse, _ = model.feature_maps(model.eft.encode(context), queries.cameras)
    direct = model.colours(context, queries.cameras, size=8, chunk=13)
    assert torch.allclose(coarse, direct, atol=1e-5)


def test_denoiser_of_an_untrained_v_network_is_the_known_shrinkage(generator):
    model = VLDM(dataclasses.replace(MICRO, prediction="v"))
    denoise = model.denoiser(torch.randn(3, 8, 8, 8, generator=generator))
    x, sigma = torch.randn(3, 4, 8, 8, generator=generator), torch.tensor([0.1, 1.0, 10.0])
    expected = x / (1 + sigma**2)[:, None, None, None]  # v = 0 means x0 = alpha * x_vp
    assert torch.allclose(denoise(x, sigma), expected, atol=1e-5)


def test_predicted_latents_are_clipped(model, generator):
    x = torch.full((1, 4, 8, 8), 1e4)
    assert model.denoiser(torch.zeros(1, 8, 8, 8))(x, torch.tensor([0.01])).abs().max() <= MICRO.x0_limit


def test_condition_matches_features_of_the_same_target(model, generator):
    context, queries = pair(generator, batch=1)
    model.eval()
    single = Views(context.images[0], context.cameras[0])
    denoise = model.condition(single, queries.cameras[0])
    x, sigma = torch.randn(2, 4, 8, 8, generator=generator), torch.ones(2)
    expected = model.denoiser(model.features(context, queries.cameras)[0])(x, sigma)
    assert torch.allclose(denoise(x, sigma), expected, atol=1e-5)


def test_untrained_epsilon_loss_is_the_weighted_unit_variance(model, generator):
    """A network that says zero errs by eps: with no weighting the loss is one."""
    model = VLDM(dataclasses.replace(MICRO, weighting="one", noise_draws=64))
    loss = diffusion_loss(model, torch.zeros(4, 4, 8, 8), torch.zeros(4, 8, 8, 8), generator=generator)
    assert abs(loss.item() - 1) < 0.03


def test_invalid_region_counts_nothing(model, generator):
    valid = torch.zeros(2, 1, 8, 8)
    loss = diffusion_loss(model, torch.randn(2, 4, 8, 8), torch.randn(2, 8, 8, 8), generator=generator, valid=valid)
    assert loss == 0


def test_joint_loss_reaches_both_networks_and_not_the_autoencoder(model, generator):
    torch.nn.init.normal_(model.unet.out.weight)
    losses = joint_loss(model, *pair(generator), generator=generator)
    losses["loss"].backward()
    assert model.eft.backbone.conv1.weight.grad.abs().sum() > 0
    assert model.unet.embed.convs[0].weight.grad.abs().sum() > 0
    assert all(p.grad is None for p in model.codec.parameters())


def test_colour_loss_of_equal_constant_images_has_a_known_value(model, generator):
    context, queries = pair(generator)
    torch.nn.init.zeros_(model.eft.colour.weight)
    torch.nn.init.zeros_(model.eft.colour.bias)  # every output is sigmoid(0) = 1/2
    half = Views(torch.full_like(queries.images, 0.5), queries.cameras, torch.full_like(queries.masks, 0.5))
    assert colour_loss(model.eft, context, half, rays=8, generator=generator) < 1e-12


def test_every_stage_trains_and_saves(model, generator, tmp_path):
    example = pair(generator)
    config = TrainConfig(steps=2, learning_rate=1e-3, save_every=2, validate_every=2, log_every=1)
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    train(EFTTask(model, lambda _: example, {"": example}, rays=4), config, tmp_path / "eft")
    model.unet.requires_grad_(True)
    cache = feature_cache(model, lambda _: example, 6, generator=generator)
    assert cache[0].shape == (6, 4, 8, 8) and cache[1].shape == (6, 8, 8, 8)
    train(UNetTask(model, cache, cache, batch=2), config, tmp_path / "unet")
    model.eft.requires_grad_(True)
    train(JointTask(model, lambda _: example, {"": example}), config, tmp_path / "joint")
    images = example[0].images[:, 0]
    train(AutoencoderTask(model.codec.requires_grad_(True), lambda _: images, images), config, tmp_path / "ae")
    after = model.state_dict()
    for part in ("eft.", "unet.", "codec."):
        assert any(not torch.equal(after[n], before[n]) for n in before if n.startswith(part))
    save_model(tmp_path / "model", model, MICRO)
    again = load_model(tmp_path / "model", VLDM, VLDMConfig)
    assert again.config == MICRO and all(torch.equal(t, after[n]) for n, t in again.state_dict().items())


@pytest.mark.slow
def test_one_step_at_paper_size_changes_both_networks(generator):
    model = VLDM(sparsefusion.thesis())
    example = pair(generator, batch=1, size=256)
    example = example[0], example[1][:, :1]
    optimiser = torch.optim.SGD([p for p in model.parameters() if p.requires_grad], lr=1e-3)
    torch.nn.init.normal_(model.unet.out.weight, std=0.01)
    before = model.unet.embed.convs[0].weight.clone(), model.eft.colour.weight.clone()
    losses = joint_loss(model, *example, generator=generator)
    losses["loss"].backward()
    optimiser.step()
    assert losses["loss"].isfinite()
    assert not torch.equal(before[0], model.unet.embed.convs[0].weight)
    assert not torch.equal(before[1], model.eft.colour.weight)


def test_every_image_gets_low_and_high_noise_levels(monkeypatch, generator):
    """Times are stratified over the whole batch: in the order of images one would get the low ones, one the high."""
    model = VLDM(dataclasses.replace(MICRO, noise_draws=8))
    told = []
    forward = model.unet.forward
    monkeypatch.setattr(model.unet, "forward", lambda x, logsnr, y: told.append(logsnr) or forward(x, logsnr, y))
    for _ in range(8):
        diffusion_loss(model, torch.zeros(2, 4, 8, 8), torch.zeros(2, 8, 8, 8), generator=generator)
    means = torch.stack(told).unflatten(1, (2, 8)).mean((0, 2))
    spread = torch.stack(told).std()
    assert (means[0] - means[1]).abs() < 0.5 * spread
    times = torch.stack([COSINE.time((-t / 2).exp()) for t in told]).sort(dim=1).values
    strata = torch.arange(16) / 16 * COSINE.latest
    assert ((times >= strata - 1e-4) & (times <= strata + COSINE.latest / 16 + 1e-4)).all()


def test_corner_points_go_from_the_first_pixel_to_the_last():
    camera = Cameras.look_at(
        torch.tensor([[3.0, 0, 0]]), torch.zeros(3), torch.tensor([0.0, 0, 1]), focal=9.0, height=256, width=256
    )
    points = patch_corners(camera, 32)[0]
    assert torch.equal(points[0], torch.tensor([0.5, 0.5])) and torch.equal(points[-1], torch.tensor([255.5, 255.5]))
    assert (points - patch_centres(camera, 32)[0]).abs().max() == pytest.approx(3.5)  # pixels


def test_features_are_dropped_as_often_as_configured(monkeypatch, generator):
    model = VLDM(dataclasses.replace(MICRO, noise_draws=400, condition_dropout=0.25))
    told = []
    forward = model.unet.forward
    monkeypatch.setattr(model.unet, "forward", lambda x, logsnr, y: told.append(y) or forward(x, logsnr, y))
    diffusion_loss(model, torch.zeros(1, 4, 8, 8), torch.ones(1, 8, 8, 8), generator=generator)
    dropped = (told[0].amax((1, 2, 3)) == 0).float().mean()
    assert abs(dropped - 0.25) < 0.08 and set(told[0].unique().tolist()) == {0.0, 1.0}


def test_the_joint_loss_is_the_sum_of_both_equations(model, generator):
    losses = joint_loss(model, *pair(generator), generator=generator)
    torch.testing.assert_close(losses["loss"], losses["colour"] + losses["diffusion"])


def test_times_end_where_the_schedule_does(monkeypatch, generator):
    """One image, one draw: its time is a uniform number of [0, 0.999)."""
    model = VLDM(dataclasses.replace(MICRO, noise_draws=1))
    told = []
    forward = model.unet.forward
    monkeypatch.setattr(model.unet, "forward", lambda x, logsnr, y: told.append(logsnr) or forward(x, logsnr, y))
    diffusion_loss(model, torch.zeros(1, 4, 8, 8), torch.zeros(1, 8, 8, 8), generator=torch.Generator().manual_seed(2))
    draws = torch.Generator().manual_seed(2)
    torch.randperm(1, generator=draws)
    time = torch.rand(1, generator=draws) * 0.999
    torch.testing.assert_close(told[0], COSINE.logsnr(time), atol=1e-6, rtol=1e-6)
