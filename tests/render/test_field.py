import math
from dataclasses import replace

import pytest
import torch

from fewview.cameras import Cameras
from fewview.config import from_json, to_json
from fewview.errors import InputError
from fewview.geometry.transforms import axis_angle, similarity
from fewview.render.asset import FieldAsset, FieldAssetConfig
from fewview.render.field import FieldConfig, InstantNGP, truncated_exp
from fewview.render.hashgrid import HashGridConfig
from fewview.render.mlp import MLP, mlp, mlp_torch
from fewview.render.occupancy import OccupancyConfig
from fewview.render.volume import RadianceField, VolumeConfig
from fewview.views import Asset

GRID = HashGridConfig(levels=4, finest=64, log2_table=10, init=0.5)
SMALL = FieldAssetConfig(
    ngp=FieldConfig(grid=GRID, hidden=16),
    volume=VolumeConfig(steps=64),
    occupancy=OccupancyConfig(resolution=16),
)


@pytest.mark.parametrize(("inputs", "hidden", "outputs"), [(32, 64, 4), (8, 12, 5), (16, 32, 1), (3, 70, 2)])
def test_the_fused_mlp_equals_its_twin_in_values_and_gradients(inputs, hidden, outputs, generator):
    net = MLP(inputs, hidden, outputs, generator=generator)
    x = torch.randn(5000, inputs, generator=generator)
    weights = torch.randn(5000, outputs, generator=generator) / 70
    weights[1000:4000] = 0  # the kernel skips points without gradient
    results = []
    for run in (mlp, mlp_torch):
        leaf = x.clone().requires_grad_()
        net.zero_grad()
        out = run(leaf, net.layers)
        out.backward(weights)
        results.append([out.detach(), leaf.grad, *(p.grad.clone() for p in net.parameters())])
    torch.testing.assert_close(results[0], results[1], atol=2e-4, rtol=1e-4)


def test_double_precision_takes_the_twin(generator):
    net = MLP(3, 6, 2, generator=generator).double()
    x = torch.randn(7, 3, generator=generator, dtype=torch.float64)
    assert torch.equal(net(x), mlp_torch(x, net.layers))


def test_the_density_starts_as_a_bump_at_the_origin(generator):
    config = FieldConfig(grid=replace(GRID, init=1e-4), log_density=-1.0)
    field = InstantNGP(config, generator=generator)
    points = torch.tensor([[0.0, 0, 0], [0.2, 0, 0], [2.0, 0, 0], [4.1, 0, 0]])
    log_density = field(points, torch.zeros_like(points))[0].log()
    bump = [5.0, 5 * math.exp(-0.5), 0.0]
    assert (log_density[:3] - log_density[2]).tolist() == pytest.approx(bump, abs=1e-2)
    assert log_density[3] == -math.inf  # outside the box


def test_colours_lie_between_0_and_1_and_ignore_the_direction(generator):
    field = InstantNGP(SMALL.ngp, generator=generator)
    points = torch.rand(50, 3, generator=generator)
    a, b = (field(points, torch.randn(50, 3, generator=generator))[1] for _ in range(2))
    assert torch.equal(a, b) and a.min() > 0 and a.max() < 1


def test_the_exponential_has_a_bounded_slope():
    x = torch.tensor([-3.0, 2.0, 20.0], requires_grad=True)
    y = truncated_exp(x)
    y.sum().backward()
    assert y.tolist() == pytest.approx([math.exp(v) for v in (-3, 2, 20)])
    assert x.grad.tolist() == pytest.approx([math.exp(v) for v in (-3, 2, 15)])


def test_every_parameter_is_in_one_group(generator):
    field = InstantNGP(SMALL.ngp, generator=generator)
    grid, net = field.parameter_groups(0.1, 0.01)
    assert (grid["lr"], net["lr"]) == (0.1, 0.01)
    assert {id(p) for p in grid["params"] + net["params"]} == {id(p) for p in field.parameters()}


def test_the_protocols_are_kept(generator):
    asset = FieldAsset(SMALL, generator=generator)
    assert isinstance(asset, Asset) and isinstance(asset.field, RadianceField)


