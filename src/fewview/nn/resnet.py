"""ResNet-18 up to its third stage, with torchvision's parameter names, as a feature pyramid (He et al., 1512.03385)."""

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional as F

WIDTHS = (64, 64, 128, 256)  # conv1, layer1, layer2, layer3: 512 channels together (thesis A.1)


class BasicBlock(nn.Module):
    """Two 3x3 convolutions around a shortcut."""

    def __init__(self, inputs: int, outputs: int, stride: int):
        super().__init__()
        self.conv1 = nn.Conv2d(inputs, outputs, 3, stride, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(outputs)
        self.conv2 = nn.Conv2d(outputs, outputs, 3, 1, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(outputs)
        self.downsample = None
        if stride != 1 or inputs != outputs:
            self.downsample = nn.Sequential(nn.Conv2d(inputs, outputs, 1, stride, bias=False), nn.BatchNorm2d(outputs))

    def forward(self, x: Float[Tensor, "b c h w"]) -> Float[Tensor, "b d h2 w2"]:
        shortcut = x if self.downsample is None else self.downsample(x)
        x = F.relu(self.bn1(self.conv1(x)))
        return F.relu(self.bn2(self.conv2(x)) + shortcut)


class ResNet18Pyramid(nn.Module):
    """conv1, layer1, layer2, layer3 of ResNet-18. Images are in [0, 1], without ImageNet normalisation (release).

    With `batch_statistics` batch norm never uses what it learned of means and variances, nor changes it when in eval
    mode.
    """

    def __init__(self, *, batch_statistics: bool = False):
        super().__init__()
        self.batch_statistics = batch_statistics
        self.conv1 = nn.Conv2d(3, 64, 7, 2, 3, bias=False)
        self.bn1 = nn.BatchNorm2d(64)
        self.layer1 = self._stage(64, 64, 1)
        self.layer2 = self._stage(64, 128, 2)
        self.layer3 = self._stage(128, 256, 2)

    @staticmethod
    def _stage(inputs: int, outputs: int, stride: int) -> nn.Sequential:
        return nn.Sequential(BasicBlock(inputs, outputs, stride), BasicBlock(outputs, outputs, 1))

    def train(self, mode: bool = True) -> "ResNet18Pyramid":
        super().train(mode)
        if self.batch_statistics:
            for module in self.modules():
                if isinstance(module, nn.BatchNorm2d):
                    module.train()
                    module.momentum = 0.1 if mode else 0.0
        return self

    def forward(self, images: Float[Tensor, "b 3 h w"]) -> list[Tensor]:
        """Feature maps at 1/2, 1/4, 1/8 and 1/16 of the image size."""
        stem = F.relu(self.bn1(self.conv1(images)))
        maps = [stem, self.layer1(F.max_pool2d(stem, 3, 2, 1))]
        maps.append(self.layer2(maps[-1]))
        maps.append(self.layer3(maps[-1]))
        return maps

    def load_torchvision(self, state: dict[str, Tensor]) -> None:
        """Weights of torchvision's resnet18 (its layer4 and fc are not used)."""
        kept = {name: tensor for name, tensor in state.items() if not name.startswith(("layer4.", "fc."))}
        self.load_state_dict(kept)


def upsampled(
    maps: list[Tensor], height: int, width: int, *, align_corners: bool = False
) -> Float[Tensor, "b 512 {height} {width}"]:
    """The pyramid as one map (thesis A.1); pixel corners coincide (release: corner pixels, a half-pixel error)."""
    how = {"mode": "bilinear", "align_corners": align_corners}
    return torch.cat([F.interpolate(m, (height, width), **how) for m in maps], dim=1)
