import pytest
import torch
from skimage.metrics import peak_signal_noise_ratio, structural_similarity

from fewview.evaluation.metrics import psnr, ssim


def _pairs(generator, channels=3, height=23, width=31):
    truth = torch.rand(4, channels, height, width, generator=generator)
    noise = torch.randn(truth.shape, generator=generator)
    amount = torch.tensor([0.001, 0.03, 0.2, 1.0])[:, None, None, None]
    return (truth + amount * noise).clamp(0, 1), truth


@pytest.mark.parametrize("channels", [1, 3])
def test_psnr_and_ssim_are_skimages(generator, channels):
    images, truth = _pairs(generator, channels)
    for i, (a, b) in enumerate(zip(images.numpy(), truth.numpy())):
        assert psnr(images, truth)[i].item() == pytest.approx(peak_signal_noise_ratio(b, a, data_range=1), abs=1e-4)
        expected = structural_similarity(a.astype("f8"), b.astype("f8"), data_range=1, channel_axis=0)
        assert ssim(images, truth)[i].item() == pytest.approx(expected, abs=1e-6)


def test_ssim_is_skimages_on_nearly_flat_bright_images(generator):
    truth = 0.98 + 0.002 * torch.rand(1, 3, 16, 16, generator=generator)
    image = 0.98 + 0.002 * torch.rand(1, 3, 16, 16, generator=generator)
    expected = structural_similarity(image[0].double().numpy(), truth[0].double().numpy(), data_range=1, channel_axis=0)
    assert ssim(image, truth).item() == pytest.approx(expected, abs=1e-6)


def test_psnr_of_a_constant_error_is_its_level_in_decibels():
    truth = torch.full((3, 3, 8, 8), 0.5)
    error = torch.tensor([0.1, 0.01, 0.0])[:, None, None, None]
    assert psnr(truth + error, truth).tolist() == pytest.approx([20.0, 40.0, 100.0], abs=1e-3)


def test_ssim_of_flat_images_is_the_luminance_term_alone():
    a, b = torch.full((1, 1, 9, 9), 0.2), torch.full((1, 1, 9, 9), 0.6)
    assert ssim(a, b).item() == pytest.approx((2 * 0.2 * 0.6 + 1e-4) / (0.04 + 0.36 + 1e-4), abs=1e-6)


def test_ssim_is_symmetric_and_one_for_equal_images(generator):
    images, truth = _pairs(generator)
    assert torch.allclose(ssim(images, truth), ssim(truth, images))
    assert torch.allclose(ssim(truth, truth), torch.ones(4))


def test_metrics_have_the_gradient_of_finite_differences(generator):
    truth = torch.rand(1, 1, 8, 9, generator=generator, dtype=torch.float64)
    image = torch.rand(truth.shape, generator=generator, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(lambda x: ssim(x, truth), image)
    assert torch.autograd.gradcheck(lambda x: psnr(x, truth), image)


def test_each_image_is_judged_alone(generator):
    images, truth = _pairs(generator)
    for metric in (psnr, ssim):
        one_by_one = torch.cat([metric(a[None], b[None]) for a, b in zip(images, truth)])
        assert torch.allclose(metric(images, truth), one_by_one)


def test_ssim_refuses_images_smaller_than_its_window():
    with pytest.raises(ValueError, match="7x7"):
        ssim(torch.zeros(1, 3, 6, 20), torch.zeros(1, 3, 6, 20))
