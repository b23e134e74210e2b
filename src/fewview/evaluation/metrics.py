"""PSNR and SSIM of images in [0, 1], one number per image, as skimage's defaults give them (thesis 5.1)."""

from jaxtyping import Float
from torch import Tensor
from torch.nn.functional import avg_pool2d

WINDOW = 7  # px; structural_similarity's default, a uniform window
K1, K2 = 0.01, 0.03  # Wang et al. 2004, section III.C
PSNR_CAP = 100.0  # dB


def psnr(images: Float[Tensor, "batch c h w"], truth: Float[Tensor, "batch c h w"]) -> Float[Tensor, " batch"]:
    """Peak signal-to-noise ratio in dB for data range 1; equal images give 100 dB, so that means stay finite."""
    mse = (images - truth).square().mean(dim=(1, 2, 3))
    return -10 * mse.clamp_min(10 ** (-PSNR_CAP / 10)).log10()


def ssim(images: Float[Tensor, "batch c h w"], truth: Float[Tensor, "batch c h w"]) -> Float[Tensor, " batch"]:
    """Structural similarity in [-1, 1]: 7x7 uniform window, sample covariance, mean over whole windows and channels.

    In float64, because E[x²] - E[x]² cancels. Raises ValueError for images smaller than the window.
    """
    if min(images.shape[-2:]) < WINDOW:
        raise ValueError(f"SSIM needs images of at least {WINDOW}x{WINDOW} pixels, got {tuple(images.shape[-2:])}")
    x, y = images.double(), truth.double()
    mean_x, mean_y = _window(x), _window(y)
    unbiased = WINDOW**2 / (WINDOW**2 - 1)
    var_x = unbiased * (_window(x * x) - mean_x**2)
    var_y = unbiased * (_window(y * y) - mean_y**2)
    cov = unbiased * (_window(x * y) - mean_x * mean_y)
    luminance = (2 * mean_x * mean_y + K1**2) / (mean_x**2 + mean_y**2 + K1**2)
    structure = (2 * cov + K2**2) / (var_x + var_y + K2**2)
    return (luminance * structure).mean(dim=(1, 2, 3)).to(images.dtype)


def _window(images: Float[Tensor, "batch c h w"]) -> Float[Tensor, "batch c h-6 w-6"]:
    return avg_pool2d(images, WINDOW, stride=1)
