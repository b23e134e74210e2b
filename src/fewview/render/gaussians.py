"""3D Gaussians as plain tensors of activated values.

Quaternions are (w, x, y, z). A Gaussian's density is opacity * exp(-x' C^-1 x / 2) with C = R diag(scales^2) R'.
"""

from collections.abc import Sequence
from dataclasses import dataclass, fields

import torch
from jaxtyping import Float
from torch import Tensor

from fewview.geometry.quaternions import multiply, quaternions_of, rotations
from fewview.geometry.transforms import apply, scale_of

LARGEST = 1e9  # of any value in a file: beyond, squares leave no digits of float32


@dataclass(frozen=True, eq=False)
class Gaussians:
    """World-space means, standard deviations (world units, > 0), orientations, opacities in [0, 1] and any features."""

    means: Float[Tensor, "n 3"]
    scales: Float[Tensor, "n 3"]
    quaternions: Float[Tensor, "n 4"]
    opacities: Float[Tensor, " n"]
    features: Float[Tensor, "n channels"]

    def __len__(self) -> int:
        return self.means.shape[0]

    def __getitem__(self, index) -> "Gaussians":
        return Gaussians(*(tensor[index] for tensor in self.tensors().values()))

    def to(self, device: torch.device | str) -> "Gaussians":
        return Gaussians(*(tensor.to(device) for tensor in self.tensors().values()))

    def detach(self) -> "Gaussians":
        return Gaussians(*(tensor.detach() for tensor in self.tensors().values()))

    def tensors(self) -> dict[str, Tensor]:
        return {field.name: getattr(self, field.name) for field in fields(self)}

    def covariances(self) -> Float[Tensor, "n 3 3"]:
        """R diag(scales^2) R' (world units squared)."""
        half = rotations(self.quaternions) * self.scales[:, None, :]
        return half @ half.mT

    def transformed(self, new_from_world: Float[Tensor, "4 4"]) -> "Gaussians":
        """The same Gaussians in a new frame; `new_from_world` is a similarity without reflection."""
        matrix = new_from_world.to(self.means)
        scale = scale_of(matrix)
        turn = quaternions_of((matrix[:3, :3] / scale)[None])
        return Gaussians(
            apply(matrix, self.means),
            self.scales * scale,
            multiply(turn, torch.nn.functional.normalize(self.quaternions, dim=-1)),
            self.opacities,
            self.features,
        )

    @staticmethod
    def cat(parts: Sequence["Gaussians"]) -> "Gaussians":
        """All Gaussians of `parts`, in order; they share a channel count."""
        return Gaussians(*(torch.cat(tensors) for tensors in zip(*(part.tensors().values() for part in parts))))
