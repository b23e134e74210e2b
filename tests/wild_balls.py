"""Photos of shaded balls in view space, whose depth is known in closed form, and the smallest networks."""

import torch

from fewview.nn.unet import UNetConfig
from fewview.wildfusion.frame import BOUND, input_cameras
from fewview.wildfusion.latent import LatentConfig
from fewview.wildfusion.model import RenderConfig, WildFusionConfig
from fewview.wildfusion.photos import Photos
from fewview.wildfusion.whole import WholeConfig, WildFusion

SIZE = 16
CLASSES = ("ball", "egg")
MICRO = WildFusionConfig(
    latents=2,
    cells=4,
    encoder=(8, 8),
    patch=2,
    level=1,
    decoder=(16, 8),
    layers=(1, 1),
    heads=2,
    groups=4,
    chroma_scale=10.0,
    render=RenderConfig(channels=8, hidden=8, features=8, size=8, samples=12, width=8, blocks=1, factor=2),
)
PRIOR = LatentConfig(
    UNetConfig(
        channels=4,
        dim=8,
        dim_mults=(1, 2),
        num_resnet_blocks=(1, 1),
        layer_attns=(False, True),
        cond_images_channels=4,
        kernels=(3, 3, 3),
        groups=4,
        heads=2,
        head_dim=4,
        time_tokens=0,
    ),
    CLASSES,
)


def whole() -> WildFusion:
    """The smallest model with a latent diffusion whose last layer is not zero."""
    torch.manual_seed(0)
    model = WildFusion(WholeConfig(MICRO, PRIOR)).eval()
    torch.nn.init.normal_(model.prior.unet.out.weight, std=0.05)
    return model


def photos(count: int = 4, size: int = SIZE) -> Photos:
    """Balls about the origin with radii from 0.5 to 0.9 in colours of their own, darker towards the rim."""
    cameras = input_cameras(count, size)
    rays = cameras.rays()
    radii = torch.linspace(0.5, 0.9, count)[:, None, None]
    along = (rays.directions * -rays.origins).sum(-1)
    inside = radii**2 - (rays.origins.square().sum(-1) - along**2)
    hit = inside > 0
    distance = along - inside.clamp(min=0).sqrt()
    z = (rays.origins + distance[..., None] * rays.directions)[..., 2].clamp(-BOUND, BOUND)
    colours = torch.rand(count, 3, 1, 1, generator=torch.Generator().manual_seed(3)) * 0.8 + 0.2
    shade = (inside.clamp(min=0).sqrt() / radii) * hit
    z = torch.where(hit, z, 0)
    return Photos(colours * shade[:, None], hit.float()[:, None], z[:, None], torch.arange(count) % len(CLASSES))
