import math

import pytest
import torch
from viewer.scenes import UP, ball, ring

from fewview.data.camera_file import read_cameras
from fewview.render.asset import GaussianAsset
from fewview.viewer.exhibits import pose_of
from fewview.viewer.keyframes import MOST_KEYFRAMES, Keyframe, KeyframePath
from fewview.viewer.path_panel import free_name
from fewview.viewer.shown import Shown

AHEAD = Keyframe((0.0, 0.0, -3.0), (1.0, 0.0, 0.0, 0.0), math.pi / 2, 1.5)


def test_a_keyframe_is_a_camera_with_its_angle_of_view_and_even_sides():
    camera = AHEAD.camera(101)
    assert (camera.height, camera.width) == (100, 150)
    torch.testing.assert_close(camera.intrinsics[:2, :2], torch.eye(2) * 50)
    torch.testing.assert_close(camera.centers, torch.tensor([0.0, 0, -3]))


def test_a_saved_path_is_what_render_reads_in_the_world_of_the_scene(tmp_path):
    matrix = Shown("ball", GaussianAsset(ball(100)), UP).page_from_world(1)
    cameras = ring(5).cropped(7, 0, 240, 320)
    path = KeyframePath()
    for i in (0, 1, 2):
        wxyz, position, fov, aspect = pose_of(cameras.transformed(matrix)[i])
        path.add(Keyframe(tuple(position.tolist()), tuple(wxyz.tolist()), fov, aspect))
    assert path.save(tmp_path / "path.json", matrix, frames=5, height=240) == 5
    again = read_cameras(tmp_path / "path.json")
    assert (len(again), again.height, again.width) == (5, 240, 320)
    for have, want in ((0, 0), (2, 1), (4, 2)):
        torch.testing.assert_close(again.world_from_cam[have], cameras.world_from_cam[want], atol=1e-4, rtol=0)
        torch.testing.assert_close(again.intrinsics[have], cameras.intrinsics[want], atol=1e-2, rtol=0)


def test_keyframes_are_removed_by_number():
    other = Keyframe((1.0, 0.0, 0.0), AHEAD.wxyz, AHEAD.fov, AHEAD.aspect)
    path = KeyframePath([AHEAD, other, AHEAD])
    path.remove(3)
    assert path.keyframes == [AHEAD, other]
    for number in (0, 3):
        with pytest.raises(ValueError, match=f"no keyframe {number}"):
            path.remove(number)


def test_a_path_needs_two_keyframes_and_has_an_end(tmp_path):
    with pytest.raises(ValueError, match="two keyframes"):
        KeyframePath([AHEAD]).save(tmp_path / "x.json", torch.eye(4), frames=5, height=64)
    assert not list(tmp_path.iterdir())
    with pytest.raises(ValueError, match="200"):
        KeyframePath([AHEAD] * MOST_KEYFRAMES).add(AHEAD)


def test_a_path_of_an_earlier_session_is_kept(tmp_path):
    path = tmp_path / "camera_path.json"
    assert free_name(path) == path
    path.touch()
    (tmp_path / "camera_path-2.json").touch()
    assert free_name(path) == tmp_path / "camera_path-3.json"
