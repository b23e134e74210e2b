"""Surfaces move to where photos agree, and stay where they say nothing."""

from dataclasses import replace

import numpy as np
import pytest
import torch
import trimesh
from worlds import ring

from fewview.export.agreement import Sweep, fitted_to_photos
from fewview.export.mesh import Mesh
from fewview.export.smoothing import neighbours, smooth_normals, smoothed
from fewview.views import Views


def ball(radius: float = 1.0) -> Mesh:
    sphere = trimesh.creation.icosphere(4)
    vertices = np.asarray(sphere.vertices, np.float32) * np.float32(radius)
    return Mesh(vertices, np.asarray(sphere.faces), np.zeros_like(vertices, np.uint8))


def striped_photos(size: int = 128) -> Views:
    """Photos, 20 degrees apart, of the unit ball, whose colours are waves of the place on it."""
    cameras = ring(18, size)[:3]
    rays = cameras.rays()
    along = -(rays.origins * rays.directions).sum(-1)
    inside = 1 - (rays.origins.square().sum(-1) - along**2)
    points = rays.origins + (along - inside.clamp(min=0).sqrt())[..., None] * rays.directions
    masks = (inside > 0).float()[:, None]
    return Views((0.5 + 0.5 * torch.sin(9 * points)).movedim(-1, 1) * masks, cameras, masks)


@pytest.mark.parametrize("radius", [0.97, 1.03])
def test_a_ball_of_a_wrong_size_is_put_right_where_two_photos_see_it(radius):
    photos = striped_photos()
    made = fitted_to_photos(ball(radius), photos)
    towards = torch.nn.functional.normalize(photos.cameras.centers[1], dim=0).numpy()
    front = ball().vertices @ towards > 0.75
    off = np.abs(np.linalg.norm(made.vertices, axis=1) - 1)
    assert np.median(off[front]) < 0.4 * abs(radius - 1)
    back = ball().vertices @ towards < -0.9
    assert np.abs(np.linalg.norm(made.vertices[back], axis=1) - radius).max() < 0.03


def test_one_photo_or_plain_colours_move_nothing():
    photos = striped_photos()
    assert fitted_to_photos(ball(), photos[:1]).vertices is not None
    grey = replace(photos, images=torch.full_like(photos.images, 0.5))
    np.testing.assert_allclose(
        fitted_to_photos(ball(0.97), grey, Sweep(rounds=1)).vertices, ball(0.97).vertices, atol=2e-3
    )


def test_means_of_neighbours_keep_constants_and_know_the_ring():
    mesh = ball()
    average = neighbours(mesh.faces, len(mesh.vertices))
    np.testing.assert_allclose(average @ np.ones(len(mesh.vertices)), 1, atol=1e-6)
    assert average[0].nnz == len({int(v) for face in mesh.faces if 0 in face for v in face} - {0})


def test_bumps_go_and_the_size_stays():
    mesh = ball()
    noise = np.random.default_rng(0).normal(0, 0.01, (len(mesh.vertices), 1)).astype(np.float32)
    bumpy = replace(mesh, vertices=mesh.vertices * (1 + noise))
    radii = np.linalg.norm(smoothed(bumpy, 15).vertices, axis=1)
    assert radii.std() < 0.4 * noise.std() and radii.mean() == pytest.approx(1, abs=0.005)
    outward = smooth_normals(torch.from_numpy(bumpy.vertices), mesh.faces, 8).numpy()
    rough = smooth_normals(torch.from_numpy(bumpy.vertices), mesh.faces, 0).numpy()
    off = lambda normals: (1 - (normals * mesh.vertices).sum(-1)).mean()
    assert off(outward) < 0.2 * off(rough)
