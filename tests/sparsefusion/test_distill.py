import dataclasses
import math

import pytest
import torch

from fewview.cameras import Cameras
from fewview.checkpoint import save_tensors, write_json
from fewview.diffusion.schedules import COSINE
from fewview.errors import InputError
from fewview.evaluation.metrics import psnr
from fewview.priors import IdentityCodec, Prior
from fewview.render.asset import FieldAssetConfig
from fewview.render.field import FieldConfig
from fewview.render.hashgrid import HashGridConfig
from fewview.render.occupancy import OccupancyConfig
from fewview.render.volume import VolumeConfig
from fewview.sparsefusion.distill import (
    DistillConfig,
    Evidence,
    _distance,
    _Run,
    distill,
    huber,
    pseudo_huber,
    with_hues,
)
from fewview.states import StepFolder
from fewview.views import Render, Views

SIZE = 32
ASSET = FieldAssetConfig(
    ngp=FieldConfig(grid=HashGridConfig(levels=6, finest=64, log2_table=13, kind="hash"), blob=1.0, blob_std=1.0),
    volume=VolumeConfig(steps=128),
    occupancy=OccupancyConfig(resolution=32),
)
COARSE = dataclasses.replace(ASSET, volume=VolumeConfig(steps=48))  # for tests of many steps
CONFIG = DistillConfig(
    asset=ASSET,
    steps=330,
    bootstrap_steps=0,
    render_size=SIZE,
    max_evaluations=2,
    perceptual_weight=0.0,
    grid_rate=2e-2,
    mlp_rate=4e-3,
    save_every=5,
)


def ball(cameras: Cameras) -> Views:
    """A ball around the origin whose colour is its normal, in closed form, antialiased, on black."""
    views = _hard_ball(cameras.resized(3 * SIZE, 3 * SIZE))
    pool = torch.nn.functional.avg_pool2d
    return Views(pool(views.images, 3), cameras, pool(views.masks, 3))


def _hard_ball(cameras: Cameras) -> Views:
    rays = cameras.rays()
    along = -(rays.origins * rays.directions).sum(-1)
    gap = rays.origins.square().sum(-1) - along.square()
    hit = gap < 1.5**2
    depth = along - (1.5**2 - gap).clamp(min=0).sqrt()
    normal = (rays.origins + depth[..., None] * rays.directions) / 1.5
    image = torch.where(hit[..., None], normal * 0.4 + 0.5, 0.0).movedim(-1, -3)
    return Views(image, cameras, hit.float()[..., None, :, :])


def ring(angles: torch.Tensor, height: float = 2.0) -> Cameras:
    eyes = torch.stack([6 * angles.cos(), 6 * angles.sin(), torch.full_like(angles, height)], -1)
    up = torch.tensor([0.0, 0.0, 1.0])
    return Cameras.look_at(eyes, torch.zeros(3), up, focal=1.4 * SIZE, height=SIZE, width=SIZE)


class Oracle:
    """A prior that knows the scene: whatever it is shown, it answers with the truth."""

    codec = IdentityCodec()

    def condition(self, context: Views, targets: Cameras):
        truth = self.codec.encode(ball(targets).images)
        return lambda x, sigma: truth.expand_as(x)


def evidence(views: int = 1) -> Evidence:
    photos = ball(ring(torch.arange(views) * 1.0))
    queries = ring(torch.arange(10) * (2 * math.pi / 10) + 0.2)
    return Evidence(photos, photos, queries, Views(torch.full((10, 3, SIZE, SIZE), 0.5), queries))


def seeded() -> torch.Generator:
    return torch.Generator().manual_seed(1)


def test_the_oracle_is_a_prior():
    assert isinstance(Oracle(), Prior)


@pytest.mark.parametrize("space", ["pixel", pytest.param("latent", marks=pytest.mark.slow)])
def test_distilling_an_oracle_from_one_photo_gives_its_scene(space):
    config = dataclasses.replace(CONFIG, space=space, steps=200, asset=COARSE)
    asset = distill(Oracle(), evidence(), config, generator=seeded())
    unseen = ring(torch.tensor([0.5, 2.0, 3.5, 5.0]), height=1.0)
    assert psnr(asset.render(unseen).image, ball(unseen).images).mean() > 25


def test_the_same_seed_gives_the_same_bits_and_another_seed_does_not():
    config = dataclasses.replace(CONFIG, steps=6, bootstrap_steps=3)
    first, again = (distill(Oracle(), evidence(), config, generator=seeded()).state_dict() for _ in range(2))
    other = distill(Oracle(), evidence(), config, generator=torch.Generator().manual_seed(2)).state_dict()
    assert all(torch.equal(first[name], again[name]) for name in first)
    assert any(not torch.equal(first[name], other[name]) for name in first)


