import torch
from baselines.scenes import network, pixels, scene

from fewview.baselines.ibrnet import moments, turned
from fewview.views import Views


def test_moments_are_weighted_mean_and_variance():
    x, weights = torch.rand(2, 5, 3), torch.rand(2, 5, 1)
    mean, variance = moments(x, weights)
    for b in range(2):
        share = (weights[b] / weights[b].sum()).flatten()
        slow = sum(share[i] * x[b, i] for i in range(5))
        torch.testing.assert_close(mean[b], slow)
        torch.testing.assert_close(variance[b], sum(share[i] * (x[b, i] - slow) ** 2 for i in range(5)))


def test_colours_are_a_blend_of_what_the_photos_show():
    """Photos of one colour: whatever is seen is that colour, times how much is seen."""
    context, queries = scene()
    colour = torch.tensor([0.9, 0.2, 0.1])
    plain = Views(colour[:, None, None].expand_as(context.images).contiguous(), context.cameras)
    net = network("ibrnet")
    seen = net(net.encode(plain), queries.cameras, pixels())[-1][0, 0]
    covered = seen[:, :1] / colour[0]
    assert covered.min() > 0
    torch.testing.assert_close(seen, covered * colour, atol=1e-5, rtol=0)


def test_a_view_s_own_rays_are_not_turned():
    context, _ = scene()
    rays = context.cameras.rays_at(torch.full((1, 2, 1, 2), 8.0))
    for m in range(2):
        points = rays.origins[:, m, :, None] + torch.tensor([2.0, 5.0])[:, None] * rays.directions[:, m, :, None]
        cosine, sine = turned(context.cameras, points, rays.directions[:, m])[0, m].unbind(-1)
        torch.testing.assert_close(cosine, torch.ones(1, 2), atol=1e-5, rtol=0)
        torch.testing.assert_close(sine, torch.zeros(1, 2), atol=1e-3, rtol=0)
