import math

import pytest
import torch

from fewview.cameras import Cameras, Rays, pixel_centres
from fewview.geometry.transforms import apply, axis_angle, normalise, similarity

HEIGHT, WIDTH = 6, 8


@pytest.fixture
def cameras(generator) -> Cameras:
    """Four cameras about the origin, with different focal lengths and principal points off the middle."""
    centers = 4 * normalise(torch.randn(4, 3, generator=generator))
    up = torch.tensor([0.0, 0, 1])
    posed = Cameras.look_at(centers, torch.zeros(3), up, focal=9, height=HEIGHT, width=WIDTH)
    intrinsics = posed.intrinsics * (1 + 0.2 * torch.rand(4, 3, 3, generator=generator))
    intrinsics[:, 2] = torch.tensor([0.0, 0, 1])
    return Cameras(posed.world_from_cam, intrinsics, HEIGHT, WIDTH)


@pytest.fixture
def points(generator) -> torch.Tensor:
    return torch.randn(4, 5, 3, generator=generator)


def close(a: torch.Tensor, b: torch.Tensor, atol: float = 1e-4) -> None:
    torch.testing.assert_close(a, b, atol=atol, rtol=0)


def test_points_on_a_pixels_ray_project_to_its_centre(cameras):
    rays = cameras.rays()
    for i in range(4):
        points = (rays.origins[i] + 2.5 * rays.directions[i]).reshape(-1, 3)
        pixels, depth = cameras[i].project(points)
        close(pixels, pixel_centres(HEIGHT, WIDTH).reshape(-1, 2))
        close(depth, 2.5 * rays.directions[i].reshape(-1, 3) @ cameras.forward[i])


def test_the_ray_through_a_projection_passes_the_point(cameras, points):
    pixels, depth = cameras.project(points)
    rays = cameras.rays_at(pixels)
    along = ((points - rays.origins) * rays.directions).sum(-1)
    nearest = rays.origins + along[..., None] * rays.directions
    close(nearest, points)
    close(depth, apply(cameras.cam_from_world, points)[..., 2])


def test_the_first_pixel_is_centred_at_a_half():
    camera = Cameras(torch.eye(4), torch.eye(3), 2, 3)
    direction = camera.rays().directions[0, 0]
    close(direction, torch.tensor([0.5, 0.5, 1]) / math.sqrt(1.5))
    assert pixel_centres(2, 3)[1, 2].tolist() == [2.5, 1.5]


def test_axes_are_right_down_forward():
    camera = Cameras(torch.eye(4), torch.tensor([[10.0, 0, 4], [0, 10, 3], [0, 0, 1]]), HEIGHT, WIDTH)
    pixels, depth = camera.project(torch.tensor([[0.1, 0, 1], [0, 0.1, 1], [0, 0, -2]]))
    assert pixels[0].tolist() == [5, 3] and pixels[1].tolist() == [4, 4] and depth[2] == -2
    assert camera.forward.tolist() == [0, 0, 1] and camera.up.tolist() == [0, -1, 0]


def test_points_in_the_cameras_own_plane_have_finite_pixels(cameras):
    pixels, depth = cameras.project(cameras.centers[:, None])
    assert pixels.isfinite().all() and depth.abs().max() < 1e-5


def test_directions_have_length_one(cameras):
    close(cameras.rays().directions.norm(dim=-1), torch.ones(4, HEIGHT, WIDTH))


def test_pluecker_coordinates_are_those_of_the_line(cameras, generator):
    rays = cameras.rays().flatten()
    slid = Rays(
        rays.origins + rays.directions * torch.randn(len(rays.origins), 1, generator=generator), rays.directions
    )
    close(rays.pluecker(), slid.pluecker(), 1e-5)
    direction, moment = rays.pluecker().split(3, dim=-1)
    close((direction * moment).sum(-1), torch.zeros(len(direction)), 1e-5)
    distance = torch.linalg.cross(rays.origins, rays.directions).norm(dim=-1)  # of the line from the origin
    close(moment.norm(dim=-1), distance)
    beside = Rays(rays.origins + torch.tensor([0.0, 0, 0.1]), rays.directions)
    assert (beside.pluecker() - rays.pluecker()).abs().amax(-1).min() > 1e-3


