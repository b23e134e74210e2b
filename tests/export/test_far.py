"""Scenes of worlds far from their origin go back there: cameras in float64, vertices with a stated offset."""

import json
import struct
from pathlib import Path

import numpy as np
import pytest
import torch
import trimesh
from data.test_far_worlds import FAR, UTM, WRITERS, centres, opened, photos
from viewer.scenes import ball

from fewview.cameras import Cameras
from fewview.data import open_scene
from fewview.data.camera_file import read_cameras, read_origin
from fewview.data.colmap import read_model
from fewview.export.colmap import write_sparse
from fewview.export.glb import write_glb, write_splat_glb
from fewview.export.mesh import Mesh
from fewview.export.package import write_inputs
from fewview.export.ply import write_ply
from fewview.export.scenes import load_scene
from fewview.export.transforms import write_transforms
from fewview.geometry.quaternions import rotations
from fewview.pipeline.formats import FORMATS, far_note
from fewview.pipeline.reconstruction import Reconstruction

ORIGIN = (1e7, -1e7, 4649776.25)
NAMES = [f"images/{i}.png" for i in range(4)]
UP = torch.tensor([0.0, 0, 1])


def in_transforms(folder: Path, cameras: Cameras, origin) -> tuple[np.ndarray, np.ndarray]:
    write_transforms(folder / "t.json", cameras, NAMES, origin=origin)
    frames = json.loads((folder / "t.json").read_text())["frames"]
    poses = np.array([frame["transform_matrix"] for frame in frames]) @ np.diag([1, -1, -1, 1])
    return poses[:, :3, 3], poses[:, :3, :3]


def in_colmap(folder: Path, cameras: Cameras, origin, text: bool = False) -> tuple[np.ndarray, np.ndarray]:
    write_sparse(folder / "model", cameras, NAMES, text=text, origin=origin)
    rows = torch.tensor([image.pose for image in read_model(folder / "model").images], dtype=torch.float64)
    turns = rotations(rows[:, :4]).mT
    return -(turns @ rows[:, 4:, None])[..., 0].numpy(), turns.numpy()


def in_text(folder: Path, cameras: Cameras, origin) -> tuple[np.ndarray, np.ndarray]:
    return in_colmap(folder, cameras, origin, text=True)


@pytest.mark.parametrize("write", [in_transforms, in_colmap, in_text])
@pytest.mark.parametrize("kind", WRITERS)
def test_relative_poses_are_exact_from_reading_to_export(tmp_path, kind, write):
    """At 1e7 m from the origin, to 1e-6 of a baseline of 0.05 m."""
    places = centres(0.05, FAR)
    photos(tmp_path)
    WRITERS[kind](tmp_path, places)
    scene = opened(tmp_path)
    found, turns = write(tmp_path, Cameras.stack(scene.cameras), scene.origin)
    for i in range(1, 4):  # in the axes of the first camera
        here, want = turns[0].T @ (found[i] - found[0]), turns[0].T @ (places[i] - places[0])
        assert np.linalg.norm(here - want) <= 1e-6 * np.linalg.norm(want) + 8 * np.spacing(1e7)


@pytest.mark.parametrize("kind", WRITERS)
def test_photos_among_the_results_are_read_where_the_input_was(tmp_path, kind):
    """The whole way: read, written as `reconstruct` does, and read again."""
    places = centres(0.3, UTM)
    photos(tmp_path / "in")
    WRITERS[kind](tmp_path / "in", places)
    scene = opened(tmp_path / "in")
    write_inputs(tmp_path / "out", scene.read(range(4)), scene.origin)
    again = open_scene(tmp_path / "out")
    back = np.array([camera.centers.tolist() for camera in again.cameras]) + again.origin
    np.testing.assert_allclose(back, places, rtol=0, atol=1e-6)


def test_cameras_of_results_count_from_the_origin_that_their_file_states(tmp_path):
    cameras = Cameras(torch.eye(4).repeat(4, 1, 1), torch.eye(3).repeat(4, 1, 1) * 20, 12, 16)
    write_transforms(tmp_path / "t.json", cameras, NAMES, origin=ORIGIN)
    assert read_origin(tmp_path / "t.json") == ORIGIN
    torch.testing.assert_close(read_cameras(tmp_path / "t.json").centers, torch.zeros(4, 3), atol=1e-9, rtol=0)
    elsewhere = read_cameras(tmp_path / "t.json", origin=(1e7 - 2, -1e7, 4649776.25)).centers
    torch.testing.assert_close(elsewhere, torch.tensor([[2.0, 0, 0]]).expand(4, 3))


