from dataclasses import replace

import pytest
import torch
from striped_ball import around, first, known, photographed

from fewview.detail.selective_numba import SelectiveAdam
from fewview.detail.stage import DetailConfig, detail
from fewview.render.gaussians import Gaussians

ROWS, STEPS = 40, 12


def slow(leaf: torch.Tensor, gradients: torch.Tensor, seen: torch.Tensor, rate: float) -> torch.Tensor:
    """Algorithm 1 of Kingma and Ba (2015), of which unseen rows take no part."""
    values, first, second = leaf.double(), torch.zeros(leaf.shape).double(), torch.zeros(leaf.shape).double()
    for t, (gradient, rows) in enumerate(zip(gradients.double(), seen), start=1):
        mask = rows.reshape(-1, *[1] * (leaf.ndim - 1))
        first = torch.where(mask, 0.9 * first + 0.1 * gradient, first)
        second = torch.where(mask, 0.999 * second + 0.001 * gradient.square(), second)
        change = rate * (first / (1 - 0.9**t)) / ((second / (1 - 0.999**t)).sqrt() + 1e-15)
        values = torch.where(mask, values - change, values)
    return values


@pytest.mark.parametrize("shape", [(ROWS,), (ROWS, 3), (ROWS, 8, 3)])
def test_seen_rows_move_as_the_slow_twin_says_and_others_not_at_all(generator, shape):
    leaf = torch.randn(shape, generator=generator)
    gradients = torch.randn(STEPS, *shape, generator=generator)
    seen = torch.rand(STEPS, ROWS, generator=generator) > 0.4
    seen[:, :5] = False
    fitted = leaf.clone().requires_grad_()
    optimiser = SelectiveAdam([fitted], lr=0.02, eps=1e-15)
    for gradient, rows in zip(gradients, seen):
        fitted.grad = gradient.clone()
        optimiser.descend(rows)
    torch.testing.assert_close(fitted.detach().double(), slow(leaf, gradients, seen, 0.02), atol=1e-6, rtol=1e-5)
    assert torch.equal(fitted[:5].detach(), leaf[:5])


def test_where_all_rows_are_seen_it_is_torchs_adam(generator):
    leaf = torch.randn(ROWS, 4, generator=generator)
    ours, theirs = (leaf.clone().requires_grad_() for _ in range(2))
    pair = SelectiveAdam([ours], lr=0.01), torch.optim.Adam([theirs], lr=0.01)
    for _ in range(STEPS):
        gradient = torch.randn(leaf.shape, generator=generator)
        ours.grad, theirs.grad = gradient.clone(), gradient.clone()
        pair[0].descend(torch.ones(ROWS, dtype=torch.bool))
        pair[1].step()
    torch.testing.assert_close(ours, theirs, atol=1e-6, rtol=1e-5)


def test_splats_that_no_picture_shows_stay_as_they_are():
    """With plain Adam the losses of size and opacity shrink what no photo sees."""
    photos = photographed(around(12, 80)[:2])
    init = first(photos.cameras, known(photos.cameras), torch.Generator().manual_seed(0))
    behind = replace(init[:50], means=init.means[:50] + 1000 * photos.cameras.forward[0])
    kept = []
    for selective in (True, False):
        config = DetailConfig(steps=4, relocate_every=100, noise=0, selective=selective)
        made = detail(Gaussians.cat([init, behind]), photos, config, generator=torch.Generator().manual_seed(1))
        kept.append(torch.allclose(made.gaussians.scales[-50:], behind.scales, rtol=1e-5))
    assert kept == [True, False]
