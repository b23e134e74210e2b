from pathlib import Path

import numpy as np
import pytest
import torch
from viewer.scenes import UP, ball, ring

from fewview.errors import InputError
from fewview.export.glb import write_glb, y_up
from fewview.export.images import write_png
from fewview.export.mesh import Mesh
from fewview.export.ply import write_ply
from fewview.export.transforms import write_transforms
from fewview.geometry.quaternions import rotations
from fewview.geometry.transforms import apply
from fewview.render.asset import GaussianAsset
from fewview.viewer.exhibits import exhibits, placement, pose_of
from fewview.viewer.shown import APART, Shown, open_shown, z_up


@pytest.fixture
def results(tmp_path) -> Path:
    folder = tmp_path / "mug"
    folder.mkdir()
    write_ply(folder / "splats.ply", ball(200))
    for i in range(30):
        write_png(folder / f"{i}.png", torch.full((3, 24, 32), i / 30))
    write_transforms(folder / "transforms.json", ring(30, height=24, width=32), [f"{i}.png" for i in range(30)])
    corners = np.eye(3, dtype=np.float32)
    mesh = Mesh(corners, np.array([[0, 1, 2]]), np.zeros((3, 3), np.uint8))
    write_glb(folder / "mesh.glb", mesh, UP)
    return folder


def test_results_are_shown_with_mesh_cameras_and_pictures(results):
    shown = open_shown(results)
    assert (shown.name, len(shown.gaussians)) == ("mug", 200)
    assert shown.mesh is not None and shown.mesh[:4] == b"glTF"
    assert shown.posed is not None and len(shown.posed.cameras) == len(shown.posed.photos) == 24
    torch.testing.assert_close(shown.up, UP, atol=1e-4, rtol=0)


def test_input_photos_come_from_where_they_are_or_from_the_results(results, tmp_path):
    for place in (tmp_path / "photos", results / "inputs"):
        place.mkdir()
        for i in range(2):
            write_png(place / f"{i}.png", torch.ones(3, 24, 32))
        write_transforms(place / "transforms.json", ring(2, height=24, width=32), ["0.png", "1.png"])
    for shown in (open_shown(results, tmp_path / "photos"), open_shown(results)):
        assert shown.posed is not None and [photo.min().item() for photo in shown.posed.photos] == [1, 1]


def test_a_file_of_splats_has_neither_cameras_nor_mesh_and_minus_y_is_up(tmp_path):
    write_ply(tmp_path / "ball.ply", ball(50))
    shown = open_shown(tmp_path / "ball.ply")
    assert (shown.name, shown.posed, shown.mesh, shown.up.tolist()) == ("ball", None, None, [0, -1, 0])
    assert open_shown(tmp_path / "ball.ply", up="z").up.tolist() == [0, 0, 1]
    assert len(shown.views()) == 1


def test_a_saved_asset_will_do(tmp_path):
    GaussianAsset(ball(9), antialiased=True).save(tmp_path / "out" / "scene")
    assert open_shown(tmp_path / "out").asset.antialiased


def test_what_cannot_be_shown_is_refused_in_a_sentence(results, tmp_path):
    with pytest.raises(InputError, match="--up is 'w'"):
        open_shown(results, up="w")
    (results / "splats.ply").unlink()
    with pytest.raises(InputError, match=r"fewview export .*mug"):
        open_shown(results)
    with pytest.raises(InputError, match="does not exist"):
        open_shown(tmp_path / "none.ply")
    GaussianAsset(ball(9)[:0]).save(tmp_path / "none" / "scene")
    with pytest.raises(InputError, match="nothing to show"):
        open_shown(tmp_path / "none")


def test_up_is_z_on_the_page_and_scenes_stand_side_by_side():
    for up in (UP, torch.tensor([0.3, 0.4, -0.2]), torch.tensor([0.0, 0.0, 1.0])):
        turn = z_up(up)
        torch.testing.assert_close(turn @ torch.nn.functional.normalize(up, dim=0), torch.tensor([0.0, 0, 1]))
        torch.testing.assert_close(torch.linalg.det(turn), torch.tensor(1.0))
    shown = Shown("ball", GaussianAsset(ball(501)), UP)
    matrix = shown.page_from_world(2)
    moved = apply(matrix, ball(501).means)
    torch.testing.assert_close(moved.median(0).values, torch.tensor([2 * APART, 0, 0]), atol=1e-5, rtol=0)
    inside = (moved - torch.tensor([2 * APART, 0, 0])).norm(dim=-1) <= 1 + 1e-5
    assert 0.88 < inside.float().mean() < 0.92
    torch.testing.assert_close(torch.nn.functional.normalize(matrix[:3, :3] @ UP, dim=0), torch.tensor([0.0, 0, 1]))


def test_a_mesh_stands_where_its_splats_do():
    up = torch.tensor([0.2, -0.9, 0.1])
    matrix = Shown("ball", GaussianAsset(ball(100)), up).page_from_world(1)
    world = ball(100).means
    in_file = world @ y_up(up).T  # as write_glb turns vertices
    scale, wxyz, position = placement(matrix, y_up(up).T)
    on_page = scale * in_file @ rotations(torch.from_numpy(wxyz)[None])[0].T + torch.from_numpy(position)
    torch.testing.assert_close(on_page, apply(matrix, world), atol=1e-5, rtol=1e-5)


def test_a_camera_keeps_its_angle_of_view():
    camera = ring(3)[1]
    wxyz, position, fov, aspect = pose_of(camera)
    torch.testing.assert_close(rotations(torch.from_numpy(wxyz)[None].float())[0], camera.world_from_cam[:3, :3])
    np.testing.assert_allclose(position, camera.centers)
    assert fov == pytest.approx(2 * np.arctan(120 / 264)) and aspect == pytest.approx(320 / 240)


def test_samples_share_a_place_and_get_scores():
    shown = [Shown(str(i), GaussianAsset(ball(200)), UP) for i in range(2)]
    alone, group = exhibits(shown[:1], shown)
    assert alone.scores == () and len(group.scores) == 2
    torch.testing.assert_close(group.page_from_world, shown[0].page_from_world(1))
