import dataclasses
import math

import torch
from sparsefusion.test_distill import ASSET, COARSE, CONFIG, SIZE, Oracle, ball, evidence, ring, run, seeded

from fewview.render.occupancy import Occupancy, OccupancyConfig
from fewview.sparsefusion.distill import Evidence, _Run
from fewview.sparsefusion.hull import REOPEN_EVERY, Carving, visual_hull
from fewview.sparsefusion.method import SparseFusionConfig
from fewview.views import Views

GRID = OccupancyConfig(resolution=32)


def cells() -> torch.Tensor:
    middle = (torch.arange(32) + 0.5) / 32 * 8 - 4
    return torch.stack(torch.meshgrid(middle, middle, middle, indexing="ij"), -1)


def black_below(views: Views) -> Views:
    """Views of the ball whose lower half has no light: its mask is where it is bright, as `thesis` guesses masks."""
    rays = views.cameras.rays()
    along = -(rays.origins * rays.directions).sum(-1)
    gap = (1.5**2 - (rays.origins.square().sum(-1) - along.square())).clamp(min=0)
    height = (rays.origins + (along - gap.sqrt())[..., None] * rays.directions)[..., 2]
    images = views.images * (height > 0)[..., None, :, :]
    return Views(images, views.cameras, (images.mean(-3, keepdim=True) > 0.1).float())


def lower() -> torch.Tensor:
    """Cells of the ball's black half, so low that no widened mask of an imagined view covers them."""
    return (cells().norm(dim=-1) < 1.4) & (cells()[..., 2] < -1.0)


def test_a_black_half_of_the_ball_is_not_carved_by_imagined_views():
    """The photos' masks hold the ball whole; the masks of imagined views, guessed from brightness, its upper half."""
    photos, queries = ball(ring(torch.tensor([0.0, 1.5]))), ring(torch.arange(8) * math.pi / 4)
    config = SparseFusionConfig.preset("quality").distill
    config = dataclasses.replace(config, asset=dataclasses.replace(ASSET, ngp=config.asset.ngp), occupancy_every=1)
    one = _Run(Oracle(), Evidence(photos, photos, queries, black_below(ball(queries))), config, seeded(), None)
    assert not one.occupancy.occupied[lower()].any()  # the guess: not sampled at first
    opened = torch.zeros_like(lower())
    for step in range(1, 2 * REOPEN_EVERY + 1):
        one.occupancy.update(one.field, generator=seeded())
        one.carving.apply(step)
        opened |= one.occupancy.occupied
    assert opened[lower()].all()
    assert not opened[~visual_hull(photos, one.occupancy)].any()


def test_distilling_grows_the_black_half_that_photos_and_prior_show():
    photos, queries = ball(ring(torch.tensor([0.0, 1.5]))), ring(torch.arange(8) * math.pi / 4)
    config = dataclasses.replace(CONFIG, steps=160, occupancy_every=4, asset=COARSE)
    one = _Run(Oracle(), Evidence(photos, photos, queries, black_below(ball(queries))), config, seeded(), None)
    while one.step < config.steps:
        one.advance()
    below = ring(torch.tensor([0.7]), height=-3.0)
    covered = one.asset.render(below).alpha[ball(below).masks > 0.9]
    assert covered.mean() > 0.9


def test_the_thesis_presets_carve_nothing():
    for name in ("thesis", "release"):
        assert SparseFusionConfig.preset(name).distill.asset.occupancy is None


def test_visual_hull_holds_the_ball_and_not_the_corners():
    hull = visual_hull(evidence(3).photos, run(CONFIG).occupancy)
    assert hull is not None
    assert hull[cells().norm(dim=-1) < 1.5].all()
    assert not hull[cells().norm(dim=-1) > 4].any()


def test_a_photo_that_cuts_the_object_does_not_carve_what_it_cannot_see():
    photos = evidence(1).photos
    cut = Views(photos.images, photos.cameras, torch.ones_like(photos.masks))
    hull = visual_hull(cut, run(CONFIG).occupancy)
    assert hull is not None and hull.all()


def test_what_photos_exclude_is_never_sampled_and_without_masks_all_is():
    grid = Occupancy(GRID)
    carving = Carving(grid, evidence(2).photos, evidence(2).first)
    outside = ~visual_hull(evidence(2).photos, grid)
    assert outside.any() and not grid.occupied[outside].any()
    grid.upper.fill_(9.0)
    carving.apply(REOPEN_EVERY)
    assert not grid.occupied[outside].any() and grid.occupied[~outside].all()
    free = Occupancy(GRID)
    Carving(free, Views(torch.zeros(1, 3, SIZE, SIZE), ring(torch.zeros(1))), evidence(1).first)
    assert free.occupied.all()
