"""Paths, given and automatic, what a chunk covers of them, and photos cut to the networks' shape."""

import math
from dataclasses import replace

import pytest
import torch
from ggs_rooms import along, painted, walk

from fewview.errors import InputError
from fewview.ggs.walks import (
    SQUEEZE,
    automatic_path,
    checked_path,
    framed,
    framed_cameras,
    pace_of,
    size_for,
    window,
)


def test_the_automatic_path_lies_between_the_photos_or_about_the_only_one():
    path = automatic_path(along([0.0, 1.0, 4.0]), 5)
    assert (path.centers[:, 0].diff() > 0).all() and path.centers[0, 0] > 0 and path.centers[-1, 0] < 4
    given = walk(1, 1)[0]
    stroll = automatic_path(given, 8)
    local = stroll.transformed(given.cam_from_world[0])
    assert stroll.shape == (8,) and local.centers.norm(dim=-1).max() <= 1.0001
    assert (local.centers[:, 2] > 0).all() and local.centers[:, 1].abs().max() < 1e-6
    assert (local.forward[:, 2] > 0.9).all() and local.forward[0, 0] > 0 > local.forward[-1, 0]
    with pytest.raises(InputError, match="at least one"):
        automatic_path(given, 0)


def test_a_chunk_walks_its_share_of_the_way():
    assert pace_of(along([0.0]), along([1.0, 2.0, 3.0, 6.0]), 2) == pytest.approx(3.0)
    assert pace_of(along([0.0, 5.0]), along([5.0, 5.0]), 1) == pytest.approx(5.0)
    assert pace_of(along([7.0]), along([7.0]), 1) == 1.0


def test_whole_photos_are_cut_to_shape_and_rays_stay():
    cameras = walk(1, 2, size=24)[0]
    wide = replace(cameras, height=12, intrinsics=cameras.intrinsics.clone())
    views = framed(painted(wide), 16, 16)
    assert views.images.shape == (2, 3, 16, 16)
    torch.testing.assert_close(views.images, painted(framed_cameras(wide, 16, 16)).images, atol=0.02, rtol=0)


@pytest.mark.parametrize(
    "photo, size",
    [
        ((1000, 1000), (64, 64)),
        ((683, 1024), (64, 96)),
        ((1024, 683), (96, 64)),
        ((480, 640), (64, 84)),
        ((1080, 1920), (64, 112)),
        ((100, 1000), (64, 160)),
        ((64, 65), (64, 64)),
    ],
)
def test_photos_are_shown_in_their_own_shape(photo, size):
    cameras = walk(1, 2)[0].resized(*photo)
    assert size_for(cameras, 64, 64, step=4) == size
    h, w, top, left = window(cameras, *size)
    assert (h, w) == photo or photo == (100, 1000)
    assert abs(math.log(w / h * size[0] / size[1])) < SQUEEZE
    assert (2 * top + h, 2 * left + w) == photo


def test_a_model_that_is_not_square_keeps_its_size_for_photos_of_its_shape():
    assert size_for(walk(1, 2)[0].resized(1080, 1920), 320, 576, step=8) == (320, 576)
    assert size_for(walk(1, 2)[0].resized(1920, 1080), 320, 576, step=8) == (568, 320)


def test_a_path_needs_cameras_of_the_photos_kind():
    given = along([0.0, 1.0])
    assert checked_path(along([0.5]), given).shape == (1,)
    scale = torch.tensor([2.0, 2.0, 1.0])[:, None]
    zoomed = replace(along([0.2, 0.5]), intrinsics=scale * along([0.2, 0.5]).intrinsics)
    zoomed.intrinsics[:, :2, 2] /= 2
    with pytest.raises(InputError, match=r"2\.00 times the photos' focal length"):
        checked_path(zoomed, given)
    with pytest.raises(InputError, match="no camera"):
        checked_path(given[:0], given)
    with pytest.raises(InputError, match="NaN"):
        checked_path(replace(given, world_from_cam=given.world_from_cam * float("nan")), given)
