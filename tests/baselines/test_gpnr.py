import torch
from baselines.scenes import SMALL, network, pixels, scene, turn

from fewview.baselines.gpnr import Attend, in_ray_frame
from fewview.baselines.marching import rays_of
from fewview.cameras import Rays
from fewview.views import Views


def test_the_auxiliary_colours_are_a_blend_of_the_photos():
    context, queries = scene()
    colour = torch.tensor([0.9, 0.2, 0.1])
    plain = Views(colour[:, None, None].expand_as(context.images).contiguous(), context.cameras)
    net = network("gpnr")
    blend, _ = net(net.encode(plain), queries.cameras, pixels())
    torch.testing.assert_close(blend[0, 0], colour.expand(12, 3), atol=1e-4, rtol=0)


def test_weights_sum_to_one_and_hidden_tokens_have_none():
    torch.manual_seed(0)
    attend = Attend(SMALL["gpnr"])
    valid = torch.tensor([[1.0, 1, 0], [1, 0, 0]])
    x = torch.randn(2, 3, 8)
    mean, weights = attend(x, valid)
    torch.testing.assert_close(weights.sum(-1), torch.ones(2))
    assert weights[0, 2] == 0 and weights[1, 1] == 0
    other = x.clone()
    other[0, 2] = 9.0
    torch.testing.assert_close(mean, attend(other, valid)[0])


def test_the_ray_s_frame_turns_with_the_world_and_puts_the_ray_on_its_axis():
    context, queries = scene()
    rays = rays_of(queries.cameras, pixels())
    points = rays.origins[:, :, None] + torch.tensor([4.0, 6.0])[:, None] * rays.directions[:, :, None]
    told = in_ray_frame(rays, context.cameras, points)
    matrix = turn()
    moved = Rays(rays.origins @ matrix[:3, :3].T, rays.directions @ matrix[:3, :3].T)
    again = in_ray_frame(moved, context.cameras.transformed(matrix), points @ matrix[:3, :3].T)
    torch.testing.assert_close(told, again, atol=1e-4, rtol=0)
    unit = rays.origins.norm(dim=-1)
    torch.testing.assert_close(
        told[..., 6], (torch.tensor([4.0, 6.0]) / unit[..., None])[:, :, None].expand(1, 12, 2, 2)
    )
    # a view's ray and the query's meet at the point: their Plücker coordinates are reciprocal
    direction, moment = told[..., :3], told[..., 3:6]
    z = torch.tensor([0.0, 0.0, 1.0])
    torch.testing.assert_close((moment * z).sum(-1), torch.zeros(1, 12, 2, 2), atol=1e-5, rtol=0)
    torch.testing.assert_close((direction * moment).sum(-1), torch.zeros(1, 12, 2, 2), atol=1e-5, rtol=0)
