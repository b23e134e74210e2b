import dataclasses

import torch

from fewview.cameras import Cameras
from fewview.priors import IdentityCodec
from fewview.render.asset import FieldAssetConfig
from fewview.render.field import FieldConfig
from fewview.render.hashgrid import HashGridConfig
from fewview.render.volume import VolumeConfig
from fewview.sparsefusion.distill import DistillConfig, Evidence, _Run
from fewview.states import StepFolder
from fewview.views import Views

SIZE = 16
CONFIG = DistillConfig(
    asset=FieldAssetConfig(
        ngp=FieldConfig(grid=HashGridConfig(levels=2, finest=16, log2_table=10, kind="hash"), blob=1.0, blob_std=1.0),
        volume=VolumeConfig(steps=16),
        occupancy=None,
    ),
    steps=6,
    pseudo_weight=0.0,
    render_size=SIZE,
    input_rays=64,
    perceptual_weight=0.0,
)


class NoPrior:
    codec = IdentityCodec()

    def condition(self, context, targets):
        raise AssertionError("photos alone ask no prior")


def run(config: DistillConfig) -> _Run:
    eyes = torch.tensor([[0.0, 0.0, 5.0], [2.0, 0.0, 4.0]])
    cameras = Cameras.look_at(eyes, torch.zeros(3), torch.tensor([0.0, 1, 0]), focal=20.0, height=SIZE, width=SIZE)
    images = torch.rand(2, 3, SIZE, SIZE, generator=torch.Generator().manual_seed(1))
    photos = Views(images, cameras)
    seen = Evidence(photos, photos, cameras[:0], Views(torch.zeros(0, 3, 1, 1), cameras[:0]))
    return _Run(NoPrior(), seen, config, torch.Generator().manual_seed(0), None)


def test_cameras_move_only_when_asked_to_and_the_first_never():
    refined, trusting = run(dataclasses.replace(CONFIG, pose_rate=1e-3)), run(CONFIG)
    for _ in range(4):
        refined.advance()
        trusting.advance()
    assert (trusting.moves == 0).all() and not trusting.moves.requires_grad
    assert (refined.moves[0] == 0).all() and (refined.moves[1] != 0).all()
    assert refined.moves.abs().max() < 5e-3


def test_a_turn_of_the_camera_turns_its_rays_and_a_shift_moves_them():
    refined = run(dataclasses.replace(CONFIG, pose_rate=1e-3))
    rays = refined.photo_rays[1].flatten()
    with torch.no_grad():
        refined.moves[1] = torch.tensor([0.0, 0.01, 0.0, 1.0, 2.0, 3.0])
    moved = refined.moved(rays, 1)
    assert torch.allclose(moved.origins - rays.origins, torch.tensor([1.0, 2, 3]).expand_as(rays.origins), atol=1e-5)
    flat = torch.nn.functional.normalize(rays.directions * torch.tensor([1.0, 0, 1]), dim=-1)
    turned = torch.nn.functional.normalize(moved.directions * torch.tensor([1.0, 0, 1]), dim=-1)
    angle = torch.asin(torch.linalg.cross(flat, turned)[:, 1])
    assert torch.allclose(angle, torch.full_like(angle, 0.01), atol=1e-4)
    assert refined.moved(rays, 0) is rays


def test_a_stopped_refinement_goes_on_where_it_was(tmp_path):
    config = dataclasses.replace(CONFIG, pose_rate=1e-3)
    whole, part = run(config), run(config)
    for _ in range(4):
        whole.advance()
    for _ in range(2):
        part.advance()
    part.save(StepFolder(tmp_path))
    resumed = run(config)
    resumed.restore(StepFolder(tmp_path))
    for _ in range(2):
        resumed.advance()
    assert torch.equal(resumed.moves, whole.moves)
