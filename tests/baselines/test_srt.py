import torch
from baselines.scenes import network, scene

from fewview.baselines.srt import SRT, CrossLayer, SRTConfig


def test_paper_size_has_the_paper_s_ray_encoding_and_blocks():
    with torch.device("meta"):
        net = SRT(SRTConfig())
    assert net.ask.in_features == 180 and len(net.encoder) == 10 and len(net.decoder) == 2
    block = 4 * (768 * 768 + 768) + (768 * 1536 + 1536) + (1536 * 768 + 768) + 4 * 768
    assert all(sum(p.numel() for p in layer.parameters()) == block for layer in [*net.encoder, *net.decoder])


def test_cross_attention_equals_torch_s():
    torch.manual_seed(0)
    layer, torchs = CrossLayer(8, heads=2, hidden=4), torch.nn.MultiheadAttention(8, 2, batch_first=True)
    torchs.load_state_dict(
        {
            "in_proj_weight": torch.cat([layer.q.weight, layer.kv.weight]),
            "in_proj_bias": torch.cat([layer.q.bias, layer.kv.bias]),
            "out_proj.weight": layer.out.weight,
            "out_proj.bias": layer.out.bias,
        }
    )
    x, tokens = torch.randn(2, 3, 8), torch.randn(2, 5, 8)
    mixed, _ = torchs(layer.norm(x), tokens, tokens)
    y = x + mixed
    torch.testing.assert_close(layer(x, tokens), y + layer.mlp(layer.norm2(y)), atol=1e-5, rtol=0)


def test_the_first_view_gives_the_frame():
    context, _ = scene(context=3)
    net = network("srt")
    _, frame = net.encode(context.whole())
    torch.testing.assert_close(frame @ context.cameras.world_from_cam[:, 0], torch.eye(4)[None], atol=1e-5, rtol=0)
