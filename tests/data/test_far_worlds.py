"""Cameras in map coordinates: what lies between them survives, and the way back to the input's world is kept."""

import json
import math
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from fewview.data import check_reconstructable, open_scene
from fewview.data.photos import PhotoScene
from fewview.data.unposed import UnposedPhotos
from fewview.geometry.origin import FAR_OFF

HEIGHT, WIDTH = 12, 16
UTM = np.array([500000.37, 4649776.22, 120.5])
ECEF = np.array([-2700000.1, -4290000.2, 3855000.3])
FAR = np.array([1e7, -1e7, 1e7])


def centres(step: float, away: np.ndarray, count: int = 4) -> np.ndarray:
    return away + np.array([[step * i, 0.17 * step * i * i, -0.05 * step * i] for i in range(count)])


def turns(count: int = 4) -> list[np.ndarray]:
    """world_from_cam rotations about y, in OpenCV's axes."""
    angles = [0.1 * i for i in range(count)]
    return [np.array([[math.cos(a), 0, math.sin(a)], [0, 1, 0], [-math.sin(a), 0, math.cos(a)]]) for a in angles]


def photos(root: Path, count: int = 4) -> None:
    (root / "images").mkdir(parents=True, exist_ok=True)
    for i in range(count):
        Image.new("RGB", (WIDTH, HEIGHT), (40 * i, 0, 0)).save(root / "images" / f"{i}.png")


def write_json(root: Path, places: np.ndarray, name: str = "transforms.json") -> None:
    frames = []
    for i, (turn, place) in enumerate(zip(turns(), places)):
        pose = np.eye(4)
        pose[:3, :3], pose[:3, 3] = turn @ np.diag([1, -1, -1]), place
        frames.append({"file_path": f"images/{i}.png", "transform_matrix": pose.tolist()})
    (root / name).write_text(json.dumps({"fl_x": 20, "frames": frames}))


def write_blender(root: Path, places: np.ndarray) -> None:
    write_json(root, places, "transforms_train.json")


def write_colmap(root: Path, places: np.ndarray) -> None:
    folder = root / "sparse" / "0"
    folder.mkdir(parents=True)
    (folder / "cameras.txt").write_text(f"1 PINHOLE {WIDTH} {HEIGHT} 20 20 8 6\n")
    rows = []
    for i, (turn, place) in enumerate(zip(turns(), places)):
        move = (-turn.T @ place).tolist()
        turned = [math.cos(0.05 * i), 0.0, -math.sin(0.05 * i), 0.0]
        rows.append(f"{i + 1} {' '.join(map(repr, turned + move))} 1 {i}.png\n\n")
    (folder / "images.txt").write_text("".join(rows))


def write_llff(root: Path, places: np.ndarray) -> None:
    rows = []
    for turn, place in zip(turns(), places):
        right, down, forward = turn.T
        table = np.column_stack([down, right, -forward, place, (HEIGHT, WIDTH, 20)])
        rows.append(np.r_[table.ravel(), 1, 9])
    np.save(root / "poses_bounds.npy", np.array(rows))


WRITERS = {"transforms.json": write_json, "Blender": write_blender, "COLMAP": write_colmap, "LLFF": write_llff}
WORLDS = {
    "object by UTM": (0.3, UTM),
    "facade by UTM": (2.0, UTM),
    "drone by UTM": (10.0, UTM),
    "object by ECEF": (0.05, ECEF),
    "object at ten thousand kilometres": (0.05, FAR),
}


def opened(root: Path) -> PhotoScene:
    scene = open_scene(root)
    assert not isinstance(scene, UnposedPhotos)
    return scene


@pytest.mark.parametrize("kind", WRITERS)
@pytest.mark.parametrize("world", WORLDS)
def test_relative_poses_survive_far_from_the_origin(tmp_path, kind, world):
    """Differences of places to 1e-6 of the baseline, beside the last digit that float64 has so far away."""
    step, away = WORLDS[world]
    places = centres(step, away)
    photos(tmp_path)
    WRITERS[kind](tmp_path, places)
    scene = opened(tmp_path)
    found = torch.stack([camera.centers for camera in scene.cameras]).double().numpy()
    last = 8 * np.spacing(np.abs(away).max())
    np.testing.assert_allclose(np.diff(found, axis=0), np.diff(places, axis=0), rtol=0, atol=1e-6 * step + last)
    np.testing.assert_allclose(found + scene.origin, places, rtol=0, atol=1e-6 * step + last)
    assert "coordinates count from" in scene.describe()
    check_reconstructable(scene.read([0, 1, 2, 3]), where=str(tmp_path))


@pytest.mark.parametrize("kind", WRITERS)
@pytest.mark.parametrize("away", [0.0, 3.0, 0.5 * FAR_OFF])
def test_worlds_that_float32_holds_are_left_as_they_are(tmp_path, kind, away):
    places = centres(1.0, np.array([away, 0, 0]))
    photos(tmp_path)
    WRITERS[kind](tmp_path, places)
    scene = opened(tmp_path)
    found = torch.stack([camera.centers for camera in scene.cameras]).numpy()
    np.testing.assert_allclose(found, places, atol=1e-4)
    assert scene.origin == (0, 0, 0) and not scene.notes


def test_training_and_test_cameras_share_an_origin(tmp_path):
    photos(tmp_path)
    write_json(tmp_path, centres(0.3, UTM), "transforms_train.json")
    write_json(tmp_path, centres(0.3, UTM + np.array([5, 0, 0])), "transforms_test.json")
    scene = opened(tmp_path)
    apart = scene.cameras[4].centers - scene.cameras[0].centers
    assert apart.tolist() == pytest.approx([5, 0, 0], abs=1e-5)


def test_the_origin_is_taken_off_without_rounding():
    """It is a multiple of a power of two near the spread, so that adding it back gives the very same float64."""
    from fewview.cameras import Cameras
    from fewview.data.photos import Photo, located

    places = torch.tensor(centres(0.3, UTM))
    poses = torch.eye(4, dtype=torch.float64).repeat(4, 1, 1)
    poses[:, :3, 3] = places
    shots = [Photo(Cameras(pose, torch.eye(3, dtype=torch.float64), 2, 2), Path("x")) for pose in poses]
    _, origin = located(shots)
    moved = places - torch.tensor(origin, dtype=torch.float64)
    assert torch.equal(moved + torch.tensor(origin, dtype=torch.float64), places)
    assert moved.abs().max() < 2


def test_cameras_at_one_place_are_not_moved():
    from fewview.cameras import Cameras
    from fewview.data.photos import Photo, located

    pose = torch.eye(4, dtype=torch.float64)
    pose[0, 3] = 1e6
    shots = [Photo(Cameras(pose, torch.eye(3, dtype=torch.float64), 2, 2), Path("x"))] * 3
    assert located(shots)[1] == (0, 0, 0) and located([])[0] == ()
