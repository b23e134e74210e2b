import math

import pytest
import torch
from diffusion.known_data import Gaussian
from torch import Generator, Tensor

from fewview.diffusion.denoiser import (
    alpha_std,
    clipped,
    from_edm,
    from_epsilon,
    from_v,
    guided,
    noisy,
    velocity,
    weight_min_snr,
    weight_one,
    weight_p2,
)
from fewview.diffusion.schedules import COSINE

DATA = Gaussian(mean=0.3, std=0.7)
SIGMA = torch.logspace(-2, 2.5, 9, dtype=torch.float64)
LOGSNR = torch.linspace(-12, 9, 40, dtype=torch.float64)


def vp_posterior(x_vp: Tensor, logsnr: Tensor) -> tuple[Tensor, Tensor]:
    """Expected x0 and eps of DATA, derived in the VP frame: x_vp ~ N(alpha * mean, alpha^2 * DATA.std^2 + std^2)."""
    logsnr = logsnr.reshape(-1, 1, 1)
    alpha, std = logsnr.sigmoid().sqrt(), (-logsnr).sigmoid().sqrt()
    surprise = (x_vp - alpha * DATA.mean) / (alpha**2 * DATA.std**2 + std**2)
    return DATA.mean + alpha * DATA.std**2 * surprise, std * surprise


def optimal_epsilon(x_vp: Tensor, logsnr: Tensor) -> Tensor:
    return vp_posterior(x_vp, logsnr)[1]


def optimal_v(x_vp: Tensor, logsnr: Tensor) -> Tensor:
    x0, eps = vp_posterior(x_vp, logsnr)
    alpha, std = logsnr.sigmoid().sqrt().reshape(-1, 1, 1), (-logsnr).sigmoid().sqrt().reshape(-1, 1, 1)
    return alpha * eps - std * x0


@pytest.fixture
def x(generator: Generator) -> Tensor:
    return SIGMA.reshape(-1, 1, 1) * torch.randn(9, 3, 5, generator=generator, dtype=torch.float64) + 0.5


