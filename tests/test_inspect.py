"""What `fewview inspect` measures, draws and says."""

import math
from pathlib import Path

import numpy as np
import pytest
import torch
import worlds
from jaxtyping import Float
from PIL import Image
from test_cli import fewview, refused
from torch import Tensor

from fewview import masks
from fewview.cameras import Cameras
from fewview.data.nerfstudio import write_transforms
from fewview.export.video import write_video
from fewview.pipeline import overview
from fewview.pipeline.coverage import coverage, glance, squared
from fewview.views import Views

REAL = Path(__file__).parents[2] / "shared" / "data"
UP = torch.tensor([0.0, 0.0, 1.0])


def looking(centers: list[list[float]], target: list[float]) -> Views:
    """Views without content from these places."""
    cameras = Cameras.look_at(
        torch.tensor(centers).float(), torch.tensor(target).float(), UP, focal=40.0, height=32, width=32
    )
    return Views(torch.rand(len(centers), 3, 32, 32), cameras)


def test_a_ring_is_seen_from_all_around():
    cameras = worlds.ring(8)
    found = coverage(Views(torch.rand(8, 3, 32, 32), cameras))
    height = math.degrees(math.atan(0.35))
    assert found.arrangement == "around an object" and found.gap()[1] == pytest.approx(45, abs=0.1)
    assert ((found.azimuths + 1) % 360 - 1).tolist() == pytest.approx([45.0 * i for i in range(8)], abs=0.1)
    assert found.elevations.tolist() == pytest.approx([height] * 8, abs=0.1) and found.up @ UP > 0.999
    assert found.distances.tolist() == pytest.approx([6 * math.hypot(1, 0.35)] * 8, rel=1e-3)
    chord = 2 * math.asin(math.cos(math.radians(height)) * math.sin(math.radians(22.5)))
    assert found.neighbours.tolist() == pytest.approx([math.degrees(chord)] * 8, abs=0.1)
    assert "over 315 of 360 degrees (widest gap 45), 19 to 19 degrees up" in found.words() and found.radius is None


def test_masks_say_where_the_object_is_and_how_large():
    """A ball of radius 1 about the origin: its discs have a per-axis deviation of half a radius."""
    cameras = worlds.ring(5, 64)
    rays = cameras.rays()
    along = -(rays.origins * rays.directions).sum(-1)
    masks = ((rays.origins.square().sum(-1) - along**2) < 1).float()[:, None]
    found = coverage(Views(masks.expand(-1, 3, -1, -1), cameras, masks))
    assert found.radius == pytest.approx(1, abs=0.05) and found.target.norm() < 0.05


@pytest.mark.parametrize(("azimuths", "start", "width"), [((0, 10, 350), 10, 340), ((0, 180, 190), 0, 180)])
def test_the_widest_gap_may_lie_across_zero(azimuths, start, width):
    places = [[5 * math.cos(math.radians(a)), 5 * math.sin(math.radians(a)), 2.0] for a in azimuths]
    found = coverage(looking(places, [0, 0, 0]))
    assert found.gap() == pytest.approx((start, width), abs=0.5)


def test_cameras_in_one_place_leave_the_whole_circle():
    found = coverage(looking([[5, 0, 1], [5, 0, 2], [5, 0, 3]], [0, 0, 0]))
    assert found.gap()[1] == pytest.approx(360, abs=0.5)


def test_cameras_that_look_the_same_way_stand_side_by_side():
    views = looking([[0, 0, 0], [0.2, 0, 0], [0.4, 0, 0.1]], [0.2, 100, 0])
    assert coverage(views).arrangement == "side by side"


def test_cameras_that_look_outwards_pass_through_a_space():
    places = [[math.cos(a), math.sin(a), 0.0] for a in (0.0, 2.0, 4.0)]
    cameras = Cameras.cat([looking([p], [9 * p[0], 9 * p[1], 0.1]).cameras for p in places])
    assert coverage(Views(torch.rand(3, 3, 32, 32), cameras)).arrangement == "through a space"


