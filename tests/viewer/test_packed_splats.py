from dataclasses import replace

import numpy as np
import pytest
import torch

from fewview.benchmarks.splatting import shell
from fewview.export.packed_splats import most_visible, pack
from fewview.geometry.harmonics import COUNTS
from fewview.geometry.quaternions import rotations
from fewview.render.gaussians import Gaussians


def unpacked(splats: Gaussians) -> Gaussians:
    """What a reader of the format's description makes of the words."""
    packed = pack(splats)
    a, b, sizes, turns, colours = packed.words.astype(np.int64).T
    places = np.stack([a & 0x1FFFFF, (a >> 21) | ((b & 0x3FF) << 11), b >> 10], -1) / (2**21 - 1)
    low, high = np.array(packed.low), np.array(packed.high)
    narrow, wide = packed.log_scale
    fields = lambda word: np.stack([(word >> shift) & 1023 for shift in (0, 10, 20)], -1) / 1023
    scales = np.exp(narrow + fields(sizes) * (wide - narrow))
    quaternions = np.zeros((len(a), 4))
    for row, others, largest in zip(quaternions, (2 * fields(turns) - 1) / 2**0.5, turns >> 30):
        row[[k for k in range(4) if k != largest]] = others
        row[largest] = np.sqrt(1 - (others**2).sum())
    rgba = np.stack([(colours >> shift) & 255 for shift in (0, 8, 16, 24)], -1) / 255
    parts = (low + places * (high - low), scales, quaternions, rgba[:, 3], rgba[:, :3])
    return Gaussians(*(torch.from_numpy(part).float() for part in parts))


def test_unpacking_inverts_packing_to_the_steps_of_the_format(generator):
    splats = shell(500, 3, generator=generator)
    again = unpacked(splats)
    torch.testing.assert_close(again.means, splats.means, atol=2e-6, rtol=0)
    torch.testing.assert_close(again.scales, splats.scales, atol=0, rtol=2e-3)
    torch.testing.assert_close(rotations(again.quaternions), rotations(splats.quaternions), atol=6e-3, rtol=0)
    torch.testing.assert_close(again.opacities, splats.opacities, atol=2.1e-3, rtol=0)
    torch.testing.assert_close(again.features, splats.features, atol=2.1e-3, rtol=0)


def test_a_splat_is_twenty_little_endian_bytes(generator):
    packed = pack(shell(7, 3, generator=generator))
    assert len(packed.to_bytes()) == 7 * 20
    assert int.from_bytes(packed.to_bytes()[16:20], "little") == packed.words[0, 4]


@pytest.mark.parametrize("degree", [1, 2, 3])
def test_harmonics_follow_in_sixteen_bytes_a_degree_with_an_exact_zero(generator, degree):
    harmonics = torch.randn(40, COUNTS[degree], 3, generator=generator) * torch.tensor([1.0, 2, 0])
    splats = shell(40, 3, generator=generator)
    splats = replace(splats, features=3 * splats.features - 1, harmonics=harmonics)
    packed = pack(splats)
    data = packed.to_bytes()
    assert len(data) == 40 * (20 + 16 * degree)
    rows = np.frombuffer(data, np.uint8)[40 * 20 :].reshape(40, -1)
    values = torch.from_numpy((rows[:, : 3 * COUNTS[degree]].astype(np.float32) - 127) / 127).reshape(harmonics.shape)
    degrees = [0] * 3 + [1] * 5 + [2] * 7
    limits = torch.tensor([packed.limits[d] for d in degrees[: COUNTS[degree]]])[:, None]
    assert ((values * limits - harmonics).abs() <= limits / 254 + 1e-6).all() and not values[..., 2].any()
    low, high = packed.colours
    shares = torch.from_numpy((packed.words[:, 4:5] >> np.array([0, 8, 16]) & 255).astype(np.float32) / 255)
    torch.testing.assert_close(low + shares * (high - low), splats.features, atol=3 / 500, rtol=0)


def test_equal_splats_pack_without_a_range_and_colours_are_clipped():
    one = Gaussians(
        torch.ones(2, 3), torch.ones(2, 3), torch.eye(4)[:2], torch.ones(2), torch.tensor([[2.0, -1, 0.5]] * 2)
    )
    again = unpacked(one)
    torch.testing.assert_close(again.means, one.means)
    torch.testing.assert_close(again.features, torch.tensor([[1.0, 0, 128 / 255]] * 2))


def test_the_most_visible_are_large_and_opaque_and_keep_their_order():
    scales = torch.tensor([[1.0, 1, 1], [3, 3, 0.1], [9, 0.1, 0.1], [2, 2, 2], [5, 5, 5]])
    opacities = torch.tensor([0.5, 0.5, 0.5, 1.0, 0.001])
    splats = Gaussians(torch.arange(15.0).reshape(5, 3), scales, torch.ones(5, 4), opacities, torch.zeros(5, 3))
    assert most_visible(splats, 2).means[:, 0].tolist() == [3.0, 9.0]
    assert most_visible(splats, 9).means[:, 0].tolist() == [0.0, 3.0, 6.0, 9.0], "the invisible one goes anyway"


def test_nothing_and_latents_are_refused(generator):
    with pytest.raises(ValueError, match="3 channels"):
        pack(shell(4, 8, generator=generator))
    with pytest.raises(ValueError, match="3 channels"):
        pack(shell(4, 3, generator=generator)[:0])
