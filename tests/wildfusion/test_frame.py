import math

import pytest
import torch
from wild_balls import photos

from fewview.wildfusion.frame import (
    DISTANCE,
    FRONT,
    SPREAD,
    Poses,
    canonical,
    canonical_relative,
    input_cameras,
    novel_cameras,
    orbit,
    swing,
)


def test_the_input_camera_sees_two_units_across_at_the_origin():
    pixels, depth = input_cameras(1, 64).project(torch.tensor([[[-1.0, 0, 0], [0, 1, 0], [0, 0, 0.5]]]))
    torch.testing.assert_close(pixels[0], torch.tensor([[0.0, 32], [32, 64], [32, 32]]), atol=1e-4, rtol=0)
    torch.testing.assert_close(depth[0], torch.tensor([DISTANCE, DISTANCE, DISTANCE + 0.5]))


def test_yaw_moves_the_camera_to_the_right_and_pitch_up():
    camera = orbit(torch.tensor([0.5, 0.0]), torch.tensor([0.0, 0.3]), 32)
    assert camera.centers[0, 0] > 0 and camera.centers[1, 1] < 0  # y points down
    torch.testing.assert_close(camera.centers.norm(dim=-1), torch.full((2,), DISTANCE))
    pixels, _ = camera.project(torch.zeros(2, 1, 3))
    torch.testing.assert_close(pixels, torch.full((2, 1, 2), 16.0), atol=1e-4, rtol=0)


def test_novel_cameras_stay_within_the_distribution(generator):
    poses = Poses(yaw=0.3, pitch=0.1, most=2.0)
    centres = novel_cameras(500, 8, poses, generator=generator).centers
    pitch = (-centres[:, 1] / DISTANCE).asin()
    assert pitch.abs().max() <= 0.2 + 1e-6 and float(pitch.std()) == pytest.approx(0.1, rel=0.2)


def test_canonical_depth_undoes_any_scale_and_distance():
    """A ball photographed from elsewhere, at another scale, is the same ball in view space but for the mean."""
    ball = photos(1, 64)
    world = ball.depth * 7.0 + 100
    found = canonical(torch.where(ball.masks > 0.5, world, 0), ball.masks, torch.tensor([1 / 7.0]))
    inside = ball.masks > 0.5
    shift = ball.depth[inside] - found[inside]
    assert float(shift.std()) < 1e-4 and float(found[inside].mean()) == pytest.approx(-FRONT, abs=1e-4)


def test_the_surface_of_a_ball_lies_two_thirds_of_its_radius_before_the_middle():
    ball = photos(1, 64)
    share = -float(ball.depth[ball.masks > 0.5].mean()) / 0.5
    assert 2 / 3 < share < 0.8  # a near camera sees less than half of the ball


def test_relative_depth_gets_the_spread_of_the_training_photos():
    ball = photos(1, 32)
    found = canonical_relative(5 - 3 * ball.depth[0].neg(), ball.masks[0])
    inside = ball.masks[0] > 0.5
    assert float(found[inside].std(correction=0)) == pytest.approx(SPREAD, rel=0.02)
    assert float(found[inside].mean()) == pytest.approx(-FRONT, abs=1e-4) and float(found[~inside].abs().max()) == 0
    order = torch.stack([ball.depth[0][inside], found[inside]])
    assert float(torch.corrcoef(order)[0, 1]) > 0.98


def test_a_swing_begins_and_ends_at_the_front_and_stays_trusted():
    centres = swing(40, 8, yaw=30, pitch=8).centers
    yaw = torch.atan2(centres[:, 0], -centres[:, 2])
    assert float(yaw[0]) == 0 and float(yaw.abs().max()) == pytest.approx(math.radians(30), rel=0.01)
