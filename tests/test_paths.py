import math
from dataclasses import replace

import pytest
import torch

from fewview.cameras import Cameras
from fewview.geometry.transforms import axis_angle, normalise
from fewview.paths import CameraPrior, fit_circle, interpolate, look_at_point, orbit, slerp, spiral, turntable_axis

TARGET = torch.tensor([1.0, -2.0, 0.5])
AXIS = normalise(torch.tensor([0.2, -1.0, 0.3]))
HEIGHT, RADIUS = 1.5, 4.0


def across(axis: torch.Tensor) -> torch.Tensor:
    return normalise(torch.linalg.cross(axis, torch.tensor([1.0, 0, 0])))


def ring(degrees: list[float], heights: list[float] | float = HEIGHT, radius: float = RADIUS) -> Cameras:
    """Cameras on a circle around TARGET + height * AXIS, looking at TARGET."""
    angle = torch.tensor(degrees).deg2rad()[:, None]
    height = torch.as_tensor(heights).expand(len(degrees))[:, None]
    first = across(AXIS)
    second = torch.linalg.cross(AXIS, first)
    centers = TARGET + height * AXIS + radius * (angle.cos() * first + angle.sin() * second)
    return Cameras.look_at(centers, TARGET, AXIS, focal=100, height=48, width=64)


def rolled(cameras: Cameras, degrees: float | torch.Tensor) -> Cameras:
    angle = torch.as_tensor(degrees).deg2rad().expand(len(cameras))
    turn = torch.eye(4).repeat(len(cameras), 1, 1)
    turn[:, :3, :3] = axis_angle(torch.tensor([0.0, 0, 1]).expand(len(cameras), 3), angle)
    return replace(cameras, world_from_cam=cameras.world_from_cam @ turn)


def polar(cameras: Cameras, prior: CameraPrior) -> torch.Tensor:
    return torch.acos(normalise(cameras.centers - prior.target) @ prior.circle.normal)


@pytest.mark.parametrize("degrees", [[0, 40], [0, 180], [0, 90, 200], [10, 20, 40, 80], list(range(0, 360, 30))])
def test_cameras_on_a_circle_give_it_back(degrees):
    circle = fit_circle(ring(degrees))
    close = {"atol": 0.06 if degrees == [0, 40] else 0.01, "rtol": 0}  # two photos lean on the prior
    torch.testing.assert_close(circle.normal, AXIS, **close)
    torch.testing.assert_close(circle.centre, TARGET + HEIGHT * AXIS, **close)
    torch.testing.assert_close(circle.radius, torch.tensor(RADIUS), **close)
    torch.testing.assert_close(circle.points(torch.zeros(1)), ring(degrees).centers[:1], atol=0.06, rtol=0)


def test_optical_axes_that_meet_give_their_meeting_point():
    torch.testing.assert_close(look_at_point(ring([0, 25, 100])), TARGET, atol=1e-4, rtol=0)


def test_the_look_at_point_does_not_move_when_photos_are_cut_and_scaled_about_it():
    cameras = ring([0, 60, 100])
    torch.testing.assert_close(look_at_point(cameras.cropped(7, 7, 34, 50).resized(51, 75)), TARGET, atol=1e-4, rtol=0)


def test_photos_cut_around_an_object_look_at_the_object():
    """Windows around the projections of a point off the optical axes: their middles meet in the point."""
    point = TARGET + torch.tensor([0.3, 0.2, -0.4])
    cameras = ring([0, 60, 100])
    pixels, _ = cameras.project(point.expand(1, 1, 3))
    cut = [cameras[i].cropped(*(pixels[i, 0] - 8).tolist(), 16, 16) for i in range(3)]
    torch.testing.assert_close(look_at_point(Cameras.stack(cut)), point, atol=1e-4, rtol=0)


def test_parallel_axes_are_settled_ahead_of_the_cameras():
    eye = torch.eye(4).repeat(2, 1, 1)
    eye[1, 0, 3] = 0.5
    cameras = Cameras(eye, ring([0, 1]).intrinsics, 48, 64)
    torch.testing.assert_close(look_at_point(cameras), torch.tensor([0.25, 0, 1.5]))
    torch.testing.assert_close(look_at_point(cameras[:1]), torch.tensor([0.0, 0, 1]))


