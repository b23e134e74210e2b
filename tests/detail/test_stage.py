from dataclasses import replace

import pytest
import torch
from striped_ball import CENTRE, RADIUS, around, ball, blurred, first, known, photographed, psnr
from torch.nn import functional as F

from fewview.detail.stage import DetailConfig, degree_at, detail, level_at, pyramid, splats_for
from fewview.errors import InputError
from fewview.render.asset import GaussianAsset
from fewview.render.splatting import without_antialiasing
from fewview.views import Views

CONFIG = DetailConfig(steps=120, relocate_every=20, coarsest=80, feature_rate=0.03)


@pytest.fixture(scope="module")
def photos() -> Views:
    return photographed(around(12, 80)[:3])


@pytest.fixture(scope="module")
def prior(photos):
    return known(photos.cameras)


@pytest.fixture(scope="module")
def init(photos, prior):
    return first(photos.cameras, prior, torch.Generator().manual_seed(0))


@pytest.fixture(scope="module")
def fitted(init, photos, prior) -> GaussianAsset:
    return detail(init, photos, CONFIG, prior=prior, generator=torch.Generator().manual_seed(1))


def test_texture_that_the_start_has_lost_is_taken_from_the_photos(init, fitted, photos):
    before = GaussianAsset(init, antialiased=True).render(photos.cameras)
    after = fitted.render(photos.cameras)
    assert psnr(before.image, photos.images) < 18
    assert psnr(after.image, photos.images) > 26
    assert fitted.antialiased and (after.alpha - photos.masks).abs().mean() < 0.01


def test_sides_that_no_photo_sees_stay_as_the_prior_has_them(init, fitted, photos, prior):
    unseen = around(12, 40)[9:]
    wanted = blurred(ball(unseen))
    alone = detail(init, photos, CONFIG, generator=torch.Generator().manual_seed(1))
    kept = psnr(fitted.render(unseen).image, wanted.image)
    assert kept > 22
    assert kept > psnr(alone.render(unseen).image, wanted.image) + 2
    assert kept > psnr(GaussianAsset(init, True).render(unseen).image, wanted.image) - 0.5


def test_the_same_seed_gives_the_same_bits_and_another_does_not(init, photos, prior):
    config = replace(CONFIG, steps=12, relocate_every=4)
    runs = [
        detail(init, photos, config, prior=prior, generator=torch.Generator().manual_seed(s)).gaussians
        for s in (5, 5, 6)
    ]
    for name, tensor in runs[0].tensors().items():
        assert torch.equal(tensor, getattr(runs[1], name))
    assert len(runs[0]) != len(runs[2]) or not torch.equal(runs[0].means, runs[2].means)


def test_splats_grow_to_the_budget_and_never_beyond(init, photos):
    config = replace(CONFIG, steps=20, relocate_every=4, budget=1200)
    few = init[:600]
    made = detail(few, photos, config, generator=torch.Generator().manual_seed(2))
    assert 1000 < len(made.gaussians) <= 1200
    assert splats_for(photos, DetailConfig()) == round(float(photos.masks.sum()) / 2)


def test_what_is_outside_of_a_mask_makes_no_difference_and_stays_empty(init, photos, prior):
    bright = Views(torch.where(photos.masks > 0, photos.images, torch.ones(())), photos.cameras, photos.masks)
    fits = [
        detail(init, views, replace(CONFIG, steps=30), prior=prior, generator=torch.Generator().manual_seed(3))
        for views in (bright, photos)
    ]
    assert torch.equal(fits[0].gaussians.means, fits[1].gaussians.means)
    assert torch.equal(fits[0].gaussians.features, fits[1].gaussians.features)
    beyond = F.max_pool2d(photos.masks, 7, 1, 3) == 0  # three pixels from the object
    assert fits[0].render(photos.cameras).alpha[beyond].mean() < 0.002


def test_photos_without_masks_are_fitted_whole(init, photos):
    made = detail(init, photos.whole(), replace(CONFIG, steps=6), generator=torch.Generator().manual_seed(0))
    assert made.gaussians.means.isfinite().all()


def test_copies_of_photos_go_from_coarse_to_the_size_that_is_asked_for():
    images = torch.rand(2, 3, 60, 100)
    cameras = around(2, 100).cropped(0, 20, 60, 100)
    config = DetailConfig(photo_size=80, coarsest=20, steps=100, fine=0.5)
    levels = pyramid(Views(images, cameras), config)
    assert [level[0].images.shape[-1] for level in levels] == [20, 40, 80]
    assert [level_at(step, 3, config) for step in (0, 24, 25, 49, 50, 99)] == [0, 0, 1, 1, 2, 2]
    assert level_at(0, 1, config) == 0
    masks = torch.zeros(2, 1, 60, 100)
    masks[:, :, 20:40, 30:50] = 1
    cut = pyramid(Views(images, cameras, masks), replace(config, photo_size=100))[-1][0]
    height, width = cut.images.shape[-2:]
    assert 20 < height < 30 and 20 < width < 30 and cut.masks.sum() == 400
    point = CENTRE + torch.tensor([0.1, 0.2, RADIUS])
    whole, part = (camera.project(point[None])[0][0] for camera in (cameras[0], cut.cameras))
    torch.testing.assert_close(whole - part, torch.tensor([30.0 - (width - 20) / 2, 20.0 - (height - 20) / 2]))


def test_photos_of_no_size_are_refused():
    with pytest.raises(InputError, match="show nothing"):
        DetailConfig(photo_size=4)


def test_plain_renderers_show_baked_splats_as_antialiased_ones_show_the_others(fitted, photos):
    baked = GaussianAsset(without_antialiasing(fitted.gaussians, photos.cameras))
    wanted = fitted.render(photos.cameras)
    plain = GaussianAsset(fitted.gaussians).render(photos.cameras)
    assert psnr(baked.render(photos.cameras).image, wanted.image) > 30
    assert psnr(baked.render(photos.cameras).image, wanted.image) > psnr(plain.image, wanted.image) + 3


def test_harmonics_are_fitted_degree_by_degree_and_only_where_they_are_asked_for(init, photos, fitted):
    config = replace(CONFIG, steps=12, relocate_every=4, sh_degree=2)
    assert [degree_at(step, config) for step in range(12)] == [0] * 4 + [1] * 4 + [2] * 4
    made = detail(init, photos, config, generator=torch.Generator().manual_seed(0)).gaussians
    assert made.harmonics.shape[1:] == (8, 3) and made.harmonics[:, :3].any() and made.harmonics[:, 3:].any()
    assert fitted.gaussians.harmonics is None
    with pytest.raises(InputError, match="degrees from 0 to 3, not 4"):
        DetailConfig(sh_degree=4)


def test_a_ball_whose_colour_follows_the_eye_is_fitted_better_with_harmonics(init, photos):
    """Photos of three brightnesses from three sides: no colour of a splat is all three, one of degree 1 nearly is."""
    glossy = replace(photos, images=photos.images * torch.tensor([0.6, 0.8, 1.0])[:, None, None, None])
    losses = []
    for degree in (0, 1):
        config = replace(CONFIG, steps=60, sh_degree=degree, harmonic_share=1.0)
        made = detail(init, glossy, config, generator=torch.Generator().manual_seed(0))
        losses.append(psnr(made.render(photos.cameras).image, glossy.images))
    assert losses[1] > losses[0] + 0.5
