"""Worlds far from their origin, in every reader and writer: what lies between things, and where they are."""

import gzip
import json
import struct
from pathlib import Path

import numpy as np
import pytest
import torch
from data.test_colmap import binary_cameras, binary_images
from data.test_far_worlds import FAR, HEIGHT, UTM, WIDTH, centres, opened, photos, turns, write_colmap, write_json
from export.test_foreign_splats import NAMES
from export.test_foreign_splats import table as splat_table
from viewer.scenes import ball

from fewview.data.camera_file import read_cameras
from fewview.data.colmap import read_model
from fewview.export.colmap import write_sparse
from fewview.export.glb import write_splat_glb
from fewview.export.ply import write_ply
from fewview.export.ply_points import read_points
from fewview.export.scenes import load_scene
from fewview.export.transforms import write_transforms
from fewview.geometry.origin import origin_of

STEP, COUNT = 0.05, 4
LAST = 8 * np.spacing(1e7)  # of float64 so far away


def exact(found: np.ndarray, places: np.ndarray) -> None:
    """To 1e-6 of the baseline, beside the last digits of float64."""
    np.testing.assert_allclose(np.diff(found, axis=0), np.diff(places, axis=0), rtol=0, atol=1e-6 * STEP + LAST)


def in_binary(root: Path, places: np.ndarray) -> None:
    write_colmap(root, places)
    folder = root / "sparse" / "0"
    rows = [(i + 1, list(image.pose), 1, image.name.encode()) for i, image in enumerate(read_model(folder).images)]
    (folder / "images.bin").write_bytes(binary_images(rows))
    (folder / "cameras.bin").write_bytes(binary_cameras([(1, 1, WIDTH, HEIGHT, [20, 20, 8, 6])]))


def in_scaled_json(root: Path, places: np.ndarray) -> None:
    write_json(root, places)
    data = json.loads((root / "transforms.json").read_text())
    for frame in data["frames"]:
        matrix = np.array(frame["transform_matrix"])
        matrix[:3, :3] *= 1000
        frame["transform_matrix"] = matrix[:3].tolist()
    (root / "transforms.json").write_text(json.dumps(data))


def in_clip(root: Path, places: np.ndarray) -> None:
    """RealEstate10K: cam_from_world."""
    lines = ["https://example.org/x"]
    (root / "walk").mkdir(parents=True, exist_ok=True)
    for i, (turn, place) in enumerate(zip(turns(), places)):
        pose = np.column_stack([turn.T, -turn.T @ place])
        lines.append(" ".join(map(repr, [1000 * i, 1.25, 20 / 12, 0.5, 0.5, 0, 0, *pose.ravel().tolist()])))
        (root / "images" / f"{i}.png").rename(root / "walk" / f"{1000 * i}.png")
    (root / "walk.txt").write_text("\n".join(lines))


READERS = {"binary COLMAP": in_binary, "3 x 4 matrices with scaled axes": in_scaled_json, "RealEstate10K": in_clip}


@pytest.mark.parametrize("kind", READERS)
def test_cameras_are_exact_in_every_reader(tmp_path, kind):
    places = centres(STEP, FAR)
    photos(tmp_path)
    READERS[kind](tmp_path, places)
    scene = opened(tmp_path / "walk.txt" if kind == "RealEstate10K" else tmp_path)
    found = torch.stack([camera.centers for camera in scene.cameras]).double().numpy()
    exact(found, places)
    np.testing.assert_allclose(found + scene.origin, places, rtol=0, atol=1e-6 * STEP + 8 * LAST)


def zero(places: np.ndarray) -> None:
    places[2] = 0


def flown(places: np.ndarray) -> None:
    places[3] = [1e8, -1e8, 1e8]


def twice(places: np.ndarray) -> None:
    places[1] = places[0]


@pytest.mark.parametrize("odd", [zero, flown, twice])
@pytest.mark.parametrize("writer", [write_json, write_colmap])
def test_one_camera_elsewhere_does_not_keep_the_others_from_being_centred(tmp_path, odd, writer):
    """A camera that was never placed stands at zero, and one that was placed wrongly anywhere."""
    places = centres(STEP, UTM)
    apart = places[1] - places[0] if odd is not twice else places[2] - places[0]
    odd(places)
    photos(tmp_path)
    writer(tmp_path, places)
    scene = opened(tmp_path)
    other = 2 if odd is twice else 1
    found = (scene.cameras[other].centers - scene.cameras[0].centers).double().numpy()
    np.testing.assert_allclose(found, apart, atol=1e-6 * STEP + 8 * np.spacing(UTM.max()))


def test_points_left_at_zero_do_not_decide_where_the_others_are():
    points = torch.tensor(centres(1.0, UTM, 40))
    points[:9] = 0
    assert np.linalg.norm(np.array(origin_of(points)) - UTM) < 400


