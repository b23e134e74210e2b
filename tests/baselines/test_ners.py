from dataclasses import replace

import torch
from worlds import photograph, ring

from fewview.baselines.ners import TINY, NeRS, Surface, icosphere
from fewview.render.splatting import splat

SMALL = replace(TINY, size=16, subdivisions=2, width=16, layers=1, steps=25, rate=1e-2)


def test_an_icosphere_is_closed_and_turned_outwards():
    for n in (0, 1, 3):
        vertices, faces = icosphere(n)
        assert len(faces) == 20 * 4**n and len(vertices) - len(faces) * 3 // 2 + len(faces) == 2  # Euler
        edges = torch.cat([faces[:, [0, 1]], faces[:, [1, 2]], faces[:, [2, 0]]])
        assert len(edges.unique(dim=0)) == len(edges)  # each edge once in each direction
        corners = vertices[faces]
        cross = torch.linalg.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
        assert ((cross * corners.mean(1)).sum(-1) > 0).all()
    assert abs(cross.norm(dim=-1).sum().item() / 2 - 4 * torch.pi) < 0.12


def test_the_surface_starts_as_a_sphere_and_a_sphere_is_the_smoothest():
    torch.manual_seed(0)
    surface = Surface(SMALL)
    points = surface.points()
    torch.testing.assert_close(points.norm(dim=-1), torch.full((len(points),), SMALL.radius))
    rough = points + 0.2 * torch.randn(points.shape)
    assert surface.bent(points) < 0.02 < surface.bent(rough)


def test_it_is_opaque_and_a_silhouette_pulls_at_it():
    torch.manual_seed(0)
    surface, camera = Surface(replace(SMALL, subdivisions=3)), ring(1, 16)[0]
    points = surface.points()
    seen = splat(surface.drawn(points, camera), camera)
    assert seen.alpha[0, 8, 8] > 0.9 and seen.alpha[0, 0, 0] < 0.05
    seen.alpha.sum().backward()
    assert surface.shape[-1].bias.grad.abs().sum() > 0


def test_a_fitted_surface_shows_the_photos_better_than_the_sphere_that_it_was():
    views = photograph(ring(3, 16))
    error = lambda config: (
        (NeRS(config).reconstruct(views, generator=torch.Generator().manual_seed(0)).render(views.cameras).image
         - views.images).square().mean()
    )  # fmt: skip
    assert error(SMALL) < 0.7 * error(replace(SMALL, steps=0))
