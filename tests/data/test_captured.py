"""What a capture does to clean pictures."""

from dataclasses import fields

import pytest
import torch
from several import Balls

from fewview.cameras import Cameras
from fewview.data.captured import Capture, as_captured, blurred, moved_edge
from fewview.data.packed import pack
from fewview.geometry.transforms import normalise
from fewview.recipes.sparsefusion.training import Batching, batches
from fewview.views import Views

NONE = Capture(**{field.name: 0.0 for field in fields(Capture)})


@pytest.fixture
def views() -> Views:
    """Two scenes of two views: discs of a radius of 20 px with soft edges, half grey, on black."""
    centre = torch.linspace(-31.5, 31.5, 64)
    distance = (centre[:, None].square() + centre.square()).sqrt()
    masks = (20.5 - distance).clamp(0, 1).expand(2, 2, 1, 64, 64)
    eyes = normalise(torch.randn(2, 2, 3, generator=torch.Generator().manual_seed(0))) * 3
    cameras = Cameras.look_at(eyes, torch.zeros(3), torch.tensor([0, 0, 1.0]), focal=90, height=64, width=64)
    return Views(0.5 * masks.expand(2, 2, 3, 64, 64), cameras, masks)


def test_a_capture_without_errors_changes_nothing(views):
    same = as_captured(views, NONE, torch.Generator().manual_seed(1))
    assert (same.images - views.images).abs().mean() < 0.005  # but for the slope of an edge, which is set anew
    assert torch.allclose(same.cameras.world_from_cam, views.cameras.world_from_cam, atol=1e-6)


def test_exposure_and_white_balance_are_of_each_view_and_channel(views):
    seen = as_captured(views, Capture(0.1, 0.03, noise=0, defocus=0, edge=0, turn=0), torch.Generator().manual_seed(1))
    middle = seen.images[..., 32, 32]
    assert len(set(middle.flatten().tolist())) == middle.numel()
    assert 0.02 < (middle / 0.5).log().std() < 0.3


def test_noise_stays_on_the_object_and_is_as_strong_as_asked(views):
    seen = as_captured(views, Capture(0, 0, noise=0.04, defocus=0, edge=0, turn=0), torch.Generator().manual_seed(1))
    deviations = seen.images[..., 20:44, 20:44].std(dim=(-1, -2))
    assert 0 < deviations.max() < 0.05
    assert not bool(seen.images[..., :4, :].any())


def test_a_mask_moves_by_the_pixels_that_are_asked(views):
    areas = [moved_edge(views.masks, torch.full((2, 2, 1, 4, 4), far)).sum((-1, -2)) for far in (-2.0, 0.0, 2.0)]
    radii = torch.stack(areas).div(torch.pi).sqrt()
    assert torch.allclose(radii[1], torch.tensor(20.0), atol=0.2)
    assert torch.allclose(radii[2] - radii[1], torch.tensor(2.0), atol=0.3)
    assert torch.allclose(radii[1] - radii[0], torch.tensor(2.0), atol=0.3)


def test_what_a_wide_mask_takes_in_is_background(views):
    wide = Capture(0, 0, noise=0, defocus=0, edge=2.0, turn=0)
    seen = as_captured(views, wide, torch.Generator().manual_seed(3))
    rim = (views.masks == 0) & (seen.masks > 0.5)
    assert bool(rim.any()) and (seen.images * rim).max() > 0.1
    assert not bool((seen.images * (seen.masks == 0)).any())


def test_blur_keeps_a_constant_and_widens_a_point_by_its_variance():
    image = torch.zeros(1, 1, 1, 15, 15)
    image[..., 7, 7] = 1
    spread = blurred(image, torch.tensor([[0.8]]))[0, 0, 0]
    x = torch.arange(15.0) - 7
    assert spread.sum().item() == pytest.approx(1, abs=1e-5)
    assert (spread.sum(0) * x**2).sum().item() == pytest.approx(0.64, rel=0.02)
    assert torch.allclose(blurred(torch.full((2, 3, 9, 9), 0.3), torch.tensor([0.1, 0.9])), torch.tensor(0.3))


def test_cameras_go_astray_by_about_the_angle_that_is_asked_and_still_look_at_the_origin(views):
    seen = as_captured(views, Capture(turn=2.0), torch.Generator().manual_seed(1)).cameras
    cosines = (normalise(seen.centers) * normalise(views.cameras.centers)).sum(-1)
    degrees = torch.rad2deg(cosines.clamp(max=1).acos())
    assert 0.1 < degrees.max() < 8
    assert torch.allclose(seen.centers.norm(dim=-1), torch.tensor(3.0), atol=1e-4)
    assert torch.allclose((seen.forward * normalise(-seen.centers)).sum(-1), torch.tensor(1.0), atol=1e-5)


def test_the_same_generator_gives_the_same_capture(views):
    first, again = (as_captured(views, Capture(), torch.Generator().manual_seed(4)) for _ in range(2))
    assert torch.equal(first.images, again.images)


def test_as_many_batches_are_photographed_as_a_recipe_asks_and_queries_stay_clean():
    packed = pack([Balls()])

    def edges(captured: float) -> list[tuple[bool, bool]]:
        """Of thirty batches, whether masks of the context and of the queries are those of the set, to the bit."""
        draw = batches(packed, Batching(scenes=1, queries=1, max_context=2, captured=captured))
        kept = packed.views(torch.arange(16)).masks
        found = []
        for seed in range(30):
            pair = draw(torch.Generator().manual_seed(seed))
            found.append(tuple(bool((kept == v.masks[0, :1]).flatten(1).all(1).any()) for v in pair))
        return found

    assert edges(0.0) == [(True, True)] * 30
    assert edges(1.0) == [(False, True)] * 30
    assert 5 < sum(context for context, _ in edges(0.5)) < 25
