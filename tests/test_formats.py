"""`fewview render` and `fewview export` on a file of splats, without any reconstruction."""

import gzip
import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
import trimesh
import worlds
from PIL import Image
from test_cli import fewview, refused

from fewview.data import open_scene as open_photos
from fewview.export.depth import depth_unit_of, read_depth_png
from fewview.export.ply import write_ply
from fewview.export.scenes import READERS, load_scene
from fewview.fitting import surface_gaussians
from fewview.pipeline import formats, products, reconstruction
from fewview.pipeline.reconstruction import Reconstruction
from fewview.render.asset import GaussianAsset
from fewview.render.gaussians import Gaussians


@pytest.fixture(scope="module", autouse=True)
def quick():
    """Films and surfaces of toy size."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(formats, "FRAMES", 3)
        for name, value in {"AROUND": 12, "SPLAT_SIZE": 48, "TEXTURE": 64}.items():
            patch.setattr(reconstruction, name, value)
        patch.setattr(products, "FUSED", replace(products.FUSED, resolution=24))
        yield


@pytest.fixture(scope="module")
def scene(tmp_path_factory) -> Path:
    """Splats on the surface of two balls, in a world with z up."""
    cameras = worlds.ring(8, 48)
    generator = torch.Generator().manual_seed(0)
    splats = surface_gaussians(worlds.Balls().render(cameras), cameras, 1500, generator=generator)
    path = tmp_path_factory.mktemp("scene") / "balls.ply"
    write_ply(path, splats)
    return path


def test_a_file_of_splats_is_rendered_from_cameras_that_see_all_of_it(scene, tmp_path):
    opened = Reconstruction.open(scene, "z")
    assert isinstance(opened.asset, GaussianAsset)
    means = opened.asset.gaussians.means
    pixels, depth = opened.cameras.project(means.expand(len(opened.cameras), -1, 3))
    framed = ((pixels >= 0) & (pixels <= opened.cameras.height)).all(-1) & (depth > 0)
    assert framed.float().mean() > 0.98
    assert (opened.cameras.up[:, 2] > 0.9).all() and (opened.cameras.centers[:, 2] > means[:, 2].mean()).all()
    assert fewview("render", scene, "-o", tmp_path / "orbit.mp4", "--frames", 3, "--size", 32) == 0
    assert (tmp_path / "orbit.mp4").stat().st_size > 500
    assert fewview("render", scene, "-o", tmp_path / "x.webp", "--frames", 2, "--size", 32, "--up", "z") == 0
    assert fewview("render", scene, "-o", tmp_path / "x", "--path", "spiral", "--frames", 2, "--size", 32) == 0
    assert np.asarray(Image.open(tmp_path / "x" / "0000.png")).max() > 100


@pytest.mark.parametrize("suffix", sorted({*READERS, ".compressed.ply"} - {".ksplat"}))  # .ksplat is read only
def test_every_splat_format_leads_to_every_other(scene, tmp_path, suffix):
    assert fewview("export", scene, "-o", tmp_path / f"a{suffix}") == 0
    assert fewview("export", tmp_path / f"a{suffix}", "-o", tmp_path / "b.ply") == 0
    before, after = load_scene(scene).gaussians, load_scene(tmp_path / "b.ply").gaussians
    assert torch.cdist(after.means, before.means).amin(1).max() < 4e-3 and len(after) == len(before)


def test_splats_become_a_textured_mesh_with_its_up_turned_to_y(scene, tmp_path):
    for name in ("a.glb", "a.obj"):
        assert (
            fewview("export", scene, "-o", tmp_path / name, "--up", "z", *(["--as", "mesh"] if name == "a.glb" else []))
            == 0
        )
        mesh = trimesh.load(tmp_path / name, force="mesh")
        low, high = mesh.bounds  # the balls: radius 1 at the origin, 0.6 at (1.2, 0, 0.6)
        np.testing.assert_allclose(low, [-1, -1, -1], atol=0.2)
        np.testing.assert_allclose(high, [1.8, 1.2, 1], atol=0.2)
    assert {path.name for path in tmp_path.iterdir()} == {"a.glb", "a.obj", "a.mtl", "a.png"}


def test_films_and_splats_in_gltf(scene, tmp_path):
    for name, magic in (("a.gs.glb", b"glTF"), ("a.webp", b"RIFF"), ("a.mp4", b"\0\0\0 ")):
        assert fewview("export", scene, "-o", tmp_path / name) == 0
        assert (tmp_path / name).read_bytes()[:4] == magic
    assert fewview("export", scene, "-o", tmp_path / "b.glb", "--as", "splats") == 0
    assert (tmp_path / "b.glb").read_bytes() == (tmp_path / "a.gs.glb").read_bytes()
    with Image.open(tmp_path / "a.webp") as film:
        assert film.n_frames == 3 and film.mode == "RGBA" and film.getpixel((0, 0))[3] == 0


@pytest.mark.parametrize("name", ["colmap", "colmap-text", "nerfstudio"])
def test_folders_of_renderings_are_read_back_as_photos_with_cameras(scene, tmp_path, name):
    assert fewview("export", scene, "-o", tmp_path / "out", "--as", name, "--up", "z") == 0
    photos = open_photos(tmp_path / "out").read([0, 1, 2])
    opened = Reconstruction.open(scene, "z")
    from fewview.paths import orbit

    cameras = orbit(opened.cameras, 3)
    torch.testing.assert_close(photos.cameras.world_from_cam, cameras.world_from_cam, atol=1e-4, rtol=0)
    seen = opened.asset.render(cameras)
    assert photos.masks is not None and (photos.masks - seen.alpha).abs().mean() < 0.01
    torch.testing.assert_close(photos.on_black().images, seen.image.clamp(0, 1), atol=0.02, rtol=0)
    if name == "nerfstudio":
        frame = json.loads((tmp_path / "out" / "transforms.json").read_text())
        path = tmp_path / "out" / frame["frames"][1]["depth_file_path"]
        assert depth_unit_of(path) == frame["depth_unit_scale_factor"]
        unit = depth_unit_of(path)
        torch.testing.assert_close(read_depth_png(path), seen.depth[1], atol=unit, rtol=0)


def test_what_cannot_be_written_is_refused_before_work_begins(scene, tmp_path, capsys):
    for words in (
        ["a.stl"],
        ["folder"],
        ["a.ply", "--as", "colmap"],
        ["folder", "--as", "spz"],
        ["a.ply", "--as", "stl"],
        ["a.ply", "--up", "north"],
    ):
        text = refused(capsys, "export", scene, "-o", tmp_path / words[0], *words[1:])
        assert any(word in text for word in ("a.stl", "folder", "colmap", "north"))
    assert "does not exist" in refused(capsys, "render", tmp_path / "none.spz", "-o", tmp_path / "x")
    assert not list(tmp_path.iterdir())


def test_latent_splats_are_not_exported(tmp_path, capsys):
    from fewview.render.asset import GaussianAsset

    latent = Gaussians(torch.randn(9, 3), torch.ones(9, 3), torch.ones(9, 4), torch.ones(9), torch.ones(9, 8))
    GaussianAsset(latent).save(tmp_path / "scene")
    worlds.write_transforms(tmp_path, worlds.photograph(worlds.ring(3)))
    assert "latent" in refused(capsys, "export", tmp_path, "-o", tmp_path / "x.ply")


def test_the_help_lists_every_format(capsys):
    assert fewview("export", "--help") == 0
    text = capsys.readouterr().out
    assert all((each.ending or f"--as {each.name}") in text for each in formats.FORMATS) and "--as mesh" in text


def test_gltf_of_splats_is_splats_and_of_a_field_a_mesh(scene, tmp_path, monkeypatch):
    for name in ("a.glb", "a.gltf"):
        assert fewview("export", scene, "-o", tmp_path / name) == 0
        assert len(load_scene(tmp_path / name).gaussians) == len(load_scene(scene).gaussians)
    assert formats.choose(tmp_path / "a.gltf", "mesh").name == "mesh"
    drawn = []
    monkeypatch.setattr(formats, "_glb", lambda out, scene: drawn.append(out))
    field = Reconstruction.open(scene)
    field.asset = object()  # anything but splats
    field.export(tmp_path / "b.glb")
    assert drawn == [tmp_path / "b.glb"]


def test_the_surface_beside_a_field_is_reused(tmp_path):
    """Turned back into the world, with its colours; a file that does not say which way was up is not."""
    from fewview.export.glb import write_glb
    from fewview.export.glb_mesh import read_mesh
    from fewview.export.mesh import Mesh

    vertices = np.random.default_rng(0).normal(size=(4, 3)).astype(np.float32)
    faces, colours = np.array([[0, 1, 2], [0, 2, 3]]), np.arange(12, dtype=np.uint8).reshape(4, 3) * 20
    write_glb(tmp_path / "mesh.glb", Mesh(vertices, faces, colours), torch.tensor([0.2, -0.5, 0.7]))
    again = read_mesh(tmp_path / "mesh.glb")
    assert again is not None and np.array_equal(again.faces, faces)
    np.testing.assert_allclose(again.vertices, vertices, atol=1e-5)
    np.testing.assert_allclose(again.colours.astype(int), colours, atol=2)
    one = Gaussians(*(torch.ones(1, n) for n in (3, 3, 4)), torch.ones(1), torch.ones(1, 3))
    made = Reconstruction(GaussianAsset(one), worlds.ring(3))
    made.kept_mesh = tmp_path / "mesh.glb"
    assert np.array_equal(made.mesh.faces, faces)


def test_a_texture_beside_a_field_is_reused_whole(tmp_path):
    from fewview.export.glb import write_glb
    from fewview.export.glb_mesh import read_mesh
    from fewview.export.mesh import TexturedMesh

    draw = np.random.default_rng(0)
    vertices, places = draw.normal(size=(4, 3)).astype(np.float32), draw.random((4, 2)).astype(np.float32)
    texture = draw.integers(0, 255, (6, 5, 3)).astype(np.uint8)
    mesh = TexturedMesh(vertices, np.array([[0, 1, 2], [0, 2, 3]]), places, texture)
    write_glb(tmp_path / "mesh.glb", mesh, torch.tensor([0.2, -0.5, 0.7]))
    again = read_mesh(tmp_path / "mesh.glb")
    assert isinstance(again, TexturedMesh)
    np.testing.assert_allclose(again.vertices, vertices, atol=1e-5)
    assert np.array_equal(again.texture, texture) and np.array_equal(again.places, places)
    one = Gaussians(*(torch.ones(1, n) for n in (3, 3, 4)), torch.ones(1), torch.ones(1, 3))
    made = Reconstruction(GaussianAsset(one), worlds.ring(3))
    made.kept_mesh = tmp_path / "mesh.glb"
    assert np.array_equal(made.textured_mesh.texture, texture)


def test_spz_is_written_in_the_version_and_the_axes_that_are_asked_for(scene, tmp_path, capsys):
    for words, version in (((), 4), (("--spz-version", 3), 3), (("--spz-version", 2, "--spz-axes", "RDF"), 2)):
        assert fewview("export", scene, "-o", tmp_path / "a.spz", "--overwrite", *words) == 0
        data = (tmp_path / "a.spz").read_bytes()
        data = data if data[:4] == b"NGSP" else gzip.decompress(data)
        assert int.from_bytes(data[4:8], "little") == version
        means = load_scene(tmp_path / "a.spz").gaussians.means
        torch.testing.assert_close(means, load_scene(scene).gaussians.means, atol=1e-5, rtol=0)
    out = tmp_path / "b.spz"
    assert "--spz-version is 9" in refused(capsys, "export", scene, "-o", out, "--spz-version", 9)
    assert "--spz-axes is 'UP'" in refused(capsys, "render", scene, "-o", tmp_path / "b", "--spz-axes", "UP")


def test_a_viewer_page_says_what_export_says_of_a_file(scene, tmp_path, capsys):
    assert fewview("export", scene, "-o", tmp_path / "a.spz") == 0
    assert fewview("view", tmp_path / "a.spz", "--page", tmp_path / "a.html") == 0
    assert "a: axes are RDF, as the file states." in capsys.readouterr().out
