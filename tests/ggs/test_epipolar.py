import torch
from ggs_rooms import MICRO, lively, walk

from fewview.cameras import Cameras
from fewview.ggs.epipolar import (
    EpipolarAttention,
    EpipolarConfig,
    EpipolarTransformer,
    epipolar_lines,
    log_depths,
    other_views,
)

CONFIG = MICRO.epipolar


def test_other_views_leaves_out_the_own():
    assert other_views(3).tolist() == [[1, 2], [0, 2], [0, 1]]
    assert other_views(1).shape == (1, 0)


def test_depths_run_from_near_to_far_by_a_constant_factor():
    depths = log_depths(0.5, 8.0, torch.linspace(0, 1, 5))
    torch.testing.assert_close(depths, torch.tensor([0.5, 1.0, 2.0, 4.0, 8.0]))


def test_samples_of_a_cell_lie_on_its_epipolar_lines():
    cameras = walk(2, 3)
    lines = epipolar_lines(cameras, 4, 4, depths=torch.tensor([1.0, 2, 5, 9]))
    own = cameras.resized(4, 4).rays()
    for i, others in enumerate(other_views(3).tolist()):
        for s, j in enumerate(others):
            origin, _ = cameras[:, j].project(own.origins[:, i, 0, 0][:, None])
            ahead, _ = cameras[:, j].project((own.origins + own.directions)[:, i].flatten(1, 2))
            along = ahead - origin
            offset = lines.pixels[:, i, s] - ahead[:, :, None]
            cross = along[:, :, None, 0] * offset[..., 1] - along[:, :, None, 1] * offset[..., 0]
            assert (cross.abs() < 1e-2 * along.norm(dim=-1)[..., None] * offset.norm(dim=-1).clamp(min=1)).all()


def test_samples_are_projections_of_points_on_the_rays():
    cameras, depths = walk(1, 2), torch.tensor([1.5, 4.0])
    lines = epipolar_lines(cameras, 2, 2, depths=depths)
    rays = cameras[:, 0].resized(2, 2).rays()
    point = rays.origins[0, 1, 0] + rays.directions[0, 1, 0] * 4.0 / (rays.directions[0, 1, 0] @ cameras.forward[0, 0])
    pixel, depth = cameras[0, 1].project(point[None])
    torch.testing.assert_close(lines.pixels[0, 0, 0, 2, 1], pixel[0], atol=1e-3, rtol=0)
    torch.testing.assert_close(lines.depth[0, 0, 0, 2, 1], depth[0], atol=1e-4, rtol=0)


def test_attention_equals_projecting_every_sample(generator):
    layer = lively(EpipolarAttention(EpipolarConfig(dim=8, heads=2, octaves=1)))
    x, samples = torch.randn(1, 2, 3, 8, generator=generator), torch.randn(1, 2, 3, 1, 4, 8, generator=generator)
    seen, places = torch.rand(1, 2, 3, 1, 4, generator=generator) < 0.6, torch.randn(4, 3, generator=generator)
    own = layer.norm(x)
    tokens = torch.cat([own[..., None, :], (samples + layer.depth(places)).flatten(3, 4)], dim=-2)
    valid = torch.cat([torch.ones(1, 2, 3, 1, dtype=torch.bool), seen.flatten(3)], dim=-1)
    heads = []
    for e in range(2):
        query = layer.query(own)[..., 4 * e : 4 * e + 4]
        scores = (tokens @ layer.key[e].T @ query[..., None])[..., 0] / 2
        weights = scores.masked_fill(~valid, -torch.inf).softmax(-1)
        heads.append((weights[..., None] * (tokens @ layer.value[e].T)).sum(-2))
    torch.testing.assert_close(layer(x, samples, seen, places), layer.out(torch.cat(heads, dim=-1)))


def test_a_view_that_looks_away_says_nothing(generator):
    turned = walk(1, 2).world_from_cam.clone()
    turned[:, 1, :3, [0, 2]] *= -1  # looks back
    cameras = Cameras(turned, walk(1, 2).intrinsics, 16, 16)
    network = lively(EpipolarTransformer(4, CONFIG))
    features = torch.randn(1, 2, 4, 8, 8, generator=generator)
    changed = features.clone()
    changed[:, 1] += 1
    torch.testing.assert_close(network(features, cameras)[:, 0], network(changed, cameras)[:, 0])
    facing = walk(1, 2)
    assert (network(features, facing)[:, 0] - network(changed, facing)[:, 0]).abs().max() > 1e-3


def test_the_order_of_views_does_not_matter(generator):
    network, cameras, order = lively(EpipolarTransformer(4, CONFIG)), walk(2, 3), [2, 0, 1]
    features = torch.randn(2, 3, 4, 8, 8, generator=generator)
    permuted = network(features[:, order], cameras[:, order])
    torch.testing.assert_close(permuted, network(features, cameras)[:, order], atol=1e-4, rtol=1e-4)


def test_a_single_view_is_fine(generator):
    network = lively(EpipolarTransformer(4, CONFIG))
    out = network(torch.randn(2, 1, 4, 8, 8, generator=generator), walk(2, 1))
    assert out.shape == (2, 1, 16, 8, 8) and out.isfinite().all()
