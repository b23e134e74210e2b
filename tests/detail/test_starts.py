from dataclasses import replace

import pytest
import torch
from striped_ball import CENTRE, RADIUS, around, ball, known, photographed
from torch.nn import functional as F

from fewview.cameras import Cameras
from fewview.detail.prior import pseudo_views
from fewview.detail.starts import lifted, on_points, start
from fewview.errors import InputError
from fewview.geometry.quaternions import rotations
from fewview.views import Render, Views


def test_lifted_splats_lie_flat_on_the_surface_with_its_colours(generator):
    cameras = around(6, 60)
    seen = ball(cameras, 2.0)
    splats = lifted(seen, cameras, 800, generator=generator)
    outward = splats.means - CENTRE
    assert len(splats) == 800
    assert (outward.norm(dim=-1) / RADIUS - 1).abs().median() < 0.01
    thin = rotations(splats.quaternions)[:, :, 0]
    assert (thin * F.normalize(outward, dim=-1)).sum(-1).abs().median() > 0.9
    with pytest.raises(InputError, match="No surface"):
        lifted(Render(seen.image, 0 * seen.alpha, seen.depth), cameras, 10, generator=generator)


def test_lifted_splats_follow_the_weights(generator):
    cameras = around(2, 40)
    seen = ball(cameras)
    weights = torch.tensor([1.0, 0.0]).reshape(2, 1, 1, 1).expand(2, 1, 40, 40)
    splats = lifted(seen, cameras, 100, weights=weights, generator=generator)
    towards = F.normalize(cameras.centers - CENTRE, dim=-1)
    outward = F.normalize(splats.means - CENTRE, dim=-1)
    assert bool(((outward @ towards[0]) > 0).all())


def test_pixels_count_by_how_little_the_photos_saw_there():
    cameras = around(12, 40)
    photos = photographed(cameras[:1])
    prior = pseudo_views(ball(cameras), cameras, ball(photos.cameras), photos=photos.cameras, floor=0.2)
    solid = prior.seen.alpha > 0.9
    same, opposite = prior.weights[0][solid[0]], prior.weights[11][solid[11]]
    assert same.median() < 0.25 and opposite.median() == 1
    assert bool((prior.weights[prior.seen.alpha == 0] == 1).all())


def test_points_become_splats_of_their_photos_colours_and_points_beside_the_object_are_left_out(generator):
    photos = photographed(around(6, 60))
    sphere = CENTRE + RADIUS * F.normalize(torch.randn(200, 3, generator=generator), dim=-1)
    beside = CENTRE + 2.5 * F.normalize(torch.randn(100, 3, generator=generator), dim=-1)
    splats = on_points(torch.cat([sphere, beside]), photos)
    assert 190 <= len(splats) < 250 and splats.features.min() >= 0 and splats.features.max() <= 1
    begun = start(photos, sphere, 400, generator=generator).means
    assert begun.shape == (400, 3)
    assert int((begun[:, None] == sphere).all(-1).any(-1).sum()) == 100
    assert len(start(photos, beside, 400, generator=generator)) == 300
    with pytest.raises(InputError, match="too few"):
        on_points(beside[:10], photos)


def test_points_tell_where_depths_are_tried(generator):
    """Far from what the cameras look at: without the points a wall there is out of reach."""
    wall, far = 40.0, torch.rand(200, 3, generator=generator)
    points = torch.stack([8 * far[:, 0] - 4, 6 * far[:, 1] - 3, wall + 2 * far[:, 2] - 1], dim=-1)
    centers = torch.tensor([[0.6 * i, 0, 0] for i in range(4)])
    towards = torch.tensor([0.9, 0.0, 5.0])
    cameras = Cameras.look_at(centers, towards, torch.tensor([0.0, -1, 0]), focal=60.0, height=48, width=64)
    rays = cameras.rays()
    met = rays.origins + rays.directions * ((wall - rays.origins[..., 2:]) / rays.directions[..., 2:])
    images = 0.5 + 0.4 * torch.sin(0.8 * met + torch.tensor([0.0, 1.0, 2.0]) + 0.5 * met.roll(1, -1))
    views = Views(images.movedim(-1, -3), cameras)
    near = lambda points: float(
        ((start(views, points, 300, generator=generator).means[:, 2] / wall - 1).abs() < 0.1).float().mean()
    )
    assert near(None) < 0.2 < 0.4 < near(points)
    assert near(points[:10]) == near(None)


def test_without_points_stereo_finds_the_object(generator):
    photos = photographed(around(30, 80)[12:18])
    splats = start(photos, None, 500, generator=generator)
    assert ((splats.means - CENTRE).norm(dim=-1) < 1.5 * RADIUS).float().mean() > 0.7
    assert len(splats) == 500


def test_a_prior_has_as_many_views_as_cameras():
    prior = known(around(2, 40))
    seen, camera, weights = prior[3]
    assert len(prior) == 12 and seen.image.shape == (3, 40, 40) and camera.shape == () and weights.shape == (1, 40, 40)


def test_where_optical_axes_part_stereo_looks_in_front_of_the_cameras(generator):
    """A walk whose cameras turn apart, as in a room: their axes meet behind them, and nothing is to be put there."""
    wall = 3.0
    angles = torch.tensor([-0.12, -0.04, 0.04, 0.12])
    centers = torch.stack([angles * 6, torch.zeros(4), torch.zeros(4)], dim=-1)
    forward = torch.stack([angles.sin(), torch.zeros(4), angles.cos()], dim=-1)
    up = torch.tensor([0.0, -1, 0])
    cameras = Cameras.look_at(centers, centers + forward, up, focal=60.0, height=48, width=64)
    rays = cameras.rays()
    points = rays.origins + rays.directions * ((wall - rays.origins[..., 2:]) / rays.directions[..., 2:])
    images = 0.5 + 0.4 * torch.sin(5 * points + torch.tensor([0.0, 1.0, 2.0]) + 3 * points.roll(1, -1))
    splats = start(Views(images.movedim(-1, -3), cameras), None, 400, generator=generator)
    assert bool((splats.means[:, 2] > 0).all())
    assert ((splats.means[:, 2] / wall - 1).abs() < 0.1).float().mean() > 0.6


def test_what_is_black_beside_an_object_without_a_mask_gets_no_splats(generator):
    photos = photographed(around(8, 60))
    seen = start(photos.on_black().whole(), None, 2000, generator=generator).means
    away = (seen - CENTRE).norm(dim=-1) / RADIUS
    assert float((away < 1.5).float().mean()) > 0.9


def test_what_stands_on_black_is_masked_by_it(generator):
    masked = photographed(around(6, 60))
    away = lambda photos: (start(photos, None, 1000, generator=generator).means - CENTRE).norm(dim=-1) / RADIUS
    assert float((away(masked.on_black().whole()) < 1.4).float().mean()) > 0.97
    lit = replace(masked, images=masked.images * masked.masks + 0.5 * (1 - masked.masks)).whole()
    assert float((away(lit) > 1.4).float().mean()) > 0.2
