"""z-depths between two bounds, even in logarithm: no scale is preferred."""

import math

from jaxtyping import Float
from torch import Tensor


def log_depths(near: float, far: float, place: Float[Tensor, "*batch"]) -> Float[Tensor, "*batch"]:
    """z-depths at places in [0, 1]: `near` at 0, `far` at 1."""
    return near * (far / near) ** place


def log_places(near: float, far: float, depth: Float[Tensor, "*batch"]) -> Float[Tensor, "*batch"]:
    """The place of each z-depth, clamped to [0, 1]: the inverse of `log_depths`."""
    return ((depth / near).clamp(min=1e-6).log() / math.log(far / near)).clamp(0, 1)
