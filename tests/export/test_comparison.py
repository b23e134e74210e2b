"""Photos beside renderings: PSNR inside masks, marks where no photo looked."""

import pytest
import torch
import worlds

from fewview.cameras import Cameras
from fewview.export.comparison import MARK, Comparison, marked
from fewview.export.package import compared, evenly
from fewview.pipeline.products import unseen_by
from fewview.render.asset import GaussianAsset
from fewview.views import Render, Views


@pytest.fixture
def views() -> Views:
    return worlds.photograph(worlds.ring(3))


def test_psnr_counts_inside_masks_only(views):
    inside = Render(views.images + 0.1 * views.masks, views.masks, views.masks)
    torch.testing.assert_close(
        Comparison(views, inside, (0, 1, 2), 3).psnr(), torch.full((3,), 20.0), atol=0.01, rtol=0
    )
    outside = Render(views.images + 0.5 * (1 - views.masks), views.masks, views.masks)
    assert Comparison(views, outside, (0, 1, 2), 3).psnr().min() > 90
    assert Comparison(views.whole(), outside, (0, 1, 2), 3).psnr().max() < 20


def test_each_photo_has_its_slider_and_number(views):
    seen = Render(views.images, views.masks, views.masks)
    page = Comparison(views, seen, (0, 4, 8), 9)
    html = page.html()
    assert html.count('type="range"') == 3 and html.count("<img") == 6 and "100.0 dB" in html
    assert all(f"<span>photo {i}</span>" in html for i in (1, 5, 9))
    assert "3 of 9 photos" in page.note() and "32 x 32" in page.note()


def test_of_many_photos_some_are_compared_at_their_size_at_most():
    assert evenly(3, 24) == [0, 1, 2] and len(evenly(100, 24)) == len(set(evenly(100, 24))) == 24
    made = compared(worlds.photograph(worlds.ring(30, 16)), worlds.Balls())
    assert len(made.numbers) == 24 and made.total == 30 and made.seen.image.shape[-2:] == (16, 16)
    assert made.psnr().min() > 60


def test_what_photos_saw_is_told_from_what_they_did_not():
    cameras = worlds.ring(8, 64)
    photos, across = cameras[:1], Cameras.cat([cameras[:1], cameras[4:5]])
    asset = worlds.Balls()
    seen = asset.render(across)
    unseen = unseen_by(Views(asset.render(photos).image, photos), asset)(seen, across)
    solid = seen.alpha > 0.5
    share = (unseen * solid).sum((1, 2, 3)) / solid.sum((1, 2, 3))
    assert share[0] < 0.1 and share[1] > 0.6  # its own view, and that from behind
    assert (unseen[~solid] == 0).all()


def test_marks_are_where_they_belong_and_the_rest_is_grey(views):
    seen = Render(views.images, views.masks, views.masks)
    plain = marked(seen, torch.zeros_like(views.masks))
    assert torch.equal(plain[:, 0], plain[:, 2]) and torch.equal(plain[:, 3:], views.masks)
    full = marked(seen, torch.ones_like(views.masks))
    assert ((full[:, 0] - full[:, 2]) > 0.3 * (MARK[0] - MARK[2])).all()


def test_a_report_of_splats_has_all_of_it(views, tmp_path):
    from fewview.export.package import Products, write_results
    from fewview.fitting import surface_gaussians

    generator = torch.Generator().manual_seed(0)
    splats = surface_gaussians(worlds.Balls().render(views.cameras), views.cameras, 300, generator=generator)
    asset = GaussianAsset(splats)
    made = Products(path=views.cameras, unseen=unseen_by(views, asset))
    write_results(tmp_path / "out", asset, views, products=made)
    page = (tmp_path / "out" / "report.html").read_text()
    assert page.count('class="compare"') == 3 and "what no photo saw" in page and "data:image/webp" in page
    assert "<video" not in page and 'class="film"' in page
