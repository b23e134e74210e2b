import math

import pytest
import torch

from fewview.cameras import Rays
from fewview.geometry.transforms import normalise
from fewview.render.sampling import Samples, importance_edges, near_far, pack, uniform_edges
from fewview.render.volume import VolumeConfig, composite, composite_torch, render_rays

UNIFORM = VolumeConfig(samples=64, importance=0)


def _slab(low: float, high: float, density: float, colour=(1.0, 0.5, 0.25)):
    """Constant density for low <= x <= high, one colour everywhere."""

    def field(points, directions):
        inside = (points[:, 0] >= low) & (points[:, 0] <= high)
        return inside * density, points.new_tensor(colour).expand(len(points), 3)

    return field


def _along_x(n: int = 1, start: float = -6.0) -> Rays:
    return Rays(torch.tensor([[start, 0.1, 0.2]]).repeat(n, 1), torch.tensor([[1.0, 0.0, 0.0]]).repeat(n, 1))


def _ragged(generator: torch.Generator, rays: int = 40) -> tuple[torch.Tensor, torch.Tensor, Samples]:
    counts = torch.randint(0, 9, (rays,), generator=generator)
    counts[0] = counts[7] = counts[-1] = 0
    n = int(counts.sum())
    offsets = torch.cat([torch.zeros(1, dtype=torch.long), counts.cumsum(0)])
    samples = Samples(torch.rand(n, generator=generator), 0.2 + torch.rand(n, generator=generator), offsets)
    density = 3 * torch.rand(n, generator=generator)
    density[samples.rays == 3] = 40.0  # an opaque ray: the transmittance falls below the cut
    return density, torch.rand(n, 3, generator=generator), samples


def test_a_constant_density_absorbs_as_beer_and_lambert_say(generator):
    for density in (0.05, 0.3, 1.0):
        for jitter in (None, generator):
            seen = render_rays(_slab(-9, 9, density), _along_x(), UNIFORM, generator=jitter)
            expected = 1 - math.exp(-density * 8)
            assert seen.alpha.item() == pytest.approx(expected, abs=2e-4)
            assert seen.features[0].tolist() == pytest.approx([expected, expected / 2, expected / 4], abs=2e-4)


def test_importance_samples_leave_the_closed_form_alone(generator):
    config = VolumeConfig(samples=16, importance=48)
    seen = render_rays(_slab(-9, 9, 0.3), _along_x(), config, generator=generator)
    assert seen.alpha.item() == pytest.approx(1 - math.exp(-2.4), abs=1e-5)
    assert len(seen.weights) == 64


def test_importance_samples_find_the_edge_of_a_slab():
    coarse, fine = VolumeConfig(samples=16, importance=0), VolumeConfig(samples=16, importance=48)
    errors = [abs(render_rays(_slab(0.6, 3, 30.0), _along_x(), c).distance.item() - 6.6) for c in (coarse, fine)]
    assert errors[1] < 0.05 < errors[0]


def test_a_thin_dense_slab_is_seen_at_its_distance():
    seen = render_rays(_slab(1.0, 1.2, 200.0), _along_x(), VolumeConfig(samples=400, importance=0))
    assert seen.distance.item() == pytest.approx(7.0, abs=0.03)
    assert seen.alpha.item() == pytest.approx(1.0, abs=1e-3)


def test_the_mean_distance_in_a_fog_follows_the_exponential_law():
    rate, length = 0.5, 8.0  # E[t | t < L] of an exponential variable
    expected = 2 + 1 / rate - length * math.exp(-rate * length) / (1 - math.exp(-rate * length))
    seen = render_rays(_slab(-9, 9, rate), _along_x(), VolumeConfig(samples=2000, importance=0))
    assert seen.distance.item() == pytest.approx(expected, abs=1e-3)


def test_what_is_in_front_covers_what_is_behind():
    samples = Samples(torch.tensor([1.0, 2.0]), torch.tensor([0.5, 2.0]), torch.tensor([0, 2]))
    density, colours = torch.tensor([2.0, 0.7]), torch.eye(3)[:2]
    first, second = 1 - math.exp(-1.0), 1 - math.exp(-1.4)
    blended, alpha, distance, weights = composite(density, colours, samples)
    assert weights.tolist() == pytest.approx([first, (1 - first) * second])
    assert blended[0].tolist() == pytest.approx([first, (1 - first) * second, 0])
    assert alpha.item() == pytest.approx(1 - math.exp(-2.4))
    assert distance.item() == pytest.approx((first + 2 * (1 - first) * second) / alpha.item())