@pytest.mark.parametrize("die_at", [7, 11])
def test_a_killed_run_resumes_to_the_same_scene_as_an_unbroken_one(tmp_path, die_at):
    config = dataclasses.replace(CONFIG, steps=14, bootstrap_steps=4, reuse=3)
    whole = distill(Oracle(), evidence(), config, generator=seeded()).state_dict()

    def die(step: int, losses: dict[str, float]) -> None:
        if step == die_at:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        distill(Oracle(), evidence(), config, generator=seeded(), progress=die, keeper=StepFolder(tmp_path))
    again = distill(Oracle(), evidence(), config, generator=seeded(), keeper=StepFolder(tmp_path)).state_dict()
    assert all(torch.equal(whole[name], again[name]) for name in whole)


@pytest.mark.parametrize("state", [{}, [], {"step": "x", "seed": 2}, {"step": 1, "seed": 2}, {"step": None, "seed": 2}])
def test_a_damaged_state_of_a_stopped_run_is_refused(tmp_path, state):
    one = run(CONFIG)
    one.save(StepFolder(tmp_path))
    write_json(tmp_path / "state.json", {**state, "seed": one.seed} if isinstance(state, dict) and state else state)
    save_tensors(tmp_path / "000001.safetensors", {"asset/strange": torch.zeros(2)})
    with pytest.raises(InputError, match=str(tmp_path)):
        run(CONFIG).restore(StepFolder(tmp_path))


def run(config: DistillConfig, views: int = 1) -> _Run:
    return _Run(Oracle(), evidence(views), config, seeded(), None)


def test_every_row_of_table_5_5_takes_a_step():
    class Perceptual(torch.nn.Module):
        def forward(self, a, b):
            return (a - b).abs().mean((1, 2, 3))

    for space in ("latent", "pixel"):
        for denoising in ("single", "multiple"):
            for perceptual in (None, Perceptual()):
                config = dataclasses.replace(
                    CONFIG, space=space, denoising=denoising, perceptual_weight=0.1 if perceptual else 0.0
                )
                one = _Run(Oracle(), evidence(), config, seeded(), perceptual)
                before = one.field.state_dict()["grid.table"].clone()
                losses = one.advance()
                assert losses["distillation"] > 0 and math.isfinite(losses["distillation"])
                assert not torch.equal(before, one.field.state_dict()["grid.table"])


def test_the_two_hubers_have_their_published_values():
    at = lambda function, d: float(function(torch.tensor([d]), torch.zeros(1)))
    assert at(pseudo_huber, 0.1) == pytest.approx(0.041421, abs=1e-6)
    assert at(huber, 0.1) == pytest.approx(0.05, abs=1e-6)
    assert at(pseudo_huber, 1.0) == pytest.approx(0.1 * (101**0.5 - 1), abs=1e-6)
    assert at(huber, 1.0) == pytest.approx(0.95, abs=1e-6)


def test_separate_updates_are_two_adam_steps_and_a_summed_one_is_one():
    counts = {}
    for updates in ("summed", "separate"):
        one = run(dataclasses.replace(CONFIG, updates=updates))
        one.advance()
        counts[updates] = {int(state["step"]) for state in one.optimiser.state_dict()["state"].values()}
    assert counts == {"summed": {1}, "separate": {2}}


def test_the_second_of_two_updates_knows_nothing_of_the_photos_gradient(monkeypatch):
    """With a pseudo loss of no gradient at all Adam's second step still moves by momentum; the gradients are zero."""
    one = run(dataclasses.replace(CONFIG, updates="separate"))
    zero = sum(p.sum() * 0 for p in one.field.parameters())
    monkeypatch.setattr(one, "distillation_loss", lambda draws: zero)
    one.advance()
    assert all(not p.grad.any() for p in one.field.parameters())


def test_all_photos_of_a_step_are_averaged_and_one_photo_takes_turns():
    every = run(dataclasses.replace(CONFIG, photos_a_step="all"), views=3)
    turns = run(dataclasses.replace(CONFIG, photos_a_step="one"), views=3)
    draws = lambda: torch.Generator().manual_seed(5)
    shared = draws()
    expected = torch.stack([every.loss_of_photo(i, shared) for i in range(3)]).mean()
    assert torch.equal(every.photo_loss(draws()), expected)
    for step in range(4):
        turns.step = step
        assert torch.equal(turns.photo_loss(draws()), turns.loss_of_photo(step % 3, draws()))


