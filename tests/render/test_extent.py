"""Where splats are: a cube of side 2 keeps its frame whatever strays around it."""

import math

import pytest
import torch

from fewview.render.extent import ball, box, core
from fewview.render.gaussians import Gaussians


def cloud(places: torch.Tensor, opacity: float = 0.98, scale: float = 0.06) -> Gaussians:
    count = len(places)
    turns = torch.tensor([1.0, 0, 0, 0]).expand(count, 4)
    return Gaussians(places, torch.full((count, 3), scale), turns, torch.full((count,), opacity), torch.ones(count, 3))


def cube(count: int = 1500) -> Gaussians:
    return cloud(torch.rand(count, 3, generator=torch.Generator().manual_seed(0)) * 2 - 1)


def shell(count: int, radius: float, opacity: float = 0.98, scale: float = 0.06) -> Gaussians:
    ways = torch.randn(count, 3, generator=torch.Generator().manual_seed(1))
    return cloud(radius * ways / ways.norm(dim=-1, keepdim=True), opacity, scale)


def joined(*parts: Gaussians) -> Gaussians:
    return Gaussians(*(torch.cat(tensors) for tensors in zip(*(part.tensors().values() for part in parts))))


STRAYS = {
    "none": lambda: cube(),
    "eight far ones": lambda: joined(cube(), shell(8, 1e4)),
    "1.3 %, far": lambda: joined(cube(), shell(20, 1e3)),
    "1.3 %, beyond all": lambda: joined(cube(), shell(20, 1e7)),
    "5 % as a sky": lambda: joined(cube(), shell(79, 30)),
    "5 % as a sky of huge splats": lambda: joined(cube(), shell(79, 30, scale=5.0)),
    "a third as a sky": lambda: joined(cube(), shell(700, 60)),
    "a few gigantic ones": lambda: joined(cube(), shell(5, 50, scale=40.0)),
    "fog all around": lambda: joined(cube(), shell(3000, 20, opacity=0.018)),
    "strays on one side": lambda: joined(cube(), cloud(torch.tensor([[300.0, 0, 0]]).repeat(60, 1))),
    "strays at two distances": lambda: joined(cube(), shell(30, 40), shell(30, 4000)),
}


@pytest.mark.parametrize("case", STRAYS)
def test_strays_and_skies_do_not_stretch_the_ball(case):
    """The cube's corners are at sqrt(3) = 1.73; without strays the ball has 1.63 (99 %)."""
    centre, radius = ball(STRAYS[case]())
    assert centre.norm() < 0.1
    assert 1.5 < radius < 1.9


@pytest.mark.parametrize("scale", [1e-3, 1e3])
def test_the_frame_goes_with_the_unit(scale):
    parts = joined(cube(), shell(79, 30))
    scaled = Gaussians(parts.means * scale, parts.scales * scale, parts.quaternions, parts.opacities, parts.features)
    assert ball(scaled)[1] / ball(parts)[1] == pytest.approx(scale, rel=1e-5)


def test_two_things_side_by_side_both_count():
    pair = joined(cube(), Gaussians(cube().means + 6, *list(cube().tensors().values())[1:]))
    centre, radius = ball(pair)
    assert centre.tolist() == pytest.approx([3, 3, 3], abs=0.2)
    assert radius > 3 * math.sqrt(3)


def test_a_plane_around_an_object_counts_to_its_end():
    """A ground of side 10 whose mass is even with the object's: its corners are at 7.07."""
    sides = torch.rand(1500, 3, generator=torch.Generator().manual_seed(2)) * 10 - 5
    ground = cloud(sides * torch.tensor([1.0, 0, 1]))
    assert ball(joined(cube(), ground))[1] > 6


@pytest.mark.parametrize("count", [1, 2, 3])
def test_few_splats_have_a_ball(count):
    centre, radius = ball(cube()[:count])
    assert bool(centre.isfinite().all()) and radius > 0


def test_splats_of_no_size_and_no_opacity_have_a_ball():
    nothing = cloud(cube().means, opacity=0.0, scale=0.0)
    assert bool(core(nothing).any()) and ball(nothing)[1] > 0


def test_a_box_leaves_out_a_share_at_each_end():
    low, high = box(torch.arange(101.0)[:, None].expand(101, 3), 0.05)
    assert low.tolist() == [5] * 3 and high.tolist() == [95] * 3
