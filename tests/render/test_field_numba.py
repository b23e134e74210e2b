import pytest
import torch

from fewview.cameras import Rays
from fewview.geometry.transforms import normalise
from fewview.render.field import FieldConfig, InstantNGP
from fewview.render.hashgrid import HashGridConfig
from fewview.render.occupancy import Occupancy, OccupancyConfig
from fewview.render.sampling import Samples
from fewview.render.volume import VolumeConfig, composite, render_rays, shade

KINDS = {
    "hash": FieldConfig(HashGridConfig(levels=3, base=4, finest=20, log2_table=9, kind="hash", init=0.5), hidden=16),
    "tiled": FieldConfig(HashGridConfig(levels=5, base=3, finest=9, log2_table=8, init=0.5), hidden=64, blob_std=1.0),
}


def _rays(generator: torch.Generator, count: int = 300) -> Rays:
    """From all around, some of them past the box."""
    origins = 7 * normalise(torch.randn(count, 3, generator=generator))
    return Rays(origins, normalise(-origins + 2 * torch.randn(count, 3, generator=generator)))


def _seen(field: InstantNGP, rays: Rays, samples: Samples, *, fused: bool) -> list[torch.Tensor]:
    """Colour, alpha, distance and weights of rays, and the gradients of the field's parameters."""
    from fewview.render.field_numba import shaded

    field.zero_grad()
    out = (shaded if fused else shade)(field, rays, samples)
    generator = torch.Generator().manual_seed(9)
    gradients = [torch.randn(part.shape, generator=generator) for part in out]
    gradients[0][::3] = gradients[1][::3] = gradients[2][::3] = 0
    torch.autograd.backward(out, gradients)
    return [*(part.detach() for part in out), *(p.grad.clone() for p in field.parameters())]  # type: ignore[union-attr]


@pytest.mark.parametrize("kind", KINDS)
def test_one_pass_equals_its_parts_in_values_and_gradients(kind, generator):
    field, rays = InstantNGP(KINDS[kind], generator=generator), _rays(generator)
    samples = render_rays(field, rays, VolumeConfig(samples=40, importance=0), generator=generator).samples
    fused, parts = (_seen(field, rays, samples, fused=fused) for fused in (True, False))
    for a, b in zip(fused, parts):
        torch.testing.assert_close(a, b, atol=2e-5 * float(b.abs().max()) + 1e-6, rtol=1e-3)


def test_bits_do_not_depend_on_the_number_of_threads(generator):
    field, rays = InstantNGP(KINDS["hash"], generator=generator), _rays(generator)
    samples = render_rays(field, rays, VolumeConfig(samples=40, importance=0), generator=generator).samples
    before, results = torch.get_num_threads(), []
    try:
        for threads in (1, 2, 3):
            torch.set_num_threads(threads)
            results.append(_seen(field, rays, samples, fused=True))
    finally:
        torch.set_num_threads(before)
    assert all(torch.equal(a, b) for other in results[1:] for a, b in zip(results[0], other))


def test_no_rays_and_rays_without_samples_see_nothing(generator):
    field = InstantNGP(KINDS["hash"], generator=generator)
    nothing = render_rays(field, _rays(generator, 0), VolumeConfig(importance=0))
    assert nothing.features.shape == (0, 3)
    away = Rays(torch.full((5, 3), 9.0), normalise(torch.ones(5, 3)))
    seen = render_rays(field, away, VolumeConfig(importance=0))
    assert seen.alpha.abs().sum() == 0 and seen.features.abs().sum() == 0
    (seen.features.sum() + seen.alpha.sum()).backward()
    assert all(p.grad is not None and p.grad.abs().sum() == 0 for p in field.parameters())


def test_samples_outside_of_the_box_are_empty(generator):
    field = InstantNGP(KINDS["hash"], generator=generator)
    rays = Rays(torch.tensor([[-9.0, 0, 0]]), torch.tensor([[1.0, 0, 0]]))
    samples = Samples(torch.tensor([1.0, 9.0, 17.0]), torch.full((3,), 0.5), torch.tensor([0, 3]))
    weights = _seen(field, rays, samples, fused=True)[3]
    assert weights[0] == weights[2] == 0 < weights[1]


def test_rays_that_move_take_the_parts_and_have_a_gradient(generator):
    field, rays = InstantNGP(KINDS["hash"], generator=generator), _rays(generator, 20)
    moving = Rays(rays.origins.clone().requires_grad_(), rays.directions)
    occupancy = Occupancy(OccupancyConfig(resolution=8))
    seen = render_rays(field, moving, VolumeConfig(steps=32), occupancy=occupancy)
    seen.features.sum().backward()
    assert moving.origins.grad is not None and moving.origins.grad.abs().sum() > 0
    points = rays.origins[seen.samples.rays] + seen.samples.distances[:, None] * rays.directions[seen.samples.rays]
    expected = composite(*field(points, points), seen.samples)
    torch.testing.assert_close(seen.features, expected[0], atol=1e-5, rtol=1e-4)
