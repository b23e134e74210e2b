"""LPIPS 0.1 (Zhang et al. 2018, arXiv:1801.03924): a distance of images, and a training loss.

Images are in [0, 1] everywhere in this package and are scaled to [-1, 1] in here, once. The networks were calibrated
for that range; fed with [0, 1] they still return plausible numbers, an error that pixelSplat's results once carried.
"""

from collections.abc import Callable
from typing import Literal

from jaxtyping import Float
from torch import Tensor, nn

Net = Literal["vgg", "alex"]

SHIFT = (-0.030, -0.088, -0.188)  # ImageNet's mean and deviation for images in [-1, 1]; lpips' ScalingLayer
SCALE = (0.458, 0.448, 0.450)
VGG16 = ((64, 64), (128, 128), (256, 256, 256), (512, 512, 512), (512, 512, 512))  # a slice ends before each pooling


class Lpips(nn.Module):
    """Distance of unit-normalised features after each slice of a frozen ImageNet network; differentiable in the images.

    `layers=3` stops after three of the five slices: a cheaper training loss, smaller than the published metric.
    """

    def __init__(self, net: Net = "vgg", layers: int = 5):
        super().__init__()
        if not 1 <= layers <= 5:
            raise ValueError(f"LPIPS has 1 to 5 layers, got {layers}")
        modules, ends, widths = _vgg16() if net == "vgg" else _alexnet()
        self.ends = ends[:layers]
        self.features = nn.Sequential(*modules[: self.ends[-1]])  # keys as in torchvision
        self.lins = nn.ModuleList(nn.Conv2d(width, 1, 1, bias=False) for width in widths[:layers])
        self.requires_grad_(False)

    def forward(
        self, images: Float[Tensor, "batch 3 height width"], truth: Float[Tensor, "batch 3 height width"]
    ) -> Float[Tensor, " batch"]:
        """The distance of each pair of images in [0, 1]; 0 for equal images, and rarely above 1."""
        return self.towards(truth)(images)

    def towards(self, truth: Float[Tensor, "batch 3 height width"]) -> Callable[[Tensor], Float[Tensor, " batch"]]:
        """The distance to pictures that are looked at once, for all images that are compared with them."""
        wanted = self.slices(truth)

        def distance(images: Float[Tensor, "batch 3 height width"]) -> Float[Tensor, " batch"]:
            total = images.new_zeros(len(images))
            for lin, a, b in zip(self.lins, self.slices(images), wanted):
                total = total + lin((a - b).square()).mean(dim=(1, 2, 3))
            return total

        return distance

    def slices(self, images: Float[Tensor, "batch 3 height width"]) -> list[Float[Tensor, "batch _ _ _"]]:
        """Features after each slice, of length one (or zero) at every cell."""
        x = (images * 2 - 1 - _rgb(SHIFT, images)) / _rgb(SCALE, images)
        found = []
        for start, end in zip([0, *self.ends], self.ends):
            x = self.features[start:end](x)
            found.append(_unit(x))
        return found


def _rgb(values: tuple[float, float, float], like: Tensor) -> Float[Tensor, "3 1 1"]:
    return like.new_tensor(values)[:, None, None]


def _unit(features: Float[Tensor, "batch c h w"]) -> Float[Tensor, "batch c h w"]:
    """Unit vectors over channels; where all are zero, zero with a zero gradient (a bare square root gives NaN)."""
    square = features.square().sum(dim=1, keepdim=True)
    return features / (square.clamp_min(1e-20).sqrt() + 1e-10)


def _vgg16() -> tuple[list[nn.Module], list[int], list[int]]:
    """torchvision's VGG16 `features`, the ends of the slices in it, and their widths (Simonyan and Zisserman 2015)."""
    modules: list[nn.Module] = []
    ends, before = [], 3
    for widths in VGG16:
        if ends:
            modules.append(nn.MaxPool2d(2))
        for width in widths:
            modules += [nn.Conv2d(before, width, 3, padding=1), nn.ReLU(inplace=True)]
            before = width
        ends.append(len(modules))
    return modules, ends, [widths[-1] for widths in VGG16]


def _alexnet() -> tuple[list[nn.Module], list[int], list[int]]:
    """The same of torchvision's AlexNet (Krizhevsky 2014, arXiv:1404.5997)."""
    relu, pool = nn.ReLU(inplace=True), nn.MaxPool2d(3, 2)
    modules = [nn.Conv2d(3, 64, 11, stride=4, padding=2), relu, pool, nn.Conv2d(64, 192, 5, padding=2), relu, pool]
    for before, width in ((192, 384), (384, 256), (256, 256)):
        modules += [nn.Conv2d(before, width, 3, padding=1), relu]
    return modules, [2, 5, 8, 10, 12], [64, 192, 384, 256, 256]
