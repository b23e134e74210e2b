"""Surfaces get the outlines of masks."""

import numpy as np
import pytest
import torch
import trimesh
from worlds import ring

from fewview.cameras import Cameras
from fewview.export.contours import fitted_to_masks, inside_distance
from fewview.export.mesh import Mesh
from fewview.export.raster import seen_by
from fewview.views import Views


def ball(radius: float) -> Mesh:
    sphere = trimesh.creation.icosphere(4)
    vertices = np.asarray(sphere.vertices, np.float32) * np.float32(radius)
    return Mesh(vertices, np.asarray(sphere.faces), np.zeros_like(vertices, np.uint8))


def of_unit_ball(count: int, size: int = 96) -> Views:
    """Photos with the masks of the unit ball, in closed form."""
    cameras = Cameras.cat([ring(count, size, elevation=e) for e in (0.8, -0.8)])
    rays = cameras.rays()
    along = (rays.origins * rays.directions).sum(-1)
    masks = ((rays.origins.square().sum(-1) - along**2) < 1).float()[:, None]
    return Views(masks.expand(-1, 3, -1, -1), cameras, masks)


@pytest.mark.parametrize("radius", [0.9, 1.1])
def test_a_ball_of_a_wrong_size_gets_the_right_one(radius):
    made = fitted_to_masks(ball(radius), of_unit_ball(6))
    radii = np.linalg.norm(made.vertices, axis=1)
    assert np.median(radii) == pytest.approx(1, abs=0.02) and np.abs(radii - 1).max() < 0.05


def test_masks_and_outlines_agree_to_half_a_pixel_from_few_photos():
    photos = of_unit_ball(1)
    made = fitted_to_masks(ball(0.92), photos)
    for i in range(len(photos)):
        covered = seen_by(photos.cameras[i], torch.from_numpy(made.vertices), made.faces).covered
        wrong = covered != (photos.masks[i, 0] > 0.5).numpy()
        assert wrong.sum() < 0.5 * np.sqrt(4 * np.pi * covered.sum())  # of the outline's length in pixels


def test_without_masks_or_rounds_nothing_moves():
    mesh, photos = ball(0.9), of_unit_ball(2)
    assert fitted_to_masks(mesh, photos.whole()) is mesh
    np.testing.assert_array_equal(fitted_to_masks(mesh, photos, rounds=0).vertices, mesh.vertices)
    blank = Views(photos.images, photos.cameras, torch.zeros_like(photos.masks))
    np.testing.assert_allclose(fitted_to_masks(mesh, blank).vertices, mesh.vertices)


def test_distances_to_a_border_are_signed_and_a_picture_ends_no_mask():
    mask = np.zeros((4, 6), bool)
    mask[:, :3] = True
    np.testing.assert_allclose(inside_distance(mask), np.tile([2.5, 1.5, 0.5, -0.5, -1.5, -2.5], (4, 1)))
