import math

import pytest
import torch
from wild_balls import MICRO, photos

from fewview.recipes.wildfusion import adversaries
from fewview.wildfusion.discriminators import Discriminator
from fewview.wildfusion.losses import (
    LossConfig,
    discriminator_loss,
    frozen,
    generator_loss,
    perceptual_window,
    r1_penalty,
)
from fewview.wildfusion.model import WildAutoencoder
from fewview.wildfusion.tasks import AutoencoderTask, Game


class Sum(torch.nn.Module):
    """A logit of which everything is known: gain times the sum over pixels."""

    def __init__(self, gain: float):
        super().__init__()
        self.gain = torch.nn.Parameter(torch.tensor(gain))

    def forward(self, x, labels=None):
        return self.gain * x.sum((1, 2, 3))


def test_the_game_at_logit_zero_is_log_two_for_each():
    x = torch.zeros(3, 1, 2, 2)
    assert float(generator_loss(Sum(2.0), x).detach()) == pytest.approx(math.log(2))
    assert float(discriminator_loss(Sum(2.0), x, x).detach()) == pytest.approx(2 * math.log(2))


def test_r1_is_half_the_squared_gradient_norm():
    assert float(r1_penalty(Sum(3.0), torch.rand(2, 1, 4, 4)).detach()) == pytest.approx(0.5 * 9 * 16)


def test_each_player_moves_itself_alone():
    network, fake = Sum(1.5), torch.ones(2, 1, 2, 2, requires_grad=True)
    generator_loss(network, fake).backward()
    assert network.gain.grad is None and fake.grad is not None
    fake.grad = None
    discriminator_loss(network, torch.zeros(2, 1, 2, 2), fake).backward()
    assert network.gain.grad is not None and fake.grad is None


def test_a_frozen_network_answers_as_before():
    torch.manual_seed(0)
    network, x = Discriminator(2, 8, (4, 8), classes=3), torch.rand(2, 2, 8, 8)
    labels = torch.tensor([0, 2])
    torch.testing.assert_close(frozen(network, x, labels), network(x, labels))
    assert not torch.allclose(network(x, labels), network(x, labels.flip(0)))


def test_a_real_pair_is_the_image_beside_its_own_blur():
    pair = adversaries(MICRO).pair(torch.full((1, 3, 16, 16), 0.75))
    torch.testing.assert_close(pair, torch.full((1, 6, 16, 16), 0.5))


def test_a_window_of_the_perceptual_loss_lies_inside(generator):
    sizes = []
    perceptual_window(
        lambda a, b: sizes.append(a.shape) or (a - b).mean(),
        torch.rand(2, 3, 8, 8),
        torch.rand(2, 3, 8, 8),
        side=5,
        generator=generator,
    )
    assert sizes == [(2, 3, 5, 5)]


def test_training_brings_photo_and_depth_closer_and_counts_its_steps():
    """Twelve steps on four balls; the game begins on the way, and other views are never a target."""
    torch.manual_seed(0)
    game, balls = Game(WildAutoencoder(MICRO), adversaries(MICRO)), photos()
    task = AutoencoderTask(game, lambda g: balls.mirrored(g), balls, LossConfig(start=10))
    optimiser = torch.optim.Adam(game.parameters(), 5e-3)
    seen = []
    for step in range(12):
        losses = task.loss(torch.Generator().manual_seed(step))
        optimiser.zero_grad()
        losses["loss"].backward()
        optimiser.step()
        seen.append(losses)
    first, last = (float(sum(part["pixels"] + part["depth"] for part in parts)) for parts in (seen[:3], seen[-3:]))
    assert last < 0.8 * first
    assert int(game.steps) == 12 and "telling" not in seen[9] and "telling" in seen[10]
    with torch.no_grad():
        assert {"psnr", "psnr_without_depth", "depth"} <= set(task.validate(game.eval()))