@pytest.mark.parametrize("wrap, network", [(from_epsilon, optimal_epsilon), (from_v, optimal_v)])
def test_an_optimal_network_becomes_the_optimal_denoiser(wrap, network, x: Tensor):
    torch.testing.assert_close(wrap(network)(x, SIGMA), DATA.denoise(x, SIGMA), rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("wrap, network", [(from_epsilon, optimal_epsilon), (from_v, optimal_v)])
def test_a_network_may_be_told_the_time_instead_of_the_log_snr(wrap, network, x: Tensor):
    denoise = wrap(lambda x_vp, t: network(x_vp, COSINE.logsnr(t)), level=COSINE.time)
    inside = (SIGMA > 0.0125) & (SIGMA < 600)
    expected = DATA.denoise(x, SIGMA)[inside]
    torch.testing.assert_close(denoise(x, SIGMA)[inside], expected, rtol=1e-7, atol=1e-7)


@pytest.mark.parametrize("wrap", [from_epsilon, from_v])
def test_a_network_sees_unit_variance_and_the_log_snr(wrap, x: Tensor):
    seen = []
    wrap(lambda *inputs: (seen.extend(inputs), inputs[0])[1])(x, SIGMA)
    torch.testing.assert_close(seen[0], x / (1 + SIGMA.reshape(-1, 1, 1) ** 2).sqrt())
    torch.testing.assert_close(seen[1], -2 * SIGMA.log())


def test_edm_preconditioning_of_nothing_is_optimal_for_centred_gaussian_data(x: Tensor):
    denoise = from_edm(lambda scaled, _: torch.zeros_like(scaled), sigma_data=0.7)
    torch.testing.assert_close(denoise(x, SIGMA), Gaussian(0, 0.7).denoise(x, SIGMA))


def test_edm_network_of_shifted_gaussian_data_becomes_the_optimal_denoiser(x: Tensor):
    def network(scaled: Tensor, quarter_log: Tensor) -> Tensor:
        sigma = (4 * quarter_log).exp().reshape(-1, 1, 1)
        return (sigma * DATA.mean / DATA.std / (DATA.std**2 + sigma**2).sqrt()).expand_as(scaled)  # by hand, table 1

    torch.testing.assert_close(from_edm(network, sigma_data=DATA.std)(x, SIGMA), DATA.denoise(x, SIGMA))


def test_edm_network_sees_unit_variance(generator: Generator):
    seen = []
    sigma = torch.tensor([0.1, 3.0])
    x = (0.25 + sigma**2).sqrt()[:, None] * torch.randn(2, 20000, generator=generator)
    from_edm(lambda scaled, noise: (seen.append(scaled), scaled)[1])(x, sigma)
    torch.testing.assert_close(seen[0].std(dim=1), torch.ones(2), atol=0.02, rtol=0)


def test_a_network_trained_on_noisy_denoises_in_the_edm_frame(generator: Generator):
    t = torch.tensor(0.4, dtype=torch.float64).expand(40000)
    x0 = DATA.mean + DATA.std * torch.randn(40000, 1, generator=generator, dtype=torch.float64)
    eps = torch.randn(40000, 1, generator=generator, dtype=torch.float64)
    x_vp = noisy(x0, eps, t)
    x, sigma = torch.linspace(-3, 3, 7, dtype=torch.float64)[:, None], COSINE.sigma(t[:7])
    for target, wrap in [(eps, from_epsilon), (velocity(x0, eps, *alpha_std(t, x0)), from_v)]:
        fit = torch.linalg.lstsq(torch.cat([x_vp, torch.ones_like(x_vp)], dim=1), target).solution
        denoise = wrap(lambda x_vp, _, fit=fit: x_vp * fit[0] + fit[1])
        torch.testing.assert_close(denoise(x, sigma), DATA.denoise(x, sigma), atol=0.03, rtol=0)


def test_noisy_and_velocity_are_a_rotation_of_data_and_noise(generator: Generator):
    x0, eps = torch.randn(2, 6, 3, 4, generator=generator)
    t = torch.linspace(0, 1, 6)
    x_vp, v = noisy(x0, eps, t), velocity(x0, eps, *alpha_std(t, x0))
    alpha, std = COSINE.alpha(t).reshape(-1, 1, 1), COSINE.std(t).reshape(-1, 1, 1)
    torch.testing.assert_close(alpha * x_vp - std * v, x0)
    torch.testing.assert_close(std * x_vp + alpha * v, eps)


def test_noisy_over_alpha_is_the_edm_frame(generator: Generator):
    x0, eps = torch.randn(2, 5, 4, generator=generator, dtype=torch.float64)
    t = torch.linspace(0, 0.99, 5, dtype=torch.float64)
    expected = x0 + COSINE.sigma(t)[:, None] * eps
    torch.testing.assert_close(noisy(x0, eps, t) / COSINE.alpha(t)[:, None], expected)


def test_guidance_of_x0_is_guidance_of_epsilon(x: Tensor):
    cond, uncond = lambda x_vp, _: x_vp.sin(), lambda x_vp, _: x_vp.cos()
    mixed = from_epsilon(lambda x_vp, _: x_vp.cos() + 3 * (x_vp.sin() - x_vp.cos()))
    guide = guided(from_epsilon(cond), from_epsilon(uncond), 3.0)
    torch.testing.assert_close(guide(x, SIGMA), mixed(x, SIGMA))


def test_guidance_of_gaussians_moves_the_mean(x: Tensor):
    guide = guided(Gaussian(1.0, 0.7).denoise, Gaussian(0.0, 0.7).denoise, 2.5)
    torch.testing.assert_close(guide(x, SIGMA), Gaussian(2.5, 0.7).denoise(x, SIGMA))


def test_guidance_at_scale_one_costs_one_network(x: Tensor):
    def never(x: Tensor, sigma: Tensor) -> Tensor:
        raise AssertionError

    torch.testing.assert_close(guided(DATA.denoise, never, 1.0)(x, SIGMA), DATA.denoise(x, SIGMA))


def test_clipping_bounds_x0_and_leaves_the_rest(x: Tensor):
    wide, narrow = DATA.denoise(x, SIGMA), clipped(DATA.denoise, 0.5)(x, SIGMA)
    assert wide.abs().max() > 0.5 and narrow.abs().max() == 0.5
    assert torch.equal(narrow[wide.abs() <= 0.5], wide[wide.abs() <= 0.5])


def test_sparsefusions_p2_weight_is_the_vp_noise_level():
    t = torch.linspace(0, 0.999, 50, dtype=torch.float64)
    torch.testing.assert_close(weight_p2(COSINE.logsnr(t)), COSINE.std(t))


def test_p2_weight_at_equal_signal_and_noise():
    even = torch.zeros(2)
    assert weight_p2(even, gamma=2.0, k=3.0).tolist() == [1 / 16, 1 / 16]


def test_no_weight_is_one():
    assert torch.equal(weight_one(LOGSNR), torch.ones_like(LOGSNR))


def test_min_snr_weights_of_all_targets_state_one_loss():
    x0, guess = torch.tensor(0.4), torch.tensor(-0.9)
    alpha, std = LOGSNR.sigmoid().sqrt(), (-LOGSNR).sigmoid().sqrt()
    x_vp = alpha * x0 + std * 1.7
    eps, eps_guess = 1.7, (x_vp - alpha * guess) / std
    v, v_guess = alpha * eps - std * x0, alpha * eps_guess - std * guess
    loss = LOGSNR.exp().clamp(max=5) * (x0 - guess) ** 2
    torch.testing.assert_close(weight_min_snr(LOGSNR, target="x0") * (x0 - guess) ** 2, loss)
    torch.testing.assert_close(weight_min_snr(LOGSNR, target="epsilon") * (eps - eps_guess) ** 2, loss)
    torch.testing.assert_close(weight_min_snr(LOGSNR, target="v") * (v - v_guess) ** 2, loss)


def test_min_snr_weight_of_epsilon_is_one_until_the_cap():
    weight = weight_min_snr(torch.tensor([0.0, math.log(4.9), math.log(50.0), math.inf]))
    torch.testing.assert_close(weight, torch.tensor([1.0, 1.0, 0.1, 0.0]))
