import math

import pytest
import torch
from torch import Tensor

from fewview.diffusion.schedules import (
    COSINE,
    Cosine,
    alphabar_from_betas,
    alphabar_from_logsnr,
    alphabar_from_sigma,
    karras,
    linear_betas,
    logsnr_from_alphabar,
    logsnr_from_sigma,
    multistep_count,
    multistep_times,
    sigma_from_alphabar,
    sigma_from_logsnr,
    sigma_from_step,
    step_from_sigma,
)
from fewview.errors import InputError

SIGMAS = torch.logspace(-2, 2.5, 50, dtype=torch.float64)
TIMES = torch.linspace(0, 0.999, 2000)


@pytest.mark.parametrize(
    "there, back",
    [
        (logsnr_from_sigma, sigma_from_logsnr),
        (alphabar_from_sigma, sigma_from_alphabar),
        (lambda sigma: alphabar_from_logsnr(logsnr_from_sigma(sigma)), sigma_from_alphabar),
        (alphabar_from_sigma, lambda alphabar: sigma_from_logsnr(logsnr_from_alphabar(alphabar))),
    ],
)
def test_conversions_of_level_invert_each_other(there, back):
    torch.testing.assert_close(back(there(SIGMAS)), SIGMAS, rtol=1e-10, atol=0)


def test_alphabar_and_sigma_state_the_same_signal_to_noise_ratio():
    alphabar = alphabar_from_sigma(SIGMAS)
    torch.testing.assert_close(alphabar / (1 - alphabar), SIGMAS**-2, rtol=1e-10, atol=0)


@pytest.mark.parametrize("schedule", [COSINE, Cosine(offset=0.02, latest=0.99)])
def test_cosine_alphabar_is_nichol_and_dhariwals(schedule: Cosine):
    t = torch.linspace(0, schedule.latest, 100, dtype=torch.float64)
    alphabar = torch.cos((t + schedule.offset) / (1 + schedule.offset) * math.pi / 2) ** 2
    torch.testing.assert_close(schedule.alpha(t) ** 2, alphabar)
    torch.testing.assert_close(alphabar_from_sigma(schedule.sigma(t)), alphabar)
    torch.testing.assert_close(alphabar_from_logsnr(schedule.logsnr(t)), alphabar)


def test_cosine_preserves_variance():
    torch.testing.assert_close(COSINE.alpha(TIMES) ** 2 + COSINE.std(TIMES) ** 2, torch.ones_like(TIMES))


def test_cosine_noise_grows_at_every_time():
    assert (COSINE.sigma(TIMES).diff() > 0).all()
    assert (COSINE.logsnr(TIMES).diff() < 0).all()


def test_cosine_keeps_float32_digits_at_both_ends():
    t = torch.tensor([0.0, 1e-4, 0.5, 0.99, 0.999])
    angle = (t.double() + 0.008) / 1.008 * math.pi / 2
    torch.testing.assert_close(COSINE.sigma(t).double(), angle.tan(), rtol=1e-6, atol=0)


def test_cosine_stays_finite_past_its_ends():
    beyond = COSINE.logsnr(torch.tensor([-1.0, 1.0, 2.0]))
    assert beyond.tolist() == COSINE.logsnr(torch.tensor([0.0, 0.999, 0.999])).tolist()
    assert beyond.isfinite().all()


def test_cosine_time_inverts_sigma():
    t = torch.linspace(0, 0.999, 2000, dtype=torch.float64)
    torch.testing.assert_close(COSINE.time(COSINE.sigma(t)), t, rtol=0, atol=1e-12)
    torch.testing.assert_close(COSINE.time(COSINE.sigma(TIMES)), TIMES, rtol=0, atol=1e-6)
    assert COSINE.time(torch.tensor([0.0, 1e9])).tolist() == pytest.approx([0, 0.999])


def test_karras_levels_are_even_in_the_root_and_end_at_zero():
    sigmas = karras(18, 0.002, 80.0, dtype=torch.float64)
    direct = [(80 ** (1 / 7) + i / 17 * (0.002 ** (1 / 7) - 80 ** (1 / 7))) ** 7 for i in range(18)]  # 2206.00364 eq. 5
    assert sigmas.tolist() == pytest.approx([*direct, 0.0])


