import struct

import numpy as np
import pytest
import torch
import trimesh

from fewview.cameras import Cameras
from fewview.errors import InputError
from fewview.export.glb import write_glb, y_up
from fewview.export.mesh import Mesh, MeshConfig, cube, extract_mesh
from fewview.export.paint import paint
from fewview.geometry.transforms import similarity
from fewview.views import Render

CENTRE, RADIUS = torch.tensor([2.0, -1.0, 5.0]), 1.5
SMALL = MeshConfig(resolution=48)


class Balls:
    """Soft balls (centre, radius) with colours that follow the direction from CENTRE."""

    def __init__(self, *balls, density: float = 50.0, hollow: float = 0.0):
        self.balls, self.peak, self.hollow = balls, density, hollow

    def query(self, points):
        density = torch.zeros(len(points))
        for centre, radius in self.balls:
            away = (points - centre).norm(dim=-1)
            density += self.peak * torch.sigmoid((radius - away) / 0.01) * (away > self.hollow)
        outward = torch.nn.functional.normalize(points - CENTRE, dim=-1)
        return density, (outward + 1) / 2


def box(bound: float = 2.0):
    return cube(bound, similarity(1.0, -CENTRE))


def test_a_ball_becomes_a_watertight_sphere_of_its_radius_with_its_colours():
    mesh = extract_mesh(Balls((CENTRE, RADIUS)), box(), SMALL)
    offsets = mesh.vertices - CENTRE.numpy()
    radii = np.linalg.norm(offsets, axis=-1)
    assert np.abs(radii / RADIUS - 1).max() < 0.02
    assert mesh.watertight
    want = (offsets / radii[:, None] + 1) / 2 * 255
    assert np.abs(mesh.colours - want).max() < 6


def test_faces_look_outward():
    mesh = extract_mesh(Balls((CENTRE, RADIUS)), box(), SMALL)
    a, b, c = (mesh.vertices[mesh.faces] - CENTRE.numpy()).transpose(1, 0, 2)
    volume = (np.cross(a, b) * c).sum() / 6
    assert volume == pytest.approx(4 / 3 * np.pi * RADIUS**3, rel=0.05)


def test_the_box_may_be_turned_scaled_and_mirrored():
    flip = torch.diag(torch.tensor([-0.5, 0.5, 0.5, 1.0]))
    flip[:3, 3] = CENTRE
    mesh = extract_mesh(Balls((CENTRE, RADIUS)), cube(4.0, flip), SMALL)
    a, b, c = (mesh.vertices[mesh.faces] - CENTRE.numpy()).transpose(1, 0, 2)
    assert (np.cross(a, b) * c).sum() / 6 == pytest.approx(4 / 3 * np.pi * RADIUS**3, rel=0.05)


def test_floaters_go_and_large_parts_stay():
    crumb, twin = (CENTRE + 1.7, 0.12), (CENTRE + torch.tensor([0.0, 0, 1.2]), 0.6)
    ball = (CENTRE - torch.tensor([0.0, 0, 0.8]), 0.9)
    mesh = extract_mesh(Balls(crumb, twin, ball), box(), SMALL)
    assert trimesh.Trimesh(mesh.vertices, mesh.faces, process=False).body_count == 2
    kept = extract_mesh(Balls(crumb, twin, ball), box(), MeshConfig(resolution=48, floater=0.0, smoothing=0.7))
    assert trimesh.Trimesh(kept.vertices, kept.faces, process=False).body_count == 3


def test_a_hollow_that_nothing_reaches_is_filled():
    mesh = extract_mesh(Balls((CENTRE, RADIUS), hollow=0.7), box(), SMALL)
    assert np.linalg.norm(mesh.vertices - CENTRE.numpy(), axis=-1).min() > 1.4


def test_an_object_that_leaves_the_box_is_closed_at_its_border():
    mesh = extract_mesh(Balls((CENTRE, 3.0)), box(), SMALL)
    assert mesh.watertight
    assert np.abs(mesh.vertices - CENTRE.numpy()).max() == pytest.approx(2.0, abs=0.05)


def test_simplification_keeps_to_the_number_of_faces_and_to_the_shape():
    mesh = extract_mesh(Balls((CENTRE, RADIUS)), box(), MeshConfig(resolution=64, max_faces=2000))
    assert 1000 < len(mesh.faces) <= 2000
    assert np.abs(np.linalg.norm(mesh.vertices - CENTRE.numpy(), axis=-1) / RADIUS - 1).max() < 0.02


def test_thin_air_has_no_mesh():
    with pytest.raises(InputError, match="dense enough"):
        extract_mesh(Balls((CENTRE, RADIUS), density=0.01), box(), MeshConfig(resolution=16))


@pytest.mark.parametrize("peak", [3.0, 30.0, 3000.0])
def test_the_surface_is_found_where_it_is_seen_whatever_the_density(peak):
    mesh = extract_mesh(Balls((CENTRE, RADIUS), density=peak), box(), SMALL)
    radii = np.linalg.norm(mesh.vertices - CENTRE.numpy(), axis=-1)
    assert 0.94 * RADIUS < np.median(radii) < 1.05 * RADIUS


