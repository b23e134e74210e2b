import pytest
import torch
from wild_balls import CLASSES, MICRO, photos, whole

from fewview.errors import InputError
from fewview.recipes.wildfusion import adversaries
from fewview.wildfusion.gan import GANConfig, GANTask, PlaneGAN
from fewview.wildfusion.latent import levels
from fewview.wildfusion.latent_task import LatentTask
from fewview.wildfusion.losses import LossConfig
from fewview.wildfusion.tasks import Game
from fewview.wildfusion.whole import WholeConfig, WildFusion

SMALL_GAN = GANConfig(MICRO, CLASSES, noise=8, style=16, widths=(8,))


@pytest.fixture(scope="module")
def model() -> WildFusion:
    return whole()


@torch.no_grad()
def test_latents_come_back_from_their_noise_the_better_the_more_steps(model):
    latents, labels = (
        0.5 * torch.randn(2, *model.shape, generator=torch.Generator().manual_seed(1)),
        torch.tensor([0, 1]),
    )
    errors = []
    for steps in (4, 12, 36):
        noise = model.noise_of(latents, labels, steps=steps, rounds=1)
        errors.append(float((model.from_noise(noise, labels, steps=steps) - latents).abs().mean()))
    assert errors[0] > 1.8 * errors[1] > 3.2 * errors[2]


@torch.no_grad()
def test_the_way_between_two_objects_begins_and_ends_with_them(model):
    pair, labels = 0.5 * torch.randn(2, *model.shape, generator=torch.Generator().manual_seed(2)), torch.tensor([0, 1])
    way = model.between(pair, labels, [0.0, 0.5, 1.0], steps=16)
    assert float((way[0] - pair[0]).abs().max()) < 0.1 and float((way[2] - pair[1]).abs().max()) < 0.1
    assert float((way[1] - pair[0]).abs().mean()) > 0.1 < float((way[1] - pair[1]).abs().mean())


@torch.no_grad()
def test_resampling_moves_farther_the_stronger_it_is(model):
    latents = model.autoencoder.encode(photos(1).images, photos(1).masks)
    strengths = [0.0, 0.2, 0.4, 0.6, 0.8]
    made = model.resampled(latents, 0, strengths, steps=20, generator=torch.Generator().manual_seed(0))
    moved = (made - latents).abs().mean((1, 2, 3)).tolist()
    assert moved[0] == 0 and moved == sorted(moved) and moved[-1] > 2 * moved[1]


@torch.no_grad()
def test_samples_depend_on_seed_and_class_alone(model):
    draw = lambda label, seed: model.generate(
        torch.tensor([label]), steps=3, generator=torch.Generator().manual_seed(seed)
    )
    assert draw(0, 1).equal(draw(0, 1)) and not draw(0, 1).equal(draw(1, 1)) and not draw(0, 1).equal(draw(0, 2))


def test_the_loss_of_an_untrained_network_is_that_of_predicting_nothing():
    """v of unit latents has unit variance; the weights average out below one."""
    model = WildFusion(WholeConfig(MICRO, whole().config.latent))
    x, labels = torch.randn(64, *model.shape), torch.zeros(64, dtype=torch.long)
    task = LatentTask(model.prior, (x, labels), (x, labels))
    loss = float(task.loss(torch.Generator().manual_seed(0))["loss"].detach())
    assert 0.2 < loss < 1.0
    with torch.no_grad():
        assert set(task.validate(model.prior)) == {"diffusion"}


def test_an_unknown_class_and_weights_without_diffusion_are_refused(model):
    with pytest.raises(InputError, match="choose from ball, egg, any"):
        model.prior.label("cube")
    with pytest.raises(InputError, match="train wildfusion-latent"):
        _ = WildFusion(WholeConfig(MICRO)).prior
    with pytest.raises(InputError, match="strength"):
        levels(10, 1.5)


def test_the_gan_and_its_adversaries_take_a_step_each():
    torch.manual_seed(0)
    game, balls = Game(PlaneGAN(SMALL_GAN), adversaries(MICRO, classes=2)), photos()
    task = GANTask(game, lambda _: balls, balls, LossConfig(adversarial=1.0, depth_adversarial=1.0))
    losses = task.loss(torch.Generator().manual_seed(0))
    losses["loss"].backward()
    silent = [name for name, p in game.named_parameters() if p.grad is None or not bool(p.grad.abs().sum() > 0)]
    assert not [name for name in silent if "upsample.blocks" not in name and "upsample.first" not in name], silent
    with torch.no_grad():
        assert 0 < task.validate(game)["coverage"] < 1


@torch.no_grad()
def test_noise_and_class_change_what_the_gan_makes():
    torch.manual_seed(0)
    model, noise = PlaneGAN(SMALL_GAN), torch.randn(2, 8)
    zero, one = torch.tensor([0, 0]), torch.tensor([1, 1])
    first, second = model.planes(noise, zero)
    assert not torch.allclose(first, second) and not torch.allclose(first, model.planes(noise, one)[0])
