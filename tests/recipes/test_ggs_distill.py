from dataclasses import replace

import pytest
import torch
from ggs_rooms import MICRO, lively, painted, similarity_of, walk

from fewview.errors import InputError
from fewview.ggs.model import GGS
from fewview.recipes.ggs.distill import DistilledGGS, GGSDistillConfig, box_from_world, room_distill
from fewview.render.asset import FieldAsset, FieldAssetConfig
from fewview.render.field import FieldConfig
from fewview.render.hashgrid import HashGridConfig
from fewview.render.occupancy import OccupancyConfig
from fewview.render.volume import VolumeConfig
from fewview.sparsefusion.distill import DistillConfig
from fewview.views import Views

ASSET = FieldAssetConfig(
    ngp=FieldConfig(grid=HashGridConfig(levels=4, finest=32, log2_table=10), log_density=-1.0),
    volume=VolumeConfig(steps=24),
    occupancy=OccupancyConfig(resolution=8),
)
QUICK = DistillConfig(
    steps=6, bootstrap_steps=3, render_size=16, sampler="ddim", max_evaluations=2, perceptual_weight=0.0, input_rays=64,
    grid_rate=1e-2, mlp_rate=2e-3, asset=ASSET,
)  # fmt: skip
CONFIG = GGSDistillConfig(room_distill(QUICK), between=1)


class Spied(GGS):
    """Remembers how many targets each condition has."""

    def condition(self, context, targets, *, scene=None):
        self.__dict__.setdefault("asked", []).append((len(context), len(targets)))
        return super().condition(context, targets, scene=scene)


@pytest.fixture
def spied() -> Spied:
    model = Spied(MICRO)
    lively(model)
    return model


def _given(seed=0):
    cameras = walk(1, 5, seed=seed)[0]
    return painted(cameras[:2]), cameras[2:]


def test_ggs_is_a_prior_that_the_distillation_asks_for_one_view_at_a_time(spied):
    views, path = _given()
    asset = DistilledGGS(spied, CONFIG).reconstruct(views, path=path, generator=torch.Generator().manual_seed(0))
    assert isinstance(asset, FieldAsset) and spied.asked[0] == (2, 3)
    assert len(spied.asked) > 1 and set(spied.asked[1:]) == {(2, 1)}
    seen = asset.render(path)
    assert seen.image.shape == (3, 3, 16, 16) and seen.image.isfinite().all() and (seen.depth >= 0).all()


def test_the_photos_are_learnt_in_their_own_world(spied):
    """More steps bring renders at the photos' cameras closer to them, in a moved, turned and scaled world too."""
    views, path = _given()
    world = similarity_of(2.5)
    moved = Views(views.images, views.cameras.transformed(world))
    errors = []
    for steps in (2, 60):
        config = replace(CONFIG, distill=replace(CONFIG.distill, steps=steps, bootstrap_steps=steps, pseudo_weight=0.0))
        method = DistilledGGS(spied, config)
        asset = method.reconstruct(moved, path=path.transformed(world), generator=torch.Generator().manual_seed(0))
        errors.append((asset.render(moved.cameras).image - views.images).abs().mean().item())
    assert errors[1] < 0.5 * errors[0] and errors[1] < 0.12


def test_the_same_seed_gives_the_same_field_and_an_automatic_path_is_found(spied):
    views, _ = _given()
    method = DistilledGGS(spied, replace(CONFIG, frames=3))
    one, two, other = (
        method.reconstruct(views, generator=torch.Generator().manual_seed(seed)).state_dict() for seed in (0, 0, 1)
    )
    assert all(torch.equal(one[name], two[name]) for name in one)
    assert any(not torch.equal(one[name], other[name]) for name in one)


def test_the_box_holds_what_the_splats_show_with_the_cameras_in_the_middle(spied):
    views, path = _given()
    scene = DistilledGGS(spied, CONFIG).mean_scene(views, path, torch.Generator().manual_seed(0))
    norm = box_from_world(scene, views.cameras, 4.0)
    centre = views.cameras.transformed(norm).centers.mean(0)
    torch.testing.assert_close(centre, torch.zeros(3), atol=1e-5, rtol=0)
    distances = scene.transformed(norm).gaussians.means.norm(dim=-1)
    assert (distances <= 3.61).float().mean() > 0.9


def test_a_room_has_no_bump_of_density_and_weights_without_splats_are_refused():
    config = GGSDistillConfig.preset("fast").distill
    assert config.asset.ngp.blob == 0 and config.opacity_weight == 0 and config.coverage_weight == 0
    views, path = _given()
    with pytest.raises(InputError, match="no_3d"):
        DistilledGGS(GGS(replace(MICRO, no_3d=True))).reconstruct(views, path=path)
