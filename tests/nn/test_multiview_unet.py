import torch
from ggs_rooms import lively

from fewview.ggs.camera_encoder import CameraEncoder
from fewview.nn.multiview_unet import Backbone, Block, MultiViewUNet, MultiViewUNetConfig, ViewAttention, noise_label

CONFIG = MultiViewUNetConfig((16, 24, 32), blocks=1, attention=(False, True, True), heads=2)


def poses_of(network, n: int, h: int, w: int, generator) -> list[torch.Tensor]:
    sizes = [(h, w)]
    for _ in network.levels[1:]:
        sizes.append(tuple(-(-side // 2) for side in sizes[-1]))
    return [torch.randn(n, c, *size, generator=generator) for c, size in zip(network.levels, sizes)]


def test_features_have_the_latents_size_even_an_odd_one(generator):
    network = MultiViewUNet(CONFIG, 6)
    assert isinstance(network, Backbone)
    latents = torch.randn(2, 3, 6, 10, 7, generator=generator)
    features = network(latents, torch.ones(2, 3), poses_of(network, 6, 10, 7, generator))
    assert features.shape == (2, 3, network.channels, 10, 7)


def test_views_talk_to_each_other_but_scenes_do_not(generator):
    network = lively(MultiViewUNet(CONFIG, 6))
    latents, sigma = torch.randn(2, 3, 6, 8, 8, generator=generator), torch.ones(2, 3)
    poses = poses_of(network, 6, 8, 8, generator)
    changed = latents.clone()
    changed[0, 2] += 1
    change = (network(changed, sigma, poses) - network(latents, sigma, poses)).abs().amax((2, 3, 4))
    assert (change[0] > 1e-4).all() and (change[1] < 1e-5).all()


def test_the_order_of_views_does_not_matter(generator):
    network, order = lively(MultiViewUNet(CONFIG, 6)), [2, 0, 1]
    latents, sigma = torch.randn(1, 3, 6, 8, 8, generator=generator), torch.rand(1, 3, generator=generator)
    poses = poses_of(network, 3, 8, 8, generator)
    permuted = network(latents[:, order], sigma[:, order], [pose[order] for pose in poses])
    torch.testing.assert_close(permuted, network(latents, sigma, poses)[:, order], atol=1e-4, rtol=1e-4)


def test_clean_views_have_the_label_of_the_least_level():
    assert noise_label(torch.tensor(0.0)) == noise_label(torch.tensor(0.002))
    torch.testing.assert_close(noise_label(torch.tensor(1.0)), torch.tensor(0.0))


def test_attention_is_over_all_cells_of_a_scene(generator):
    layer = lively(ViewAttention(8, 2))
    x = torch.randn(4, 8, 3, 3, generator=generator)
    x.requires_grad_()
    layer(x, 2)[0, :, 0, 0].sum().backward()
    assert x.grad is not None
    reached = x.grad.abs().amax(1) > 0
    assert reached[:2].all() and not reached[2:].any()


def test_a_vector_modulates_a_block(generator):
    block, x = Block(8, 16, 4), torch.randn(2, 8, 5, 5, generator=generator)
    one, two = (block(x, torch.full((2, 4), value)) for value in (0.0, 1.0))
    assert one.shape == (2, 16, 5, 5) and (one - two).abs().max() > 1e-3


def test_camera_maps_fit_the_levels(generator):
    from ggs_rooms import walk

    network = MultiViewUNet(CONFIG, 6)
    encoder = CameraEncoder(network.levels, 4, width=8)
    maps = encoder(walk(2, 3, size=32))
    assert [tuple(m.shape) for m in maps] == [(6, 16, 8, 8), (6, 16, 4, 4), (6, 24, 2, 2)]
    assert not any(m.any() for m in maps)  # a pre-trained U-Net starts as it was
    assert network(torch.randn(2, 3, 6, 8, 8, generator=generator), torch.ones(2, 3), maps).isfinite().all()
