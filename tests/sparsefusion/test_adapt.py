from dataclasses import replace

import pytest
import torch
from torch import nn
from worlds import smallest

from fewview.cameras import Cameras
from fewview.sparsefusion.adapt import FEWEST, AdaptConfig, adapted, small_parameters
from fewview.sparsefusion.method import SparseFusionConfig, SparseFusionMethod, prepare
from fewview.sparsefusion.vldm import VLDM, colour_loss
from fewview.views import Views


@pytest.fixture(scope="module")
def model() -> VLDM:
    torch.manual_seed(0)
    return VLDM(smallest()).eval().requires_grad_(False)


def photos(count: int) -> Views:
    """Views of a scene of one colour, which any network can learn."""
    size = smallest().size
    angles = torch.arange(count) * 0.5
    centers = torch.stack([6 * angles.sin(), torch.zeros(count), 6 * angles.cos()], -1)
    up = torch.tensor([0.0, -1.0, 0.0])
    cameras = Cameras.look_at(centers, torch.zeros(3), up, focal=1.2 * size, height=size, width=size)
    images = torch.tensor([0.8, 0.3, 0.1])[:, None, None].expand(count, 3, size, size)
    return Views(images, cameras, torch.ones(count, 1, size, size))


def loss(model: VLDM, views: Views) -> float:
    with torch.no_grad():
        generator = torch.Generator().manual_seed(9)
        return float(colour_loss(model.eft, views[1:][None], views[:1][None], rays=32, generator=generator))


def test_photos_are_better_predicted_from_the_others_afterwards(model):
    views = photos(3)
    config = AdaptConfig(steps=4, rate=3e-2, rays=16)
    found = adapted(model, views, config, generator=torch.Generator().manual_seed(0))
    assert loss(found, views) < 0.8 * loss(model, views)


def test_nothing_but_biases_and_gains_changes_and_the_model_stays(model):
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    config = AdaptConfig(steps=1, rays=16)
    found = adapted(model, photos(3), config, generator=torch.Generator().manual_seed(0))
    assert all(torch.equal(tensor, before[name]) for name, tensor in model.state_dict().items())
    moved = {name for name, tensor in found.state_dict().items() if not torch.equal(tensor, before[name])}
    assert moved and all(name.startswith("eft.") for name in moved)
    assert all(found.state_dict()[name].ndim == 1 for name in moved)
    assert not any(p.requires_grad for p in found.parameters()) and not found.training


def test_small_parameters_are_each_bias_and_gain_once():
    network = nn.Sequential(nn.Linear(3, 4), nn.LayerNorm(4), nn.Conv2d(1, 2, 3, bias=False), nn.BatchNorm2d(2))
    found = small_parameters(network)
    assert sorted(p.numel() for p in found) == [2, 2, 4, 4, 4] and len({id(p) for p in found}) == len(found)


def test_two_photos_are_refused(model):
    with pytest.raises(ValueError, match="3 photos or more predict each other, not 2"):
        adapted(model, photos(FEWEST - 1), AdaptConfig(steps=5), generator=torch.Generator())


@pytest.mark.parametrize(("count", "steps", "learns"), [(3, 2, True), (2, 2, False), (3, 0, False)])
def test_the_method_learns_photos_where_it_is_told_to_and_where_there_are_three(model, count, steps, learns):
    method = SparseFusionMethod(model, SparseFusionConfig(adapt=AdaptConfig(steps=steps, rays=16)))
    prepared = prepare(photos(count), model.config)
    told = []
    found = method.fitted(prepared, torch.Generator().manual_seed(0), lambda stage, share: told.append((stage, share)))
    assert (found is not method) == learns and found.config == method.config
    assert told == ([("learning the photos", share) for share in (0.0, 0.5, 1.0)] if learns else [])


def test_the_same_generator_gives_the_same_network(model):
    config = AdaptConfig(steps=1, rays=16)
    a, b = (adapted(model, photos(3), config, generator=torch.Generator().manual_seed(1)) for _ in range(2))
    c = adapted(model, photos(3), replace(config, rate=2e-3), generator=torch.Generator().manual_seed(1))
    states = [m.state_dict() for m in (a, b, c)]
    assert all(torch.equal(states[1][name], tensor) for name, tensor in states[0].items())
    assert not all(torch.equal(states[2][name], tensor) for name, tensor in states[0].items())
