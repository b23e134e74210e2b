import math
from functools import partial
from itertools import pairwise

import pytest
import torch
from diffusion.known_data import Gaussian, Mixture
from torch import Generator, Tensor

from fewview.diffusion.denoiser import from_epsilon, noisy
from fewview.diffusion.samplers import ddim, ddpm, euler, heun, plms, plms_ancestral
from fewview.diffusion.schedules import COSINE, alphabar_from_sigma, karras, multistep_times
from fewview.errors import InputError

GAUSSIAN = Gaussian(mean=0.3, std=0.5)
MIXTURE = Mixture(weights=(0.3, 0.7), means=(-1.0, 0.8), stds=(0.2, 0.3))
DETERMINISTIC = [euler, heun, ddim, plms]
ANCESTRAL = [ddpm, plms_ancestral, partial(ddim, eta=0.5)]
F64 = torch.float64


def even_grid(steps: int) -> Tensor:
    return torch.linspace(3, 0.3, steps + 1, dtype=F64)


def karras_grid(steps: int) -> Tensor:
    return karras(steps + 1, 0.1, 10.0, dtype=F64)[:-1]


def cosine_grid(steps: int) -> Tensor:
    return COSINE.sigma(torch.linspace(0.9, 0.05, steps + 1, dtype=F64))


def full_grid(steps: int) -> Tensor:
    return COSINE.sigmas(torch.linspace(0.999, 0, steps + 1, dtype=F64))


def normal(generator: Generator, *shape: int, dtype: torch.dtype = F64) -> Tensor:
    return torch.randn(*shape, generator=generator, dtype=dtype)


@pytest.mark.parametrize("data", [GAUSSIAN, MIXTURE], ids=["gaussian", "mixture"])
@pytest.mark.parametrize(
    "sampler, grid, lowest, highest",
    [
        (euler, even_grid, 0.95, 1.05),
        (euler, karras_grid, 0.95, 1.1),
        (euler, cosine_grid, 0.95, 1.1),
        (heun, even_grid, 1.95, 2.05),
        (heun, karras_grid, 1.95, 2.05),
        (heun, cosine_grid, 1.95, 2.05),
        (plms, karras_grid, 1.85, 2.15),
        (plms, cosine_grid, 1.95, 2.15),
        (plms, even_grid, 2.9, 4.6),
        (partial(plms, order=2), even_grid, 1.9, 2.2),
    ],
)
def test_error_falls_with_the_order_of_the_sampler(sampler, grid, lowest: float, highest: float, data):
    errors = []
    for steps in (64, 256):
        sigmas = grid(steps)
        x = torch.linspace(-2, 2, 31, dtype=F64)[:, None] * sigmas[0]
        exact = data.flow(x, sigmas[0].item(), sigmas[-1].item())
        errors.append((sampler(data.denoise, x, sigmas) - exact).abs().max().item())
    assert lowest < math.log(errors[0] / errors[1], 4) < highest


def test_with_as_many_evaluations_plms_beats_heun_beats_euler():
    x = torch.linspace(-2, 2, 31, dtype=F64)[:, None] * cosine_grid(1)[0]
    exact = MIXTURE.flow(x, *cosine_grid(1).tolist())
    plms_error, heun_error, euler_error = (
        (sampler(MIXTURE.denoise, x, cosine_grid(steps)) - exact).abs().max()
        for sampler, steps in [(plms, 49), (heun, 25), (euler, 50)]
    )
    assert plms_error < heun_error / 3 < euler_error / 9


@pytest.mark.parametrize("sampler", DETERMINISTIC)
@pytest.mark.parametrize("steps", [1, 2, 3, 20])
def test_one_known_image_is_found_in_any_number_of_steps(sampler, steps: int, generator: Generator):
    x0 = normal(generator, 2, 3, 4, 4)
    sigmas = karras(steps, 0.02, 50.0)
    x = x0 + 50 * normal(generator, 2, 3, 4, 4)
    torch.testing.assert_close(sampler(lambda x, sigma: x0, x, sigmas), x0)


