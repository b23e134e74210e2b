import torch
from ggs_rooms import painted, plane_depth, walk

from fewview.ggs.scene_maps import scene_maps, splats_of_depth
from fewview.ggs.splats import SplatConfig, place_of
from fewview.priors import IdentityCodec
from fewview.views import Views

CONFIG = SplatConfig()


def maps_of(scene, cameras, unit: float = 1.0):
    return scene_maps([scene], cameras[None], IdentityCodec(), unit=torch.tensor([unit]), config=CONFIG)[0]


def test_splats_of_known_depth_show_their_view_again():
    cameras = walk(1, 3, size=24)[0]
    scene = splats_of_depth(painted(cameras), plane_depth(cameras))
    latents, alpha, place = maps_of(scene, cameras).split([3, 1, 1], dim=1)
    inner = (..., slice(3, -3), slice(3, -3))
    assert alpha[inner].min() > 0.95
    assert ((latents + 1) / 2 - painted(cameras).images)[inner].abs().max() < 0.05
    expected = place_of(plane_depth(cameras), CONFIG)[:, None]
    torch.testing.assert_close(place[inner], expected[inner], atol=0.01, rtol=0)


def test_depth_is_in_units_of_the_normalised_frame():
    cameras = walk(1, 2, size=16)[0]
    scene = splats_of_depth(painted(cameras), plane_depth(cameras))
    middle = maps_of(scene, cameras, unit=2.0)[:, -1, 8, 8]
    torch.testing.assert_close(middle, place_of(plane_depth(cameras) / 2, CONFIG)[:, 8, 8], atol=0.01, rtol=0)


def test_pixels_of_unknown_depth_give_no_splat():
    cameras = walk(1, 2, size=16)[0]
    depths = plane_depth(cameras)
    depths[:, :8] = 0
    assert len(splats_of_depth(painted(cameras), depths)) == 2 * 8 * 16
    assert len(splats_of_depth(painted(cameras), depths, stride=4)) == 2 * 2 * 4


def test_a_scene_of_nothing_says_zero_everywhere():
    cameras = walk(1, 2, size=16)[0]
    scene = splats_of_depth(painted(cameras), torch.zeros(2, 16, 16))
    assert len(scene) == 0
    assert not maps_of(scene, cameras).any()


def test_holes_are_grey_and_have_no_coverage():
    cameras = walk(1, 2, size=16)[0]
    depths = plane_depth(cameras)
    depths[:, :, :12] = 0
    views = painted(cameras)
    maps = maps_of(splats_of_depth(Views(views.images, cameras), depths)[: 16 * 4], cameras[:1])
    assert maps[0, :, 8, 1].abs().max() < 1e-6
