import math
from dataclasses import replace

import pytest
import torch
from ggs_rooms import painted, plane_depth, walk

from fewview.ggs.epipolar import log_depths
from fewview.ggs.frame import points_at
from fewview.ggs.splats import SplatConfig, SplatHead, draw_depth, place_of, place_splats
from fewview.render.splatting import DILATION

CONFIG = SplatConfig(features=4)


def true_splats(size: int, cells: int, raw: torch.Tensor | None = None):
    """Splats of the true depths of the painted plane, in their true colours."""
    cameras = walk(1, 3, size=size)
    depths = plane_depth(cameras.resized(cells, cells))
    raw = torch.zeros(1, 3, cells, cells, 10) if raw is None else raw
    colours = painted(cameras.resized(cells, cells)).images.movedim(2, -1)
    return place_splats(place_of(depths, CONFIG), raw, cameras, config=CONFIG, features=colours), cameras


def test_places_are_the_inverse_of_depths():
    place = torch.linspace(0, 1, 7)
    torch.testing.assert_close(place_of(log_depths(CONFIG.near, CONFIG.far, place), CONFIG), place)
    assert place_of(torch.tensor([0.0, 1e9]), CONFIG).tolist() == [0, 1]


def test_true_depths_give_splats_at_the_true_points():
    splats, cameras = true_splats(32, 16)
    torch.testing.assert_close(splats.means[..., 2], torch.full((1, 3, 16, 16), 4.0), atol=1e-4, rtol=0)
    exact = points_at(cameras, plane_depth(cameras.resized(16, 16)))
    torch.testing.assert_close(splats.means, exact, atol=1e-4, rtol=0)


def test_true_splats_show_the_input_views_again():
    raw = torch.zeros(1, 3, 24, 24, 10)
    raw[..., 2:5] = -0.5  # 0.4 cells
    splats, cameras = true_splats(24, 24, raw)
    render = splats.render(cameras)
    inner = (..., slice(3, -3), slice(3, -3))
    assert render.alpha[inner].min() > 0.95
    assert (render.image / render.alpha - painted(cameras).images)[inner].abs().max() < 0.03
    assert (render.depth[:, :, 0] - plane_depth(cameras))[inner].abs().max() < 0.1


def test_scales_are_cells_at_the_depth():
    splats, cameras = true_splats(32, 16)
    depth = plane_depth(cameras.resized(16, 16))
    expected = math.sqrt(CONFIG.min_scale * CONFIG.max_scale) * depth / (1.2 * 16)
    torch.testing.assert_close(splats.scales[..., 1], expected, rtol=1e-3, atol=0)


def test_smoothed_splats_leave_no_gaps_from_nearby():
    raw = torch.zeros(1, 3, 16, 16, 10)
    raw[..., 2:5] = -9  # 0.1 cells: they are seen as far as the renderer widens them
    splats, cameras = true_splats(16, 16, raw)
    large = cameras[:, 1:2].resized(128, 128)
    inner = (..., slice(24, -24), slice(24, -24))
    assert splats.render(large).alpha[inner].min() < 0.1
    smoothed = splats.smoothed(cameras, DILATION)
    assert smoothed.render(large).alpha[inner].min() > 0.8
    cell = plane_depth(cameras.resized(16, 16)) / cameras.resized(16, 16).intrinsics[..., 0, 0, None, None]
    torch.testing.assert_close(smoothed.scales[..., 0].square(), (0.01 + DILATION) * cell.square(), rtol=1e-2, atol=0)


def test_shapes_turn_with_their_cameras():
    raw = torch.zeros(1, 3, 4, 4, 10)
    raw[..., 2] = 3.0  # long along the camera's x axis
    splats, cameras = true_splats(32, 4, raw)
    covariances = splats.scene(0).covariances().reshape(3, 16, 3, 3)
    longest = torch.linalg.eigh(covariances).eigenvectors[..., -1]
    cosine = (longest * cameras.world_from_cam[0, :, None, :3, 0]).sum(-1).abs()
    torch.testing.assert_close(cosine, torch.ones(3, 16), atol=1e-4, rtol=0)


def test_splats_stay_within_their_cells(generator):
    raw = torch.zeros(1, 3, 8, 8, 10)
    raw[..., :2] = 10 * torch.randn(1, 3, 8, 8, 2, generator=generator)
    splats, cameras = true_splats(32, 8, raw)
    pixels, _ = cameras.resized(8, 8).project(splats.means.flatten(2, 3))
    centres, _ = cameras.resized(8, 8).project(true_splats(32, 8)[0].means.flatten(2, 3))
    assert 0.4 < (pixels - centres).abs().max() < 0.501


def test_gaussian_depths_are_drawn_with_their_deviation(generator):
    numbers = torch.tensor([0.4, 1.5]).expand(20000, 2)
    place, certainty = draw_depth(numbers, CONFIG, generator)
    assert certainty is None
    likeliest, _ = draw_depth(numbers, CONFIG, None)
    torch.testing.assert_close(likeliest[0], torch.tensor(0.4).sigmoid())
    assert place.mean() == pytest.approx(likeliest[0].item(), abs=3e-3)
    assert place.std() == pytest.approx(torch.tensor(-2.5).sigmoid().item(), rel=0.03)


def test_bins_are_drawn_by_their_probability_which_is_the_opacity(generator):
    config = replace(CONFIG, depth="discrete", bins=4)
    chances = torch.tensor([0.1, 0.2, 0.3, 0.4])
    numbers = torch.cat([chances.log(), torch.zeros(1)]).expand(20000, 5).clone().requires_grad_()
    place, opacity = draw_depth(numbers, config, generator)
    assert opacity is not None
    drawn = (place * 4 - 0.5).round().long()
    torch.testing.assert_close(drawn.bincount() / 20000, chances, atol=0.02, rtol=0)
    torch.testing.assert_close(opacity, chances[drawn])
    opacity.sum().backward()
    assert numbers.grad is not None and numbers.grad[:, :4].abs().sum() > 0
    likeliest, _ = draw_depth(numbers, config, None)
    torch.testing.assert_close(likeliest, torch.full((20000,), 3.5 / 4))


@pytest.mark.parametrize("depth", ["gaussian", "discrete"])
def test_heads_give_valid_splats(generator, depth):
    head = SplatHead(6, replace(CONFIG, depth=depth))
    splats = head(torch.randn(2, 3, 6, 4, 5, generator=generator), walk(2, 3), generator)
    assert splats.features.shape == (2, 3, 4, 5, 7)
    assert (splats.scales > 0).all() and (splats.opacities > 0).all() and (splats.opacities < 1).all()
    torch.testing.assert_close(splats.quaternions.norm(dim=-1), torch.ones(2, 3, 4, 5))


def test_the_last_channels_can_be_rendered_alone():
    splats, cameras = true_splats(16, 8)
    torch.testing.assert_close(splats.render(cameras, last=2).image, splats.render(cameras).image[:, :, 1:])
