"""Triangles in pictures: every covered pixel's point lies on the pixel's ray, and the nearest wins."""

import math

import numpy as np
import pytest
import torch
import trimesh
from worlds import ring

from fewview.export.raster import rasterise, seen_by


@pytest.fixture
def camera():
    return ring(1, 64)[0]


def triangles(count: int, seed: int = 0) -> tuple[torch.Tensor, np.ndarray]:
    vertices = torch.randn(3 * count, 3, generator=torch.Generator().manual_seed(seed))
    return vertices, np.arange(3 * count).reshape(-1, 3)


def test_points_of_covered_pixels_lie_on_their_rays(camera):
    vertices, faces = triangles(20)
    found = seen_by(camera, vertices, faces)
    rows, columns = np.nonzero(found.covered)
    assert len(rows) > 400
    corners = vertices[faces[found.face[rows, columns]]]
    points = (corners * torch.from_numpy(found.weights[rows, columns])[..., None]).sum(1)
    pixels, depth = camera.project(points)
    np.testing.assert_allclose(pixels[:, 0], columns + 0.5, atol=0.01)
    np.testing.assert_allclose(pixels[:, 1], rows + 0.5, atol=0.01)
    np.testing.assert_allclose(depth, found.depth[rows, columns], rtol=1e-4)
    assert np.isinf(found.depth[~found.covered]).all()


def test_the_nearest_triangle_wins_in_any_order(camera):
    vertices, faces = triangles(20)
    forth, back = seen_by(camera, vertices, faces), seen_by(camera, vertices, faces[::-1].copy())
    np.testing.assert_array_equal(forth.depth, back.depth)
    assert (forth.face == 19 - back.face)[forth.covered].mean() > 0.999
    for one in range(20):
        alone = seen_by(camera, vertices, faces[one : one + 1])
        assert (forth.depth <= alone.depth * 1.00001).all()


def test_a_ball_covers_the_disc_that_geometry_says(camera):
    sphere = trimesh.creation.icosphere(5)
    found = seen_by(camera, torch.tensor(sphere.vertices, dtype=torch.float32), np.asarray(sphere.faces))
    distance = float(camera.centers.norm())
    radius = float(camera.intrinsics[0, 0]) / math.sqrt(distance**2 - 1)
    assert found.covered.sum() == pytest.approx(math.pi * radius**2, rel=0.02)
    assert found.depth.min() == pytest.approx(distance - 1, abs=0.01)


def test_triangles_that_reach_behind_the_camera_are_left_out():
    corners = np.array([[[0, 0], [8, 0], [0, 8]]], np.float32)
    assert rasterise(corners, np.ones((1, 3), np.float32), (8, 8)).covered.any()
    assert not rasterise(corners, np.array([[1, 1, -1]], np.float32), (8, 8)).covered.any()
    assert not rasterise(corners, np.full((1, 3), np.nan, np.float32), (8, 8)).covered.any()
