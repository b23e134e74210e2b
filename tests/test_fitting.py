import math

import pytest
import torch

from fewview.cameras import Cameras
from fewview.errors import InputError
from fewview.fitting import (
    FieldFitConfig,
    GaussianFitConfig,
    fit_field,
    fit_gaussians,
    neighbours,
    optimise_gaussians,
    surface_gaussians,
)
from fewview.geometry.quaternions import rotations
from fewview.render.asset import FieldAssetConfig
from fewview.render.field import FieldConfig
from fewview.render.hashgrid import HashGridConfig
from fewview.render.occupancy import OccupancyConfig
from fewview.render.volume import VolumeConfig
from fewview.views import Render, Views

CENTRE, RADIUS = torch.tensor([0.3, -0.2, 0.5]), 1.2


class Ball:
    """A hard ball in closed form: softly striped, with a one-pixel rim of partial coverage."""

    def render(self, cameras: Cameras) -> Render:
        rays = cameras.rays()
        offset = CENTRE - rays.origins
        along = (offset * rays.directions).sum(-1)
        miss = (offset.square().sum(-1) - along**2).clamp(min=0).sqrt()
        half = (RADIUS**2 - miss**2).clamp(min=0).sqrt()
        pixel = along / cameras.intrinsics[..., 0, 0, None, None]
        alpha = ((RADIUS - miss) / pixel + 0.5).clamp(0, 1)
        distance = along - half
        points = rays.origins + distance[..., None] * rays.directions
        cosine = (rays.directions * cameras.forward[..., None, None, :]).sum(-1)
        depth = torch.where(alpha > 0, distance * cosine, torch.zeros_like(alpha))
        image = paint(points) * alpha[..., None]
        return Render(image.movedim(-1, -3), alpha[..., None, :, :], depth[..., None, :, :])


def paint(points):
    return 0.5 + 0.4 * torch.sin(2 * (points - CENTRE) + torch.tensor([0.0, 1.0, 2.0]))


def around(n: int, size: int = 40, phase: float = 0.0) -> Cameras:
    z = 0.85 * (1 - 2 * (torch.arange(n) + 0.5) / n)
    turn = torch.arange(n) * math.pi * (3 - math.sqrt(5)) + phase
    flat = (1 - z * z).sqrt()
    centers = CENTRE + 6 * torch.stack([flat * turn.cos(), flat * turn.sin(), z], dim=-1)
    return Cameras.look_at(centers, CENTRE, torch.tensor([0.0, 0, 1]), focal=1.9 * size, height=size, width=size)


def psnr(a, b) -> float:
    return -10 * torch.log10((a - b).square().mean()).item()


def test_neighbours_are_those_of_a_full_sort(generator):
    points = torch.randn(50, 3, generator=generator)
    distances, indices = neighbours(points, 4, chunk=16)
    want = torch.cdist(points, points).sort(dim=-1)
    assert torch.equal(indices, want.indices[:, 1:5])
    torch.testing.assert_close(distances, want.values[:, 1:5])


def test_first_splats_lie_flat_on_the_surface_with_its_colours(generator):
    cameras = around(8)
    splats = surface_gaussians(Ball().render(cameras), cameras, 500, opaque=0.9, generator=generator)
    outward = splats.means - CENTRE
    assert (outward.norm(dim=-1) / RADIUS - 1).abs().max() < 0.01
    axes = rotations(splats.quaternions).mT
    thin = axes[torch.arange(500), splats.scales.argmin(-1)]
    cosine = (thin * torch.nn.functional.normalize(outward, dim=-1)).sum(-1).abs()
    assert cosine.median() > 0.99
    torch.testing.assert_close(splats.features, paint(splats.means), atol=0.02, rtol=0)
    expected = math.sqrt(4 * math.pi * RADIUS**2 / 500)
    assert 0.4 * expected < splats.scales.amax(-1).median() < 1.2 * expected


def test_fitted_splats_look_like_the_asset_from_unseen_cameras(generator):
    config = GaussianFitConfig(count=800, steps=120)
    losses: list[float] = []
    tell = lambda step, loss: losses.append(loss["loss"])
    fitted = fit_gaussians(Ball(), around(16), config, generator=generator, progress=tell)
    unseen = around(5, phase=1.0)
    truth = Ball().render(unseen)
    seen = fitted.render(unseen)
    assert psnr(seen.image, truth.image) > 30
    opaque = truth.alpha > 0.99
    assert (seen.depth - truth.depth)[opaque].abs().median() < 0.2
    assert len(losses) == 120 and sum(losses[-10:]) < 0.5 * sum(losses[:10])


def test_the_same_seed_fits_the_same_splats():
    config = GaussianFitConfig(count=100, steps=5)
    runs = [fit_gaussians(Ball(), around(4, 24), config, generator=torch.Generator().manual_seed(3)) for _ in range(2)]
    for name, tensor in runs[0].gaussians.tensors().items():
        assert torch.equal(tensor, getattr(runs[1].gaussians, name))


def test_splats_that_fade_are_dropped(generator):
    cameras = around(4, 24)
    target = Ball().render(cameras)
    init = surface_gaussians(target, cameras, 100, generator=generator)
    init.opacities[:30] = 0.001
    kept = optimise_gaussians(init, target, cameras, config=GaussianFitConfig(steps=0), generator=generator)
    assert len(kept.gaussians) == 70


def test_an_asset_that_shows_nothing_has_no_splats(generator):
    blank = Render(torch.zeros(2, 3, 40, 40), torch.zeros(2, 1, 40, 40), torch.zeros(2, 1, 40, 40))
    with pytest.raises(InputError, match="no surface"):
        surface_gaussians(blank, around(2), 10, generator=generator)


SMALL_FIELD = FieldAssetConfig(
    ngp=FieldConfig(grid=HashGridConfig(levels=4, log2_table=12, base=8, finest=64), hidden=16),
    volume=VolumeConfig(samples=48, importance=0, steps=96),
    occupancy=OccupancyConfig(resolution=24),
)


def test_a_field_fitted_to_masked_photos_shows_them_again_and_lies_in_their_world(generator):
    cameras = around(6, 24)
    seen = Ball().render(cameras)
    config = FieldFitConfig(steps=150, rays=512, grid_rate=3e-2, mlp_rate=1e-2, asset=SMALL_FIELD)
    losses: list[float] = []
    tell = lambda step, loss: losses.append(loss["loss"])
    field = fit_field(Views(seen.image, cameras, seen.alpha), config, generator=generator, progress=tell)
    again = field.render(cameras)
    assert psnr(again.image, seen.image) > 18
    opaque = seen.alpha > 0.99
    assert (again.depth - seen.depth)[opaque].abs().median() < 0.6  # a tenth of the distance
    assert len(losses) == 150 and sum(losses[-10:]) < 0.2 * sum(losses[:10])


def test_a_field_may_be_fitted_without_masks(generator):
    cameras = around(4, 16)
    views = Views(Ball().render(cameras).image, cameras)
    field = fit_field(views, FieldFitConfig(steps=2, rays=64, asset=SMALL_FIELD), generator=generator)
    assert field.render(cameras).image.isfinite().all()
