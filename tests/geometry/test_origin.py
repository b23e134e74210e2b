"""Origins of far worlds: nothing is lost on the way there and back."""

import math

import torch

from fewview.geometry.origin import NO_ORIGIN, between, origin_of, points_in_input, poses_in_input
from fewview.geometry.transforms import axis_angle


def test_an_origin_is_subtracted_and_added_without_rounding():
    points = torch.tensor([1e7, -1e7, 120.5], dtype=torch.float64) + 0.05 * torch.rand(20, 3, dtype=torch.float64)
    origin = torch.tensor(origin_of(points), dtype=torch.float64)
    assert torch.equal(points - origin + origin, points) and (points - origin).abs().max() < 0.1


def test_points_that_float32_holds_have_no_origin():
    assert origin_of(torch.rand(9, 3) + 20) == NO_ORIGIN and origin_of(torch.zeros(0, 3)) == NO_ORIGIN


def test_poses_of_the_input_are_rotations_to_the_last_digit():
    """Those of float32 are off by 1e-7, which is a metre at 1e7 metres."""
    poses = torch.eye(4).repeat(3, 1, 1)
    poses[:, :3, :3] = axis_angle(torch.tensor([0.6, 0.8, 0.0]).expand(3, 3), torch.tensor([0.1, 1.0, 2.0]))
    back = poses_in_input(poses, (1e7, 0.0, 0.0))
    eye = torch.eye(3, dtype=torch.float64)
    assert (back[:, :3, :3].mT @ back[:, :3, :3] - eye).abs().max() < 1e-14
    assert (back[:, :3, :3] - poses[:, :3, :3]).abs().max() < 1e-6 and back[:, 0, 3].tolist() == [1e7] * 3


def test_worlds_of_two_origins_differ_by_a_translation():
    old, new = (1e7, 5.0, 0.0), (1e7 - 2, 4.0, 1.0)
    point = torch.tensor([[0.25, math.pi, -1.0]])
    moved = point @ between(old, new)[:3, :3].T + between(old, new)[:3, 3]
    torch.testing.assert_close(points_in_input(moved, new), points_in_input(point, old), atol=1e-6, rtol=0)
