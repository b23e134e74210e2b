from dataclasses import replace

import pytest
import torch
from worlds import photograph, ring

from fewview.baselines.regnerf import RegNeRF, RegNeRFConfig, annealed, depth_smoothness, depth_weight, unseen_patches
from fewview.fitting import FieldFitConfig
from fewview.paths import CameraPrior
from fewview.render.asset import FieldAssetConfig
from fewview.render.field import FieldConfig
from fewview.render.hashgrid import HashGridConfig
from fewview.render.volume import VolumeConfig

GRID = HashGridConfig(levels=4, finest=32, log2_table=10, kind="hash")
ASSET = FieldAssetConfig(
    FieldConfig(grid=GRID, hidden=16, blob=4.0, blob_std=1.2, log_density=-3.5),
    VolumeConfig(samples=16, importance=8),
    None,
)
SMALL = RegNeRFConfig(
    FieldFitConfig(steps=40, rays=128, grid_rate=0.03, mlp_rate=0.01, asset=ASSET),
    size=16,
    patches=2,
    patch=4,
    patch_size=24,
)


def test_smoothness_is_the_mean_squared_step_to_the_neighbours_that_see_something():
    depth = torch.tensor([[[1.0, 3.0], [1.0, 2.0]]])
    seen = torch.ones_like(depth)
    assert depth_smoothness(depth, seen).item() == pytest.approx((0 + 1) / 2 + (4 + 1) / 2)
    seen[0, 0, 1] = 0
    assert depth_smoothness(depth, seen).item() == pytest.approx(0 + 1 / 2)


def test_rays_are_sampled_about_the_middle_first():
    bounds = [annealed(SMALL, step).bound for step in (0, 2, 3, 4, 39)]
    assert bounds == [2.0, 2.0, 3.0, 4.0, 4.0]


def test_the_weight_of_depth_falls_log_linearly():
    first, last = depth_weight(SMALL, 0) * 16, depth_weight(SMALL, 4) * 16
    assert (first, last) == pytest.approx((400.0, 0.1)) and depth_weight(SMALL, 39) * 16 == pytest.approx(0.1)
    assert depth_weight(SMALL, 2) * 16 == pytest.approx((400 * 0.1) ** 0.5)


def test_patches_are_squares_of_neighbouring_pixels_towards_the_object():
    prior = CameraPrior.fit(ring(3, 24))
    rays = unseen_patches(prior, SMALL, torch.Generator().manual_seed(0))
    assert rays.shape == (2, 4, 4)
    steps = (rays.directions[:, :, 1:] - rays.directions[:, :, :-1]).norm(dim=-1)
    size = 24 / prior.size_per_distance.mean() / rays.origins[0, 0, 0].norm() / 24
    torch.testing.assert_close(steps, size.expand_as(steps), rtol=0.25, atol=0)


def test_a_fitted_field_shows_the_photos_better_than_one_that_is_not():
    views = photograph(ring(3, 24))
    error = lambda config: (
        (RegNeRF(config).reconstruct(views, generator=torch.Generator().manual_seed(0)).render(views.cameras).image
         - views.images).square().mean()
    )  # fmt: skip
    assert error(SMALL) < 0.7 * error(replace(SMALL, fit=replace(SMALL.fit, steps=0)))