@pytest.mark.parametrize("sampler", DETERMINISTIC + ANCESTRAL)
def test_one_step_to_zero_is_the_denoiser_and_needs_no_noise(sampler, generator: Generator):
    x = 2 * normal(generator, 8, 3)
    expected = MIXTURE.denoise(x, torch.full((8,), 2.0, dtype=F64))
    torch.testing.assert_close(sampler(MIXTURE.denoise, x, torch.tensor([2.0, 0.0])), expected)


@pytest.mark.parametrize(
    "sampler, same_as", [(ddim, euler), (partial(plms, order=1), euler), (ddpm, partial(ddim, eta=1.0))]
)
def test_samplers_of_one_family_agree(sampler, same_as):
    x = torch.linspace(-9, 9, 7, dtype=F64)[:, None]
    ours, theirs = (
        s(MIXTURE.denoise, x, karras_grid(6), generator=Generator().manual_seed(1)) for s in (sampler, same_as)
    )
    assert torch.equal(ours, theirs)


def vp_steps(x: Tensor, sigmas: Tensor):
    """The state in the VP frame with alphabar before and after each step."""
    alphabars = alphabar_from_sigma(sigmas)
    return x * alphabars[0].sqrt(), list(pairwise(alphabars))


def vp_epsilon(x_vp: Tensor, alphabar: Tensor) -> Tensor:
    sigma = ((1 - alphabar) / alphabar).sqrt()
    x = x_vp / alphabar.sqrt()
    return (x - MIXTURE.denoise(x, sigma.expand(len(x)))) / sigma


def vp_transfer(x_vp: Tensor, eps: Tensor, now: Tensor, then: Tensor) -> Tensor:
    """The transfer part of PNDM as 2202.09778 states it."""
    mixed = ((1 - then) * now).sqrt() + ((1 - now) * then).sqrt()
    return (then / now).sqrt() * x_vp - (then - now) / (now.sqrt() * mixed) * eps


def test_plms_is_pndm_of_the_vp_frame():
    sigmas = full_grid(12)
    x_vp, steps = vp_steps(torch.linspace(-2, 2, 9, dtype=F64)[:, None] * sigmas[0], sigmas)
    history: list[Tensor] = []
    for now, then in steps:
        history.append(vp_epsilon(x_vp, now))
        e = history[::-1]
        if len(e) == 1:
            eps = (e[0] + vp_epsilon(vp_transfer(x_vp, e[0], now, then), then)) / 2
        elif len(e) == 2:
            eps = (3 * e[0] - e[1]) / 2
        elif len(e) == 3:
            eps = (23 * e[0] - 16 * e[1] + 5 * e[2]) / 12
        else:
            eps = (55 * e[0] - 59 * e[1] + 37 * e[2] - 9 * e[3]) / 24
        x_vp = vp_transfer(x_vp, eps, now, then)
    ours = plms(MIXTURE.denoise, torch.linspace(-2, 2, 9, dtype=F64)[:, None] * sigmas[0], sigmas)
    torch.testing.assert_close(ours, x_vp)


def test_ddpm_draws_from_the_posterior_of_the_vp_frame():
    sigmas = full_grid(15)
    start = torch.linspace(-2, 2, 9, dtype=F64)[:, None] * sigmas[0]
    x, steps = vp_steps(start, sigmas)
    generator = Generator().manual_seed(3)
    for now, then in steps:
        beta = 1 - now / then
        mean = (x - beta / (1 - now).sqrt() * vp_epsilon(x, now)) / (1 - beta).sqrt()  # thesis eq. 3.3
        variance = (1 - then) / (1 - now) * beta  # 2006.11239 eq. 7
        x = mean + variance.sqrt() * normal(generator, 9, 1) if then < 1 else mean
    torch.testing.assert_close(ddpm(MIXTURE.denoise, start, sigmas, generator=Generator().manual_seed(3)), x)


