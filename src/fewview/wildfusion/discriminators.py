"""Discriminators: dual discrimination of images (EG3D, arXiv:2112.07945, section 4.3), and one of depth."""

from itertools import pairwise

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn
from torch.nn import functional as F

from fewview.wildfusion.renderer import enlarged


class Discriminator(nn.Module):
    """Strided convolutions to a logit; with classes, plus the projection on the class (arXiv:1802.05637)."""

    def __init__(self, inputs: int, size: int, widths: tuple[int, ...], *, classes: int = 0):
        super().__init__()
        self.first = nn.Conv2d(inputs, widths[0], 3, padding=1)
        self.downs = nn.ModuleList(nn.Conv2d(a, b, 4, 2, 1) for a, b in pairwise(widths))
        cells = size >> (len(widths) - 1)
        self.mixed = nn.Linear((widths[-1] + 1) * cells**2, widths[-1])
        self.logit = nn.Linear(widths[-1], 1)
        self.classes = nn.Embedding(classes, widths[-1]) if classes else None

    def forward(self, x: Float[Tensor, "b c h w"], labels: Int[Tensor, " b"] | None = None) -> Float[Tensor, " b"]:
        x = F.leaky_relu(self.first(x), 0.2)
        for down in self.downs:
            x = F.leaky_relu(down(x), 0.2)
        spread = (x.var(0, correction=0) + 1e-8).sqrt().mean().expand(len(x), 1, *x.shape[-2:])
        hidden = F.leaky_relu(self.mixed(torch.cat([x, spread], dim=1).flatten(1)), 0.2)
        logit = self.logit(hidden)[:, 0]
        if self.classes is None or labels is None:
            return logit
        return logit + (self.classes(labels) * hidden).sum(-1) / hidden.shape[-1] ** 0.5


class Adversaries(nn.Module):
    """D_phi, which sees an image beside its enlarged low-resolution twin, and D_chi, which sees depth and coverage."""

    def __init__(self, size: int, low: int, widths: tuple[int, ...], *, classes: int = 0):
        super().__init__()
        self.factor = size // low
        self.image = Discriminator(6, size, widths, classes=classes)
        self.depth = Discriminator(2, low, widths[self.factor.bit_length() - 1 :], classes=classes)

    def pair(
        self, images: Float[Tensor, "b 3 h w"], low: Float[Tensor, "b 3 h2 w2"] | None = None
    ) -> Float[Tensor, "b 6 h w"]:
        """What D_phi sees: for real images the twin is the image itself, averaged and enlarged again."""
        low = F.avg_pool2d(images, self.factor) if low is None else low
        return torch.cat([images, enlarged(low, self.factor)], dim=1) * 2 - 1
