"""An Instant-NGP radiance field: hash grid features through a small MLP, with no view direction."""

from dataclasses import dataclass, field

import torch
from jaxtyping import Float
from torch import Tensor, nn

from fewview.render.hashgrid import HashGrid, HashGridConfig
from fewview.render.mlp import MLP


@dataclass(frozen=True)
class FieldConfig:
    """Sizes of an InstantNGP. Defaults are SparseFusion's release, network_grid.py, unless a comment says otherwise."""

    grid: HashGridConfig = field(default_factory=HashGridConfig)
    bound: float = 4.0
    hidden: int = 64  # thesis A.3
    blob: float = 5.0  # the log density starts with a bump of this height at the origin ...
    blob_std: float = 0.2  # ... and this width
    log_density: float = 0.0  # ... on top of this value; ours, the release has none


class InstantNGP(nn.Module):
    """A RadianceField on [-bound, bound]^3, empty outside."""

    def __init__(self, config: FieldConfig, *, generator: torch.Generator | None = None) -> None:
        super().__init__()
        self.config = config
        self.grid = HashGrid(config.grid, generator=generator)
        self.mlp = MLP(config.grid.channels, config.hidden, 4, generator=generator)

    def forward(
        self, points: Float[Tensor, "n 3"], directions: Float[Tensor, "n 3"]
    ) -> tuple[Float[Tensor, " n"], Float[Tensor, "n 3"]]:
        """Density per unit length and colour in [0, 1]; the directions play no part."""
        return self.decode(points, self.mlp(self.grid(self.unit(points))))

    def unit(self, points: Float[Tensor, "n 3"]) -> Float[Tensor, "n 3"]:
        """Points of the box in [0, 1]^3, as the grid wants them."""
        return (points / self.config.bound + 1) / 2

    def decode(
        self, points: Float[Tensor, "n 3"], outputs: Float[Tensor, "n 4"]
    ) -> tuple[Float[Tensor, " n"], Float[Tensor, "n 3"]]:
        """Density and colour from the MLP's outputs: the density starts as a bump and ends with the box."""
        c = self.config
        density, colour = outputs.split([1, 3], dim=-1)
        blob = c.blob * torch.exp(-points.square().sum(dim=-1) / (2 * c.blob_std**2))
        inside = points.abs().amax(dim=-1) <= c.bound
        return truncated_exp(density[:, 0] + blob + c.log_density) * inside, colour.sigmoid()

    def parameter_groups(self, grid_lr: float, mlp_lr: float) -> list[dict]:
        """For torch.optim: the table learns faster than the MLP."""
        return [
            {"params": list(self.grid.parameters()), "lr": grid_lr},
            {"params": list(self.mlp.parameters()), "lr": mlp_lr},
        ]


class _TruncatedExp(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x):
        ctx.save_for_backward(x)
        return x.exp()

    @staticmethod
    def backward(ctx, grad):
        (x,) = ctx.saved_tensors
        return grad * x.clamp(max=15).exp()


def truncated_exp(x: Float[Tensor, "*batch"]) -> Float[Tensor, "*batch"]:
    """exp(x), with a slope of at most exp(15) so that a dense spot cannot blow up the optimiser (instant-ngp)."""
    return _TruncatedExp.apply(x)
