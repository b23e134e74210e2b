import torch
from striped_ball import around, ball
from torch.nn import functional as F

from fewview.cameras import Cameras
from fewview.detail.backdrop import spanned, with_backdrop
from fewview.stereo import Stereo


def found_on_the_ball(count: int, size: int):
    cameras = around(count, size)
    seen = ball(cameras)
    sure = seen.alpha[:, 0] > 0.9
    return cameras, Stereo(torch.where(sure, seen.depth[:, 0], seen.depth[:, 0].max()), sure)


def hiding(depths: torch.Tensor, found: Stereo, cameras: Cameras) -> list[int]:
    """How many unsure pixels of each view, at such depths, stand before what another view is sure of."""
    counts = []
    for i in range(len(cameras)):
        points = cameras[i].unproject(depths[i])[~found.sure[i]]
        hides = torch.zeros(len(points), dtype=torch.bool)
        for j in range(len(cameras)):
            places, z, inside = (x[0] for x in cameras[j : j + 1].locate(points[None]))
            column, row = ((places + 1) * cameras.width / 2).long().clamp(0, cameras.width - 1).T
            hides |= inside & found.sure[j][row, column] & (z < 0.9 * found.depth[j][row, column])
        counts.append(int(hides.sum()))
    return counts


def test_a_backdrop_stands_before_nothing_that_another_photo_surely_shows():
    cameras, found = found_on_the_ball(24, 40)
    depths = with_backdrop(found, cameras)
    assert torch.equal(depths[found.sure], found.depth[found.sure])
    assert sum(hiding(1.5 * found.depth, found, cameras)) > 500
    assert max(hiding(depths, found, cameras)) <= 5


def test_a_photo_of_which_nothing_is_sure_keeps_its_depths():
    cameras, found = found_on_the_ball(3, 20)
    unsure = Stereo(found.depth, found.sure & torch.tensor([False, True, True])[:, None, None])
    assert torch.equal(with_backdrop(unsure, cameras)[0], found.depth[0])


def test_a_plane_with_gaps_goes_on_as_a_plane():
    camera = around(1, 32)[0]
    rays = camera.rays().directions / camera.cosines(camera.rays())[..., None]
    plane = 4 / (rays @ torch.tensor([0.1, 0.2, 1.0]))  # z-depth where the rays meet it
    gaps = torch.rand(plane.shape, generator=torch.Generator().manual_seed(0)) < 0.5
    gaps[12:20, 10:24] = True
    gaps &= F.pad(torch.ones(28, 28, dtype=torch.bool), (2, 2, 2, 2))
    found = torch.where(gaps, 0.3 * plane, plane)
    assert torch.equal(spanned(found, ~gaps)[~gaps], plane[~gaps])
    assert float((spanned(found, ~gaps) / plane - 1).abs().max()) < 0.01


def test_what_is_not_sure_between_sure_pixels_lies_with_them_where_it_hides_nothing():
    cameras, found = found_on_the_ball(12, 40)
    holed = found.sure.clone()
    holed[0, 18:22, 18:22] = False  # in the middle of the ball
    depths = with_backdrop(Stereo(torch.where(holed, found.depth, 9.0), holed), cameras)
    assert torch.allclose(depths[0, 18:22, 18:22], found.depth[0, 18:22, 18:22], rtol=0.03)