@pytest.mark.parametrize("away", [UTM, FAR])
@pytest.mark.parametrize("write", ["transforms", "binary", "text"])
def test_cameras_go_back_where_they_came_from(tmp_path, away, write):
    places = centres(STEP, away)
    photos(tmp_path)
    write_json(tmp_path, places)
    scene = opened(tmp_path)
    from fewview.cameras import Cameras

    names = [f"{i}.png" for i in range(COUNT)]
    cameras = Cameras.stack(scene.cameras)
    if write == "transforms":
        write_transforms(tmp_path / "out.json", cameras, names, origin=scene.origin)
        back = read_cameras(tmp_path / "out.json", origin=scene.origin).centers.double().numpy() + scene.origin
    else:
        write_sparse(tmp_path / "out", cameras, names, text=write == "text", origin=scene.origin)
        import pycolmap

        model = pycolmap.Reconstruction(tmp_path / "out")
        images = sorted(model.images.values(), key=lambda image: image.name)
        back = np.array([image.projection_center() for image in images])
    np.testing.assert_allclose(back, places, rtol=0, atol=1e-6 * STEP + 8 * LAST)


def doubles(path: Path, places: np.ndarray, order: str = "little") -> Path:
    """A PLY of splats whose places are doubles, as GIS tools write it."""
    columns, sign = splat_table(), "<" if order == "little" else ">"
    kinds = {name: "f8" if name in "xyz" else "f4" for name in NAMES}
    rows = np.zeros(len(places), [(name, sign + kinds[name]) for name in NAMES])
    for name in NAMES:
        rows[name] = places[:, "xyz".index(name)] if name in "xyz" else columns[name][0]
    words = {"f8": "double", "f4": "float"}
    head = [f"ply\nformat binary_{order}_endian 1.0\nelement vertex {len(places)}"]
    head += [f"property {words[kinds[name]]} {name}" for name in NAMES] + ["end_header\n"]
    path.write_bytes("\n".join(head).encode() + rows.tobytes())
    return path


@pytest.mark.parametrize("order", ["little", "big"])
def test_splats_of_doubles_keep_what_is_between_them(tmp_path, order):
    places = centres(STEP, FAR, 20)
    places[7] = np.nan
    scene = load_scene(doubles(tmp_path / "x.ply", places, order))
    fine = np.delete(places, 7, axis=0)
    np.testing.assert_allclose(scene.gaussians.means.double().numpy() + scene.origin, fine, atol=1e-6 * STEP + LAST)


def test_a_stray_splat_of_doubles_does_not_keep_the_others_from_being_centred(tmp_path):
    places = centres(STEP, UTM, 20)
    places[3] = 0
    scene = load_scene(doubles(tmp_path / "x.ply", places))
    back = scene.gaussians.means.double().numpy() + scene.origin
    np.testing.assert_allclose(np.delete(back, 3, 0), np.delete(places, 3, 0), atol=1e-5)


@pytest.mark.parametrize("suffix", [".ply", ".glb", ".gltf"])
def test_splats_written_for_a_far_world_lead_back_to_it(tmp_path, suffix):
    origin, splats = (1e7, -1e7, 4649776.25), ball(30)
    if suffix == ".ply":
        write_ply(tmp_path / "x.ply", splats, origin=origin)
    else:
        write_splat_glb(tmp_path / f"x{suffix}", splats, torch.tensor([0.0, -1, 0]), origin=origin)
    scene = load_scene(tmp_path / f"x{suffix}")
    back = scene.gaussians.means.double() + torch.tensor(scene.origin, dtype=torch.float64)
    want = splats.means.double() + torch.tensor(origin, dtype=torch.float64)
    torch.testing.assert_close(back, want, atol=1e-5, rtol=0)


def test_points_of_doubles_count_from_the_cameras_origin(tmp_path):
    places = centres(STEP, FAR, 30)
    kinds = "".join(f"property double {axis}\n" for axis in "xyz")
    head = f"ply\nformat binary_little_endian 1.0\nelement vertex 30\n{kinds}end_header\n"
    (tmp_path / "x.ply").write_bytes(head.encode() + places.astype("<f8").tobytes())
    found = read_points(tmp_path / "x.ply", (1e7, -1e7, 1e7)).double().numpy()
    np.testing.assert_allclose(found + FAR, places, atol=1e-6 * STEP + LAST)


def test_a_far_spz_has_as_many_digits_as_its_fixed_point(tmp_path):
    """24 bits without a fraction: places up to 8,388,607 in steps of 1."""
    place = (4649776, -500000, 120)
    body = b"".join(x.to_bytes(3, "little", signed=True) for x in place) + bytes([200, *[128] * 3, *[96] * 3])
    body += struct.pack("<I", 3 << 30)
    (tmp_path / "x.spz").write_bytes(gzip.compress(struct.pack("<4sIIBBBB", b"NGSP", 3, 1, 0, 0, 0, 0) + body))
    assert load_scene(tmp_path / "x.spz", "RDF").gaussians.means[0].tolist() == list(place)
