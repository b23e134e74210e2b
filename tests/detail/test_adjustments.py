from dataclasses import replace

import pytest
import torch
from striped_ball import around, ball, first, known, photographed, psnr

from fewview.cameras import Cameras
from fewview.detail.adjustments import Adjustments
from fewview.detail.stage import DetailConfig, _Run, detail
from fewview.geometry.transforms import axis_angle
from fewview.render.gaussians import Gaussians
from fewview.render.splatting import splat
from fewview.views import Render, Views

CONFIG = DetailConfig(steps=64, relocate_every=20, coarsest=48, feature_rate=0.03, pixels_each=8.0)
POSE = torch.tensor([0.01, -0.02, 0.015, 0.004, 0.01, -0.006])


def cloud(generator: torch.Generator, dtype: torch.dtype = torch.float32) -> Gaussians:
    normal = lambda *shape: torch.randn(*shape, generator=generator, dtype=dtype)
    scales = 0.1 * normal(12, 3).exp()
    return Gaussians(0.4 * normal(12, 3), scales, normal(12, 4), torch.full((12,), 0.7).to(dtype), normal(12, 3).abs())


def facing(dtype: torch.dtype = torch.float32) -> Cameras:
    eye, up = torch.tensor([0.5, -3.0, 1.0]), torch.tensor([0.0, 0, 1])
    return Cameras.look_at(eye, torch.zeros(3), up, focal=30.0, height=20, width=24).to(dtype)


def posed(pose: torch.Tensor) -> Adjustments:
    made = Adjustments(2, colour_rate=0.0, pose_rate=1.0, distance=2.5)
    made.poses[1] = pose
    return made


def test_colours_are_an_affine_function_of_what_covers_the_pixel_and_the_first_photo_keeps_its_own(generator):
    own = Adjustments(2, colour_rate=0.1, pose_rate=0.0, distance=1.0)
    matrix, offset = 0.1 * torch.randn(3, 3, generator=generator), torch.tensor([0.1, 0.0, -0.05])
    own.colours[1].data = torch.cat([matrix, offset[:, None]], dim=1)
    colour, alpha = torch.rand(3, generator=generator), torch.rand(1, 4, 5, generator=generator)
    seen = Render(colour[:, None, None] * alpha, alpha, alpha)
    wanted = (colour + matrix @ colour + offset)[:, None, None] * alpha
    torch.testing.assert_close(own.recoloured(seen, 1).image, wanted)
    assert own.recoloured(seen, 0) is seen


@pytest.mark.parametrize("backend", ["torch", "numba"])
def test_the_given_camera_sees_moved_splats_as_the_refined_one_sees_them_unmoved(generator, backend):
    splats, camera = cloud(generator), facing()
    own = posed(POSE.clone().requires_grad_())
    refined = own.cameras([camera, camera])
    assert torch.equal(refined[0].world_from_cam, camera.world_from_cam)
    turn = refined[1].world_from_cam[:3, :3]
    torch.testing.assert_close(turn @ turn.T, torch.eye(3))
    moved, there = splat(own.moved(splats, 1, camera), camera, backend=backend), splat(splats, refined[1])
    torch.testing.assert_close(moved.image, there.image, atol=1e-4, rtol=1e-4)
    assert (moved.image - splat(splats, camera).image).abs().max() > 0.01


def test_gradients_of_a_camera_s_motion_are_finite_differences(generator):
    splats, camera = cloud(generator, torch.double), facing(torch.double)
    weights = torch.rand(3, 20, 24, generator=generator, dtype=torch.double)

    def loss(pose: torch.Tensor) -> torch.Tensor:
        moved = posed(pose).moved(splats, 1, camera)
        return (splat(moved, camera, backend="torch", antialiased=True).image * weights).sum()

    pose = POSE.double().requires_grad_()
    loss(pose).backward()
    step = 1e-5
    for axis in range(6):
        aside = step * torch.eye(6, dtype=torch.double)[axis]
        ends = [loss((POSE + sign * aside).requires_grad_()) for sign in (1, -1)]
        assert pose.grad[axis].item() == pytest.approx((ends[0] - ends[1]).item() / (2 * step), rel=2e-3, abs=2e-2)


def test_a_photo_that_was_not_shown_stays_where_it_is():
    own = Adjustments(3, colour_rate=0.1, pose_rate=0.1, distance=1.0)
    for photo in (1, 1, 2, 0):
        before = [leaf.clone() for leaf in own.poses]
        loss = own.poses[photo].sum() + own.penalty(photo, colour=1, pose=1)
        if photo > 0:
            loss.backward()
        own.descend(0.5)
        moved = [bool((leaf != old).any()) for leaf, old in zip(own.poses, before)]
        assert moved == [i == photo and i > 0 for i in range(3)]


@pytest.fixture(scope="module")
def sight() -> tuple[Views, Gaussians]:
    """Photos, and splats to start from."""
    cameras = around(24, 48)
    photos = photographed(cameras[0:8])
    init = first(photos.cameras, known(photos.cameras), torch.Generator().manual_seed(0), count=500)
    return photos, init


def test_photos_of_other_exposures_are_fitted_by_their_own_colours(sight):
    photos, init = sight
    gains = torch.tensor([1.0, 0.7, 0.8, 0.75, 0.7, 0.8, 0.75, 0.7])[:, None, None, None]
    spoilt = replace(photos, images=photos.images * gains)
    clean = photos.images
    scores = []
    for rate in (0.0, 0.05):
        config = replace(CONFIG, colour_rate=rate)
        made = detail(init, spoilt, config, generator=torch.Generator().manual_seed(0))
        scores.append(psnr(made.render(photos.cameras).image, clean))
    assert scores[1] > scores[0] + 0.5


def test_cameras_in_error_come_nearer_to_the_truth(sight):
    photos, init = sight
    angles = 0.03 * torch.tensor([0.0, 1, -1, 1, -1, 1, -1, 1])
    turns = torch.eye(4).repeat(8, 1, 1)
    axes = torch.nn.functional.normalize(torch.randn(8, 3, generator=torch.Generator().manual_seed(3)), dim=-1)
    turns[:, :3, :3] = axis_angle(axes, angles)
    given = photos.transformed(turns)
    run = _Run(init, given, replace(CONFIG, pose_rate=3e-3), None, torch.Generator().manual_seed(0))
    for step in range(CONFIG.steps):
        run.advance(step)
    refined = Cameras.stack(run.adjustments.cameras([given.cameras[i] for i in range(8)]))
    off = lambda cameras: (ball(cameras).image - photos.images).abs().mean()
    assert off(refined) < 0.85 * off(given.cameras)