def board(blur: int = 1) -> Float[Tensor, "3 96 128"]:
    y, x = np.mgrid[:96, :128]
    picture = torch.from_numpy(((x // 8 + y // 8) % 2).astype(np.float32)).expand(3, -1, -1)
    return torch.nn.functional.avg_pool2d(picture, blur, 1, blur // 2)


def test_blur_lowers_sharpness():
    sharp, soft = (glance("a", board(blur), None, None).sharpness for blur in (1, 9))
    assert soft < 0.2 * sharp


def test_masks_are_measured_and_those_cut_off_are_told():
    whole, cut = torch.zeros(1, 96, 128), torch.zeros(1, 96, 128)
    whole[:, 24:72, 32:96] = 1
    cut[:, 24:, 32:96] = 1
    first, second = (glance("a", board(), mask, 64.0) for mask in (whole, cut))
    assert first.covered == pytest.approx(0.25, abs=0.01) and not first.cut and second.cut
    assert first.view_angle == pytest.approx(90) and first.size == (96, 128)
    assert glance("a", board(), None, None).view_angle is None


def drawn(angles: list[float], targets: tuple[int, ...] = ()) -> np.ndarray:
    """The picture of cameras at these azimuths (degrees)."""
    places = [[5 * math.cos(math.radians(a)), 5 * math.sin(math.radians(a)), 1.0] for a in angles]
    views = looking(places, [0, 0, 0])
    glances = [glance(f"{i}.png", image, None, 40.0) for i, image in enumerate(views.images)]
    seen = coverage(views)
    picture = overview.overview("title", glances, cameras=views.cameras, coverage=seen, targets=targets)
    return np.asarray(picture)[2 * overview.LINE : 2 * overview.LINE + overview.PANEL]


def middle(panel: np.ndarray, colour: tuple[int, int, int]) -> np.ndarray:
    """Where a colour is, x to the right and y up."""
    rows, columns = np.nonzero((np.abs(panel.astype(int) - colour) < 8).all(-1))
    assert len(rows) > 9
    return np.array([columns.mean(), -rows.mean()])


def test_from_above_azimuths_run_counter_clockwise():
    panel = drawn([0, 80, 170])[:, : overview.GAP + overview.PANEL]
    first, second, third = (middle(panel, overview._hue(i, 3)) for i in range(3))
    turn = np.linalg.det(np.stack([second - first, third - second]))
    assert turn > 0 and np.linalg.norm(third - first) > np.linalg.norm(second - first)


def test_the_gap_is_drawn_where_no_camera_stands():
    panel = drawn([0, 60, 120, 180])[:, : overview.GAP + overview.PANEL]
    empty = middle(panel, overview.MISSING)
    ends = (middle(panel, overview._hue(0, 4)) + middle(panel, overview._hue(3, 4))) / 2
    top = (middle(panel, overview._hue(1, 4)) + middle(panel, overview._hue(2, 4))) / 2
    assert (empty - ends) @ (top - ends) < 0, "on the other side of the line between the outermost cameras"


def test_inputs_and_targets_have_their_colours():
    panel = drawn([0, 120, 240], targets=(2,))
    assert (panel == overview.INPUT).all(-1).any() and (panel == overview.TARGET).all(-1).any()
    assert not (drawn([0, 120, 240]) == overview.TARGET).all(-1).any()


@pytest.fixture(scope="module")
def photos(tmp_path_factory) -> Path:
    return worlds.write_transforms(tmp_path_factory.mktemp("photos"), worlds.photograph(worlds.ring(5)))


def test_the_table_has_a_line_for_each_photo(photos, tmp_path, capsys):
    (photos / "train_test_split_3.json").write_text('{"train_ids": [0, 2, 4], "test_ids": [1, 3]}')
    assert fewview("inspect", photos, "-o", tmp_path / "a.png") == 0
    text = capsys.readouterr().out
    assert text.startswith("Found: transforms.json with train_test_split_3.json, 5 photos, of them 3 inputs")
    rows = [line.split() for line in text.splitlines() if "32 x 32" in line]
    assert len(rows) == 5 and [row[-1] for row in rows] == ["input", "target", "input", "target", "input"]
    assert "Cameras: around an object, over 2" in text
    assert text.endswith("It can be reconstructed.\n")
    with Image.open(tmp_path / "a.png") as picture:
        assert picture.width == overview.WIDTH
    (photos / "train_test_split_3.json").unlink()


def test_the_verdict_agrees_with_the_gap_and_says_what_to_photograph_next():
    narrow = [[5 * math.cos(a), 5 * math.sin(a), 2.0] for a in map(math.radians, (0, 55, 20))]
    text = coverage(looking(narrow, [0, 0, 0])).verdict()
    assert "arc of 305 degrees no camera stands" in text and "It can be reconstructed." not in text
    assert "6 more from that arc, 44 degrees apart, going on from photo 1 away from the others until photo 0" in text
    assert coverage(Views(torch.rand(8, 3, 32, 32), worlds.ring(8))).verdict() == "It can be reconstructed."
    aside = coverage(looking([[0, 0, 0], [0.2, 0, 0], [0.4, 0, 0.1]], [0.2, 100, 0])).verdict()
    assert "from the front" in aside and "Photograph next" in aside


@pytest.mark.parametrize(
    ("present", "model", "words"),
    [
        (True, "", "makes some by GrabCut"),
        (False, "", "the whole photo counts"),
        (False, "m.onnx", "FEWVIEW_MASK_MODEL"),
    ],
)
def test_what_becomes_of_photos_without_masks_is_told_as_it_will_be(present, model, words, monkeypatch):
    monkeypatch.setattr(masks.util, "find_spec", lambda name: "there" if present else None)
    monkeypatch.setenv(masks.VARIABLE, model)
    assert words in masks.expected_masks()


def test_an_extra_is_named_only_where_it_is_missing(photos, monkeypatch, capsys):
    for there in (True, False):
        monkeypatch.setattr("fewview.commands.inspect.find_spec", lambda name, there=there: there or None)
        assert fewview("inspect", photos / "images") == 0
        assert ("fewview[poses]" in capsys.readouterr().out) != there


def test_photos_without_cameras_are_shown_too(photos, tmp_path, capsys):
    assert fewview("inspect", photos / "images", "-o", tmp_path / "a.png") == 0
    text = capsys.readouterr().out
    assert text.startswith("Found: photos without cameras (but transforms.json lies beside") and ", 5 photos" in text
    assert "Cameras are unknown" in text
    assert (tmp_path / "a.png").stat().st_size > 1000


def test_a_video_is_shown_too(tmp_path, capsys):
    write_video(tmp_path / "a.mp4", worlds.photograph(worlds.ring(4)).images)
    assert fewview("inspect", tmp_path / "a.mp4") == 0
    assert "4 sharp frames" in capsys.readouterr().out


def test_the_picture_is_a_png_and_replaces_nothing_unless_asked(photos, tmp_path, capsys):
    (tmp_path / "a.png").write_bytes(b"mine")
    assert "exists already" in refused(capsys, "inspect", photos, "-o", tmp_path / "a.png")
    assert ".png" in refused(capsys, "inspect", photos, "-o", tmp_path / "a.jpg")
    assert (tmp_path / "a.png").read_bytes() == b"mine" and len(list(tmp_path.iterdir())) == 1
    assert fewview("inspect", photos, "-o", tmp_path / "a.png", "--overwrite") == 0
    assert (tmp_path / "a.png").read_bytes()[:4] == b"\x89PNG"


def test_what_cannot_be_reconstructed_exits_with_2(photos, tmp_path, capsys):
    camera = worlds.ring(5)[0]
    (tmp_path / "images").symlink_to(photos / "images")
    assert "not inside" in refused(capsys, "inspect", tmp_path)
    (tmp_path / "images").unlink()
    (tmp_path / "images").mkdir()
    Image.new("RGB", (32, 32)).save(tmp_path / "images" / "\x1b[2J.png")
    assert "one photo" in refused(capsys, "inspect", tmp_path)
    write_transforms(tmp_path / "transforms.json", [camera] * 3, ["images/\x1b[2J.png"] * 3)
    assert "same camera for all" in refused(capsys, "inspect", tmp_path)


def test_names_cannot_command_the_terminal(tmp_path, capsys):
    for name, colour in (("\x1b[2J.png", "red"), ("b.png", "blue")):
        Image.new("RGB", (32, 32), colour).save(tmp_path / name)
    assert fewview("inspect", tmp_path) == 0
    text = capsys.readouterr().out
    assert "\x1b" not in text and "?[2J.png" in text


def test_squares_keep_rays():
    """A photo squeezed into a square sees the same point in the same place of it."""
    camera = Cameras.look_at(torch.tensor([4.0, 0, 1]), torch.zeros(3), UP, focal=90.0, height=96, width=128)
    views = squared([glance("a", board(), None, 90.0)], [camera])
    point = torch.tensor([[0.3, 0.2, 0.1]])
    there, here = camera.project(point)[0][0], views.cameras[0].project(point)[0][0]
    assert (here / 96).tolist() == pytest.approx((there / torch.tensor([128.0, 96.0])).tolist())


@pytest.mark.parametrize(
    ("name", "kind", "words"),
    [
        ("banana_colmap", "transforms.json, 15 photos", "around an object, over 29"),
        ("middlebury_temple", "transforms.json, 16 photos", "around an object, over 31"),
        ("realestate10k_clips/0bf152ef84195293.txt", "RealEstate10K clip, 16 photos", "through a space"),
    ],
)
def test_real_captures_are_described(name, kind, words, tmp_path, capsys):
    if not (REAL / name).exists():
        pytest.skip(f"the captured set {name} is not beside this checkout")
    assert fewview("inspect", REAL / name, "-o", tmp_path / "a.png") == 0
    text = capsys.readouterr().out
    assert f"Found: {kind}" in text and words in text
