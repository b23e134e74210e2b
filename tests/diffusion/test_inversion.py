import math
from itertools import pairwise

import pytest
import torch
from diffusion.known_data import Gaussian, Mixture

from fewview.diffusion.inversion import invert, slerp
from fewview.diffusion.samplers import euler
from fewview.diffusion.schedules import COSINE
from fewview.errors import InputError

DATA = Mixture((0.3, 0.7), (-1.5, 1.0), (0.4, 0.6))


def sigmas(steps: int) -> torch.Tensor:
    return COSINE.sigmas(torch.linspace(0.9, 0, steps + 1)).double()


def there_and_back(steps: int, rounds: int) -> float:
    """Root mean square of what inversion and sampling together move data by."""
    x = torch.linspace(-2.5, 2.5, 41, dtype=torch.float64)[None]
    back = euler(DATA.denoise, invert(DATA.denoise, x, sigmas(steps), rounds=rounds), sigmas(steps))
    return float((back - x).square().mean().sqrt())


def test_inverse_ddim_errs_in_first_order_of_the_step():
    errors = [there_and_back(steps, 1) for steps in (20, 40, 80, 160)]
    orders = [math.log2(a / b) for a, b in pairwise(errors)]
    assert orders[-1] == pytest.approx(1.0, abs=0.25) and errors[-1] < 0.1


def test_each_round_comes_closer_to_the_inverse_itself():
    errors = [there_and_back(80, rounds) for rounds in (1, 2, 4)]
    assert errors[1] < errors[0] / 2 and errors[2] < errors[1] / 4


def test_the_noise_found_is_where_the_flow_comes_from():
    data, levels = Gaussian(0.3, 0.5), sigmas(400)
    x = torch.linspace(-1, 1, 11, dtype=torch.float64)[None]
    found = invert(data.denoise, x, levels)
    torch.testing.assert_close(found, data.flow(x, 0.0, float(levels[0])), rtol=0.02, atol=0.02)


def test_slerp_ends_at_both_ends_and_keeps_lengths_between(generator):
    a, b = torch.randn(2, 4, 5, generator=generator)
    b = b * a.norm() / b.norm()
    torch.testing.assert_close(slerp(a, b, 0.0), a)
    torch.testing.assert_close(slerp(a, b, 1.0), b)
    assert float(slerp(a, b, 0.4).norm()) == pytest.approx(float(a.norm()), rel=1e-5)
    torch.testing.assert_close(slerp(a, 2 * a, 0.5), 1.5 * a)


def test_no_rounds_are_refused():
    with pytest.raises(InputError, match="at least 1"):
        invert(DATA.denoise, torch.zeros(1, 2), sigmas(2), rounds=0)
