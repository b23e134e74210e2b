import torch
from torch.nn.functional import normalize

from fewview.baselines.bounded import bounded_edges, error_bound, least_distance, optical_depth, safe_beta
from fewview.baselines.volsdf import TINY, laplace_density
from fewview.cameras import Rays

BETA = torch.tensor(0.1)


def sphere(points):
    return points.norm(dim=-1) - 1


def rays(count: int = 20) -> Rays:
    generator = torch.Generator().manual_seed(0)
    origins = 4 * normalize(torch.randn(count, 3, generator=generator), dim=-1)
    aims = 0.8 * torch.randn(count, 3, generator=generator)
    return Rays(origins, normalize(aims - origins, dim=-1))


def along(found: Rays, count: int):
    t = torch.linspace(1, 7, count).expand(len(found.origins), -1).contiguous()
    return t, sphere(found.origins[:, None] + t[..., None] * found.directions[:, None])


def test_no_distance_within_an_interval_is_smaller_than_the_bound():
    found = rays()
    t, d = along(found, 16)
    least = least_distance(t, d)
    for share in torch.linspace(0, 1, 21):
        between = t[:, :-1] + share * t.diff(dim=-1)
        true = sphere(found.origins[:, None] + between[..., None] * found.directions[:, None]).abs()
        assert (least <= true + 1e-5).all()
    assert (least > 0.1).any()


def test_opacity_is_nowhere_wrong_by_more_than_the_bound():
    """Against a sum over 4,000 samples of the same rays."""
    found = rays()
    fine, d_fine = along(found, 4001)
    true = 1 - torch.exp(-torch.cumulative_trapezoid(laplace_density(d_fine, BETA), fine, dim=-1))
    for count in (17, 33, 129):
        t, d = along(found, count)
        opacity = 1 - torch.exp(-optical_depth(t, d, BETA))[:, 1:]
        exact = true[:, (4000 // (count - 1)) - 1 :: 4000 // (count - 1)]
        n = min(opacity.shape[1], exact.shape[1])
        if 4000 % (count - 1):
            continue
        wrong, bound = (opacity - exact).abs()[:, :n], error_bound(t, d, BETA)[:, 1 : n + 1]
        assert (wrong <= bound + 1e-3).all()
        assert count < 100 or bound.max() < 50


def test_the_safe_beta_keeps_the_bound_and_a_smaller_one_does_not():
    t, d = along(rays(), 24)
    beta = safe_beta(t, d, BETA, error=0.1)
    assert (beta >= BETA - 1e-6).all() and (error_bound(t, d, beta).amax(-1) <= 0.1 + 1e-4).all()
    larger = beta > BETA * 1.01
    assert larger.any() and (error_bound(t, d, 0.98 * beta).amax(-1)[larger] > 0.1).all()


def test_samples_gather_where_the_surface_is_met():
    found = rays()
    near, far = torch.full((20,), 1.0), torch.full((20,), 7.0)
    edges = bounded_edges(sphere, found, near, far=far, beta=BETA, config=TINY)
    assert edges.shape == (20, TINY.samples + 1) and (edges.diff(dim=-1) >= 0).all()
    middle = (edges[:, 1:-1, None] * found.directions[:, None]) + found.origins[:, None]
    hits = (found.origins + (-(found.origins * found.directions).sum(-1))[:, None] * found.directions).norm(
        dim=-1
    ) < 0.8
    assert hits.any() and sphere(middle[hits]).abs().median() < 0.2