def test_adam_is_told_its_epsilon():
    assert run(dataclasses.replace(CONFIG, adam_eps=1e-3)).optimiser.defaults["eps"] == 1e-3


def test_the_anchor_sees_block_means_alone(generator):
    one = run(dataclasses.replace(CONFIG, anchor_weight=1.0))
    blocks = torch.rand(3, 8, 1, 8, 1, generator=generator).expand(3, 8, 4, 8, 4)
    detail = torch.rand(3, 8, 4, 8, 4, generator=generator)
    detail = detail - detail.mean((2, 4), keepdim=True)
    wanted = one.evidence.first.images[0].mean()
    alpha = torch.ones(1, SIZE, SIZE)
    loss = lambda image: float(one._feed_forward_loss(Render(image.reshape(3, SIZE, SIZE), alpha, alpha), 0))
    assert loss(wanted + detail) == pytest.approx(0.0, abs=1e-9)
    assert loss(blocks) > 0.1 * float((blocks - wanted).abs().mean())


def test_levels_follow_equation_a1_up_to_the_cap():
    full = run(dataclasses.replace(CONFIG, max_evaluations=50))
    assert len(full.levels(0.3)) - 1 == 30 and len(full.levels(0.9)) - 1 == 50
    thin = run(dataclasses.replace(CONFIG, max_evaluations=8))
    levels = thin.levels(0.9)
    assert len(levels) - 1 == 8 and levels[-1] == 0
    assert torch.isclose(levels[0], COSINE.sigma(torch.tensor(0.9)))


def test_weight_is_one_minus_alphabar_and_the_target_is_the_oracles():
    one = run(CONFIG)
    latent, weight = one.denoised(torch.rand(1, 3, SIZE, SIZE), 3, torch.Generator().manual_seed(0))
    time = 1 - torch.rand((), generator=torch.Generator().manual_seed(0))
    assert torch.isclose(weight, 1 - COSINE.alpha(time) ** 2, rtol=1e-4)
    truth = IdentityCodec().encode(ball(one.evidence.queries[3:4]).images)
    assert torch.allclose(latent, truth, atol=1e-3)


def test_no_gradient_flows_through_the_denoising():
    one = run(CONFIG)
    assert not one.denoised(torch.rand(1, 3, SIZE, SIZE, requires_grad=True), 0, seeded())[0].requires_grad


def test_the_perceptual_term_joins_mean_seeking_where_asked():
    shown = []

    class Perceptual(torch.nn.Module):
        def forward(self, a, b):
            shown.append(b)
            return (a - b).square().mean((1, 2, 3)) + 1

    for mean, steps in ((False, 9), (True, 9), (False, 0)):
        config = dataclasses.replace(CONFIG, bootstrap_steps=steps, perceptual_mean=mean, perceptual_weight=0.1)
        losses = _Run(Oracle(), evidence(), config, seeded(), Perceptual()).advance()
        assert len(shown) == (1 if mean or steps == 0 else 0)
        assert not shown or "distillation" in losses or (losses["bootstrap"] > 0.1 and shown[0].mean() == 0.5)
        shown.clear()


def test_a_target_is_decoded_once_for_all_the_steps_that_it_serves(monkeypatch):
    config = dataclasses.replace(CONFIG, steps=6, reuse=3, asset=COARSE, perceptual_weight=1.0)
    decoded, seen = [], []
    monkeypatch.setattr(Oracle.codec, "decode", lambda latents: decoded.append(1) or latents.clone(), raising=False)
    perceptual = lambda image, truth: (seen.append(truth), (image - truth).square().mean((1, 2, 3)))[1]
    distill(Oracle(), evidence(), config, generator=seeded(), perceptual=perceptual)
    assert len(decoded) == 2 and len(seen) == 6
    assert all(truth is seen[0] for truth in seen[:3]) and seen[3] is not seen[0]


def test_the_perceptual_term_of_mean_seeking_takes_whole_images_all_the_same():
    config = dataclasses.replace(CONFIG, steps=2, bootstrap_steps=2, bootstrap_rays=64, perceptual_mean=True)
    seen = []
    perceptual = lambda image, truth: (seen.append(image.shape), image.mean((1, 2, 3)))[1]
    distill(Oracle(), evidence(), config, generator=seeded(), perceptual=perceptual)
    assert seen == [(1, 3, SIZE, SIZE)] * 2


