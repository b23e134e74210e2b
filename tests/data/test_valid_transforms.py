"""transforms.json as exporters write them: scaled axes, splits with gaps, named points, paths without a size."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from data.test_far_worlds import HEIGHT, UTM, WIDTH, centres, opened, photos, turns, write_json
from viewer.scenes import ball

from fewview.data import open_scene
from fewview.data.camera_file import read_cameras
from fewview.data.photos import without_scale
from fewview.errors import InputError
from fewview.export.ply import write_ply
from fewview.export.ply_points import read_points
from fewview.pipeline.photos import PhotoChoice, read_photos


def changed(root: Path, change, places: np.ndarray | None = None) -> Path:
    """A set of four photos whose file is changed."""
    photos(root)
    write_json(root, centres(1.0, np.zeros(3)) if places is None else places)
    data = json.loads((root / "transforms.json").read_text())
    change(data)
    (root / "transforms.json").write_text(json.dumps(data))
    return root


def scaled(factor: float):
    def change(data):
        for frame in data["frames"]:
            matrix = np.array(frame["transform_matrix"])
            matrix[:3, :3] *= factor
            frame["transform_matrix"] = matrix.tolist()

    return change


@pytest.mark.parametrize("factor", [0.01, 0.5, 2.0, 100.0])
def test_a_uniform_scale_of_the_axes_is_taken_off_with_a_note(tmp_path, factor):
    """Blender's and Unreal's exports scale the camera's axes; it stands where it stood."""
    scene = opened(changed(tmp_path, scaled(factor)))
    for camera, turn, place in zip(scene.cameras, turns(), centres(1.0, np.zeros(3))):
        np.testing.assert_allclose(camera.world_from_cam[:3, :3], turn, atol=1e-6)
        np.testing.assert_allclose(camera.centers, place, atol=1e-6)
    assert "axes of 4 cameras are scaled" in scene.notes[0]
    torch.testing.assert_close(read_cameras(tmp_path / "transforms.json").centers[1], scene.cameras[1].centers)


@pytest.mark.parametrize("wrong", [np.diag([1.0, 2, 1, 1]), np.diag([-1.0, 1, 1, 1]), np.diag([0.0, 0, 0, 1])])
def test_other_scales_and_mirrors_are_refused(tmp_path, wrong):
    assert without_scale(wrong)[1] == 1

    def change(data):
        data["frames"][1]["transform_matrix"] = wrong.tolist()

    with pytest.raises(InputError, match="remove scale, shear and mirror"):
        open_scene(changed(tmp_path, change))


def test_what_was_applied_before_moves_no_camera(tmp_path):
    """Poses are in the world that is saved; applied_transform and applied_scale say how it was made (nerfstudio)."""
    plain = opened(changed(tmp_path / "a", lambda data: None))
    more = {"applied_transform": [[0, 1, 0, 5], [1, 0, 0, 6], [0, 0, -1, 7]], "applied_scale": 3.0}
    other = opened(changed(tmp_path / "b", lambda data: data.update(more)))
    for a, b in zip(plain.cameras, other.cameras):
        assert torch.equal(a.world_from_cam, b.world_from_cam)


@pytest.mark.parametrize("gone", [0, 1])
def test_a_split_counts_photos_that_are_not_there(tmp_path, gone):
    photos(tmp_path, 6)
    poses = [np.eye(4) for _ in range(6)]
    for i, pose in enumerate(poses):
        pose[0, 3] = i
    frames = [{"file_path": f"images/{i}.png", "transform_matrix": pose.tolist()} for i, pose in enumerate(poses)]
    (tmp_path / "transforms.json").write_text(json.dumps({"fl_x": 20, "frames": frames}))
    (tmp_path / "train_test_split_3.json").write_text(json.dumps({"train_ids": [0, 2, 4], "test_ids": [1, 3, 5]}))
    (tmp_path / "images" / f"{gone}.png").unlink()
    scene = opened(tmp_path)
    names = lambda ids: [scene.photos[i].name for i in ids]
    assert scene.missing == (gone,)
    assert names(scene.inputs) == [f"{i}.png" for i in (0, 2, 4) if i != gone]
    assert names(scene.targets) == [f"{i}.png" for i in (1, 3, 5) if i != gone]


def test_a_path_may_say_its_field_of_view_alone(tmp_path):
    """BlenderNeRF's camera path: no size, no focal length, no pictures."""
    angle = 0.8
    frames = [{"file_path": "train/0001.png", "transform_matrix": np.eye(4).tolist()}]
    (tmp_path / "path.json").write_text(json.dumps({"camera_angle_x": angle, "frames": frames}))
    camera = read_cameras(tmp_path / "path.json", size=(60, 80))[0]
    assert (camera.height, camera.width) == (60, 80)
    assert camera.intrinsics[0, 0].item() == pytest.approx(40 / np.tan(angle / 2)) and camera.intrinsics[0, 2] == 40
    with pytest.raises(InputError, match="has no size; add 'w' and 'h'"):
        read_cameras(tmp_path / "path.json")
    photos(tmp_path, 1)
    frames[0]["file_path"] = "images/0"
    (tmp_path / "path.json").write_text(json.dumps({"camera_angle_x": angle, "frames": frames}))
    assert read_cameras(tmp_path / "path.json").height == HEIGHT and read_cameras(tmp_path / "path.json").width == WIDTH


def test_points_that_the_file_names_start_splats(tmp_path):
    """In the world of the photos, which is centred where it is far away."""
    root = changed(tmp_path, lambda data: data.update(ply_file_path="cloud.ply"), centres(0.3, UTM))
    names = [f"property double {axis}\n" for axis in "xyz"]
    head = "ply\nformat binary_little_endian 1.0\nelement vertex 60\n" + "".join(names) + "end_header\n"
    places = UTM + np.random.default_rng(0).random((60, 3))
    (root / "cloud.ply").write_bytes(head.encode() + places.astype("<f8").tobytes())
    told = []
    found = read_photos(root, PhotoChoice(mask="none"), tell=told.append)
    assert found.points is not None
    np.testing.assert_allclose(found.points.double().numpy() + found.origin, places, rtol=0, atol=1e-6)
    assert "60 points of cloud.ply to start splats on." in told


@pytest.mark.parametrize("content", [None, b"ply\nno", b""])
def test_photos_are_read_without_points_that_cannot_be(tmp_path, content):
    root = changed(tmp_path, lambda data: data.update(ply_file_path="cloud.ply"))
    if content is not None:
        (root / "cloud.ply").write_bytes(content)
    told = []
    assert read_photos(root, PhotoChoice(mask="none"), tell=told.append).points is None
    assert any("cloud.ply" in sentence for sentence in told)


def test_points_are_read_of_splats_too(tmp_path):
    write_ply(tmp_path / "x.ply", ball(30))
    torch.testing.assert_close(read_points(tmp_path / "x.ply", (1.0, 0.0, 0.0)), ball(30).means - torch.eye(3)[0])
