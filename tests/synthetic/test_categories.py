import numpy as np
import pytest

from fewview.data.meshes import join, rotation, shade
from fewview.synthetic.objects.categories import CATEGORIES, HELD_OUT_CATEGORIES
from fewview.synthetic.shapes.solids import box, ellipsoid, lathe, prism, sample_surface, spline, tube

ALL = {**CATEGORIES, **HELD_OUT_CATEGORIES}


def volume(mesh) -> float:
    """Signed volume by the divergence theorem: positive where the triangles of a closed mesh face outwards."""
    a, b, c = mesh.positions.reshape(-1, 3, 3).transpose(1, 0, 2)
    return float(np.einsum("ni,ni->", a, np.cross(b, c)) / 6)


def test_volumes_of_primitives_are_those_of_geometry():
    assert volume(box(1, 2, 3)) == pytest.approx(6)
    assert volume(ellipsoid(1, 2, 0.5, segments=96)) == pytest.approx(4 / 3 * np.pi, rel=3e-3)
    disc = 32 / 2 * np.sin(2 * np.pi / 32)  # area of a regular 32-gon
    assert volume(tube([[0, 0, 0], [0, 1, 0], [0, 2, 0]], 0.5, sides=32)) == pytest.approx(disc * 0.25 * 2)
    assert volume(lathe(np.array([[0, 0], [1, 0], [1, 2], [0, 2.0]]), 32)) == pytest.approx(2 * disc)
    assert volume(prism(np.array([[0, 0], [1, 0], [1, 1], [0, 1.0]]), 2)) == pytest.approx(2)


def test_rounding_takes_the_edges_off_a_box_and_puff_swells_it():
    edge = 0.2
    corners, rods = 4 / 3 * np.pi * edge**3, np.pi * edge**2 * 3 * (1 - 2 * edge)
    exact = (1 - 2 * edge) ** 3 + 6 * edge * (1 - 2 * edge) ** 2 + rods + corners  # Steiner's formula
    assert volume(box(1, 1, 1, edge=edge)) == pytest.approx(exact, rel=0.02)
    assert volume(box(1, 1, 1, edge=edge, puff=0.1)) > 1.1 * exact


def test_normals_split_at_creases_and_are_smooth_elsewhere():
    assert np.abs(box(1, 2, 3).normals).max(axis=1) == pytest.approx(1)
    ball = ellipsoid(1, 1, 1, segments=48)
    assert (ball.normals * ball.positions).sum(axis=1).min() > 0.999


def test_shade_leaves_out_triangles_without_area_unless_told():
    vertices = np.array([[0, 0, 0], [1, 0, 0], [0, 1, 0.0]])
    faces = np.array([[0, 1, 2], [0, 1, 1]])
    assert len(shade(vertices, faces).positions) == 3
    kept = shade(vertices, faces, keep=True)
    assert len(kept.positions) == 6
    assert np.isfinite(kept.normals).all()


def test_moves_keep_normals_perpendicular_to_the_surface():
    mesh = ellipsoid(1, 1, 1, segments=40).scaled(1, 3, 0.5)
    gradient = mesh.positions / np.array([1, 9, 0.25])  # of x^2 + y^2 / 9 + 4 z^2
    gradient /= np.linalg.norm(gradient, axis=1, keepdims=True)
    assert (mesh.normals * gradient).sum(axis=1).min() > 0.995
    turned = mesh.turned("z", 30)
    assert turned.normals @ rotation("z", 30) == pytest.approx(mesh.normals)


def test_rotation_is_right_handed():
    assert rotation("z", 90) @ [1, 0, 0] == pytest.approx([0, 1, 0])
    assert rotation("y", 90) @ [0, 0, 1] == pytest.approx([1, 0, 0])


def test_spline_passes_its_ends_and_never_overshoots():
    curve = spline([[1, 0], [2, 1], [2, 2], [1, 3]], 50)
    assert curve[[0, -1]] == pytest.approx(np.array([[1, 0], [1, 3.0]]))
    assert curve[:, 0].max() <= 2 + 1e-9


def test_surface_samples_are_spread_by_area():
    both = join([box(1, 1, 1).painted(0), box(2, 2, 2).moved(x=9).painted(1)])  # areas 6 and 24
    points, material = sample_surface(both, 4000, np.random.default_rng(0))
    assert material.mean() == pytest.approx(0.8, abs=0.03)
    assert points[material == 1].mean(axis=0) == pytest.approx([9, 0, 0], abs=0.1)


@pytest.mark.parametrize("category", ALL)
def test_instances_are_sound_and_follow_from_the_seed(category):
    for seed in range(3):
        model = ALL[category](np.random.default_rng(seed))
        mesh = model.mesh
        for values in (mesh.positions, mesh.normals, mesh.local):
            assert np.isfinite(values).all()
        assert np.linalg.norm(mesh.normals, axis=1) == pytest.approx(1)
        assert mesh.material.min() >= 0 and mesh.material.max() < len(model.materials)
        assert 300 < len(mesh.positions) / 3 < 40_000
        assert 0.2 < np.ptp(mesh.positions, axis=0).max() < 4
        assert volume(mesh) > 0
    again = ALL[category](np.random.default_rng(2))
    assert np.array_equal(again.mesh.positions, mesh.positions) and again.materials == model.materials
    other = ALL[category](np.random.default_rng(3))
    assert other.materials != model.materials


def test_colours_of_all_materials_are_in_gamut():
    for category, make in ALL.items():
        for material in make(np.random.default_rng(3)).materials:
            for colour in (material.a, material.b, material.c):
                assert min(colour) >= 0 and max(colour) <= 1, (category, material)