def test_a_ply_states_its_origin_and_keeps_it(tmp_path):
    write_ply(tmp_path / "x.ply", ball(50), origin=ORIGIN)
    assert b"\ncomment origin 10000000.0 -10000000.0 4649776.25\n" in (tmp_path / "x.ply").read_bytes()
    scene = Reconstruction.open(tmp_path / "x.ply")
    assert scene.origin == ORIGIN and "count from (10000000, -10000000, 4649776.25)" in scene.notes[0]
    scene.export(tmp_path / "y.ply")
    assert load_scene(tmp_path / "y.ply").origin == ORIGIN
    write_ply(tmp_path / "z.ply", ball(50))
    assert b"comment" not in (tmp_path / "z.ply").read_bytes() and load_scene(tmp_path / "z.ply").origin == (0, 0, 0)


def test_a_ply_of_far_doubles_is_centred_before_it_is_float32(tmp_path):
    names = [
        "x",
        "y",
        "z",
        "f_dc_0",
        "f_dc_1",
        "f_dc_2",
        "opacity",
        "scale_0",
        "scale_1",
        "scale_2",
        "rot_0",
        "rot_1",
        "rot_2",
        "rot_3",
    ]
    rows = np.zeros(30, [(name, "<f8") for name in names])
    places = UTM + 0.05 * np.arange(90).reshape(30, 3)
    rows["x"], rows["y"], rows["z"], rows["rot_0"] = *places.T, 1
    head = ["ply", "format binary_little_endian 1.0", "element vertex 30", *(f"property double {n}" for n in names)]
    (tmp_path / "x.ply").write_bytes("\n".join([*head, "end_header", ""]).encode() + rows.tobytes())
    asset = load_scene(tmp_path / "x.ply")
    np.testing.assert_allclose(asset.gaussians.means.double().numpy() + asset.origin, places, rtol=0, atol=1e-6)


@pytest.mark.parametrize("up", [UP, torch.tensor([0.0, -1, 0]), torch.tensor([0.3, 0.5, 0.8])])
def test_the_node_of_a_gltf_leads_to_the_turned_world(tmp_path, up):
    """By trimesh, in float64, which applies the node to the mesh."""
    vertices = np.random.default_rng(0).random((3, 3)).astype(np.float32)
    faces, colours = np.array([[0, 1, 2]]), np.zeros((3, 3), np.uint8)
    write_glb(tmp_path / "x.glb", Mesh(vertices, faces, colours), up, origin=ORIGIN)
    seen = trimesh.load(tmp_path / "x.glb").to_geometry().vertices
    sides = lambda x: sorted(np.linalg.norm(x[i] - x[j]) for i, j in ((0, 1), (1, 2), (2, 0)))
    np.testing.assert_allclose(sides(seen), sides(vertices), atol=1e-5)
    height = (vertices.astype(np.float64) + ORIGIN) @ (up.double() / up.double().norm()).numpy()
    np.testing.assert_allclose(sorted(seen[:, 1]), sorted(height), rtol=1e-7)


def test_splats_in_gltf_have_the_same_node(tmp_path):
    write_splat_glb(tmp_path / "x.glb", ball(9), torch.tensor([0.0, 1, 0]), origin=ORIGIN)
    data = (tmp_path / "x.glb").read_bytes()
    (size,) = struct.unpack_from("<I", data, 12)
    assert json.loads(data[20 : 20 + size])["nodes"] == [{"mesh": 0, "translation": list(ORIGIN)}]


def test_every_format_says_where_its_coordinates_count_from():
    for each in FORMATS:
        note = far_note(each, ORIGIN)
        assert far_note(each, (0.0, 0.0, 0.0)) is None
        if each.name in ("mp4", "webp"):
            assert note is None
        elif each.name in ("colmap", "colmap-text", "nerfstudio"):
            assert "double precision" in note
        else:
            assert "count from (10000000" in note
