import math

import torch
from worlds import ring

from fewview.baselines.marching import Sampling, passes, rays_of
from fewview.cameras import Rays


def towards_the_origin() -> Rays:
    cameras = ring(1, 16).reshape(1, 1)
    return rays_of(cameras, torch.tensor([8.0, 8.0]).reshape(1, 1, 1, 2))


def ball(points, directions):
    inside = points.norm(dim=-1) < 1
    return 0.7 * inside, torch.tensor([1.0, 0.5, 0.0]).expand(points.shape)


def test_a_ball_of_even_density_covers_as_much_as_its_chord_says():
    (seen,) = passes([ball], towards_the_origin(), Sampling(2.5, coarse=400))
    covered = 1 - math.exp(-0.7 * 2)
    expected = covered * torch.tensor([1.0, 0.5, 0.0])
    torch.testing.assert_close(seen[0, 0], torch.cat([expected, torch.tensor([covered])]), atol=5e-3, rtol=0)


def test_later_passes_look_where_the_first_found_something():
    asked = []

    def thin(points, directions):
        asked.append(points[0, 0].norm(dim=-1))
        return 50.0 * (points.norm(dim=-1) < 0.5), torch.ones_like(points)

    rays = towards_the_origin()
    passes([thin, thin], rays, Sampling(2.5, coarse=10, fine=20, near_depth=6, spread=0.05))
    coarse, fine = asked
    assert len(coarse) == 10 and len(fine) == 36
    assert (fine < 0.75).float().mean() > 2 * (coarse < 0.75).float().mean()


def test_samples_lie_between_s_minus_and_plus_reach_and_never_behind():
    found = []

    def note(points, directions):
        found.append(points)
        return torch.zeros(points.shape[:-1]), torch.zeros_like(points)

    rays = towards_the_origin()
    s = rays.origins.norm().item()
    for reach, near in ((2.5, s - 2.5), (50.0, 0.1 * s)):
        passes([note], rays, Sampling(reach, coarse=1000), generator=torch.Generator().manual_seed(0))
        along = (found[-1][0, 0] - rays.origins[0, 0]).norm(dim=-1)
        assert near <= along.min() <= near + reach / 100 and along.max() <= s + reach
