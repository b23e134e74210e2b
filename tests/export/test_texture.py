"""Textured meshes and splats in glTF and Wavefront files, and surfaces fused from depth."""

import json
import struct
from dataclasses import replace

import numpy as np
import pytest
import torch
import trimesh
from worlds import Balls, ring

from fewview.cameras import Cameras
from fewview.errors import InputError
from fewview.export.fusion import SURFACE, DepthFusion
from fewview.export.glb import write_glb, write_splat_glb
from fewview.export.mesh import Mesh, MeshConfig, TexturedMesh, cube, extract_mesh
from fewview.export.obj import write_obj
from fewview.export.ply import SH_DC
from fewview.export.srgb import linear_of
from fewview.geometry.harmonics import COUNTS, basis
from fewview.geometry.quaternions import rotations
from fewview.render.gaussians import Gaussians
from fewview.views import Render

UP = torch.tensor([0.0, 0.0, 1.0])
Y_UP = np.array([[1.0, 0, 0], [0, 0, 1], [0, -1, 0]])  # from a world with z up


def ball(detail: int = 3) -> Mesh:
    """The unit ball with black corners."""
    sphere = trimesh.creation.icosphere(detail)
    vertices = np.asarray(sphere.vertices, np.float32)
    return Mesh(vertices, np.asarray(sphere.faces), np.zeros_like(vertices, np.uint8))


def seen_ball(count: int = 24, size: int = 96) -> tuple[Render, Cameras]:
    """Exact pictures of the unit ball, whose colours are (position + 1) / 2, from above and below."""
    half = count // 2
    cameras = Cameras.cat([ring(half, size, elevation=e) for e in (0.9, -0.9)])
    rays = cameras.rays()
    along = -(rays.origins * rays.directions).sum(-1)
    inside = 1 - (rays.origins.square().sum(-1) - along**2)
    points = rays.origins + (along - inside.clamp(min=0).sqrt())[..., None] * rays.directions
    alpha = (inside > 0).float()[:, None]
    depth = ((points - rays.origins) * cameras.forward[:, None, None]).sum(-1)[:, None]
    return Render((points.movedim(-1, 1) + 1) / 2 * alpha, alpha, depth * alpha), cameras


@pytest.fixture(scope="module")
def marble() -> TexturedMesh:
    pytest.importorskip("xatlas")
    from fewview.export.texture import textured

    return textured(ball(), *seen_ball(), size=256)


def sampled(mesh: trimesh.Trimesh, image: np.ndarray, rounds: int = 400) -> tuple[np.ndarray, np.ndarray]:
    """Points of the surface and the colours of the picture there, as trimesh understands texture coordinates."""
    points, faces = trimesh.sample.sample_surface(mesh, rounds, seed=0)
    weights = trimesh.triangles.points_to_barycentric(mesh.triangles[faces], points)
    places = (mesh.visual.uv[mesh.faces[faces]] * weights[..., None]).sum(1)
    height, width = image.shape[:2]
    columns = (places[:, 0] * width).astype(int).clip(0, width - 1)
    rows = ((1 - places[:, 1]) * height).astype(int).clip(0, height - 1)  # trimesh counts v from below
    return points, image[rows, columns, :3]


@pytest.mark.parametrize("suffix", [".glb", ".obj"])
def test_another_program_sees_every_point_in_its_colour(tmp_path, marble, suffix):
    path = tmp_path / f"a marble{suffix}"
    (write_glb if suffix == ".glb" else write_obj)(path, marble, UP)
    mesh = trimesh.load(path, process=False, force="mesh")
    assert isinstance(mesh, trimesh.Trimesh) and len(mesh.faces) == len(ball().faces)
    material = mesh.visual.material
    image = np.asarray(material.baseColorTexture if suffix == ".glb" else material.image)
    points, colours = sampled(mesh, image)
    want = (points @ Y_UP + 1) / 2 * 255
    assert np.abs(colours - want).mean() < 3 and np.quantile(np.abs(colours - want), 0.99) < 14


def test_triangles_look_outward_and_share_no_texel(marble):
    a, b, c = marble.vertices[marble.faces].transpose(1, 0, 2)
    assert (np.cross(a, b) * c).sum() / 6 == pytest.approx(4 / 3 * np.pi, rel=0.02)
    p, q, r = marble.places[marble.faces].transpose(1, 0, 2)
    areas = np.abs((q - p)[:, 0] * (r - p)[:, 1] - (q - p)[:, 1] * (r - p)[:, 0]) / 2
    assert 0.3 < areas.sum() < 1 and marble.places.min() >= 0 and marble.places.max() <= 1


