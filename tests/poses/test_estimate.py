import math
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
import worlds
from PIL import Image

from fewview.cameras import Cameras
from fewview.data import PhotoScene, open_scene
from fewview.data.unposed import UnposedPhotos
from fewview.errors import InputError
from fewview.geometry.transforms import apply
from fewview.poses import Estimated, estimate_cameras
from fewview.poses.cache import read_cache, write_cache
from fewview.poses.estimate import match_table, registration_words
from fewview.poses.evaluate import judge, relative_errors, write_both
from fewview.poses.frame import DISTANCE, scene_from_world
from fewview.poses.matching import Matches
from fewview.poses.resection import Tracks, place
from fewview.poses.working import lens_groups
from fewview.views import Views

CAPTURE = Path(__file__).parents[3] / "shared" / "data" / "nerd_maryRose"
SIZE = (300, 400)
FOCAL = 520.0


def arc(n: int, step: float = 15.0) -> Cameras:
    angles = torch.deg2rad(torch.arange(n) * step)
    centers = torch.stack([3 * angles.sin(), torch.full_like(angles, 0.8), 3 * angles.cos()], -1)
    up = torch.tensor([0.0, 1.0, 0.0])
    return Cameras.look_at(centers, torch.zeros(3), up, focal=FOCAL, height=SIZE[0], width=SIZE[1])


def matched(cameras: Cameras, points: int = 120, noise: float = 0.3, reach: int = 9) -> Matches:
    """Matches of random points in photos at most `reach` apart, with noise (px)."""
    rng = np.random.default_rng(0)
    cloud = torch.from_numpy(rng.uniform(-0.8, 0.8, (points, 3))).float()
    drawn, _ = cameras.project(cloud.expand(len(cameras), -1, -1))
    keypoints = [pixels.double().numpy() + noise * rng.standard_normal((points, 2)) for pixels in drawn]
    same = np.repeat(np.arange(points)[:, None], 2, 1)
    n = len(cameras)
    pairs = {(i, j): same for i in range(n) for j in range(i + 1, n) if j - i <= reach}
    return Matches([SIZE] * n, keypoints, pairs, [0] * n, [None] * n)


def folder(root: Path, n: int = 3) -> UnposedPhotos:
    (root / "images").mkdir(parents=True)
    for i in range(n):
        noise = np.random.default_rng(i).integers(0, 255, (12, 16, 3), dtype=np.uint8)
        Image.fromarray(noise).save(root / "images" / f"{i}.png")
    scene = open_scene(root)
    assert isinstance(scene, UnposedPhotos)
    return scene


def test_a_few_photos_are_placed_from_matches_alone_without_a_known_focal_length():
    pytest.importorskip("pycolmap")
    cameras = arc(4)
    model = place(matched(cameras, 60))
    assert model is not None and sorted(model.cam_from_world) == [0, 1, 2, 3]
    poses = np.stack([np.vstack([model.cam_from_world[i], [0, 0, 0, 1]]) for i in range(4)])
    found = relative_errors(torch.from_numpy(np.linalg.inv(poses)).float(), cameras.world_from_cam)
    assert found.rotation.max() < 1.5 and found.direction.max() < 3
    assert model.focal[0] == pytest.approx(FOCAL, rel=0.05)


def test_photos_that_share_nothing_make_no_model():
    pytest.importorskip("pycolmap")
    matches = matched(arc(3))
    alone = Matches(matches.sizes, matches.keypoints, {}, matches.groups, matches.focal)
    assert place(alone) is None


def test_tracks_join_matches_and_drop_those_that_meet_a_photo_twice():
    points = [np.array([[1.0, 1.0], [9.0, 9.0]]) for _ in range(3)]
    pairs = {(0, 1): np.array([[0, 0]]), (1, 2): np.array([[0, 0]])}
    tracks = Tracks.of(Matches([(10, 10)] * 3, points, pairs, [0] * 3, [None] * 3))
    assert tracks.count == 1 and sorted(tracks.seen.photo.tolist()) == [0, 1, 2]
    assert np.all(tracks.seen.offset == -4)
    crossed = {**pairs, (0, 2): np.array([[1, 0]])}
    assert Tracks.of(Matches([(10, 10)] * 3, points, crossed, [0] * 3, [None] * 3)).count == 0


