"""A small multi-layer perceptron for many points: two hidden ReLU layers, as neural radiance fields use."""

import math
from itertools import pairwise

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn.functional import linear, relu

Weights = tuple[Tensor, Tensor, Tensor, Tensor, Tensor, Tensor]
"""(weight, bias) of the three layers, weights as torch.nn.Linear keeps them: "out in"."""


def mlp(x: Float[Tensor, "n inputs"], weights: Weights) -> Float[Tensor, "n outputs"]:
    """linear, relu, linear, relu, linear.

    On a CPU in float32 the kernels of `mlp_numba` run (same bits for any number of threads).
    """
    if x.device.type == "cpu" and x.dtype == weights[0].dtype == torch.float32:
        from fewview.render.mlp_numba import FusedMLP

        return FusedMLP.apply(x, *weights)
    return mlp_torch(x, weights)


def mlp_torch(x: Float[Tensor, "n inputs"], weights: Weights) -> Float[Tensor, "n outputs"]:
    """`mlp` in plain PyTorch, on any device."""
    w1, b1, w2, b2, w3, b3 = weights
    return linear(relu(linear(relu(linear(x, w1, b1)), w2, b2)), w3, b3)


class MLP(nn.Module):
    """`mlp` with its trainable weights."""

    def __init__(self, inputs: int, hidden: int, outputs: int, *, generator: torch.Generator | None = None) -> None:
        super().__init__()
        sizes = (inputs, hidden, hidden, outputs)
        self.weights = nn.ParameterList(_uniform(n, m, generator) for m, n in pairwise(sizes))
        self.biases = nn.ParameterList(_uniform(n, m, generator)[:, 0] for m, n in pairwise(sizes))

    @property
    def layers(self) -> Weights:
        """As `mlp` takes them."""
        (w1, w2, w3), (b1, b2, b3) = self.weights, self.biases
        return w1, b1, w2, b2, w3, b3

    def forward(self, x: Float[Tensor, "n inputs"]) -> Float[Tensor, "n outputs"]:
        return mlp(x, self.layers)


def _uniform(rows: int, columns: int, generator: torch.Generator | None) -> nn.Parameter:
    """U(-1/sqrt(fan in), 1/sqrt(fan in)), torch.nn.Linear's own choice."""
    bound = 1 / math.sqrt(columns)
    return nn.Parameter(torch.empty(rows, columns).uniform_(-bound, bound, generator=generator))