def test_karras_with_rho_one_is_linear():
    assert karras(5, 1, 9, rho=1).tolist() == [9, 7, 5, 3, 1, 0]


def test_karras_with_one_step_goes_from_the_top_to_zero():
    assert karras(1, 0.5, 2.0).tolist() == [2, 0]
    assert karras(1, 2.0, 2.0).tolist() == [2, 0]


@pytest.mark.parametrize("steps, low, high", [(0, 1, 2), (3, 0, 2), (3, 2, 1), (3, 1, 1), (3, 1, math.inf), (2, -1, 1)])
def test_karras_refuses_levels_that_do_not_descend(steps: int, low: float, high: float):
    with pytest.raises(InputError, match="sigma_min"):
        karras(steps, low, high)


@pytest.mark.parametrize(
    "t, count", [(1e-6, 1), (0.004, 1), (0.01, 1), (0.02, 2), (0.29, 29), (0.5, 50), (0.51, 50), (0.995, 50), (1, 50)]
)
def test_multistep_count_follows_equation_a1_and_is_never_zero(t: float, count: int):
    assert multistep_count(t) == count
    assert multistep_count(float(torch.tensor(t))) == count
    assert multistep_count(t * 500, horizon=500) == count


@pytest.mark.parametrize("t", [1e-4, 0.004, 0.013, 0.37, 0.5, 0.99, 0.999, 1.0])
def test_multistep_times_go_evenly_from_t_to_zero(t: float):
    times = multistep_times(t)
    assert len(times) == multistep_count(t) + 1
    assert times[0] == torch.tensor(t) and times[-1] == 0
    torch.testing.assert_close(times.diff(), torch.full((len(times) - 1,), -t / multistep_count(t)))


@pytest.mark.parametrize("t", [1e-4, 0.004, 0.013, 0.37, 0.5, 0.99, 0.995, 0.999, 1.0])
def test_a_multistep_chain_starts_at_the_level_of_its_noisy_latent(t: float):
    sigmas = COSINE.sigmas(multistep_times(t))
    assert sigmas[0] == COSINE.sigma(torch.tensor(t)) > 0.01
    assert sigmas[-1] == 0 and (sigmas.diff() < 0).all()


@pytest.mark.parametrize("t", [0.0, -0.1, 1.01, math.nan])
def test_multistep_refuses_times_outside_the_process(t: float):
    with pytest.raises(InputError, match="diffusion time"):
        multistep_times(t)


def test_linear_betas_are_those_of_ddpm():
    betas = linear_betas()
    assert len(betas) == 1000 and betas[0] == 1e-4 and betas[-1] == 0.02
    alphabar = alphabar_from_betas(betas)
    assert alphabar[0] == 1 - 1e-4
    assert alphabar[-1].item() == pytest.approx(math.prod(1 - beta for beta in betas.tolist()))
    assert (alphabar.diff() < 0).all()


@pytest.fixture
def table() -> Tensor:
    return sigma_from_alphabar(alphabar_from_betas(linear_betas(100)))


def test_whole_steps_are_the_entries_of_the_table(table: Tensor):
    steps = torch.arange(100, dtype=torch.float64)
    torch.testing.assert_close(sigma_from_step(steps, table), table)
    torch.testing.assert_close(step_from_sigma(table, table), steps)


def test_step_and_sigma_invert_each_other_between_the_entries(table: Tensor):
    steps = torch.linspace(0, 99, 777, dtype=torch.float64).reshape(7, 111)
    torch.testing.assert_close(step_from_sigma(sigma_from_step(steps, table), table), steps)


def test_levels_outside_the_table_go_to_its_ends(table: Tensor):
    assert step_from_sigma(torch.tensor([0.0, 1e6]), table).tolist() == [0, 99]
    ends = sigma_from_step(torch.tensor([-3.0, 500.0]), table)
    torch.testing.assert_close(ends, table[[0, -1]].float())
