import torch

from fewview.cameras import Cameras
from fewview.framing import crop_to_object, nearest_point, norm_from_world, silhouette
from fewview.geometry.transforms import apply
from fewview.views import Views


def ball_views(centre: torch.Tensor, radius: float, *, views: int = 3, size: int = 64) -> Views:
    """Silhouettes of a ball, seen from cameras that do not quite look at it."""
    angles = torch.linspace(0, 2, views)
    eyes = centre + 8 * torch.stack([angles.cos(), angles.sin(), 0.3 * torch.ones(views)], -1)
    aim = centre + torch.tensor([0.3, -0.2, 0.1])
    cameras = Cameras.look_at(eyes, aim, torch.tensor([0.0, 0.0, 1.0]), focal=80.0, height=size, width=size)
    rays = cameras.rays()
    offset = centre - rays.origins
    along = (offset * rays.directions).sum(-1)
    masks = (offset.square().sum(-1) - along.square() < radius**2).float()[:, None]
    return Views(masks * torch.tensor([1.0, 0.5, 0.2])[:, None, None], cameras, masks)


def test_frame_puts_a_ball_at_the_origin_with_silhouettes_of_deviation_one():
    centre, radius = torch.tensor([1.0, 2.0, 3.0]), 1.5
    frame = norm_from_world(ball_views(centre, radius))
    assert apply(frame, centre[None])[0].norm() < 0.05
    scale = torch.linalg.det(frame[:3, :3]) ** (1 / 3)
    assert abs(scale * radius / 2 - 1) < 0.05  # a disc of radius r has a per-axis deviation of r / 2


def test_frame_follows_the_world():
    views = ball_views(torch.zeros(3), 1.0)
    moved = torch.eye(4)
    moved[:3, :3] *= 3.0
    moved[:3, 3] = torch.tensor([5.0, 6.0, 7.0])
    again = Views(views.images, views.cameras.transformed(moved), views.masks)
    assert torch.allclose(norm_from_world(again) @ moved, norm_from_world(views), atol=1e-3)


def test_without_masks_the_origin_is_where_the_axes_meet():
    views = ball_views(torch.zeros(3), 1.0)
    frame = norm_from_world(Views(views.images, views.cameras))
    assert apply(frame, torch.tensor([[0.3, -0.2, 0.1]]))[0].norm() < 0.01


def test_nearest_point_of_crossing_and_of_parallel_lines():
    origins = torch.tensor([[1.0, 0, 0], [0, 1.0, 0]])
    assert nearest_point(origins, -origins).norm() < 1e-4
    parallel = torch.tensor([[0.0, 0, 1.0], [0, 0, 1.0]])
    assert torch.allclose(nearest_point(origins, parallel), torch.tensor([0.5, 0.5, 0.0]), atol=1e-3)


def test_silhouette_of_a_single_pixel_is_its_centre():
    mask = torch.zeros(1, 8, 8)
    mask[0, 2, 5] = 1
    centroid, deviation = silhouette(mask)
    assert torch.allclose(centroid, torch.tensor([5.5, 2.5])) and deviation < 1e-3


def test_crops_keep_points_at_their_pixels_and_the_whole_object():
    views = ball_views(torch.zeros(3), 1.0)
    crops = crop_to_object(views, 48)
    assert crops.images.shape == (3, 3, 48, 48)
    pixels, _ = crops.cameras.project(torch.zeros(3, 1, 3))
    centroid, deviation = silhouette(crops.masks)
    assert torch.allclose(pixels[:, 0], centroid, atol=1.0)
    assert (deviation > 48 / 1.3 / 4 * 0.9).all()  # the disc fills 1 / 1.3 of the crop
    ratio = crops.masks.sum((1, 2, 3)) / views.masks.sum((1, 2, 3))
    side = crops.cameras.intrinsics[:, 0, 0] / views.cameras.intrinsics[:, 0, 0]
    assert torch.allclose(ratio, side**2, rtol=0.05)


def test_crops_may_reach_outside_of_the_photo():
    views = ball_views(torch.zeros(3), 3.2)
    crops = crop_to_object(views, 32)
    assert crops.images.shape == (3, 3, 32, 32) and crops.masks[:, :, 0].max() == 0
