import math

import pytest
import torch

from fewview.geometry.transforms import apply, axis_angle, inverse_rigid, normalise, similarity


def rigid(generator: torch.Generator) -> torch.Tensor:
    matrix = torch.eye(4).repeat(5, 1, 1)
    axis = normalise(torch.randn(5, 3, generator=generator))
    matrix[:, :3, :3] = axis_angle(axis, 3 * torch.randn(5, generator=generator))
    matrix[:, :3, 3] = torch.randn(5, 3, generator=generator)
    return matrix


def test_a_quarter_turn_about_z_takes_x_to_y():
    turned = axis_angle(torch.tensor([0.0, 0, 1]), torch.tensor(math.pi / 2)) @ torch.tensor([1.0, 0, 0])
    torch.testing.assert_close(turned, torch.tensor([0.0, 1, 0]), atol=1e-6, rtol=0)


def test_rotations_keep_their_axis_and_add_up(generator):
    axis = normalise(torch.randn(7, 3, generator=generator))
    a, b = torch.randn(2, 7, generator=generator)
    torch.testing.assert_close((axis_angle(axis, a) @ axis[..., None])[..., 0], axis)
    product = axis_angle(axis, a) @ axis_angle(axis, b)
    torch.testing.assert_close(product, axis_angle(axis, a + b), atol=1e-5, rtol=0)
    torch.testing.assert_close(torch.linalg.det(product), torch.ones(7))


def test_the_inverse_undoes_a_rigid_motion(generator):
    matrix = rigid(generator)
    torch.testing.assert_close(inverse_rigid(matrix), torch.linalg.inv(matrix), atol=1e-5, rtol=0)


def test_applying_a_product_is_applying_twice(generator):
    first, second = rigid(generator), rigid(generator)
    points = torch.randn(5, 9, 3, generator=generator)
    torch.testing.assert_close(apply(first @ second, points), apply(first, apply(second, points)), atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("scale", [0.5, torch.tensor(4.0)])
def test_a_similarity_moves_its_centre_to_the_origin_and_scales_lengths(scale):
    centre = torch.tensor([1.0, 2, 3])
    moved = apply(similarity(scale, centre), torch.stack([centre, centre + torch.tensor([0.0, 1, 0])]))
    torch.testing.assert_close(moved, torch.tensor([[0.0, 0, 0], [0, float(scale), 0]]))


def test_zero_has_no_direction():
    assert normalise(torch.zeros(3)).tolist() == [0, 0, 0]