def test_relative_errors_do_not_depend_on_the_world_and_measure_degrees():
    poses = arc(4).world_from_cam
    world = torch.eye(4)
    world[:3, :3] = arc(2).world_from_cam[1, :3, :3]
    world[:3, 3] = torch.tensor([1.0, -2.0, 3.0])
    moved = world @ poses
    moved[:, :3, 3] *= 2
    assert relative_errors(moved, poses).rotation.max() < 1e-3
    turned = poses.clone()
    turn = torch.eye(3)
    turn[:2, :2] = torch.tensor([[math.cos(0.1), -math.sin(0.1)], [math.sin(0.1), math.cos(0.1)]])
    turned[0, :3, :3] = poses[0, :3, :3] @ turn
    errors = relative_errors(turned, poses)
    assert errors.rotation[:3].tolist() == pytest.approx([math.degrees(0.1)] * 3, abs=1e-3)
    assert errors.rotation[3:].max() < 1e-3


def test_the_world_has_the_object_at_the_origin_y_up_and_cameras_four_away():
    cameras = arc(6)
    turn = arc(2, 40.0).world_from_cam[1, :3, :3]
    world = torch.eye(4)
    world[:3, :3], world[:3, 3] = turn, torch.tensor([5.0, -1.0, 2.0])
    moved = world @ cameras.world_from_cam
    points = apply(world, torch.randn(50, 3, generator=torch.Generator().manual_seed(0)) * 0.3)
    frame = scene_from_world(moved, points, torch.full((50,), 3.0))
    found = Cameras(moved, cameras.intrinsics, *SIZE).transformed(frame)
    assert torch.allclose(found.centers.norm(dim=-1).mean(), torch.tensor(DISTANCE), atol=1e-3)
    assert (found.up[:, 1] > 0.9).all() and apply(frame, points).mean(0).norm() < 0.5
    assert found.centers[0, 2] > 0 and abs(found.centers[0, 0]) < 1e-3
    assert torch.linalg.det(frame[:3, :3]) > 0


def test_the_report_names_the_photos_that_stay_without_cameras():
    counts = np.array([[0, 90, 3], [90, 0, 8], [3, 8, 0]])
    assert registration_words([0, 1, 2], counts) == "All 3 photos registered."
    words = registration_words([0, 1], counts)
    assert words.startswith("2 of 3 photos registered; photo 2 shares too few matches with the others")
    assert "between photos 2 and 1" in words
    table = match_table(["a.jpg", "b.jpg", "c.jpg"], [0, 1], counts)
    assert "2*" in table and "90" in table and table.endswith("* not registered")
    assert len(match_table([f"{i}" for i in range(40)], range(40), np.zeros((40, 40), np.int64)).splitlines()) == 41


def test_estimated_cameras_come_back_from_disk_and_only_for_the_same_photos(tmp_path):
    photos = folder(tmp_path / "in")
    cameras = {i: camera for i, camera in ((0, arc(2).resized(12, 16)[0]), (2, arc(2).resized(12, 16)[1]))}
    points = torch.rand(5, 3)
    made = Estimated(photos.posed(cameras), (0, 2), tuple(photos.names), np.eye(3, dtype=np.int64), points, 0.3)
    write_cache(tmp_path / "out.cameras", photos, made)
    read = read_cache(tmp_path / "out.cameras", photos)
    assert read is not None and read.registered == (0, 2) and torch.allclose(read.points, points, atol=1e-5)
    for a, b in zip(read.scene.cameras, made.scene.cameras):
        assert torch.allclose(a.world_from_cam, b.world_from_cam, atol=1e-5)
        assert torch.allclose(a.intrinsics, b.intrinsics, atol=1e-3)
    assert torch.equal(read.scene.photos[1].read().images, made.scene.photos[1].read().images)
    assert isinstance(open_scene(tmp_path / "out.cameras"), PhotoScene)
    assert read_cache(tmp_path / "out.cameras", folder(tmp_path / "other")) is None
    (tmp_path / "out.cameras" / "poses.json").write_text("{")
    assert read_cache(tmp_path / "out.cameras", photos) is None


