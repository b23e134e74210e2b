import torch
from baselines.scenes import network, pixels, scene

from fewview.baselines.nerformer import NerFormer, NerFormerConfig
from fewview.cameras import Cameras
from fewview.views import Views


def test_paper_size_is_made_and_reads_four_stages_of_a_resnet_34():
    with torch.device("meta"):
        net = NerFormer(NerFormerConfig())
    assert sum(p.numel() for p in net.backbone.parameters()) == 21_284_672
    assert net.embed.in_features == 4 * 16 + 3 + 1 + 63


def test_attention_over_views_and_along_the_ray_equals_torch_s_layer_by_layer():
    """Tokens of one ray as a (samples x views) table: rows through one of torch's encoder layers, then columns."""
    context, _ = scene()
    net = network("nerformer")
    b, r, d = 1, 1, 5
    generator = torch.Generator().manual_seed(0)
    points = 0.5 * torch.randn(b, r, d, 3, generator=generator)
    directions = torch.tensor([[[0.0, 0.0, 1.0]]])
    views, maps = net.encode(context.whole())
    tokens = {}
    net.embed.register_forward_hook(lambda _, __, out: tokens.update(x=out))
    density, colours = net.field(views, maps, points=points, directions=directions)
    x = tokens["x"][0].transpose(0, 1)  # d m c
    for over, along in zip(net.over_views, net.along_ray):
        x = twin(over)(x)
        x = twin(along)(x.transpose(0, 1)).transpose(0, 1)
    weights = net.weight(x).softmax(1)
    mean = (x * weights).sum(1)
    torch.testing.assert_close(
        density[0, 0], torch.nn.functional.softplus(net.density(mean)[:, 0] - 1), atol=1e-5, rtol=0
    )
    assert colours.shape == (1, 1, 5, 3)


def twin(layer) -> torch.nn.Module:
    """torch's encoder layer with the same weights."""
    dim = layer.qkv.in_features
    made = torch.nn.TransformerEncoderLayer(
        dim, layer.heads, layer.mlp[0].out_features, 0.0, batch_first=True, norm_first=layer.norm_first
    )
    state = {
        "self_attn.in_proj_weight": layer.qkv.weight, "self_attn.in_proj_bias": layer.qkv.bias,
        "self_attn.out_proj.weight": layer.out.weight, "self_attn.out_proj.bias": layer.out.bias,
        "linear1.weight": layer.mlp[0].weight, "linear1.bias": layer.mlp[0].bias,
        "linear2.weight": layer.mlp[3].weight, "linear2.bias": layer.mlp[3].bias,
        "norm1.weight": layer.norm1.weight, "norm1.bias": layer.norm1.bias,
        "norm2.weight": layer.norm2.weight, "norm2.bias": layer.norm2.bias,
    }  # fmt: skip
    made.load_state_dict(state)
    return made.eval()


def test_a_view_that_sees_nothing_changes_nothing():
    context, queries = scene()
    away = Cameras.look_at(
        torch.tensor([[[0.0, 0.0, 50.0]]]), torch.tensor([0.0, 0.0, 99.0]), torch.tensor([0.0, 1.0, 0.0]),
        focal=20.0, height=16, width=16,
    )  # fmt: skip
    more = Views.cat([context.whole(), Views(torch.rand(1, 1, 3, 16, 16), away)], 1)
    net = network("nerformer")
    before = net(net.encode(context.whole()), queries.cameras, pixels())
    after = net(net.encode(more), queries.cameras, pixels())
    torch.testing.assert_close(before[0], after[0], atol=1e-4, rtol=0)  # the fine pass' places follow rounding
    torch.testing.assert_close(before[1], after[1], atol=1e-2, rtol=0)
