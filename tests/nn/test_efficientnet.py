import importlib.util

import pytest
import torch
from torch.nn import functional as F

from fewview.nn.efficientnet import ENDS, STAGES, STEM, WIDTHS, Lite0Pyramid, centred, published_name, same
from fewview.recipes.sparsefusion.backbones import HELP, lite0_file

needs_weights = pytest.mark.skipif(lite0_file() is None, reason=f"needs `{HELP}`")


def plain(state: dict[str, torch.Tensor], images: torch.Tensor) -> list[torch.Tensor]:
    """The same maps by a loop over the published tensors, which says itself where the zeros of "SAME" go."""

    def layer(x, conv, norm, stride, groups=1):
        weight = state[f"{conv}.weight"]
        kernel, size = weight.shape[-1], x.shape[-1]
        out = -(-size // stride)
        padded = x.new_zeros(*x.shape[:2], (out - 1) * stride + kernel, (out - 1) * stride + kernel)
        start = (padded.shape[-1] - size) // 2
        padded[..., start : start + size, start : start + size] = x
        y = F.conv2d(padded, weight, stride=stride, groups=groups)
        mean, var, gain, bias = (
            state[f"{norm}.{n}"][:, None, None] for n in ("running_mean", "running_var", "weight", "bias")
        )
        return (y - mean) / (var + 1e-3).sqrt() * gain + bias

    x = layer(images * 2 - 1, "_conv_stem", "_bn0", 2).clamp(0, 6)
    maps = []
    for i, stride in enumerate((1, 2, 1, 2, 1, 2, 1, 1, 1, 1, 1)):
        block, y = f"_blocks.{i}", x
        if i > 0:
            y = layer(y, f"{block}._expand_conv", f"{block}._bn0", 1).clamp(0, 6)
        y = layer(y, f"{block}._depthwise_conv", f"{block}._bn1", stride, groups=y.shape[1]).clamp(0, 6)
        y = layer(y, f"{block}._project_conv", f"{block}._bn2", 1)
        x = x + y if y.shape == x.shape else y
        if i in (0, 2, 4, 10):
            maps.append(x)
    return maps


def random_state() -> dict[str, torch.Tensor]:
    """Tensors of the published names, with statistics that are not 0 and 1."""
    own = Lite0Pyramid().state_dict()
    wild = {
        name: t if t.ndim != 1 or not t.is_floating_point() else 0.5 + torch.rand_like(t) for name, t in own.items()
    }
    return {published_name(name): tensor for name, tensor in wild.items()}


def test_maps_are_those_of_a_plain_loop_over_published_tensors():
    torch.manual_seed(0)
    state, model = random_state(), Lite0Pyramid().eval()
    model.load_published({**state, "_fc.weight": torch.zeros(1), "_blocks.11._bn0.bias": torch.zeros(1)})
    images = torch.rand(1, 3, 48, 48)
    for ours, other in zip(model(images), plain(state, images), strict=True):
        torch.testing.assert_close(ours, other, atol=1e-4, rtol=1e-4)


def test_the_pyramid_has_its_widths_at_a_half_to_a_sixteenth():
    maps = Lite0Pyramid().eval()(torch.rand(1, 3, 64, 64))
    assert [tuple(m.shape[1:]) for m in maps] == [(w, s, s) for w, s in zip(WIDTHS, (32, 16, 8, 4))]
    assert centred(maps, 32, 32).shape == (1, 192, 32, 32)


def test_parameters_are_counted_by_hand():
    """A block of width w has 1x1 in * w, depthwise w * k * k, 1x1 w * out, and two numbers a channel of each norm."""
    count, before = 3 * 9 * STEM + 2 * STEM, STEM
    for kernel, _, expansion, width, blocks in STAGES:
        for _ in range(blocks):
            wide = before * expansion
            count += (before * wide + 2 * wide if expansion > 1 else 0) + wide * kernel**2 + 2 * wide
            count += wide * width + 2 * width
            before = width
    assert sum(p.numel() for p in Lite0Pyramid().parameters()) == count


@pytest.mark.parametrize(("length", "kernel", "stride"), [(8, 3, 2), (8, 5, 2), (7, 3, 2), (7, 5, 2), (9, 5, 1)])
def test_same_padding_gives_a_stride_th_of_the_length_and_puts_the_odd_zero_last(length, kernel, stride):
    before, after = same(length, kernel, stride)
    assert (length + before + after - kernel) // stride + 1 == -(-length // stride)
    assert 0 <= after - before <= 1


def test_statistics_stay_as_they_were_loaded_while_gains_learn():
    model = Lite0Pyramid().train()
    before = {name: buffer.clone() for name, buffer in model.named_buffers()}
    sum(m.sum() for m in model(torch.rand(2, 3, 32, 32))).backward()
    assert all(torch.equal(buffer, before[name]) for name, buffer in model.named_buffers())
    assert model.stem.norm.weight.grad is not None and model.stem.norm.weight.grad.abs().sum() > 0


def test_a_centred_map_is_a_ramp_where_its_features_look():
    """A cell of "SAME" at 1/s looks at pixels around s i + s - 1/2, not s i + s/2; a ramp over those stays one."""
    size = 64
    maps = [
        (torch.arange(size // s) * s + s - 0.5)[None, None, None].expand(1, 1, size // s, -1) for s in (2, 4, 8, 16)
    ]
    found = centred(maps, 32, 32)
    pixels = torch.arange(32) * 2 + 1.0
    for i, stride in enumerate((2, 4, 8, 16)):
        inside = (pixels >= stride - 0.5) & (pixels <= size - 0.5)  # beyond, the border's value
        torch.testing.assert_close(found[0, i, :, inside], pixels[inside].expand(32, -1))


def test_a_cell_looks_where_centring_says():
    """The gradient of a cell of nothing but box filters is centred on pixel s i + s - 1/2 (s = 2 ... 16)."""
    model = Lite0Pyramid().eval()
    for name, parameter in model.named_parameters():
        if "conv" in name:
            torch.nn.init.constant_(parameter, 1 / parameter[0].numel())
    images = torch.full((1, 3, 256, 256), 0.6, requires_grad=True)
    for stride, map_ in zip((2, 4, 8, 16), model(images)):
        cell = 128 // stride
        (gradient,) = torch.autograd.grad(map_[0, 0, cell, cell], images, retain_graph=True)
        column = gradient[0].sum((0, 1))
        centre = float((column * (torch.arange(256) + 0.5)).sum() / column.sum())
        assert centre == pytest.approx(stride * cell + stride - 0.5, abs=1e-2)


@needs_weights
def test_the_package_holds_what_the_pyramid_takes():
    state = torch.load(lite0_file(), weights_only=True)
    model = Lite0Pyramid().eval()
    model.load_published(state)
    names = {published_name(name) for name in model.state_dict() if not name.endswith("tracked")}
    blocks = {name for name in state if name.startswith(("_conv_stem", "_bn0")) or block_of(name) <= ENDS[-1]}
    assert names == {name for name in blocks if not name.endswith("tracked")}
    images = torch.rand(1, 3, 64, 64)
    for ours, other in zip(model(images), plain(state, images), strict=True):
        torch.testing.assert_close(ours, other, atol=1e-4, rtol=1e-4)


@needs_weights
def test_published_statistics_are_those_of_colours_from_minus_one_to_one():
    """Three scales of colour are in use; a photo-like picture has the stem's own variances with one of them."""
    state = torch.load(lite0_file(), weights_only=True)
    noise = torch.randn(8, 3, 128, 128, generator=torch.Generator().manual_seed(0))
    spectrum = torch.fft.rfft2(noise)
    frequency = (torch.fft.fftfreq(128)[:, None].square() + torch.fft.rfftfreq(128).square()).sqrt().clamp_min(1 / 128)
    photos = torch.fft.irfft2(spectrum / frequency)  # 1/f, as photographs have
    photos = (0.5 + 0.25 * photos.mean(1, keepdim=True) / photos.mean(1).std()).clamp(0, 1).expand(-1, 3, -1, -1)

    def error(pictures):
        found = F.conv2d(pictures, state["_conv_stem.weight"], stride=2).var((0, 2, 3))
        return float((found / state["_bn0.running_var"]).log().abs().median())

    ours, imagenet, plain_ = (error(p) for p in (photos * 2 - 1, (photos - 0.45) / 0.225, photos))
    assert ours < min(imagenet, plain_)


def block_of(name: str) -> int:
    return int(name.split(".")[1]) if name.startswith("_blocks.") else 99


@pytest.mark.skipif(importlib.util.find_spec("efficientnet_lite_pytorch") is None, reason="needs its own program")
@needs_weights
def test_the_authors_of_the_package_compute_the_same():
    from efficientnet_lite_pytorch import EfficientNet

    state = torch.load(lite0_file(), weights_only=True)
    theirs, ours = EfficientNet.from_name("efficientnet-lite0"), Lite0Pyramid().eval()
    theirs.load_state_dict(state)
    ours.load_published(state)
    images = torch.rand(2, 3, 64, 64)
    x = F.relu6(theirs.eval()._bn0(theirs._conv_stem(images * 2 - 1)))
    found = []
    for i, block in enumerate(theirs._blocks[: ENDS[-1] + 1]):
        x = block(x)
        found += [x] if i in ENDS else []
    for a, b in zip(ours(images), found, strict=True):
        torch.testing.assert_close(a, b, atol=1e-5, rtol=1e-5)


def test_ends_are_the_last_blocks_before_the_size_halves():
    halves = [
        i for i, stride in enumerate(s.stride if j == 0 else 1 for s in STAGES for j in range(s.blocks)) if stride > 1
    ]
    assert list(ENDS[:-1]) == [i - 1 for i in halves]
