"""Which photos a prior is shown of many."""

import math

import torch

from fewview.sparsefusion.context import nearest_and_spread, suited
from fewview.views import Views
from tests.worlds import ring


def directions(*degrees: float) -> torch.Tensor:
    angles = torch.tensor(degrees) * math.pi / 180
    return torch.stack([angles.cos(), angles.sin(), torch.zeros_like(angles)], dim=-1)


def test_half_are_the_nearest_and_the_others_the_farthest_from_those():
    around = directions(0, 10, 20, 30, 100, 190, 280)
    towards = directions(12)[0]
    assert nearest_and_spread(around, towards, 2).tolist() == [1, 5]  # 190 is opposite of 10
    assert nearest_and_spread(around, towards, 4).tolist() == [1, 2, 5, 6]
    assert nearest_and_spread(around, towards, 6).tolist() == [0, 1, 2, 4, 5, 6]


def test_few_photos_are_all_shown_and_many_are_not():
    cameras = ring(9, 8)
    views = Views(torch.arange(9.0).div(9)[:, None, None, None].expand(9, 3, 8, 8), cameras)
    assert suited(views, cameras[4], 9) is views
    shown = suited(views, cameras[4], 3)
    assert len(shown) == 3 and bool((shown.images == views.images[4]).flatten(1).all(1).any())
    assert torch.equal(shown.images[:, 0, 0, 0].sort().values, shown.images[:, 0, 0, 0])  # in their order
