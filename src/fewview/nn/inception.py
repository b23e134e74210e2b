"""Inception v3 (Szegedy et al. 2016, arXiv:1512.00567) as FID uses it: the TensorFlow graph of 2015, pooled features.

It differs from the published network in what TensorFlow's pooling does: means leave the padding out, and the last block
takes a maximum. Module names are torchvision's, so that the usual files fit.
"""

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn.functional import avg_pool2d, max_pool2d, relu

Size = int | tuple[int, int]


class Conv(nn.Module):
    """Convolution, batch normalisation, ReLU; padded to keep the size unless told otherwise."""

    def __init__(self, inputs: int, outputs: int, size: Size = 1, *, stride: int = 1, padded: bool = True):
        super().__init__()
        size = (size, size) if isinstance(size, int) else size
        padding = (size[0] // 2, size[1] // 2) if padded else 0
        self.conv = nn.Conv2d(inputs, outputs, size, stride, padding, bias=False)
        self.bn = nn.BatchNorm2d(outputs, eps=1e-3)

    def forward(self, x: Float[Tensor, "n c h w"]) -> Float[Tensor, "n _ _ _"]:
        return relu(self.bn(self.conv(x)))


def _chain(module: nn.Module, name: str, widths: list[int], *, sizes: list[Size], shrink: bool = False) -> None:
    """Adds convolutions `<name>_1`, `<name>_2`, ...; with `shrink` the last halves the size."""
    last = len(sizes) - 1
    for i, size in enumerate(sizes):
        halves = shrink and i == last
        own = Conv(widths[i], widths[i + 1], size, stride=2 if halves else 1, padded=not halves)
        setattr(module, f"{name}_{i + 1}", own)


class Block(nn.Module):
    """Branches side by side, and a pool: chains of convolutions that are called `<name>`, or `<name>_1`, `<name>_2`."""

    branches: tuple[str, ...]
    branch_pool: Conv

    def pooled(self, x: Float[Tensor, "n c h w"]) -> Float[Tensor, "n _ _ _"]:
        """The last branch, by default at the same size."""
        return self.branch_pool(_mean(x))

    def forward(self, x: Float[Tensor, "n c h w"]) -> Float[Tensor, "n _ _ _"]:
        return torch.cat([*(_run(self, name, x) for name in self.branches), self.pooled(x)], dim=1)


class Halving(Block):
    """Its convolutions halve the size, and so does its pool."""

    def pooled(self, x: Float[Tensor, "n c h w"]) -> Float[Tensor, "n c _ _"]:
        return max_pool2d(x, 3, 2)


def _run(module: nn.Module, name: str, x: Tensor) -> Tensor:
    if hasattr(module, name):
        return getattr(module, name)(x)
    i = 1
    while hasattr(module, f"{name}_{i}"):
        x = getattr(module, f"{name}_{i}")(x)
        i += 1
    return x


def _mean(x: Tensor) -> Tensor:
    return avg_pool2d(x, 3, 1, 1, count_include_pad=False)


class BlockA(Block):
    """1x1, 5x5, two 3x3, pool (figure 5)."""

    branches = ("branch1x1", "branch5x5", "branch3x3dbl")

    def __init__(self, inputs: int, pool: int):
        super().__init__()
        self.branch1x1 = Conv(inputs, 64)
        _chain(self, "branch5x5", [inputs, 48, 64], sizes=[1, 5])
        _chain(self, "branch3x3dbl", [inputs, 64, 96, 96], sizes=[1, 3, 3])
        self.branch_pool = Conv(inputs, pool)


class BlockB(Halving):
    """3x3, two 3x3, pool."""

    branches = ("branch3x3", "branch3x3dbl")

    def __init__(self, inputs: int):
        super().__init__()
        self.branch3x3 = Conv(inputs, 384, 3, stride=2, padded=False)
        _chain(self, "branch3x3dbl", [inputs, 64, 96, 96], sizes=[1, 3, 3], shrink=True)


class BlockC(Block):
    """1x1, 7x7 in two, 7x7 twice in four, pool (figure 6)."""

    branches = ("branch1x1", "branch7x7", "branch7x7dbl")

    def __init__(self, inputs: int, width: int):
        super().__init__()
        self.branch1x1 = Conv(inputs, 192)
        _chain(self, "branch7x7", [inputs, width, width, 192], sizes=[1, (1, 7), (7, 1)])
        sizes: list[Size] = [1, (7, 1), (1, 7), (7, 1), (1, 7)]
        _chain(self, "branch7x7dbl", [inputs, width, width, width, width, 192], sizes=sizes)
        self.branch_pool = Conv(inputs, 192)


class BlockD(Halving):
    """3x3, 7x7 and 3x3, pool."""

    branches = ("branch3x3", "branch7x7x3")

    def __init__(self, inputs: int):
        super().__init__()
        _chain(self, "branch3x3", [inputs, 192, 320], sizes=[1, 3], shrink=True)
        _chain(self, "branch7x7x3", [inputs, 192, 192, 192, 192], sizes=[1, (1, 7), (7, 1), 3], shrink=True)


class BlockE(nn.Module):
    """1x1, 3x3 spread in two, 3x3 and 3x3 spread in two, pool (figure 7)."""

    def __init__(self, inputs: int, *, maximum: bool):
        super().__init__()
        self.maximum = maximum
        self.branch1x1 = Conv(inputs, 320)
        self.branch3x3_1 = Conv(inputs, 384)
        _chain(self, "branch3x3dbl", [inputs, 448, 384], sizes=[1, 3])
        for name in ("branch3x3_2", "branch3x3dbl_3"):
            setattr(self, f"{name}a", Conv(384, 384, (1, 3)))
            setattr(self, f"{name}b", Conv(384, 384, (3, 1)))
        self.branch_pool = Conv(inputs, 192)

    def forward(self, x: Float[Tensor, "n c h w"]) -> Float[Tensor, "n _ h w"]:
        one, two = self.branch3x3_1(x), _run(self, "branch3x3dbl", x)
        ends = [("branch3x3_2", one), ("branch3x3dbl_3", two)]
        spread = [getattr(self, name + side)(y) for name, y in ends for side in "ab"]
        pooled = max_pool2d(x, 3, 1, 1) if self.maximum else _mean(x)
        return torch.cat([self.branch1x1(x), *spread, self.branch_pool(pooled)], dim=1)


class Inception(nn.Module):
    """Images "n 3 299 299" in [-1, 1] to features "n 2048"."""

    def __init__(self) -> None:
        super().__init__()
        self.Conv2d_1a_3x3 = Conv(3, 32, 3, stride=2, padded=False)
        self.Conv2d_2a_3x3 = Conv(32, 32, 3, padded=False)
        self.Conv2d_2b_3x3 = Conv(32, 64, 3)
        self.Conv2d_3b_1x1 = Conv(64, 80)
        self.Conv2d_4a_3x3 = Conv(80, 192, 3, padded=False)
        self.Mixed_5b, self.Mixed_5c, self.Mixed_5d = BlockA(192, 32), BlockA(256, 64), BlockA(288, 64)
        self.Mixed_6a = BlockB(288)
        self.Mixed_6b, self.Mixed_6c = BlockC(768, 128), BlockC(768, 160)
        self.Mixed_6d, self.Mixed_6e = BlockC(768, 160), BlockC(768, 192)
        self.Mixed_7a = BlockD(768)
        self.Mixed_7b, self.Mixed_7c = BlockE(1280, maximum=False), BlockE(2048, maximum=True)
        self.requires_grad_(False)

    def forward(self, images: Float[Tensor, "n 3 h w"]) -> Float[Tensor, "n 2048"]:
        x = self.Conv2d_2b_3x3(self.Conv2d_2a_3x3(self.Conv2d_1a_3x3(images)))
        x = self.Conv2d_4a_3x3(self.Conv2d_3b_1x1(max_pool2d(x, 3, 2)))
        x = max_pool2d(x, 3, 2)
        for name in ("5b", "5c", "5d", "6a", "6b", "6c", "6d", "6e", "7a", "7b", "7c"):
            x = getattr(self, f"Mixed_{name}")(x)
        return x.mean((-2, -1))