def test_a_foreign_folder_is_not_replaced_by_estimated_cameras(tmp_path):
    photos = folder(tmp_path / "in")
    made = Estimated(photos.posed({}), (), (), np.zeros((3, 3), np.int64), torch.zeros(0, 3), 0.0)
    (tmp_path / "mine").mkdir()
    with pytest.raises(InputError, match="in the way"):
        write_cache(tmp_path / "mine", photos, made)


def test_photos_of_one_size_and_focal_length_share_a_lens():
    sizes = [(10, 10), (10, 10), (10, 10), (8, 10), (10, 10)]
    photos = UnposedPhotos("x", (Path("x"),) * 5, [None, 50.0, 50.2, None, None], sizes, [None] * 5)
    assert lens_groups(photos) == [0, 1, 1, 2, 0]


def test_one_photo_photos_without_texture_and_a_missing_package_are_refused(tmp_path, monkeypatch):
    one = folder(tmp_path / "one", 1)
    with pytest.raises(InputError, match="one photo"):
        estimate_cameras(one)
    monkeypatch.setitem(sys.modules, "pycolmap", None)
    with pytest.raises(InputError, match="pip install"):
        estimate_cameras(folder(tmp_path / "two", 2))


def test_photos_without_common_texture_are_refused_in_one_sentence(tmp_path):
    pytest.importorskip("pycolmap")
    with pytest.raises(InputError, match="10 to 20 degrees apart"):
        estimate_cameras(folder(tmp_path, 2), threads=1)


@pytest.mark.slow
@pytest.mark.skipif(not CAPTURE.is_dir(), reason="the capture nerd_maryRose is not here")
def test_three_photos_of_a_real_object_are_registered():
    pytest.importorskip("pycolmap")
    scene = open_scene(CAPTURE)
    assert isinstance(scene, PhotoScene)
    found, errors = judge(scene, [0, 2, 4], threads=1)
    assert found.registered == (0, 1, 2)
    assert errors.rotation.median() < 3 and errors.direction.median() < 5


def posed(root: Path) -> PhotoScene:
    scene = open_scene(root)
    assert isinstance(scene, PhotoScene)
    return scene


def test_photos_are_written_twice_for_a_comparison_of_cameras(tmp_path):
    views = worlds.photograph(worlds.ring(4, size=16))
    worlds.write_transforms(tmp_path / "given", views)
    scene = posed(tmp_path / "given")
    assert views.masks is not None
    moved = views.cameras.transformed(torch.diag(torch.tensor([2.0, 2, 2, 1])))[1:]
    worlds.write_transforms(tmp_path / "estimated", Views(views.images[1:], moved, views.masks[1:]))
    own = posed(tmp_path / "estimated")
    found = Estimated(own, (1, 2, 3), ("a", "b", "c", "d"), np.zeros((4, 4), int), torch.zeros(0, 3), 0.0)
    write_both(scene, [0, 1, 2, 3], found, folder=tmp_path / "both")
    for name, cameras in (("given", views.cameras[1:]), ("own", moved)):
        again = posed(tmp_path / "both" / name).read([0, 1, 2])
        torch.testing.assert_close(again.cameras.centers, cameras.centers, atol=1e-4, rtol=0)
        torch.testing.assert_close(again.on_black().images, views[1:].on_black().images, atol=0.01, rtol=0)