def test_cameras_that_look_away_from_each_other_have_their_point_before_them():
    outwards = ring([0, 20])
    flip = torch.diag(torch.tensor([-1.0, 1, -1, 1]))
    outwards = replace(outwards, world_from_cam=outwards.world_from_cam @ flip)
    point = look_at_point(outwards)
    assert ((point - outwards.centers) * outwards.forward).sum(-1).min() > 0


def test_two_upright_photos_from_different_heights_tell_the_axis():
    torch.testing.assert_close(turntable_axis(ring([0, 70], [0.5, 3.0]), TARGET), AXIS, atol=0.06, rtol=0)


def test_the_axis_is_within_degrees_for_hand_held_photos(generator):
    """Three to six photos, heights spread by 17 degrees, rolls by 4: the axis is found to a few degrees."""
    errors = []
    for trial in range(20):
        n = 3 + trial % 4
        heights = (1.5 + 1.2 * torch.randn(n, generator=generator)).tolist()
        degrees = (torch.rand(n, generator=generator) * 120).tolist()
        cameras = rolled(ring(degrees, heights), 4 * torch.randn(n, generator=generator))
        errors.append(torch.acos(turntable_axis(cameras, TARGET) @ AXIS).rad2deg())
    errors = torch.stack(errors)
    assert errors.median() < 6 and errors.quantile(0.9) < 13  # the centres' plane alone: 75 and 88


@pytest.mark.parametrize("turn", [90, -90])
def test_photos_stored_on_their_side_have_the_same_axis(turn):
    cameras = rolled(ring([0, 50, 100, 150], [1.0, 1.5, 1.2, 1.4]), turn)
    torch.testing.assert_close(turntable_axis(cameras, TARGET), AXIS, atol=0.05, rtol=0)


def test_many_flat_centres_outvote_rolled_photos(generator):
    cameras = rolled(ring(list(range(0, 200, 20))), 15.0)
    assert (
        torch.acos(turntable_axis(cameras, TARGET) @ AXIS).rad2deg() < 5
    )  # by horizontal image axes alone it would be 18


def test_the_mean_of_few_cameras_is_no_centre_to_turn_about():
    cameras = ring([0, 30])
    on_axis, at_mean = fit_circle(cameras), fit_circle(cameras, centre="mean")
    assert on_axis.radius == pytest.approx(RADIUS, abs=0.05)
    assert at_mean.radius == pytest.approx(RADIUS * math.sin(math.radians(15)), abs=0.01)
    torch.testing.assert_close(at_mean.centre, cameras.centers.mean(0))


@pytest.mark.parametrize("count", [1, 2, 3, 7])
def test_a_prior_sees_the_object_as_large_as_the_inputs_did(count, generator):
    cameras = ring([20 * i for i in range(count)])
    sampled = CameraPrior.fit(cameras).sample(9, generator=generator)
    assert len(sampled) == 9 and (sampled.height, sampled.width) == (48, 64)
    if count > 1:
        pixels, depth = sampled.project(TARGET.expand(1, 1, 3))
        torch.testing.assert_close(pixels[:, 0], torch.tensor([32.0, 24.0]).expand(9, 2), atol=0.05, rtol=0)
        size = sampled.intrinsics[:, 0, 0] / depth[:, 0]
        torch.testing.assert_close(size, torch.full((9,), 100 / math.hypot(HEIGHT, RADIUS)), atol=0.1, rtol=0)


def test_jitter_has_the_thesis_deviation_about_the_circles_angle(generator):
    prior = CameraPrior.fit(ring(list(range(0, 360, 45))))
    angles = polar(prior.sample(4000, generator=generator), prior)
    assert angles.std() == pytest.approx(0.17, rel=0.04)  # standard error 1.1 %
    assert angles.mean() == pytest.approx(math.atan2(RADIUS, HEIGHT), abs=0.01)


