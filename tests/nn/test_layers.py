import math

import torch

from fewview.nn.layers import TransformerLayer, harmonic, key_bias


def test_six_octaves_turn_six_pluecker_numbers_into_78():
    assert harmonic(torch.rand(5, 6), 6).shape == (5, 78)
    assert harmonic(torch.rand(5, 1), 6).shape == (5, 13)


def test_harmonics_are_sines_of_doubling_frequencies():
    encoded = harmonic(torch.tensor([[math.pi / 2]]), 2)[0]
    assert torch.allclose(encoded, torch.tensor([math.pi / 2, 1.0, 0.0, 0.0, -1.0]), atol=1e-6)


def test_layer_equals_torchs_own_with_the_same_weights():
    ours = TransformerLayer(8, heads=2, hidden=16, dropout=0.0, norm_first=False)
    theirs = torch.nn.TransformerEncoderLayer(8, 2, 16, dropout=0.0, batch_first=True)
    theirs.self_attn.in_proj_weight.data, theirs.self_attn.in_proj_bias.data = ours.qkv.weight.data, ours.qkv.bias.data
    theirs.self_attn.out_proj.load_state_dict(ours.out.state_dict())
    theirs.linear1.load_state_dict(ours.mlp[0].state_dict())
    theirs.linear2.load_state_dict(ours.mlp[3].state_dict())
    for name in ("norm1", "norm2"):
        getattr(theirs, name).load_state_dict(getattr(ours, name).state_dict())
    x = torch.randn(3, 5, 8)
    assert torch.allclose(ours(x, torch.zeros(3, 1, 5)), theirs(x), atol=1e-5)


def test_hidden_keys_change_nothing_and_a_sequence_of_hidden_keys_stays_finite():
    layer = TransformerLayer(8, heads=1, hidden=8, dropout=0.0, norm_first=True)
    valid = torch.tensor([[1.0, 1.0, 0.0]])
    x = torch.randn(1, 3, 8)
    y = x.clone()
    y[:, 2] = 100.0
    assert torch.allclose(layer(x, key_bias(valid))[:, :2], layer(y, key_bias(valid))[:, :2], atol=1e-5)
    assert layer(x, key_bias(torch.zeros(1, 3))).isfinite().all()
