"""SparseFusion at 256 px (`thesis`, `release`), 128 px (`small`, one GPU) and 64 px (`tiny`, two CPU cores)."""

from dataclasses import replace

from fewview.nn.autoencoder import AutoencoderConfig
from fewview.nn.unet import UNetConfig
from fewview.sparsefusion.eft import EFTConfig
from fewview.sparsefusion.vldm import VLDMConfig


def thesis() -> VLDMConfig:
    """The thesis' networks and training (Tables A.1, A.2; Eq. 4.2): 256 px, 32x32x4 latents of Stable Diffusion's."""
    eft = EFTConfig(query_ray_first=True, view_ray="middle", depth_centre="scene")
    return VLDMConfig(eft=eft, unet=UNetConfig(token_keys=True), weighting="one", noise_draws=1)


def release() -> VLDMConfig:
    """The same as the authors' public release computes it, whose weights `fewview import` reads."""
    eft = EFTConfig(view_ray="middle", depth_centre="scene", sampling="corners", batch_statistics=True)
    unet = UNetConfig(token_keys=True)
    return VLDMConfig(eft, unet, frame="world", rays="corners", weighting="p2", noise_draws=12)


def tiny() -> VLDMConfig:
    """64 px, 16x16x6 latents: what two CPU cores train in hours and run in seconds."""
    return VLDMConfig(
        size=64,
        autoencoder=AutoencoderConfig((32, 64, 96), blocks=1, groups=16, scale=1.0, chroma_scale=28.55),
        eft=EFTConfig(
            dim=64,
            layers=(1, 2, 2),
            heads=1,
            hidden=64,
            dropout=0.0,
            norm_first=True,
            octaves=4,
            depth_samples=16,
            depth_range=2.5,
            unit_lengths=True,
            alpha=True,
            copy=True,
            view_ray="average",
        ),
        unet=UNetConfig(
            channels=6,
            dim=64,
            dim_mults=(1, 2, 2),
            num_resnet_blocks=(1, 1, 1),
            layer_attns=(False, False, True),
            cond_images_channels=68,  # features, colours and coverage
            kernels=(3, 5, 7),
            heads=4,
            head_dim=32,
            time_tokens=0,
        ),
        see_colours=True,
        prediction="v",
        weighting="min_snr",
        noise_draws=2,
    )


def small() -> VLDMConfig:
    """The networks of `tiny` at 128 px, 32x32x6 latents, so that they can begin with its weights (`--init`)."""
    return replace(tiny(), size=128)
