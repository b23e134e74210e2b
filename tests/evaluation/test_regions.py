import pytest
import torch

from fewview.evaluation.metrics import psnr
from fewview.evaluation.rooms.regions import decibels, depth_score, lpips_map, region_score
from fewview.nn.lpips import Lpips
from fewview.views import Render


@pytest.fixture(scope="module")
def net() -> Lpips:
    generator = torch.Generator().manual_seed(1)
    model = Lpips("vgg", layers=3)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.copy_(torch.randn(parameter.shape, generator=generator) * (parameter[0].numel() ** -0.5))
        for lin in model.lins.parameters():
            lin.abs_()
    return model


def _pair(size=32):
    generator = torch.Generator().manual_seed(0)
    return torch.rand(3, size, size, generator=generator), torch.rand(3, size, size, generator=generator)


def test_the_score_of_a_mask_sees_nothing_else():
    a, b = _pair(8)
    mask = torch.zeros(8, 8, dtype=torch.bool)
    mask[2:5, 1:7] = True
    score = region_score(a, b, mask, distances=torch.arange(64.0).reshape(8, 8))
    assert score is not None and score.pixels == 18
    assert decibels(score.squared_error) == pytest.approx(
        psnr(a[None, :, 2:5, 1:7], b[None, :, 2:5, 1:7]).item(), abs=1e-4
    )
    assert score.lpips == pytest.approx(torch.arange(64.0).reshape(8, 8)[2:5, 1:7].mean().item())
    assert region_score(a + 7 * ~mask, b, mask) == region_score(a, b, mask)
    assert region_score(a, b, torch.zeros_like(mask)) is None


def test_decibels_are_those_of_psnr():
    assert decibels(0.01) == pytest.approx(20) and decibels(0.0) == 100


def test_the_map_of_lpips_has_its_mean_and_knows_where(net):
    a, b = _pair()
    value, full = lpips_map(net, a[None], b[None])
    assert full.shape == (1, 32, 32) and value.item() == pytest.approx(net(a[None], b[None]).item(), rel=1e-5)
    assert full.mean().item() == pytest.approx(net(a[None], b[None]).item(), rel=0.02)
    patched = a.clone()
    patched[:, :4, :4] = b[:, :4, :4]
    local = lpips_map(net, patched[None], a[None])[1][0]
    assert local[:4, :4].mean() > 20 * local[24:, 24:].mean()
    assert (lpips_map(net, a[None], a[None])[1] == 0).all()


def _render(depth, alpha) -> Render:
    return Render(torch.zeros(1, 3, 4, 4), alpha.expand(1, 1, 4, 4), depth.expand(1, 1, 4, 4))


def test_depth_is_judged_where_the_render_is_opaque_and_the_truth_known():
    truth = torch.full((4, 4), 2.0)
    truth[0] = 0
    alpha = torch.ones(4, 4)
    alpha[1] = 0.4
    depth = torch.full((4, 4), 2.2)
    depth[3] = 3.0
    depth[:2] = 99.0
    score = depth_score(_render(depth, alpha), truth)
    assert score is not None
    assert score.coverage == pytest.approx(8 / 12)
    assert score.relative == pytest.approx((0.1 + 0.5) / 2, abs=1e-6) and score.within == pytest.approx(0.5)


def test_too_near_counts_as_much_as_too_far():
    truth = torch.full((4, 4), 2.0)
    for factor, close in ((1.24, 1), (1.26, 0), (1 / 1.24, 1), (1 / 1.26, 0), (0.0, 0)):
        score = depth_score(_render(truth * factor, torch.ones(4, 4)), truth)
        assert score is not None and score.within == close


def test_nothing_rendered_or_nothing_known():
    score = depth_score(_render(torch.ones(4, 4), torch.zeros(4, 4)), torch.ones(4, 4))
    assert score is not None and score.coverage == 0 and score.relative is None and score.within is None
    assert depth_score(_render(torch.ones(4, 4), torch.ones(4, 4)), torch.zeros(4, 4)) is None