def test_ddim_with_eta_is_equation_12_of_the_vp_frame():
    sigmas = full_grid(15)
    start = torch.linspace(-2, 2, 9, dtype=F64)[:, None] * sigmas[0]
    x, steps = vp_steps(start, sigmas)
    generator = Generator().manual_seed(3)
    for now, then in steps:
        eps = vp_epsilon(x, now)
        spread = 0.6 * ((1 - then) / (1 - now)).sqrt() * (1 - now / then).sqrt()
        x0 = (x - (1 - now).sqrt() * eps) / now.sqrt()
        x = then.sqrt() * x0 + (1 - then - spread**2).clamp(min=0).sqrt() * eps
        x = x + spread * normal(generator, 9, 1) if then < 1 else x
    ours = ddim(MIXTURE.denoise, start, sigmas, eta=0.6, generator=Generator().manual_seed(3))
    torch.testing.assert_close(ours, x)


@pytest.mark.parametrize("eta", [0.0, 0.4, 1.0])
def test_ddim_has_the_moments_that_its_steps_imply(eta: float, generator: Generator):
    sigmas = full_grid(12)
    mean, variance = 0.0, sigmas[0].item() ** 2
    for now, then in pairwise(sigmas.tolist()):  # each step is affine in x for Gaussian data
        keep = GAUSSIAN.std**2 / (GAUSSIAN.std**2 + now**2)
        spread = eta * then * math.sqrt(1 - then**2 / now**2)
        share = math.sqrt(then**2 - spread**2) / now
        slope = share + (1 - share) * keep
        mean = slope * mean + (1 - slope) * GAUSSIAN.mean
        variance = slope**2 * variance + spread**2
    x = sigmas[0] * normal(generator, 40000, 1)
    sample = ddim(GAUSSIAN.denoise, x, sigmas, eta=eta, generator=generator)
    assert sample.mean().item() == pytest.approx(mean, abs=4 * math.sqrt(variance / 40000))
    assert sample.var().item() == pytest.approx(variance, rel=4 * math.sqrt(2 / 40000))


@pytest.mark.parametrize("sampler", [*DETERMINISTIC, *ANCESTRAL])
def test_gaussian_data_come_back_with_their_mean_and_variance(sampler, generator: Generator):
    sigmas = full_grid(200)
    sample = sampler(GAUSSIAN.denoise, sigmas[0] * normal(generator, 20000, 1), sigmas, generator=generator)
    assert sample.mean().item() == pytest.approx(GAUSSIAN.mean, abs=0.015)
    assert sample.std().item() == pytest.approx(GAUSSIAN.std, rel=0.025)


@pytest.mark.parametrize("sampler", [heun, plms, ddpm, plms_ancestral])
def test_samples_of_a_mixture_follow_its_distribution(sampler, generator: Generator):
    sigmas = full_grid(200)
    sample = sampler(MIXTURE.denoise, sigmas[0] * normal(generator, 8000, 1), sigmas, generator=generator)
    ranks = MIXTURE.cdf(sample[:, 0], 0.0).sort().values
    distance = (ranks - torch.linspace(0, 1, 8000, dtype=F64)).abs().max().item()
    assert distance < 1.95 / math.sqrt(8000)  # Kolmogorov-Smirnov at the 0.1 % level


@pytest.mark.parametrize("sampler", [euler, heun, ddpm, partial(ddim, eta=0.5)])
def test_a_chain_may_be_cut_and_resumed(sampler, generator: Generator):
    sigmas, x = full_grid(9), 600 * normal(generator, 5, 2)
    whole = sampler(GAUSSIAN.denoise, x, sigmas, generator=Generator().manual_seed(7))
    resumed = Generator().manual_seed(7)
    half = sampler(GAUSSIAN.denoise, x, sigmas[:5], generator=resumed)
    assert torch.equal(sampler(GAUSSIAN.denoise, half, sigmas[4:], generator=resumed), whole)


