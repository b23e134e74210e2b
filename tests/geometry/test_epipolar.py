import pytest
import torch

from fewview.cameras import Cameras, pixel_centres
from fewview.geometry.epipolar import inside_image, sample_bilinear, sample_epipolar


def test_pixel_centres_return_the_pixels(generator):
    image = torch.rand(2, 3, 5, 7, generator=generator)
    pixels = pixel_centres(5, 7).reshape(1, -1, 2).expand(2, -1, 2)
    sampled = sample_bilinear(image, pixels, height=5, width=7)
    torch.testing.assert_close(sampled, image.flatten(2).mT)


@pytest.mark.parametrize("factor", [1, 2, 4])
def test_a_linear_ramp_is_exact_at_any_feature_resolution(factor, generator):
    height, width = 24, 32
    h, w = height // factor, width // factor
    ramp = (pixel_centres(h, w) * factor).permute(2, 0, 1)[None]  # each feature holds its own image point
    inner = torch.rand(1, 50, 2, generator=generator) * torch.tensor([width - factor, height - factor]) + factor / 2
    torch.testing.assert_close(sample_bilinear(ramp, inner, height=height, width=width), inner, atol=1e-4, rtol=0)


def test_bilinear_equals_the_four_neighbour_formula(generator):
    image = torch.rand(1, 1, 6, 6, generator=generator)
    x, y = 2.8, 3.3
    i, j, a, b = 2, 2, 0.3, 0.8  # neighbours of (2.8, 3.3): columns centred at 2.5 and 3.5, rows at 2.5 and 3.5
    grid = image[0, 0]
    top = grid[j, i] * (1 - a) + grid[j, i + 1] * a
    bottom = grid[j + 1, i] * (1 - a) + grid[j + 1, i + 1] * a
    expected = top * (1 - b) + bottom * b
    sampled = sample_bilinear(image, torch.tensor([[[x, y]]]), height=6, width=6)
    torch.testing.assert_close(sampled[0, 0, 0], expected)


def test_points_behind_or_beside_are_masked_with_zero_gradient():
    features = torch.ones(1, 1, 2, 4, 4, requires_grad=True)
    pixels = torch.tensor([[[[2.0, 2], [-0.01, 2], [2, 4.01], [2, 2], [0, 4], [float("nan"), 1], [1e20, 1]]]])
    pixels.requires_grad_()
    depth = torch.tensor([[[1.0, 1, 1, -1, 1, 1, 1]]])
    sampled, seen = sample_epipolar(features, pixels, depth, height=4, width=4)
    assert seen.tolist() == [[[True, False, False, False, True, False, False]]]
    torch.testing.assert_close(sampled, seen[..., None].float().expand_as(sampled))
    sampled.sum().backward()
    assert features.grad is not None and features.grad.sum() == 4  # two seen points, two channels
    assert pixels.grad is not None and pixels.grad.isfinite().all()


def test_gradients_match_finite_differences(generator):
    features = torch.rand(1, 2, 2, 4, 5, generator=generator, dtype=torch.float64, requires_grad=True)
    pixels = torch.rand(1, 2, 3, 2, generator=generator, dtype=torch.float64) * 6 + 1.1
    pixels.requires_grad_()
    depth = torch.ones(1, 2, 3, dtype=torch.float64)
    sample = lambda f, p: sample_epipolar(f, p, depth, height=8, width=10)[0]
    assert torch.autograd.gradcheck(sample, (features, pixels))


def test_the_projection_of_a_point_finds_its_colour_in_every_view():
    """Each view's feature map holds the pixel's own coordinates, so sampling at a projection returns the projection."""
    centers = torch.tensor([[0.0, 0, -4], [3.0, 1, -3]])
    cameras = Cameras.look_at(centers, torch.zeros(3), torch.tensor([0.0, -1, 0]), focal=40, height=32, width=48)
    rays = cameras[0].rays_at(torch.tensor([[24.0, 16.0], [20.0, 10.0]]))
    distances = torch.tensor([[3.0, 4.0], [3.0, 5.0]])
    points = rays.origins[:, None] + distances[..., None] * rays.directions[:, None]
    pixels, depth = cameras.project(points.reshape(1, -1, 3))
    maps = (pixel_centres(8, 12) * 4).permute(2, 0, 1).expand(1, 2, 2, 8, 12)
    sampled, seen = sample_epipolar(maps, pixels[None], depth[None], height=32, width=48)
    assert seen.all()
    torch.testing.assert_close(sampled[0], pixels, atol=1e-3, rtol=0)
    torch.testing.assert_close(pixels[0, :2], torch.tensor([[24.0, 16.0]]).expand(2, 2), atol=1e-4, rtol=0)


def test_the_image_is_closed_at_its_edges():
    corners = torch.tensor([[0.0, 0], [6, 4], [6.001, 4], [6, -0.001]])
    inside = inside_image(corners, torch.ones(4), height=4, width=6)
    assert inside.tolist() == [True, True, False, False]