def test_rays_of_all_first_images_are_fitted_where_asked():
    config = dataclasses.replace(CONFIG, steps=120, bootstrap_steps=120, bootstrap_rays=512, asset=COARSE)
    known = evidence()
    known = dataclasses.replace(known, first=ball(known.queries))
    asset = distill(Oracle(), known, config, generator=seeded())
    assert psnr(asset.render(known.queries).image, known.first.images).mean() > 25


def test_rates_fall_to_their_share_after_the_bootstrap():
    config = dataclasses.replace(CONFIG, steps=8, bootstrap_steps=4, final_rate=0.25, pseudo_weight=0.0)
    run, rates = _Run(Oracle(), evidence(), config, seeded(), None), []
    while run.step < config.steps:
        run.advance()
        rates.append([group["lr"] for group in run.optimiser.param_groups])
    shares = [rate / config.grid_rate for rate, _ in rates]
    assert shares == pytest.approx([1, 1, 1, 1, 1, 0.25**0.25, 0.5, 0.25**0.75])
    assert [rate / config.mlp_rate for _, rate in rates] == pytest.approx(shares)


def test_photos_alone_ignore_the_prior():
    losses = run(dataclasses.replace(CONFIG, pseudo_weight=0.0)).advance()
    assert list(losses) == ["photo"]


def test_hues_are_borrowed_and_brightness_stays(generator):
    mine, others = (0.15 + 0.7 * torch.rand(2, 3, 5, 5, generator=generator) for _ in range(2))
    mine = mine * 0.3  # so that no channel reaches one
    made = with_hues(mine, others, 1.0)
    torch.testing.assert_close(made.mean(1), mine.mean(1))
    torch.testing.assert_close(made / made.mean(1, keepdim=True), others / others.mean(1, keepdim=True))
    assert torch.equal(with_hues(mine, others, 0.0), mine)
    torch.testing.assert_close(with_hues(mine, torch.zeros_like(others), 1.0), mine)


def test_distances_are_what_their_names_say():
    a, b = torch.tensor([0.5, -0.1]), torch.zeros(2)
    assert float(_distance(a, b, "l1")) == pytest.approx(0.3)
    assert float(_distance(a, b, "l2")) == pytest.approx(0.13)


def test_the_opacity_term_is_the_releases():
    one = run(dataclasses.replace(CONFIG, opacity_weight=0.5))
    assert float(one._opacity(torch.zeros(4))) == pytest.approx(0.5 * 0.1)
    assert float(one._opacity(torch.ones(4))) == pytest.approx(0.5 * 1.01**0.5)


def test_the_denoiser_is_asked_about_the_rendering_and_noise_of_its_level():
    one, asked = run(dataclasses.replace(CONFIG, denoising="single")), []
    one.denoisers[3] = lambda x, sigma: asked.append((x, sigma)) or x
    image = torch.rand(1, 3, SIZE, SIZE)
    one.denoised(image, 3, torch.Generator().manual_seed(4))
    draws = torch.Generator().manual_seed(4)
    time = 1 - torch.rand((), generator=draws)
    noise = torch.randn(1, 3, SIZE, SIZE, generator=draws)
    ((x, sigma),) = asked
    assert sigma[0] == pytest.approx(float(COSINE.sigma(time)), rel=1e-5)
    torch.testing.assert_close(x, one.prior.codec.encode(image) + sigma[0] * noise)


@pytest.mark.parametrize("distance", ["l1", "l2"])
def test_the_loss_in_pixels_is_equation_4_5(monkeypatch, distance):
    """w_t times the distance to the decoded target, the perceptual distance unweighted, and the opacity term."""
    config = dataclasses.replace(CONFIG, reuse=2, distance=distance, perceptual_weight=0.1, render_size=SIZE)
    perceptual = lambda a, b: (a - b).abs().amax((1, 2, 3))
    one = _Run(Oracle(), evidence(), config, seeded(), perceptual)
    image, target, alpha = torch.rand(3, SIZE, SIZE), torch.rand(1, 3, SIZE, SIZE), torch.rand(1, SIZE, SIZE)
    monkeypatch.setattr(one, "render", lambda rays, draws: Render(image, alpha, alpha))
    one.target, one.step = (2, one.prior.codec.encode(target), torch.tensor(0.3)), 1
    error = image - target[0]
    mean = error.abs().mean() if distance == "l1" else error.square().mean()
    expected = 0.3 * mean + 0.1 * error.abs().max() + one._opacity(alpha)
    torch.testing.assert_close(one.distillation_loss(seeded()), expected)