@pytest.mark.parametrize("t", [1e-3, 0.004, 0.03, 0.4, 0.8, 0.995, 1.0])
def test_distillation_chains_end_at_data_from_every_time(t: float, generator: Generator):
    time = torch.full((64,), t, dtype=F64)
    x0, eps = GAUSSIAN.mean + GAUSSIAN.std * normal(generator, 64, 2), normal(generator, 64, 2)
    x = noisy(x0, eps, time) / COSINE.alpha(time)[:, None]
    sigmas = COSINE.sigmas(multistep_times(t))
    exact = GAUSSIAN.flow(x, COSINE.sigma(time)[0].item(), 0.0)
    assert (plms(GAUSSIAN.denoise, x, sigmas) - exact).abs().max() < 0.02
    drawn = plms_ancestral(GAUSSIAN.denoise, x, sigmas, generator=generator)
    assert 0.35 < drawn.std() < 0.65 and not torch.allclose(drawn, x)


def test_ancestral_chains_from_part_of_the_way_keep_the_distribution(generator: Generator):
    x0 = GAUSSIAN.mean + GAUSSIAN.std * normal(generator, 20000, 1)
    sigmas = COSINE.sigmas(multistep_times(0.3))
    sample = ddpm(GAUSSIAN.denoise, x0 + sigmas[0] * normal(generator, 20000, 1), sigmas, generator=generator)
    assert sample.mean().item() == pytest.approx(GAUSSIAN.mean, abs=0.015)
    assert sample.std().item() == pytest.approx(GAUSSIAN.std, rel=0.03)
    assert (sample - x0).std() > 0.1


@pytest.mark.parametrize("sampler", ANCESTRAL)
def test_the_generator_decides_the_sample(sampler):
    def draw(seed: int) -> Tensor:
        x = torch.linspace(-9, 9, 7)[:, None]
        return sampler(GAUSSIAN.denoise, x, karras(6, 0.1, 10.0), generator=Generator().manual_seed(seed))

    assert torch.equal(draw(1), draw(1)) and not torch.equal(draw(1), draw(2))


@pytest.mark.parametrize("sampler", DETERMINISTIC + ANCESTRAL)
def test_samplers_leave_their_inputs_and_the_global_random_state_alone(sampler):
    x, sigmas, state = torch.ones(2, 3), karras(5, 0.1, 10.0), torch.random.get_rng_state()
    sampler(GAUSSIAN.denoise, x, sigmas, generator=Generator().manual_seed(0))
    assert torch.equal(torch.random.get_rng_state(), state)
    assert torch.equal(x, torch.ones(2, 3)) and torch.equal(sigmas, karras(5, 0.1, 10.0))


@pytest.mark.parametrize("sampler", ANCESTRAL)
def test_drawing_noise_without_a_generator_is_refused(sampler):
    with pytest.raises(InputError, match="generator"):
        sampler(GAUSSIAN.denoise, torch.ones(2, 3), karras(5, 0.1, 10.0))


@pytest.mark.parametrize("sampler", DETERMINISTIC + ANCESTRAL)
@pytest.mark.parametrize("dtype", [torch.float32, F64])
def test_the_sample_has_the_type_of_x(sampler, dtype: torch.dtype):
    x = torch.linspace(-9, 9, 30, dtype=dtype).reshape(2, 3, 5)
    sample = sampler(MIXTURE.denoise, x, karras(12, 0.1, 10.0), generator=Generator().manual_seed(0))
    assert sample.dtype == dtype and sample.shape == x.shape


@pytest.mark.parametrize("sampler", DETERMINISTIC)
def test_float32_is_enough_for_the_whole_cosine_schedule(sampler, generator: Generator):
    x = 640 * normal(generator, 50, 2)
    single = sampler(MIXTURE.denoise, x.float(), full_grid(50).float())
    torch.testing.assert_close(single.double(), sampler(MIXTURE.denoise, x, full_grid(50)), atol=2e-3, rtol=0)