def test_a_given_density_is_kept():
    core = Balls((CENTRE, 0.8), (CENTRE, RADIUS), density=50.0)  # 100 inside, 50 outside
    mesh = extract_mesh(core, box(), MeshConfig(resolution=48, density=75.0, smoothing=0.3))
    assert np.median(np.linalg.norm(mesh.vertices - CENTRE.numpy(), axis=-1)) == pytest.approx(0.8, rel=0.05)


def test_paint_takes_the_colours_of_pictures_where_they_see_the_mesh_and_keeps_the_others():
    ball = trimesh.creation.icosphere(3)
    vertices = np.asarray(ball.vertices, np.float32)
    mesh = Mesh(vertices, np.asarray(ball.faces), np.zeros_like(vertices, np.uint8))
    eye, up = torch.tensor([[0.0, 0, -6]]), torch.tensor([0.0, 1, 0])
    cameras = Cameras.look_at(eye, torch.zeros(3), up, focal=200.0, height=100, width=100)
    rays = cameras.rays()
    along = -(rays.origins * rays.directions).sum(-1)
    half = (1 - (rays.origins.square().sum(-1) - along**2)).clamp(min=0)
    points = rays.origins + (along - half.sqrt())[..., None] * rays.directions
    alpha = (half > 0).float()[:, None]
    image = ((points.movedim(-1, 1) + 1) / 2) * alpha
    painted = paint(mesh, Render(image, alpha, (points[..., 2] + 6)[:, None] * alpha), cameras)
    front, back = vertices[:, 2] < -0.6, vertices[:, 2] > -0.1
    np.testing.assert_allclose(painted.colours[front], (vertices[front] + 1) / 2 * 255, atol=8)
    assert not painted.colours[back].any()


def test_up_becomes_y_by_the_smallest_rotation():
    for up in ([0.0, 1, 0], [0.0, -1, 0], [0.0, 0, 1], [0.3, -0.8, 0.2]):
        up = torch.nn.functional.normalize(torch.tensor(up), dim=0)
        turn = y_up(up)
        torch.testing.assert_close(turn @ up, torch.tensor([0.0, 1, 0]), atol=1e-6, rtol=0)
        torch.testing.assert_close(turn @ turn.T, torch.eye(3), atol=1e-6, rtol=0)
        assert torch.linalg.det(turn).item() == pytest.approx(1, abs=1e-6)
        assert turn.trace().item() == pytest.approx(1 + 2 * up[1].item(), abs=1e-5)  # the angle between up and y


def test_a_glb_loads_in_trimesh_y_up_with_linear_colours(tmp_path):
    mesh = extract_mesh(Balls((CENTRE, RADIUS)), box(), SMALL)
    write_glb(tmp_path / "mesh.glb", mesh, torch.tensor([0.0, 0.0, 1.0]))
    loaded = trimesh.load(tmp_path / "mesh.glb", force="mesh", process=False)
    x, y, z = mesh.vertices.T
    np.testing.assert_allclose(loaded.vertices, np.stack([x, z, -y], axis=-1), atol=1e-5)
    np.testing.assert_array_equal(loaded.faces, mesh.faces)
    assert loaded.is_watertight and loaded.volume == pytest.approx(4 / 3 * np.pi * RADIUS**3, rel=0.05)


def test_glb_colours_are_the_linear_light_of_srgb(tmp_path):
    corners = np.array([[0.0, 0, 0], [1, 0, 0], [0, 1, 0]], np.float32)
    triangle = Mesh(corners, np.array([[0, 1, 2]]), np.array([[0, 10, 188], [255, 0, 0], [0, 0, 0]], np.uint8))
    write_glb(tmp_path / "one.glb", triangle, torch.tensor([0.0, 1, 0]))
    data = (tmp_path / "one.glb").read_bytes()
    assert struct.unpack("<4sII", data[:12]) == (b"glTF", 2, len(data))
    binary = data[20 + struct.unpack("<I", data[12:16])[0] + 8 :]
    colours = np.frombuffer(binary[36:60], "<u2").reshape(3, 4) / 65535
    np.testing.assert_allclose(colours[0], [0, 10 / 255 / 12.92, 0.5029, 1], atol=1e-4)
    np.testing.assert_allclose(colours[1], [1, 0, 0, 1])


def test_an_open_mesh_is_not_watertight():
    ball = trimesh.creation.icosphere(1)
    colours = np.zeros((len(ball.vertices), 3), np.uint8)
    faces = np.asarray(ball.faces)
    assert Mesh(np.asarray(ball.vertices, np.float32), faces, colours).watertight
    assert not Mesh(np.asarray(ball.vertices, np.float32), faces[1:], colours).watertight
    flipped = np.concatenate([faces[:1, ::-1], faces[1:]])
    assert not Mesh(np.asarray(ball.vertices, np.float32), flipped, colours).watertight
