from dataclasses import replace
from itertools import product

import pytest
import torch

from fewview.cameras import Cameras
from fewview.stereo import _path, box_means, stereo
from fewview.views import Views

NEAR, FAR, HALF = 4.0, 8.0, 0.7  # z of a square and of the wall behind it; half the side of the square


def a_square_before_a_wall(count: int) -> tuple[Views, torch.Tensor, torch.Tensor]:
    """Views from a row of cameras 0.4 apart, their z-depths, and where the first camera sees what no other does."""
    centers = torch.tensor([[0.4 * i, 0.1 * (i % 2), 0.0] for i in range(count)])
    ahead = torch.tensor([0.0, 0, 1])
    cameras = Cameras.look_at(centers, centers + ahead, torch.tensor([0.0, -1, 0]), focal=70.0, height=48, width=64)
    rays = cameras.rays()
    reached = lambda z: rays.origins + rays.directions * ((z - rays.origins[..., 2:]) / rays.directions[..., 2:])
    square = (reached(NEAR)[..., :2].abs() < HALF).all(-1, keepdim=True)
    points = torch.where(square, reached(NEAR), reached(FAR))
    images = 0.5 + 0.4 * torch.sin(6 * points + torch.tensor([0.0, 1, 2]) + 4 * points.roll(1, -1))
    wall = reached(FAR)[0]
    hidden = torch.ones(wall.shape[:-1], dtype=torch.bool)
    for centre in centers[1:]:
        at_square = centre + (wall - centre) * (NEAR / FAR)
        hidden &= (at_square[..., :2].abs() < HALF).all(-1)
    return Views(images.movedim(-1, -3), cameras), points[..., 2], hidden & ~square[0, ..., 0]


@pytest.mark.parametrize("count", [2, 3, 5])
def test_depth_is_found_on_both_surfaces_and_what_is_sure_is_right(count):
    views, true, _ = a_square_before_a_wall(count)
    found = stereo(views, 2.0, 20.0)
    error = (found.depth / true).log().abs()
    assert (error < 0.05).float().mean() > 0.8
    assert found.sure.float().mean() > 0.5
    assert (error[found.sure] < 0.05).float().mean() > 0.93


def test_what_one_view_alone_sees_is_not_sure():
    views, _, hidden = a_square_before_a_wall(2)
    assert int(hidden.sum()) > 30
    assert stereo(views, 2.0, 20.0).sure[0][hidden].float().mean() < 0.3


def test_exposure_does_not_matter():
    views, _, _ = a_square_before_a_wall(4)
    gains = torch.tensor([1.0, 0.6, 0.8, 0.5]).reshape(4, 1, 1, 1)
    plain, other = stereo(views, 2.0, 20.0), stereo(replace(views, images=gains * views.images + 0.05), 2.0, 20.0)
    assert ((plain.depth / other.depth).log().abs() < 0.01).float().mean() > 0.95


def test_views_without_partners_tell_nothing():
    views, _, _ = a_square_before_a_wall(1)
    twice = Views(views.images.repeat(2, 1, 1, 1), Cameras.cat([views.cameras, views.cameras]))
    for alone in (views, twice):
        found = stereo(alone, 2.0, 20.0)
        assert not found.sure.any()
        torch.testing.assert_close(found.depth, torch.full_like(found.depth, 2 / (1 / 2 + 1 / 20)))


def test_path_costs_are_the_least_of_all_ways(generator):
    lines, jumps, near_step = torch.rand(4, 3, 1, generator=generator), torch.tensor([[0.3], [0.5], [0.2]]), 0.1
    least = torch.full((3,), float("inf"))
    for way in product(range(3), repeat=4):
        cost = sum(float(lines[k, plane, 0]) for k, plane in enumerate(way))
        for k in range(3):
            step = abs(way[k + 1] - way[k])
            cost += 0.0 if step == 0 else min(near_step if step == 1 else float("inf"), float(jumps[k, 0]))
        least[way[-1]] = min(float(least[way[-1]]), cost)
    ends = _path(lines, jumps, near_step)[-1, :, 0]
    torch.testing.assert_close(ends - ends.min(), least - least.min())


def test_box_means_are_those_of_windows(generator):
    x = torch.rand(2, 9, 11, generator=generator)
    torch.testing.assert_close(box_means(x, 5)[:, 2:-2, 2:-2], x.unfold(1, 5, 1).unfold(2, 5, 1).mean((-1, -2)))


def test_a_plain_ball_lies_inside_the_hull_of_its_masks():
    """Nothing in the photos tells depth but their masks."""
    angles = torch.arange(6) * 1.0
    centers = 6 * torch.stack([angles.sin(), 0.2 * angles.cos(), angles.cos()], dim=-1)
    cameras = Cameras.look_at(centers, torch.zeros(3), torch.tensor([0.0, -1, 0]), focal=60.0, height=48, width=48)
    rays = cameras.rays()
    along = -(rays.origins * rays.directions).sum(-1, keepdim=True)
    masks = ((rays.origins + along * rays.directions).norm(dim=-1) < 1).float()[:, None]
    found = stereo(Views(0.5 * masks.expand(-1, 3, -1, -1), cameras, masks), 4.0, 8.0)
    ahead = rays.directions / (rays.directions * cameras.forward[:, None, None]).sum(-1, keepdim=True)
    points = rays.origins + found.depth[..., None] * ahead
    assert (points.norm(dim=-1)[masks[:, 0] > 0] < 1.05).float().mean() > 0.97
