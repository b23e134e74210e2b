import pytest
import torch
from striped_ball import psnr
from torch.nn import functional as F

from fewview.cameras import Cameras
from fewview.detail.population import Population
from fewview.detail.relocation import DEAD, chosen_sources, jitter, shared
from fewview.render.gaussians import Gaussians
from fewview.render.splatting import splat

RATES = dict(mean=0.1, scale=0.02, quaternion=0.01, opacity=0.05, feature=0.01)


def some(count: int, generator: torch.Generator) -> Gaussians:
    random = lambda *shape: torch.rand(*shape, generator=generator)
    turns = F.normalize(torch.randn(count, 4, generator=generator), dim=-1)
    opacities = 0.2 + 0.7 * random(count)
    return Gaussians(2 * random(count, 3) - 1, 0.05 + 0.1 * random(count, 3), turns, opacities, random(count, 3))


def camera(size: int = 64) -> Cameras:
    return Cameras.look_at(
        torch.tensor([0.0, 0, -4]), torch.zeros(3), torch.tensor([0.0, -1, 0]), focal=1.4 * size,
        height=size, width=size,
    )  # fmt: skip


@pytest.mark.parametrize("count", [2, 3, 8])
def test_copies_have_the_same_transmittance_in_the_middle_and_the_same_light_along_a_line(count):
    opacity, scale = torch.tensor([0.7]), torch.tensor([[1.0, 1.0, 1.0]])
    fainter, smaller = shared(opacity, scale, torch.tensor([count]))
    torch.testing.assert_close((1 - fainter) ** count, 1 - opacity)
    x = torch.linspace(-8, 8, 4001)
    one = opacity * torch.exp(-0.5 * x.square())
    layer = fainter * torch.exp(-0.5 * (x / smaller[0, 0]).square())
    many = 1 - (1 - layer) ** count
    torch.testing.assert_close(many.sum(), one.sum(), rtol=2e-3, atol=0)  # what Eq. 9 asks for
    assert (many - one).abs().max() < 0.1


def test_one_copy_is_the_splat_itself():
    opacity, scale = torch.tensor([0.3, 0.99]), torch.rand(2, 3)
    fainter, same = shared(opacity, scale, torch.ones(2, dtype=torch.long))
    torch.testing.assert_close(fainter, opacity)
    torch.testing.assert_close(same, scale)


def test_dead_splats_come_to_life_elsewhere_and_the_picture_stays(generator):
    splats = some(300, generator)
    splats.opacities[:40] = 0.001
    population = Population(splats, RATES)
    before = splat(population.gaussians().detach(), camera()).image
    assert population.relocate(generator) == 40
    after = population.gaussians().detach()
    assert len(after) == 300 and bool((after.opacities > DEAD).all())
    assert psnr(splat(after, camera()).image, before) > 35
    assert population.relocate(generator) == 0


def test_new_splats_keep_the_picture_and_the_optimiser_goes_on(generator):
    population = Population(some(200, generator), RATES)
    population.descend(population.gaussians().means.square().sum())
    before = splat(population.gaussians().detach(), camera()).image
    population.grow(60, generator)
    assert len(population) == 260
    assert psnr(splat(population.gaussians().detach(), camera()).image, before) > 33
    means = population.leaves["mean"].detach().clone()
    population.descend(population.gaussians().means.square().sum())
    assert bool((population.leaves["mean"] != means).any(-1).all())
    population.grow(0, generator)
    assert len(population) == 260


def test_sources_are_drawn_by_opacity_and_never_dead(generator):
    opacities = torch.tensor([0.001, 0.2, 0.6, 0.0])
    drawn = torch.bincount(chosen_sources(opacities, 4000, generator), minlength=4) / 4000
    torch.testing.assert_close(drawn, torch.tensor([0.0, 0.25, 0.75, 0.0]), atol=0.03, rtol=0)


def test_noise_moves_faint_splats_along_themselves_and_leaves_solid_ones(generator):
    n = 4000
    scales = torch.tensor([0.2, 0.1, 0.01]).expand(n, 3)
    turns = torch.tensor([1.0, 0, 0, 0]).expand(n, 4)
    opacities = torch.cat([torch.full((n // 2,), 0.001), torch.full((n // 2,), 0.9)])
    noise = jitter(
        Gaussians(torch.zeros(n, 3), scales, turns, opacities, torch.zeros(n, 3)), 2.0, 0.1, generator=generator
    )
    faint, solid = noise.split(n // 2)
    share = torch.sigmoid(torch.tensor(100 * (DEAD - 0.001)))
    torch.testing.assert_close(faint.std(0), 2.0 * share * scales[0].square() / 0.1, rtol=0.1, atol=0)
    assert solid.abs().max() < 1e-10
