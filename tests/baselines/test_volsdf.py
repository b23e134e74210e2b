import math
from dataclasses import replace

import torch
from worlds import photograph, ring

from fewview.baselines.volsdf import SDF, TINY, VolSDF, laplace_density

SMALL = replace(TINY, size=16, width=16, layers=2, colour_layers=1, samples=12, search=12, rounds=1, rays=64, steps=12)


def test_density_is_the_cdf_of_a_laplace_distribution():
    """Half of its height on the surface, all of it inside, none outside; the integral of the density of |x| / beta."""
    beta = 0.1
    found = laplace_density(torch.tensor([0.0, -5.0, 5.0, 0.2, -0.2]), beta) * beta
    expected = torch.tensor([0.5, 1.0, 0.0, 0.5 * math.exp(-2), 1 - 0.5 * math.exp(-2)])
    torch.testing.assert_close(found, expected)
    s = torch.linspace(-4, 0.2, 40001)
    integral = torch.trapezoid(torch.exp(-s.abs() / beta) / (2 * beta), s)
    torch.testing.assert_close(laplace_density(torch.tensor(-0.2), beta) * beta, integral, atol=1e-4, rtol=0)


def test_the_surface_starts_as_a_sphere():
    torch.manual_seed(0)
    sdf = SDF(replace(TINY, width=256, layers=4))
    points = 3 * (2 * torch.rand(500, 3) - 1)
    distance = sdf(points)[0]
    assert (distance - (points.norm(dim=-1) - TINY.radius)).abs().mean() < 0.35
    inside, outside = points.norm(dim=-1) < 0.9, points.norm(dim=-1) > 2.2
    assert (distance[inside] < 0).all() and (distance[outside] > 0).all()


def test_normals_are_the_gradient_of_the_distance():
    torch.manual_seed(0)
    sdf = SDF(SMALL).double()
    points = torch.randn(3, 3, dtype=torch.double)
    _, _, normals = sdf.shade(points.clone(), torch.zeros_like(points))
    for axis in range(3):
        step = 1e-6 * torch.eye(3, dtype=torch.double)[axis]
        slope = (sdf(points + step)[0] - sdf(points - step)[0]) / 2e-6
        torch.testing.assert_close(normals[:, axis], slope, atol=1e-5, rtol=1e-4)


def test_a_fitted_surface_shows_the_photos_better_than_the_sphere_that_it_was():
    views = photograph(ring(2, 16))
    error = lambda config: (
        (VolSDF(config).reconstruct(views, generator=torch.Generator().manual_seed(0)).render(views.cameras).image
         - views.images).square().mean()
    )  # fmt: skip
    assert error(SMALL) < 0.8 * error(replace(SMALL, steps=0))