def test_texels_that_no_picture_sees_keep_the_colour_of_the_mesh():
    pytest.importorskip("xatlas")
    from fewview.export.texture import textured

    seen, cameras = seen_ball()
    mesh = ball(2)
    red = Mesh(mesh.vertices, mesh.faces, np.full_like(mesh.colours, [200, 0, 0]))
    blind = textured(red, Render(seen.image, torch.zeros_like(seen.alpha), seen.depth), cameras, size=64)
    assert (blind.texture == [200, 0, 0]).all()


def test_large_meshes_are_simplified_first():
    pytest.importorskip("xatlas")
    from fewview.export.texture import simplified

    small = simplified(ball(5), 2000)
    assert 1000 < len(small.faces) <= 2000
    assert np.abs(np.linalg.norm(small.vertices, axis=-1) - 1).max() < 0.01


def tree_and_arrays(path) -> tuple[dict, dict]:
    """The JSON of a .glb file and the attributes of its mesh, read by hand."""
    data = path.read_bytes()
    length = struct.unpack_from("<I", data, 12)[0]
    tree = json.loads(data[20 : 20 + length])
    arrays = {}
    for name, index in tree["meshes"][0]["primitives"][0]["attributes"].items():
        accessor = tree["accessors"][index]
        start = 28 + length + tree["bufferViews"][accessor["bufferView"]]["byteOffset"]
        columns = {"SCALAR": 1, "VEC2": 2, "VEC3": 3, "VEC4": 4}[accessor["type"]]
        kind = {5126: "<f4", 5123: "<u2"}[accessor["componentType"]]
        values = np.frombuffer(data, kind, accessor["count"] * columns, start)
        arrays[name.rpartition(":")[2]] = values.reshape(-1, columns)
    return tree, arrays


@pytest.fixture
def splats(generator) -> Gaussians:
    def normal(*shape):
        return torch.randn(*shape, generator=generator)

    colours = torch.rand(30, 3, generator=generator)
    return Gaussians(normal(30, 3), normal(30, 3).exp(), normal(30, 4), torch.rand(30, generator=generator), colours)


def test_splats_in_gltf_hold_what_the_extension_asks_for(tmp_path, splats):
    write_splat_glb(tmp_path / "x.gs.glb", splats, UP)
    tree, arrays = tree_and_arrays(tmp_path / "x.gs.glb")
    primitive = tree["meshes"][0]["primitives"][0]
    assert tree["extensionsUsed"] == ["KHR_gaussian_splatting"] and primitive["mode"] == 0
    assert primitive["extensions"]["KHR_gaussian_splatting"]["kernel"] == "ellipse"
    np.testing.assert_allclose(arrays["POSITION"], splats.means.numpy() @ Y_UP.T, atol=1e-5)
    np.testing.assert_allclose(arrays["SCALE"], splats.scales.numpy(), rtol=1e-5)
    np.testing.assert_allclose(arrays["OPACITY"][:, 0], splats.opacities.numpy(), atol=1e-6)
    np.testing.assert_allclose(arrays["SH_DEGREE_0_COEF_0"] * SH_DC + 0.5, splats.features.numpy(), atol=1e-5)
    np.testing.assert_allclose(arrays["COLOR_0"][:, :3], linear_of(splats.features.numpy()) * 65535, atol=0.51)
    turned = rotations(torch.tensor(np.roll(arrays["ROTATION"], 1, axis=-1)))  # stored as x, y, z, w
    half = turned * torch.tensor(arrays["SCALE"])[:, None]
    turn = torch.tensor(Y_UP, dtype=torch.float32)
    torch.testing.assert_close(half @ half.mT, turn @ splats.covariances() @ turn.T, atol=1e-3, rtol=1e-3)