@pytest.mark.parametrize(
    "sampler, steps, evaluations",
    [(euler, 5, 5), (ddim, 5, 5), (ddpm, 5, 5), (heun, 5, 9), (heun, 1, 1), (plms, 5, 6), (plms, 2, 3), (plms, 1, 1),
     (plms_ancestral, 5, 6), (partial(plms, order=1), 5, 5)],
)  # fmt: skip
def test_the_network_is_asked_this_often_and_never_about_clean_data(sampler, steps: int, evaluations: int):
    asked: list[float] = []

    def denoise(x: Tensor, sigma: Tensor) -> Tensor:
        assert sigma.shape == (3,)
        asked.append(sigma[0].item())
        return GAUSSIAN.denoise(x, sigma)

    sampler(denoise, torch.ones(3, 2), karras(steps, 0.1, 10.0), generator=Generator().manual_seed(0))
    assert len(asked) == evaluations and min(asked) > 0


@pytest.mark.parametrize("sampler", DETERMINISTIC + ANCESTRAL)
def test_the_callback_sees_every_step_and_the_last_estimate_is_the_sample(sampler):
    seen: list[tuple[int, Tensor, Tensor]] = []
    sample = sampler(
        MIXTURE.denoise, torch.ones(3, 2), karras(4, 0.1, 10.0),
        generator=Generator().manual_seed(0), callback=lambda *step: seen.append(step),
    )  # fmt: skip
    assert [step for step, _, _ in seen] == [0, 1, 2, 3]
    assert torch.equal(seen[-1][1], sample)
    torch.testing.assert_close(seen[-1][2], sample)


@pytest.mark.parametrize("sampler", DETERMINISTIC)
def test_gradients_flow_through_the_whole_chain(sampler):
    x = torch.tensor([[2.0], [-3.0]], dtype=F64, requires_grad=True)
    sample = sampler(GAUSSIAN.denoise, x, karras_grid(40))
    (gradient,) = torch.autograd.grad(sample.sum(), x)
    shifted = sampler(GAUSSIAN.denoise, x.detach() + 1, karras_grid(40))  # affine: the slope is a difference
    torch.testing.assert_close(gradient, (shifted - sample).detach())


def test_a_wrapped_network_samples_data(generator: Generator):
    def network(x_vp: Tensor, logsnr: Tensor) -> Tensor:  # the optimal eps of N(0, 1) data: std * x_vp
        return (-logsnr).sigmoid().sqrt()[:, None] * x_vp

    sample = heun(from_epsilon(network), 80 * normal(generator, 20000, 1), karras(40, 0.01, 80.0))
    assert sample.std().item() == pytest.approx(1, rel=0.02)


@pytest.mark.parametrize(
    "levels", [[], [1.0], [1.0, 2.0], [1.0, 1.0, 0.0], [1.0, -0.1], [math.nan, 1.0], [1.0, math.nan], [math.inf, 1.0]]
)
@pytest.mark.parametrize("sampler", [euler, heun])
def test_levels_that_do_not_descend_are_refused(sampler, levels: list[float]):
    with pytest.raises(InputError, match="descending"):
        sampler(GAUSSIAN.denoise, torch.ones(2, 3), torch.tensor(levels))


@pytest.mark.parametrize("call, word", [
    (partial(ddim, eta=-0.1), "eta"), (partial(ddim, eta=1.1), "eta"),
    (partial(plms, order=0), "order"), (partial(plms_ancestral, order=5), "order"),
])  # fmt: skip
def test_settings_outside_their_range_are_refused(call, word: str):
    with pytest.raises(InputError, match=word):
        call(GAUSSIAN.denoise, torch.ones(2, 3), karras(3, 0.1, 10.0), generator=Generator())