def test_resizing_scales_projections(cameras, points):
    pixels, depth = cameras.project(points)
    resized = cameras.resized(3 * HEIGHT, WIDTH // 2)
    assert (resized.height, resized.width) == (18, 4)
    small, same = resized.project(points)
    close(small, pixels * torch.tensor([0.5, 3.0]), 1e-3)
    close(same, depth)


def test_cropping_shifts_projections_also_beyond_the_image(cameras, points):
    pixels, _ = cameras.project(points)
    cropped = cameras.cropped(-2, 1.5, 9, 5)
    assert (cropped.height, cropped.width) == (9, 5)
    close(cropped.project(points)[0], pixels - torch.tensor([-2, 1.5]), 1e-3)


def test_cropping_and_resizing_are_undone(cameras):
    back = cameras.cropped(2, 1, 4, 4).resized(12, 12).resized(4, 4).cropped(-2, -1, HEIGHT, WIDTH)
    close(back.intrinsics, cameras.intrinsics)
    assert (back.height, back.width) == (HEIGHT, WIDTH)


def a_similarity(scale: float) -> torch.Tensor:
    rotation = torch.eye(4)
    rotation[:3, :3] = axis_angle(normalise(torch.tensor([1.0, 2, 3])), torch.tensor(0.7))
    return rotation @ similarity(scale, torch.tensor([0.3, -0.1, 2.0]))


@pytest.mark.parametrize("scale", [1.0, 0.2, 5.0])
def test_a_new_world_frame_keeps_pixels_and_scales_depth(cameras, points, scale):
    new_from_world = a_similarity(scale)
    pixels, depth = cameras.project(points)
    moved, far = cameras.transformed(new_from_world).project(apply(new_from_world, points))
    close(moved, pixels, 1e-3)
    close(far, scale * depth, 1e-3)


def test_transformed_cameras_stay_rigid_and_come_back(cameras):
    new_from_world = a_similarity(3.0)
    moved = cameras.transformed(new_from_world)
    rotation = moved.world_from_cam[:, :3, :3]
    close(rotation @ rotation.mT, torch.eye(3).expand(4, 3, 3), 1e-5)
    close(moved.transformed(torch.linalg.inv(new_from_world)).world_from_cam, cameras.world_from_cam)


def test_each_scene_of_a_batch_has_its_own_new_frame(cameras):
    frames = torch.stack([a_similarity(2.0), a_similarity(0.5)])
    moved = cameras.reshape(2, 2).transformed(frames[:, None])
    for i in range(2):
        close(moved[i].world_from_cam, cameras.reshape(2, 2)[i].transformed(frames[i]).world_from_cam, 1e-5)


def test_looking_at_a_point_puts_it_in_the_middle_without_roll():
    centers = torch.tensor([[3.0, 1, 2], [-2, 0, 0.5], [0.1, -4, -3]])
    target, up = torch.tensor([0.2, 0.1, -0.3]), torch.tensor([0.0, 0, 1])
    cameras = Cameras.look_at(centers, target, up, focal=10, height=HEIGHT, width=WIDTH)
    pixels, depth = cameras.project(torch.stack([target, target + 0.1 * up]).expand(3, 2, 3))
    close(pixels[:, 0], torch.tensor([4.0, 3.0]).expand(3, 2))
    close(depth[:, 0], (centers - target).norm(dim=-1))
    close(pixels[:, 1, 0], torch.full((3,), 4.0))
    assert (pixels[:, 1, 1] < 3).all()  # up is up
    close(torch.linalg.det(cameras.world_from_cam[:, :3, :3]), torch.ones(3), 1e-5)
    close(cameras.centers, centers)


def test_batches_may_have_any_shape(cameras, points):
    grid = cameras.reshape(2, 2)
    assert grid.shape == (2, 2) and len(grid) == 2 and grid[1, 0].shape == () and grid[:, 1:].shape == (2, 1)
    assert grid.rays().shape == (2, 2, HEIGHT, WIDTH) and grid[0, 0].rays().shape == (HEIGHT, WIDTH)
    close(grid.project(points.reshape(2, 2, 5, 3))[0].reshape(4, 5, 2), cameras.project(points)[0])
    shared, _ = grid.project(points[:1, None])  # one set of points for all cameras
    assert shared.shape == (2, 2, 5, 2)


def test_stacking_is_the_inverse_of_picking(cameras):
    again = Cameras.stack([cameras[i] for i in range(4)])
    assert torch.equal(again.world_from_cam, cameras.world_from_cam)
    assert torch.equal(Cameras.cat([cameras[:1], cameras[1:]]).intrinsics, cameras.intrinsics)
    with pytest.raises(ValueError, match="share an image size"):
        Cameras.stack([cameras[0], cameras[1].resized(2, 2)])


def test_projection_has_gradients(cameras, points):
    def project(pose: torch.Tensor, points: torch.Tensor) -> torch.Tensor:
        return Cameras(pose, cameras.intrinsics.double(), HEIGHT, WIDTH).project(points)[0]

    pose = cameras.world_from_cam.double().requires_grad_()
    assert torch.autograd.gradcheck(project, (pose, points.double().requires_grad_()))