def _cameras(size: int = 12) -> Cameras:
    centres = torch.tensor([[0.0, -1, -7], [6.0, 1, 2]])
    return Cameras.look_at(centres, torch.zeros(3), torch.tensor([0.0, -1, 0]), focal=14.0, height=size, width=size + 2)


def test_saving_and_loading_gives_the_same_asset(tmp_path, generator):
    asset = FieldAsset(SMALL, similarity(0.5, torch.tensor([0.1, 0.2, 0.3])), generator=generator)
    asset.occupancy.update(asset.field, generator=generator, everywhere=True)
    asset.save(tmp_path / "asset")
    loaded = FieldAsset.load(tmp_path / "asset")
    assert loaded.config == SMALL
    a, b = asset.render(_cameras()), loaded.render(_cameras())
    assert torch.equal(a.image, b.image) and torch.equal(a.depth, b.depth) and a.alpha.max() > 0.1


def test_a_folder_without_a_model_is_refused(tmp_path):
    with pytest.raises(InputError, match=r"config\.json does not exist"):
        FieldAsset.load(tmp_path)


def test_configs_survive_json_and_disagreeing_bounds_are_refused():
    for config in (SMALL, replace(SMALL, occupancy=None)):
        assert from_json(FieldAssetConfig, to_json(config)) == config
    with pytest.raises(ValueError, match="one bound"):
        replace(SMALL, volume=VolumeConfig(bound=2.0))


def test_a_world_similar_to_the_normalised_frame_shows_the_same_picture(generator):
    """Images agree, depths and densities scale, when world = 2.5 * rotation * norm + shift."""
    plain = FieldAsset(SMALL, generator=torch.Generator().manual_seed(0))
    world_from_norm = torch.eye(4)
    world_from_norm[:3, :3] = 2.5 * axis_angle(torch.tensor([0.6, 0.0, 0.8]), torch.tensor(0.7))
    world_from_norm[:3, 3] = torch.tensor([3.0, -1.0, 2.0])
    moved = FieldAsset(SMALL, torch.linalg.inv(world_from_norm), generator=torch.Generator().manual_seed(0))
    assert moved.scale == pytest.approx(0.4)
    a, b = plain.render(_cameras()), moved.render(_cameras().transformed(world_from_norm))
    torch.testing.assert_close(a.image, b.image, atol=2e-3, rtol=0)
    torch.testing.assert_close(2.5 * a.depth, b.depth, atol=2e-2, rtol=0)
    points = torch.rand(20, 3, generator=generator) - 0.5
    in_world = points @ world_from_norm[:3, :3].T + world_from_norm[:3, 3]
    torch.testing.assert_close(plain.density(points), 2.5 * moved.density(in_world), atol=1e-4, rtol=1e-3)


class _Half(torch.nn.Module):
    def forward(self, points, directions):
        return 100.0 * (points[:, 2] > 0), torch.ones_like(points)


def test_depth_is_measured_along_the_optical_axis(generator):
    """A field that is dense for z > 0 only shows a plane: its z-depth is the same at every pixel."""
    asset = FieldAsset(replace(SMALL, occupancy=None, volume=VolumeConfig(samples=400, importance=0)))
    asset.field = _Half()  # type: ignore[assignment]
    camera = Cameras.look_at(
        torch.tensor([0.5, 0.2, -6.0]),
        torch.tensor([0.5, 0.2, 0.0]),
        torch.tensor([0.0, -1, 0]),
        focal=16.0,
        height=9,
        width=9,
    )
    seen = asset.render(camera)
    torch.testing.assert_close(seen.depth, torch.full_like(seen.depth, 6.0), atol=0.04, rtol=0)


def test_pixels_without_a_ray_in_the_box_are_black(generator):
    away = Cameras.look_at(
        torch.tensor([[9.0, 0, 0]]), torch.tensor([20.0, 0, 0]), torch.tensor([0.0, 0, 1]), focal=8.0, height=3, width=3
    )
    seen = FieldAsset(SMALL, generator=generator).render(away)
    assert seen.image.abs().sum() == seen.alpha.sum() == seen.depth.sum() == 0


def test_a_scene_is_learnt_from_20_views(generator):
    """Unseen views of the balls are rendered with more than 28 dB and a depth that is right to a few percent."""