def test_jitter_keeps_the_distance_to_the_target_and_the_side(generator):
    prior = CameraPrior.fit(ring([0, 90, 180]))
    sampled = prior.sample(200, generator=generator)
    distance = (sampled.centers - prior.target).norm(dim=-1)
    torch.testing.assert_close(distance, torch.full((200,), math.hypot(HEIGHT, RADIUS)), atol=1e-2, rtol=0)


def test_samples_have_no_roll_and_cover_the_circle(generator):
    prior = CameraPrior.fit(ring([0, 30]))
    sampled = prior.sample(60, generator=generator)
    right = sampled.world_from_cam[:, :3, 0]
    torch.testing.assert_close(right @ prior.circle.normal, torch.zeros(60), atol=1e-5, rtol=0)
    assert (sampled.up @ prior.circle.normal).min() > 0
    flat = normalise(sampled.centers - prior.circle.centre)
    assert flat.mean(0).norm() < 0.2


def test_samples_are_the_generators_alone():
    prior = CameraPrior.fit(ring([0, 30]))
    first, again, other = (prior.sample(5, generator=torch.Generator().manual_seed(seed)) for seed in (1, 1, 2))
    assert torch.equal(first.centers, again.centers) and not torch.equal(first.centers, other.centers)


def test_samples_stay_off_the_pole(generator):
    prior = CameraPrior.fit(ring([0, 90, 180], heights=40.0))
    sampled = prior.sample(500, generator=generator)
    assert sampled.world_from_cam.isfinite().all() and polar(sampled, prior).min() > 0.049


def test_an_orbit_starts_at_the_first_camera_and_closes():
    cameras = ring([0, 100, 250])
    path = orbit(cameras, 36)
    torch.testing.assert_close(path.centers[0], cameras.centers[0], atol=1e-2, rtol=0)
    gaps = (path.centers - path.centers.roll(1, 0)).norm(dim=-1)
    torch.testing.assert_close(gaps, gaps.mean().expand(36), atol=1e-3, rtol=0)
    torch.testing.assert_close(path.centers.mean(0), TARGET + HEIGHT * AXIS, atol=1e-2, rtol=0)


def test_a_spiral_rises_and_sinks_by_its_swing():
    cameras = ring([0, 100, 250])
    angles = polar(spiral(cameras, 400, swing=0.25), CameraPrior.fit(cameras))
    middle = math.atan2(RADIUS, HEIGHT)
    assert angles.min() == pytest.approx(middle - 0.25, abs=2e-3)
    assert angles.max() == pytest.approx(middle + 0.25, abs=2e-3)
    assert angles[100] < middle < angles[300]  # up first


def test_interpolation_passes_through_its_keyframes():
    keys = ring([0, 40, 170])
    path = interpolate(keys, 9)
    torch.testing.assert_close(path.world_from_cam[[0, 4, 8]], keys.world_from_cam, atol=1e-5, rtol=0)
    rotations = path.world_from_cam[:, :3, :3]
    torch.testing.assert_close(rotations @ rotations.mT, torch.eye(3).expand(9, 3, 3), atol=1e-5, rtol=0)


def test_a_quarter_of_a_rotation_is_a_quarter_of_its_angle():
    keys = Cameras(torch.eye(4).repeat(2, 1, 1), torch.eye(3).repeat(2, 1, 1), 4, 4)
    axis = normalise(torch.tensor([[1.0, 2, -1]]))
    keys.world_from_cam[1, :3, :3] = axis_angle(axis, torch.tensor([2.8]))[0]
    path = interpolate(keys, 5)
    expected = axis_angle(axis.expand(5, 3), torch.linspace(0, 2.8, 5))
    torch.testing.assert_close(path.world_from_cam[:, :3, :3], expected, atol=1e-5, rtol=0)


def test_slerp_of_equal_or_opposite_quaternions_stays_there():
    q = torch.nn.functional.normalize(torch.tensor([[1.0, 2, 3, 4]]), dim=-1)
    for other in (q, -q):
        torch.testing.assert_close(slerp(q, other, torch.tensor([[0.3]])), q)


def test_one_keyframe_is_no_path():
    with pytest.raises(ValueError, match="two keyframes"):
        interpolate(ring([0]), 5)
