from pathlib import Path

import pytest
import torch
from data.test_co3d import write_set
from PIL import Image

from fewview.cameras import Cameras
from fewview.data import check_reconstructable, open_scene
from fewview.data.colmap import write_colmap
from fewview.data.nerfstudio import write_transforms
from fewview.data.photos import PhotoScene
from fewview.data.unposed import UnposedPhotos
from fewview.errors import InputError
from fewview.framing import nearest_point, silhouette
from fewview.paths import fit_circle, look_at_point
from fewview.views import Scene

REAL = Path(__file__).parents[3] / "shared" / "data"


def one_camera() -> Cameras:
    return Cameras(torch.eye(4), torch.tensor([[9.0, 0, 4], [0, 9, 3], [0, 0, 1]]), 6, 8)


@pytest.fixture
def root(tmp_path) -> Path:
    (tmp_path / "images").mkdir()
    Image.new("RGB", (8, 6)).save(tmp_path / "images" / "a.png")
    return tmp_path


def test_each_layout_is_recognised(root):
    write_colmap(root / "sparse" / "0", [one_camera()], ["a.png"])
    assert open_scene(root).names == ["a.png"]
    write_transforms(root / "transforms.json", [one_camera()], ["images/a.png"])
    assert open_scene(str(root)).names == ["a.png"]
    assert open_scene(root / "transforms.json").names == ["a.png"]


def test_a_co3d_sequence_is_a_scene_of_its_folder(tmp_path):
    write_set(tmp_path)
    write_set(tmp_path, category="apple", sequence="7", frames=2)
    scene = open_scene(tmp_path / "apple" / "7")
    assert scene.name == "apple/7" and len(scene) == 2
    assert isinstance(scene, Scene) and scene.read([0, 1]).images.shape == (2, 3, 256, 256)


def test_what_is_found_is_said(root, tmp_path_factory):
    write_colmap(root / "sparse" / "0", [one_camera()], ["a.png"])
    assert open_scene(root).describe() == "COLMAP model (text), 1 photo"
    write_transforms(root / "transforms.json", [one_camera()] * 2, ["images/a.png"] * 2)
    assert open_scene(root).describe() == "transforms.json, 2 photos"
    (root / "train_test_split_1.json").write_text('{"train_ids": [1], "test_ids": [0]}')
    scene = open_scene(root)
    assert scene.describe() == "transforms.json with train_test_split_1.json, 2 photos, of them 1 inputs and 1 targets"
    assert isinstance(scene, PhotoScene) and scene.inputs == (1,) and scene.targets == (0,)
    (root / "train_test_split_2.json").write_text('{"train_ids": [0], "test_ids": [1]}')
    assert "2 splits, such as train_test_split_1.json" in open_scene(root).describe()
    scene = open_scene(root / "train_test_split_2.json")
    assert isinstance(scene, PhotoScene) and scene.inputs == (0,)


def test_photos_without_cameras_are_found_and_cannot_be_read_as_views(root):
    scene = open_scene(root)
    assert isinstance(scene, UnposedPhotos) and scene.describe() == "photos without cameras, 1 photo"
    with pytest.raises(InputError, match="photos but no cameras"):
        scene.read([0])


REFUSED = {
    "empty": (lambda root: root / "nothing", "no photos"),
    "none": (lambda root: root / "none", "does not exist"),
    "none.json": (lambda root: root / "none.json", "does not exist"),
    "a photo": (lambda root: root / "images" / "a.png", "a single photo"),
    "an archive": (lambda root: touch(root / "a.zip"), "unpack it"),
    "a text": (lambda root: touch(root / "notes.txt"), "no file with cameras"),
    "folder of videos": (lambda root: touch(root / "films" / "x.MP4").parent, "name one of them"),
    "a split alone": (lambda root: touch(root / "train_test_split_3.json"), "no cameras"),
    "device": (lambda root: Path("/dev/zero"), "does not exist"),
}


def touch(path: Path) -> Path:
    path.parent.mkdir(exist_ok=True)
    path.write_bytes(b"")
    return path


@pytest.mark.parametrize("case", REFUSED)
def test_what_is_no_scene_is_told_what_it_lacks(root, case):
    (root / "nothing").mkdir()
    name, words = REFUSED[case]
    with pytest.raises(InputError, match=words):
        open_scene(name(root))


def test_co3d_folders_that_are_no_sequence_say_so(tmp_path):
    write_set(tmp_path)
    for folder, words in ((tmp_path, "CO3D categories"), (tmp_path / "hydrant", "a whole category")):
        with pytest.raises(InputError, match=words):
            open_scene(folder)
    (tmp_path / "hydrant" / "other").mkdir()
    with pytest.raises(InputError, match="no frames with a mask"):
        open_scene(tmp_path / "hydrant" / "other")


def real(name: str) -> PhotoScene:
    if not (REAL / name).is_dir():
        pytest.skip(f"the captured set {name} is not beside this checkout")
    scene = open_scene(REAL / name)
    assert isinstance(scene, PhotoScene)
    return scene


def test_rays_through_the_masks_of_a_real_object_meet():
    """nerd_maryRose: their meeting point is seen within a third of a silhouette's deviation from its centroid."""
    scene = real("nerd_maryRose")
    views = scene.read(range(0, 69, 12), 128)
    check_reconstructable(views, where=scene.name)
    assert views.masks is not None
    centroids, deviations = silhouette(views.masks)
    rays = views.cameras.rays_at(centroids[:, None])
    point = nearest_point(rays.origins[:, 0], rays.directions[:, 0])
    pixels, depth = views.cameras.project(point.expand(1, 1, 3))
    assert depth.min() > 0
    assert ((pixels[:, 0] - centroids).norm(dim=-1) / deviations).max() < 0.33


def test_a_gantrys_ring_is_found_although_its_photos_lie_on_their_side():
    """middlebury_temple: all cameras are on one circle about the y axis of the calibration, 0.5628 m away."""
    scene = real("middlebury_temple")
    cameras = Cameras.stack(scene.cameras)
    circle = fit_circle(cameras)
    heights = (cameras.centers - circle.centre) @ circle.normal
    assert circle.normal[1] > 0.99 and heights.abs().max() < 0.01 and circle.radius == pytest.approx(0.563, abs=0.005)


@pytest.mark.parametrize("name", ["banana_colmap", "ngp_fox"])
def test_the_axes_of_real_photos_meet_inside_all_of_them(name):
    scene = real(name)
    cameras = scene.read(range(0, len(scene), 5), 64).cameras
    pixels, depth = cameras.project(look_at_point(cameras).expand(1, 1, 3))
    assert depth.min() > 0 and pixels.min() > 0 and pixels.max() < 64
