import dataclasses

import torch
from torch import nn

from fewview.nn.unet import Level, SelfAttention, UNet, UNetConfig
from fewview.recipes import sparsefusion

SMALL = UNetConfig(
    dim=16, dim_mults=(1, 2), num_resnet_blocks=(1, 1), layer_attns=(False, True), cond_images_channels=3
)


def count(module: nn.Module) -> int:
    return sum(p.numel() for p in module.parameters())


def test_paper_unet_has_the_published_parameter_count():
    texts = 256 * 256 + 1024  # embeddings of absent texts, which the release keeps: 400.68 million with them
    with torch.device("meta"):
        unet, without = UNet(sparsefusion.release().unet), UNet(UNetConfig())
    assert sparsefusion.thesis().unet == sparsefusion.release().unet
    assert count(unet) == 400_541_981 + 66_816
    assert count(without) == 400_541_981
    assert round((count(unet) + texts) / 1e6, 2) == 400.68


def test_self_attention_of_levels_sees_the_time_tokens():
    torch.manual_seed(0)
    attention = SelfAttention(8, dataclasses.replace(SMALL, heads=2, head_dim=4), tokens=True)
    nn.init.normal_(attention.to_out[1].gain)
    x, tokens = torch.randn(1, 8, 2, 2), torch.randn(1, 2, 16, requires_grad=True)
    attention(x, tokens).square().sum().backward()
    assert (tokens.grad.abs().amax(-1) > 0).all()


def test_paper_unet_blocks_have_the_shapes_of_table_a3():
    shapes: dict[str, tuple[int, ...]] = {}
    with torch.device("meta"):
        unet = UNet(UNetConfig())
        unet.embed.register_forward_hook(lambda _m, _i, out: shapes.__setitem__("init", tuple(out.shape)))
        unet.middle2.register_forward_hook(lambda _m, _i, out: shapes.__setitem__("middle", tuple(out.shape)))
        for side, levels in (("down", unet.downs), ("up", unet.ups)):
            for i, level in enumerate(levels):
                name = f"{side}{i + 1}"
                level.resample.register_forward_hook(
                    lambda _m, _i, out, n=name: shapes.__setitem__(n, tuple(out.shape))
                )
        out = unet(torch.zeros(2, 4, 32, 32), torch.zeros(2), torch.zeros(2, 256, 32, 32))
    assert tuple(out.shape) == (2, 4, 32, 32)
    assert shapes == {
        "init": (2, 256, 32, 32),
        "down1": (2, 256, 16, 16),
        "down2": (2, 512, 8, 8),
        "down3": (2, 1024, 4, 4),
        "down4": (2, 1024, 4, 4),
        "middle": (2, 1024, 4, 4),
        "up1": (2, 1024, 8, 8),
        "up2": (2, 512, 16, 16),
        "up3": (2, 256, 32, 32),
        "up4": (2, 256, 32, 32),
    }


def test_paper_unet_attends_at_the_last_level_and_in_the_middle_only():
    with torch.device("meta"):
        unet = UNet(UNetConfig())
    found = [name for name, module in unet.named_modules() if isinstance(module, SelfAttention)]
    assert set(found) == {"downs.3.attention", "middle_attention", "ups.0.attention"}


def test_output_depends_on_noise_level_and_on_every_cell_of_the_condition():
    torch.manual_seed(0)
    unet = UNet(SMALL)
    nn.init.normal_(unet.out.weight)
    x, condition = torch.randn(1, 4, 8, 8), torch.randn(1, 3, 8, 8, requires_grad=True)
    out = unet(x, torch.zeros(1), condition)
    assert not torch.allclose(out, unet(x, torch.ones(1), condition))
    out.square().sum().backward()
    assert (condition.grad.abs().amax(1) > 0).all()


def test_untrained_unet_predicts_zero():
    assert UNet(SMALL)(torch.randn(2, 4, 8, 8), torch.zeros(2), torch.randn(2, 3, 8, 8)).abs().max() == 0


def test_levels_consume_every_skip():
    skips: list[torch.Tensor] = []
    unet = UNet(SMALL)
    time, tokens = unet.time(torch.zeros(1))
    x = unet.embed(torch.randn(1, 7, 8, 8))
    for level in unet.downs:
        assert isinstance(level, Level)
        x, kept = level.down(x, time, tokens)
        skips += kept
    for level in unet.ups:
        x = level.up(x, skips, time=time, tokens=tokens)
    assert skips == []


def test_tiny_unet_is_small():
    with torch.device("meta"):
        assert count(UNet(sparsefusion.tiny().unet)) < 6e6
