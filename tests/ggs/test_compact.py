"""Compaction: fewer splats that look the same."""

from dataclasses import replace

import torch
from ggs_rooms import painted, plane_depth, psnr, walk

from fewview.ggs.compact import areas, compact, merged
from fewview.ggs.scene_maps import splats_of_depth
from fewview.render.gaussians import Gaussians
from fewview.render.splatting import splat


def splats(n: int, generator, *, opacity: float = 0.8) -> Gaussians:
    draw = lambda *shape: torch.rand(*shape, generator=generator)
    quaternions = torch.nn.functional.normalize(draw(n, 4) - 0.5, dim=-1)
    return Gaussians(draw(n, 3) * 4, 0.05 + 0.1 * draw(n, 3), quaternions, torch.full((n,), opacity), draw(n, 3))


def test_splats_alone_in_their_cells_are_not_touched(generator):
    scene = splats(40, generator)
    one = merged(scene, 1e-4)
    assert all(torch.equal(getattr(one, name), tensor) for name, tensor in scene.tensors().items())


def test_twice_the_same_splat_is_one_that_blends_like_both(generator):
    scene = splats(30, generator, opacity=0.6)
    one = merged(Gaussians.cat([scene, scene]), 1e-4)
    assert len(one) == 30
    order, again = scene.means[:, 0].argsort(), one.means[:, 0].argsort()
    torch.testing.assert_close(one.means[again], scene.means[order], atol=1e-5, rtol=0)
    torch.testing.assert_close(one.covariances()[again], scene.covariances()[order], atol=1e-6, rtol=1e-4)
    torch.testing.assert_close(one.features[again], scene.features[order])
    torch.testing.assert_close(one.opacities, torch.full((30,), 1 - 0.4 * 0.4), atol=1e-4, rtol=0)


def test_the_one_has_the_moments_of_the_mixture():
    means = torch.tensor([[0.01, 0.02, 0.03], [0.05, 0.02, 0.03]])
    upright = torch.tensor([[1.0, 0, 0, 0]]).expand(2, 4)
    scales = torch.tensor([[0.1, 0.1, 0.1], [0.1, 0.1, 0.1]])
    colours = torch.tensor([[1.0, 0, 0], [0, 0, 1.0]])
    one = merged(Gaussians(means, scales, upright, torch.tensor([0.6, 0.2]), colours), 2.0)
    torch.testing.assert_close(one.means, torch.tensor([[0.02, 0.02, 0.03]]))
    expected = torch.diag(torch.tensor([0.01 + 0.75 * 0.01**2 + 0.25 * 0.03**2, 0.01, 0.01]))
    torch.testing.assert_close(one.covariances()[0], expected)
    torch.testing.assert_close(one.features, torch.tensor([[0.75, 0, 0.25]]))


def test_near_things_keep_finer_cells():
    """Two pairs, equally many deviations apart: both merge or neither, whatever their size."""
    for size in (0.01, 1.0):
        means = size * torch.tensor([[0.1, 0.1, 0.1], [0.3, 0.1, 0.1]])
        pair = Gaussians(
            means, torch.full((2, 3), size), torch.eye(4)[[0, 0]], torch.full((2,), 0.5), torch.zeros(2, 3)
        )
        assert len(merged(pair, 1.0)) == 1 and len(merged(pair, 0.05)) == 2


def test_a_wall_seen_twice_looks_the_same_in_half_the_splats():
    cameras = walk(1, 4, size=32)[0]
    views, depths = painted(cameras), plane_depth(cameras)
    once = splats_of_depth(views[:1], depths[:1])
    twice = Gaussians.cat([once, splats_of_depth(views, depths)])
    less = compact(twice, faint=0.005, edge=1.5, most=10**6)
    assert len(less) < 0.7 * len(twice)
    assert psnr(splat(less, cameras).image, splat(twice, cameras).image) > 40


def test_pruning_changes_no_pixel_by_more_than_what_went(generator):
    scene = splats(300, generator)
    scene = replace(scene, opacities=torch.rand(300, generator=generator) ** 4)
    cameras = walk(1, 3, size=24)[0]
    kept = compact(scene, faint=0.02, edge=0, most=10**6)
    assert 0.2 * len(scene) < len(kept) < 0.8 * len(scene)
    gone = scene[scene.opacities < 0.02]
    bound = splat(replace(gone, features=torch.ones(len(gone), 3)), cameras).alpha.max()
    assert (splat(kept, cameras).image - splat(scene, cameras).image).abs().max() < 2 * bound + 1e-3
    unseen = compact(scene, faint=1 / 255, edge=0, most=10**6)
    torch.testing.assert_close(splat(unseen, cameras).image, splat(scene, cameras).image, atol=1e-6, rtol=0)


def test_no_more_splats_than_allowed(generator):
    scene = splats(400, generator)
    assert len(compact(scene, faint=0.0, edge=0.5, most=100)) <= 100
    assert len(compact(scene, faint=0.0, edge=0, most=3)) == 3
    assert (areas(scene) > 0).all() and len(merged(scene[:0], 1.0)) == 0
