from dataclasses import replace

import torch
from ggs_rooms import MICRO, lively, painted, plane_depth, walk

from fewview.ggs.decoder import SplatDecoder
from fewview.ggs.frame import points_at
from fewview.ggs.model import GGS
from fewview.ggs.splats import place_of, place_splats


def decoder(**changes) -> SplatDecoder:
    config = replace(MICRO, decoder=replace(MICRO.decoder, **changes))
    network = lively(GGS(config)).decoder
    assert network is not None
    return network


def decoded(network: SplatDecoder, generator):
    cameras = walk(2, 3, size=16)
    zeros = torch.zeros(2, 3, 8, 8, 10)
    place = place_of(plane_depth(cameras.resized(8, 8)), MICRO.splats)
    coarse = place_splats(place, zeros, cameras, config=MICRO.splats, features=zeros)
    features, latents = (
        torch.randn(2, 3, 16, 8, 8, generator=generator),
        torch.randn(2, 3, 4, 8, 8, generator=generator),
    )
    return network(features, latents, painted(cameras).images, coarse, cameras), cameras


def test_every_pixel_gets_a_splat(generator):
    splats, _ = decoded(decoder(), generator)
    assert splats.means.shape == (2, 3, 16, 16, 3) and splats.features.shape == (2, 3, 16, 16, 3)


def test_a_decoder_that_adds_nothing_shows_the_images_at_the_coarse_depths(generator):
    network = decoder()
    for parameter in network.head[-1].parameters():
        torch.nn.init.zeros_(parameter)
    splats, cameras = decoded(network, generator)
    torch.testing.assert_close(splats.features.movedim(-1, 2), painted(cameras).images)
    exact = points_at(cameras, plane_depth(cameras))
    error = ((splats.means - exact).norm(dim=-1) / plane_depth(cameras))[..., 2:-2, 2:-2]
    assert error.max() < 0.02
    render = splats.render(cameras)
    inner = (..., slice(3, -3), slice(3, -3))
    assert (render.image / render.alpha - painted(cameras).images)[inner].abs().max() < 0.07  # smoothed


def test_without_images_colours_come_from_the_features(generator):
    network = decoder(images=False)
    for parameter in network.head[-1].parameters():
        torch.nn.init.zeros_(parameter)
    splats, _ = decoded(network, generator)
    torch.testing.assert_close(splats.features, torch.full_like(splats.features, 0.5))
