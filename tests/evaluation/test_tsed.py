import sys

import pytest
import torch
from evaluation.planes import camera, paint

from fewview.cameras import Cameras
from fewview.errors import InputError
from fewview.evaluation.rooms.tsed import PairSed, agreeing_share, matched_share, median_sed, pair_seds, tsed
from fewview.geometry.transforms import axis_angle
from fewview.poses.two_view import keypoints, opencv, sed, two_view

pytest.importorskip("cv2")


def _turned(cameras: Cameras, degrees: float) -> Cameras:
    pose = cameras.world_from_cam.clone()
    turn = axis_angle(torch.tensor([0.0, 1, 0]), torch.tensor(degrees * torch.pi / 180))
    pose[:, :3, :3] = turn @ pose[:, :3, :3]
    return Cameras(pose, cameras.intrinsics, cameras.height, cameras.width)


def _points(n=40):
    generator = torch.Generator().manual_seed(0)
    return torch.rand(n, 3, generator=generator) * torch.tensor([3.0, 3, 2]) + torch.tensor([-1.5, -1.5, 3.0])


def _pair():
    return camera()[0], _turned(camera(0.4, 0.1, -0.2), 8.0)[0]


def test_projections_of_one_point_lie_on_each_others_epipolar_lines():
    first, second = _pair()
    p, q = (c.project(_points())[0] for c in (first, second))
    assert sed(p, q, first, other=second).max() < 1e-3


def test_sed_is_the_mean_of_both_distances_in_pixels():
    """A sideways step has horizontal epipolar lines: a point 3 px too low is 3 px from the line in either image."""
    first, second = camera()[0], camera(0.5)[0]
    p, q = (c.project(_points())[0] for c in (first, second))
    low = q + torch.tensor([5.0, 3.0])
    torch.testing.assert_close(sed(p, low, first, other=second), torch.full((40,), 3.0).double(), atol=1e-4, rtol=0)
    torch.testing.assert_close(sed(low, p, second, other=first), sed(p, low, first, other=second))


def test_a_fundamental_matrix_has_rank_two_and_cameras_in_one_place_none():
    first, second = _pair()
    fundamental, _ = two_view(first, second)
    assert fundamental is not None and abs(torch.linalg.det(fundamental)) < 1e-9
    turned = _turned(camera(), 10.0)[0]
    assert two_view(camera()[0], turned)[0] is None
    p, q = camera()[0].project(_points())[0], turned.project(_points())[0]
    assert sed(p, q, camera()[0], other=turned).max() < 1e-3
    off = q + torch.tensor([3.0, 4.0])
    assert abs(sed(p, off, camera()[0], other=turned).mean() - 5) < 0.5


@pytest.mark.parametrize("size", [64, 256])
def test_a_textured_plane_under_its_own_cameras_is_consistent_and_under_wrong_ones_not(size):
    cameras = Cameras.cat([camera(0.2 * i, 0.05 * i, size=size, focal=1.0 * size) for i in range(3)])
    images = paint(cameras)
    pairs = pair_seds(images, cameras)
    assert len(pairs) == 2 and all(pair.matches > 30 for pair in pairs)
    assert median_sed(pairs) < 0.15 * size / 64 and tsed(pairs) == 1
    wrong = Cameras.cat([cameras[:1], *(_turned(camera(0, 0.4 * i, size=size, focal=1.0 * size), 0) for i in (1, 2))])
    bad = pair_seds(images, wrong)
    assert median_sed(bad) > 2 and tsed(bad) == 0
    assert [pair.matches for pair in bad] == [pair.matches for pair in pairs]  # the poses have no part in matching


def test_points_come_back_in_pixels_of_the_small_image():
    """Of a sideways step all matches keep their row, and move by the parallax: focal * step / depth = 6.4 px."""
    from fewview.evaluation.rooms import tsed as module

    cameras = Cameras.cat([camera(0.0), camera(0.4)])
    cv2 = module.opencv()
    found = [module.keypoints(image, cv2) for image in paint(cameras)]
    first, second = module.matched(found[0], found[1], cv2)
    moved = (first - second).median(0).values
    assert abs(moved[0] - 6.4) < 0.15 and abs(moved[1]) < 0.1
    assert first.min() > 0 and first.max() < 64


def test_blank_images_have_too_few_matches():
    cameras = Cameras.cat([camera(0.0), camera(0.4), camera(0.8)])
    pairs = pair_seds(torch.zeros(3, 3, 64, 64), cameras)
    assert [(pair.matches, pair.median, pair.few) for pair in pairs] == [(0, None, True)] * 2
    assert tsed(pairs) == 0 and median_sed(pairs) != median_sed(pairs)


def test_named_pairs_are_taken():
    cameras = Cameras.cat([camera(0.1 * i) for i in range(4)])
    pairs = pair_seds(paint(cameras), cameras, [(0, 2), (1, 3)])
    assert len(pairs) == 2 and tsed(pairs) == 1


def test_consistency_needs_ten_matches_below_the_threshold():
    assert not PairSed(9, 0.0).consistent() and PairSed(10, 1.99).consistent() and not PairSed(10, 2.0).consistent()
    pairs = [PairSed(20, 0.4), PairSed(20, 3.0), PairSed(4, 0.1), PairSed(0, None)]
    assert tsed(pairs) == 0.25 and tsed(pairs, 5.0) == 0.5 and median_sed(pairs) == pytest.approx(1.7)


def test_opencv_is_asked_for(monkeypatch):
    monkeypatch.setitem(sys.modules, "cv2", None)
    with pytest.raises(InputError, match="opencv-python-headless"):
        pair_seds(torch.zeros(2, 3, 8, 8), Cameras.cat([camera(), camera(1.0)]))


def test_tsed_is_the_product_of_its_two_parts():
    """4 pairs: one matches too little, two agree, one does not."""
    pairs = [PairSed(3, 0.1), PairSed(20, 0.5), PairSed(20, 1.9), PairSed(20, 7.0)]
    assert matched_share(pairs) == 0.75 and agreeing_share(pairs) == pytest.approx(2 / 3) and tsed(pairs) == 0.5
    assert agreeing_share(pairs, 1.0) == pytest.approx(1 / 3)
    assert agreeing_share([PairSed(3, 0.1)]) != agreeing_share([PairSed(3, 0.1)]) and matched_share([]) != 0


@pytest.mark.parametrize("size, tolerance", [(300, 0.03), (64, 0.06)])
def test_sift_points_are_where_they_are(size, tolerance):
    """A round blob centred at (30.5, 32.5): that of column 30, row 32 (64 px are enlarged first)."""
    y, x = torch.meshgrid(torch.arange(size) + 0.5, torch.arange(size) + 0.5, indexing="ij")
    blob = 0.15 + 0.8 * torch.exp(-((x - 30.5) ** 2 + (y - 32.5) ** 2) / (2 * 3.0**2))
    points, _ = keypoints(blob.expand(3, -1, -1), opencv())
    assert len(points) > 0
    assert abs(points - [30.5, 32.5]).max() < tolerance
