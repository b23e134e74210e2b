"""Image features at the projections of 3D points, which all re-projection methods read."""

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn

from fewview.geometry.epipolar import sample_epipolar
from fewview.nn.resnet import BasicBlock, ResNet18Pyramid
from fewview.views import Views

BLOCKS = {18: (2, 2, 2, 2), 34: (3, 4, 6, 3)}  # of the four stages (He et al., 1512.03385, Table 1)
STAGES = (64, 64, 128, 256, 512)  # channels of the stem and of the stages


class Pyramid(ResNet18Pyramid):
    """The stem and the first `stages` stages of a ResNet of `depth` 18 or 34 layers, with torchvision's names.

    Statistics of batch norm are the weights' own in eval mode; images are in [0, 1].
    """

    def __init__(self, depth: int, stages: int = 3):
        super().__init__()
        self.stages = stages
        for i in range(1, stages + 1):
            inputs, outputs, stride = STAGES[i - 1], STAGES[i], 1 if i == 1 else 2
            first = BasicBlock(inputs, outputs, stride)
            rest = (BasicBlock(outputs, outputs, 1) for _ in range(BLOCKS[depth][i - 1] - 1))
            setattr(self, f"layer{i}", nn.Sequential(first, *rest))

    def forward(self, images: Float[Tensor, "b 3 h w"]) -> list[Tensor]:
        """Maps of the stem and of each stage, at 1/2, 1/4, 1/8 ... of the images' size."""
        maps = super().forward(images)
        return [*maps, self.get_submodule("layer4")(maps[-1])] if self.stages == 4 else maps


def pixel_aligned(
    maps: Float[Tensor, "b m c h w"], views: Views, points: Float[Tensor, "b n 3"]
) -> tuple[Float[Tensor, "b m n c"], Bool[Tensor, "b m n"]]:
    """What each view's map has at points of the world, and whether the view sees them; zeros where it does not."""
    cameras = views.cameras
    pixels, depth = cameras.project(points[:, None].expand(-1, cameras.shape[1], -1, -1))
    return sample_epipolar(maps, pixels, depth, height=cameras.height, width=cameras.width)


def encoded(network: nn.Module, views: Views, *, scale: float = 1.0, shift: float = 0.0) -> list[Float[Tensor, "..."]]:
    """Maps "b m c h w" of a network that knows images alone, of images times `scale` plus `shift`."""
    b, m = views.images.shape[:2]
    return [maps.unflatten(0, (b, m)) for maps in network(views.images.flatten(0, 1) * scale + shift)]


def at_size(maps: list[Tensor], height: int, width: int) -> Float[Tensor, "b m c {height} {width}"]:
    """Maps "b m _ _ _" of several sizes as one; pixel corners stay in place."""
    b, m = maps[0].shape[:2]
    how = {"mode": "bilinear", "align_corners": False}
    flat = [nn.functional.interpolate(x.flatten(0, 1), (height, width), **how) for x in maps]
    return torch.cat(flat, dim=1).unflatten(0, (b, m))
