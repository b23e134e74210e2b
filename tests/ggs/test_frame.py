import pytest
import torch
from ggs_rooms import similarity_of, walk

from fewview.ggs.frame import depth_at_cells, norm_from_world, points_at, world_from_norm


def test_the_first_camera_is_the_origin_and_the_extent_the_unit():
    cameras = walk(2, 4)
    normalised = cameras.transformed(norm_from_world(cameras)[:, None])
    torch.testing.assert_close(normalised.world_from_cam[:, 0], torch.eye(4).expand(2, 4, 4), atol=1e-5, rtol=0)
    extent = torch.cdist(normalised.centers, normalised.centers).amax((1, 2))
    torch.testing.assert_close(extent, torch.ones(2))


def test_no_similarity_of_the_world_changes_the_normalised_cameras():
    cameras = walk(2, 4)
    moved = cameras.transformed(similarity_of(3.7))
    for one, other in zip(*(c.transformed(norm_from_world(c)[:, None]).world_from_cam for c in (cameras, moved))):
        torch.testing.assert_close(one, other, atol=1e-4, rtol=0)


def test_metric_worlds_keep_their_unit():
    cameras = walk(1, 3)
    scale = torch.linalg.det(world_from_norm(cameras, metric=True)[:, :3, :3])
    torch.testing.assert_close(scale, torch.ones(1))


def test_cameras_in_one_place_have_the_unit_of_the_world():
    cameras = walk(1, 3)
    still = cameras.world_from_cam.clone()
    still[..., :3, 3] = torch.tensor([5.0, 6, 7])
    cameras = type(cameras)(still, cameras.intrinsics, cameras.height, cameras.width)
    assert torch.linalg.det(world_from_norm(cameras)[0, :3, :3]) == pytest.approx(1.0, abs=1e-5)


def test_points_at_project_to_their_cells_with_their_depth(generator):
    cameras = walk(2, 3)
    depths = 1 + torch.rand(2, 3, 4, 8, generator=generator)
    pixels, depth = cameras.resized(4, 8).project(points_at(cameras, depths).flatten(2, 3))
    torch.testing.assert_close(depth.unflatten(2, (4, 8)), depths, atol=1e-4, rtol=0)
    expected = torch.stack(torch.meshgrid(torch.arange(8) + 0.5, torch.arange(4) + 0.5, indexing="xy"), dim=-1)
    torch.testing.assert_close(pixels.unflatten(2, (4, 8)), expected.expand(2, 3, 4, 8, 2), atol=1e-3, rtol=0)


def test_depths_of_cells_are_never_averaged():
    depths = torch.tensor([[1.0, 1, 9, 9], [1, 1, 9, 9]]).repeat_interleave(2, 0)
    assert set(depth_at_cells(depths, 3, 3).unique().tolist()) <= {1.0, 9.0}
