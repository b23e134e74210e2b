"""Images to splats: depth by stereo, lifted."""

import torch
from ggs_rooms import painted, plane_depth, psnr, walk

from fewview.fitting import GaussianFitConfig
from fewview.ggs.lift import lift
from fewview.progress import steps_of
from fewview.stereo import stereo
from fewview.views import Views


def test_stereo_finds_the_wall():
    cameras = walk(1, 5, size=32)[0]
    rays = cameras.rays()
    points = rays.origins + rays.directions * ((4 - rays.origins[..., 2:]) / rays.directions[..., 2:])
    fine = (points[..., :1] * 9).sin() * (points[..., 1:2] * 11).cos()
    views = Views((0.5 + 0.4 * fine).expand(*fine.shape[:-1], 3).movedim(-1, -3).contiguous(), cameras)
    found, true = stereo(views, 1.0, 20.0).depth, plane_depth(cameras)
    assert ((found / true).log().abs() < 0.1).float().mean() > 0.9


def test_lifted_splats_show_the_images(generator):
    cameras = walk(1, 5, size=24)[0]
    views = painted(cameras)
    told: list[float] = []
    tell = steps_of(lambda stage, done: told.append(done), "fitting", 60)
    fit = GaussianFitConfig(count=400, steps=60)
    asset = lift(views, 1.0, 20.0, config=fit, generator=generator, progress=tell)
    assert told[-1] == 1.0 and psnr(asset.render(cameras).image, views.images) > 22


def test_a_single_view_is_lifted_too(generator):
    cameras = walk(1, 1, size=16)[0]
    depth = stereo(painted(cameras), 1.0, 16.0).depth
    torch.testing.assert_close(depth, torch.full((1, 16, 16), 2 / (1 + 1 / 16)))
