"""WildFusion at two sizes: `paper` (256 px) and `tiny` (64 px, two CPU cores); its second stage, and its control.

The paper's sizes are not public in what we read (the project page and its figure): `paper` is ours, at its resolution.
"""

from dataclasses import replace

from fewview.nn.unet import UNetConfig
from fewview.recipes import sparsefusion
from fewview.wildfusion.discriminators import Adversaries
from fewview.wildfusion.gan import GANConfig
from fewview.wildfusion.latent import LatentConfig
from fewview.wildfusion.model import RenderConfig, WildFusionConfig


def paper() -> WildFusionConfig:
    """256 px, 32x32x4 latents, planes of 128 cells, rendered at 64 px with 48 samples a ray."""
    return WildFusionConfig()


def tiny() -> WildFusionConfig:
    """64 px, 16x16x8 latents (two of chroma), planes of 32 cells with 16 features, rendered at 32 px."""
    return WildFusionConfig(
        latents=6,
        cells=16,
        encoder=(48, 96, 128),
        patch=2,
        level=1,
        decoder=(128, 64),
        layers=(2, 2),
        heads=4,
        groups=16,
        chroma_scale=16.6,
        render=RenderConfig(channels=16, hidden=32, features=16, size=32, samples=20, width=48, blocks=2, factor=2),
    )


def paper_latent(classes: tuple[str, ...]) -> LatentConfig:
    """Some 400 M parameters (the U-Net of SparseFusion's thesis), as large latent diffusion models have."""
    return LatentConfig(UNetConfig(channels=4, cond_images_channels=64), classes)


def tiny_latent(classes: tuple[str, ...]) -> LatentConfig:
    """The U-Net of the tiny SparseFusion, its three levels of up to 96 channels."""
    unet = sparsefusion.tiny().unet
    return LatentConfig(
        replace(unet, channels=8, dim=48, num_resnet_blocks=(1, 1, 2), cond_images_channels=16), classes
    )


def paper_gan(classes: tuple[str, ...]) -> GANConfig:
    """The control at the paper's resolution."""
    return GANConfig(paper(), classes, noise=512, style=512, widths=(512, 512, 512, 512))


def tiny_gan(classes: tuple[str, ...]) -> GANConfig:
    """As many parameters as the tiny autoencoder and its latent diffusion have together."""
    return GANConfig(tiny(), classes, noise=128, style=256, widths=(352, 352, 352))


def adversaries(config: WildFusionConfig, *, classes: int = 0) -> Adversaries:
    """Discriminators down to 4 cells a side, for images and depth of a model's sizes."""
    levels = (config.size // 4).bit_length()
    first, most = (32, 128) if config.size <= 64 else (64, 512)
    widths = tuple(min(most, first * 2**i) for i in range(levels))
    return Adversaries(config.size, config.render.size, widths, classes=classes)