@pytest.mark.parametrize("degree", [0, 1, 2, 3])
def test_harmonics_in_gltf_stand_one_by_one_in_the_turned_axes(tmp_path, splats, degree, generator):
    harmonics = torch.randn(len(splats), COUNTS[degree], 3, generator=generator)
    write_splat_glb(tmp_path / "x.gs.glb", replace(splats, harmonics=harmonics if degree else None), UP)
    arrays = tree_and_arrays(tmp_path / "x.gs.glb")[1]
    names = [f"SH_DEGREE_{d}_COEF_{i}" for d in range(1, degree + 1) for i in range(2 * d + 1)]
    assert {name for name in arrays if "COEF" in name} == {"SH_DEGREE_0_COEF_0", *names}
    if degree:
        stored = torch.from_numpy(np.stack([arrays[name] for name in names], axis=1))
        here = torch.nn.functional.normalize(torch.randn(9, 3, generator=generator), dim=-1)
        there = here @ torch.tensor(Y_UP, dtype=torch.float32).T
        seen = [torch.einsum("dk,nkc->dnc", basis(d, degree), h) for d, h in ((there, stored), (here, harmonics))]
        torch.testing.assert_close(*seen, atol=1e-5, rtol=0)


def test_programs_without_splats_see_a_cloud_of_points(tmp_path, splats):
    write_splat_glb(tmp_path / "x.gs.glb", splats, UP)
    cloud = next(iter(trimesh.load(tmp_path / "x.gs.glb").geometry.values()))
    np.testing.assert_allclose(cloud.vertices, splats.means.numpy() @ Y_UP.T, atol=1e-5)


def test_files_without_content_are_refused(tmp_path, splats):
    with pytest.raises(ValueError, match="splat"):
        write_splat_glb(tmp_path / "x.glb", splats[:0], UP)
    with pytest.raises(ValueError, match="face"):
        write_glb(tmp_path / "x.glb", Mesh(np.zeros((3, 3)), np.zeros((0, 3), int), np.zeros((3, 3), np.uint8)), UP)
    assert not list(tmp_path.iterdir())


def test_depth_maps_of_a_ball_are_fused_to_its_sphere():
    seen, cameras = seen_ball(36)
    fused = DepthFusion(seen, cameras, band=0.15)
    mesh = extract_mesh(fused, cube(1.3, torch.eye(4)), MeshConfig(resolution=40, density=SURFACE, smoothing=0.4))
    radii = np.linalg.norm(mesh.vertices, axis=-1)
    assert np.median(radii) == pytest.approx(1, abs=0.02) and np.quantile(np.abs(radii - 1), 0.95) < 0.06
    assert mesh.watertight


def test_what_lies_in_no_picture_is_free_and_what_lies_behind_things_is_inside():
    cameras = ring(1, 48)
    fused = DepthFusion(Balls().render(cameras), cameras, band=0.1)
    behind_the_camera, in_the_ball, beside = [[12.0, 0, 0]], [[-0.2, 0.0, 0.0]], [[0.0, 2.0, 0.0]]
    density = [float(fused.query(torch.tensor(point))[0]) for point in (behind_the_camera, in_the_ball, beside)]
    assert density[0] < 0.01 and density[1] > 5 and density[2] < 0.01


def test_a_missing_package_is_named(monkeypatch):
    import sys

    from fewview.export.texture import unwrapped

    monkeypatch.setitem(sys.modules, "xatlas", None)
    with pytest.raises(InputError, match="pip install xatlas"):
        unwrapped(ball(1), 64)


@pytest.mark.parametrize("radius", [1e-3, 1.0, 1e6])
def test_surfaces_of_any_unit_of_length_are_simplified_alike(radius):
    pytest.importorskip("xatlas")
    from fewview.export.texture import simplified

    sphere = ball(4)
    large = Mesh(sphere.vertices * np.float32(radius), sphere.faces, sphere.colours)
    small = simplified(large, 500)
    assert 300 < len(small.faces) <= 520
    lengths = np.linalg.norm(small.vertices / radius, axis=1)
    assert (np.abs(lengths - 1) < 0.08).all()


def test_the_kernel_of_fusion_sums_what_its_slow_twin_sums():
    seen, cameras = seen_ball(12, 48)
    fused = DepthFusion(seen, cameras, band=0.15)
    points = 3 * torch.randn(3000, 3, generator=torch.Generator().manual_seed(0))  # some outside of pictures
    for fast, slow in zip(fused.sums(points), fused.sums_slowly(points)):
        assert ((fast - slow).abs() < 1e-3).float().mean() > 0.998  # a rounding error moves a pixel's border
