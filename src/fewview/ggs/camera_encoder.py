"""The camera encoder P: Plücker maps of the views to maps for each level of the U-Net (as CameraCtrl, 2404.02101)."""

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional as F

from fewview.cameras import Cameras


class CameraEncoder(nn.Module):
    """Cameras in the normalised frame to one map a level, at 1, 1/2, 1/4, ... of the latents' resolution.

    Plücker maps have the images' resolution; `factor` x `factor` pixels become the channels of a latent cell.
    """

    def __init__(self, levels: tuple[int, ...], factor: int, width: int = 64):
        super().__init__()
        self.factor = factor
        self.embed = nn.Conv2d(6 * factor**2, width, 3, padding=1)
        self.stages = nn.ModuleList(nn.Conv2d(width, width, 3, 1 if i == 0 else 2, 1) for i in range(len(levels)))
        self.heads = nn.ModuleList(nn.Conv2d(width, channels, 1) for channels in levels)
        for head in self.heads:  # adds nothing at first: a pre-trained U-Net starts as it was
            nn.init.zeros_(head.weight)  # type: ignore[arg-type]
            nn.init.zeros_(head.bias)  # type: ignore[arg-type]

    def forward(self, cameras: Cameras) -> list[Tensor]:
        """Maps "n c h w" for cameras of any batch shape, flattened to n."""
        x = F.silu(self.embed(F.pixel_unshuffle(pluecker_maps(cameras.reshape(-1)), self.factor)))
        maps = []
        for stage, head in zip(self.stages, self.heads):
            x = F.silu(stage(x))
            maps.append(head(x))
        return maps


def pluecker_maps(cameras: Cameras) -> Float[Tensor, "*batch 6 height width"]:
    """Direction and moment of the ray through each pixel centre."""
    with torch.autocast(cameras.intrinsics.device.type, enabled=False):
        return cameras.rays().pluecker().movedim(-1, -3)
