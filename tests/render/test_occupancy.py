import math

import pytest
import torch

from fewview.cameras import Rays
from fewview.geometry.transforms import normalise
from fewview.render.occupancy import March, Occupancy, OccupancyConfig, march, march_torch
from fewview.render.sampling import near_far
from fewview.render.volume import VolumeConfig, render_rays

CONFIG = OccupancyConfig(resolution=16, bound=2.0, threshold=0.5)


def _ball(radius: float, density: float):
    def field(points, directions):
        return density * (points.norm(dim=-1) <= radius), torch.full_like(points, 0.5)

    return field


def _centres(config: OccupancyConfig) -> torch.Tensor:
    axis = (torch.arange(config.resolution) + 0.5) / config.resolution * 2 * config.bound - config.bound
    return torch.stack(torch.meshgrid(axis, axis, axis, indexing="ij"), dim=-1)


def _rays(generator: torch.Generator, n: int = 60) -> Rays:
    directions = normalise(torch.randn(n, 3, generator=generator))
    return Rays(torch.randn(n, 3, generator=generator) * 0.5 - 5 * directions, directions)


def _learnt(field, generator: torch.Generator, updates: int = 30) -> Occupancy:
    occupancy = Occupancy(CONFIG)
    for _ in range(updates):
        occupancy.update(field, generator=generator, everywhere=True)
    return occupancy


def test_a_new_grid_hides_nothing():
    occupancy = Occupancy(CONFIG)
    assert occupancy.occupied.all() and (occupancy.lower == 0).all()
    assert occupancy.box().tolist() == [[-2.0] * 3, [2.0] * 3]


def test_updates_find_a_ball(generator):
    occupancy = _learnt(_ball(1.0, 9.0), generator, updates=120)
    distance, half = _centres(CONFIG).norm(dim=-1), CONFIG.bound / CONFIG.resolution * math.sqrt(3)
    assert occupancy.occupied[distance < 1 - half].all()
    assert not occupancy.occupied[distance > 1 + half].any()
    assert occupancy.box().abs().amax() <= 1.25


def test_only_cells_wholly_inside_hide_what_is_behind(generator):
    occupancy = _learnt(_ball(1.0, 9.0), generator)
    distance, half = _centres(CONFIG).norm(dim=-1), CONFIG.bound / CONFIG.resolution * math.sqrt(3)
    assert (occupancy.lower[distance < 1 - half] > 8.9).all()
    assert occupancy.lower[(distance > 1) & (distance < 1 + half)].mean() < 2
    occupancy.update(_ball(1.0, 0.0), generator=generator, everywhere=True)
    assert (occupancy.lower == 0).all()


def test_the_upper_envelope_decays(generator):
    occupancy = _learnt(_ball(9.0, 8.0), generator, updates=1)
    occupancy.update(_ball(9.0, 0.0), generator=generator, everywhere=True)
    torch.testing.assert_close(occupancy.upper, torch.full_like(occupancy.upper, 8 * CONFIG.decay))


def test_a_sparse_update_visits_occupied_cells_and_some_others(generator):
    occupancy = _learnt(_ball(1.0, 9.0), generator, updates=120)
    asked = []

    def field(points, directions):
        asked.append(points)
        return torch.zeros(len(points)), points

    inside, cells = int(occupancy.occupied.sum()), occupancy.occupied.numel()
    occupancy.update(field, generator=generator)
    expected = inside + CONFIG.visited * (cells - inside)
    assert len(asked[0]) == pytest.approx(expected, rel=0.1)


def test_a_thin_fog_stays_visible(generator):
    occupancy = _learnt(_ball(9.0, 0.01), generator, updates=200)
    assert occupancy.occupied.all()


@pytest.mark.parametrize("value", [0.095, 0.03, 1e-6, 0.0])
def test_an_even_fog_stays_visible_though_its_mean_is_rounded(value):
    grid = Occupancy(OccupancyConfig())
    grid.upper.fill_(value)
    assert grid.occupied.all() and grid.box().abs().min() == grid.config.bound


@pytest.mark.parametrize("opaque", [1.0, 1e9])
def test_the_kernel_marches_like_its_twin(opaque, generator):
    occupancy = Occupancy(CONFIG)
    shape = (16, 16, 16)
    occupancy.upper.copy_(torch.rand(shape, generator=generator))
    occupancy.lower.copy_(torch.randint(0, 3, shape, generator=generator))  # so that sums are exact
    rays, how = _rays(generator), March(2**-5, opaque, 0.1)
    near, far = near_far(rays, occupancy.box(), how.min_near)
    start = near + 0.5 * how.step
    a, b = march(rays, occupancy, how), march_torch(rays, start, far, occupancy, how)
    assert a.offsets[-1] > 500
    assert torch.equal(a.offsets, b.offsets)
    torch.testing.assert_close(a.distances, b.distances, atol=1e-5, rtol=0)


def test_rays_end_where_cells_are_opaque():
    occupancy = Occupancy(CONFIG)
    occupancy.lower.fill_(4.0)
    rays = Rays(torch.tensor([[-5.0, 0.1, 0.1]]), torch.tensor([[1.0, 0, 0]]))
    samples = march(rays, occupancy, March(0.125, 2.0, 0.1))
    assert samples.distances.tolist() == pytest.approx([3.0625, 3.1875, 3.3125, 3.4375])  # 4 steps of depth 0.5


def test_empty_space_is_skipped_without_a_change_to_the_picture(generator):
    field, rays = _ball(1.0, 9.0), _rays(generator)
    config = VolumeConfig(bound=2.0, steps=400, samples=400, importance=0)
    occupancy = _learnt(field, generator, updates=120)
    fast = render_rays(field, rays, config, occupancy=occupancy)
    slow = render_rays(field, rays, config)
    assert 0 < len(fast.weights) < 0.4 * len(slow.weights)
    torch.testing.assert_close(fast.features, slow.features, atol=0.08, rtol=0)
    assert (fast.features - slow.features).abs().mean() < 0.01
    both = (fast.alpha > 0.9) & (slow.alpha > 0.9)
    assert (fast.distance - slow.distance)[both].abs().mean() < 0.01


def test_a_constant_density_absorbs_as_beer_and_lambert_say(generator):
    occupancy = _learnt(_ball(9.0, 0.6), generator, updates=1)
    rays = Rays(torch.tensor([[-5.0, 0.1, 0.1]]), torch.tensor([[1.0, 0, 0]]))
    config = VolumeConfig(bound=2.0, steps=2000)
    seen = render_rays(_ball(9.0, 0.6), rays, config, occupancy=occupancy, generator=generator)
    assert seen.alpha.item() == pytest.approx(1 - math.exp(-2.4), abs=2e-3)