def test_kernels_equal_their_twin_in_values_and_gradients(generator):
    density, features, samples = _ragged(generator)
    weights = [torch.randn(shape, generator=generator) for shape in ((40, 3), (40,), (40,), (len(density),))]
    results = []
    for blend in (composite, composite_torch):
        leaves = density.clone().requires_grad_(), features.clone().requires_grad_()
        out = blend(*leaves, samples)
        torch.autograd.backward(out, weights)
        results.append([*(o.detach() for o in out), *(leaf.grad for leaf in leaves)])
    torch.testing.assert_close(results[0], results[1], atol=2e-5, rtol=2e-5)


def test_gradients_of_compositing_are_right(generator):
    density, features, samples = _ragged(generator, rays=9)
    samples = Samples(samples.distances.double(), samples.lengths.double(), samples.offsets)
    density = density.double().clamp(0.1, 2).requires_grad_()
    features = features.double().requires_grad_()
    assert torch.autograd.gradcheck(lambda d, f: composite(d, f, samples), (density, features))


def test_rays_without_samples_are_black_and_empty(generator):
    density, features, samples = _ragged(generator)
    blended, alpha, distance, _ = composite(density, features, samples)
    for ray in (0, 7, 39):
        assert blended[ray].abs().sum() == alpha[ray] == distance[ray] == 0


def test_rays_that_miss_the_box_have_no_samples():
    rays = Rays(torch.tensor([[-6.0, 9, 0], [-6.0, 0, 0], [6.0, 0, 0]]), torch.tensor([[1.0, 0, 0]]).repeat(3, 1))
    seen = render_rays(_slab(-9, 9, 1.0), rays, UNIFORM)
    assert seen.samples.offsets.tolist() == [0, 0, 64, 64]
    assert seen.alpha.tolist() == pytest.approx([0, 1, 0], abs=1e-3)


def test_rays_enter_and_leave_a_box_where_they_should(generator):
    box = torch.tensor([[-1.0, -2, -3], [1, 2, 3]])
    inside = torch.rand(100, 3, generator=generator) * (box[1] - box[0]) + box[0]
    directions = normalise(torch.randn(100, 3, generator=generator))
    near, far = near_far(Rays(inside - 20 * directions, directions), box, 0.1)
    for t in (near, far):
        on = (inside + (t - 20)[:, None] * directions).abs() / box[1]
        torch.testing.assert_close(on.amax(dim=-1), torch.ones(100), atol=1e-4, rtol=0)
    assert (near < 20).all() and (far > 20).all()


def test_a_ray_from_inside_starts_at_the_least_distance():
    near, far = near_far(_along_x(start=0.0), torch.tensor([[-4.0] * 3, [4.0] * 3]), 0.1)
    assert near.item() == pytest.approx(0.1) and far.item() == pytest.approx(4.0)


def test_importance_edges_follow_the_weights(generator):
    edges = torch.tensor([0.0, 1.0, 3.0, 4.0]).repeat(2, 1)
    weights = torch.tensor([[1.0, 3.0, 0.0], [0.0, 0.0, 1.0]])
    new = importance_edges(edges, weights, 4000, generator=generator)
    assert (new[0] < 1).float().mean().item() == pytest.approx(0.25, abs=1e-3)
    assert ((new[0] > 1) & (new[0] < 2)).float().mean().item() == pytest.approx(0.375, abs=1e-3)
    assert (new[1] >= 3).float().mean().item() == pytest.approx(1, abs=1e-3) and new.max() <= 4
    assert (new.diff(dim=1) >= 0).all()  # ranks ascend, and so do their places


def test_samples_lie_in_their_intervals_and_repeat_with_the_seed():
    near, far = torch.tensor([1.0, 2.0]), torch.tensor([3.0, 5.0])
    edges = uniform_edges(near, far, 10)
    both = torch.ones(2, dtype=torch.bool)
    runs = [pack(edges, both, torch.Generator().manual_seed(3)).distances.view(2, 10) for _ in range(2)]
    assert torch.equal(*runs)
    assert ((runs[0] >= edges[:, :-1]) & (runs[0] <= edges[:, 1:])).all()
    middles = pack(edges, both, None).distances.view(2, 10)
    torch.testing.assert_close(middles, (edges[:, 1:] + edges[:, :-1]) / 2)
