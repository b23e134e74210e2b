"""3D Gaussians as plain tensors of activated values.

Quaternions are (w, x, y, z). A Gaussian's density is opacity * exp(-x' C^-1 x / 2) with C = R diag(scales^2) R'.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields, replace

import torch
from jaxtyping import Float
from torch import Tensor

from fewview.geometry.harmonics import COUNTS, degree_of, turned
from fewview.geometry.quaternions import multiply, quaternions_of, rotations
from fewview.geometry.transforms import apply, scale_of

LARGEST = 1e9  # of any value in a file: beyond, squares leave no digits of float32


@dataclass(frozen=True, eq=False)
class Gaussians:
    """World-space means, standard deviations (world units, > 0), orientations, opacities in [0, 1] and any features.

    `harmonics` make the features depend on the direction d in which they are seen, from the eye to the mean:
    max(0, features + sum_k Y_k(d) harmonics_k), with the 3, 8 or 15 Y_k of degrees 1 to 1, 2 or 3 of
    `fewview.geometry.harmonics`. Features are thus the colour of degree 0. Without harmonics they are shown as they
    are.
    """

    means: Float[Tensor, "n 3"]
    scales: Float[Tensor, "n 3"]
    quaternions: Float[Tensor, "n 4"]
    opacities: Float[Tensor, " n"]
    features: Float[Tensor, "n channels"]
    harmonics: Float[Tensor, "n coefficients channels"] | None = None

    def __len__(self) -> int:
        return self.means.shape[0]

    def __getitem__(self, index) -> "Gaussians":
        return self._each(lambda tensor: tensor[index])

    def to(self, device: torch.device | str) -> "Gaussians":
        return self._each(lambda tensor: tensor.to(device))

    def detach(self) -> "Gaussians":
        return self._each(lambda tensor: tensor.detach())

    def tensors(self) -> dict[str, Tensor]:
        """The fields by name; harmonics only where there are some."""
        named = ((field.name, getattr(self, field.name)) for field in fields(self))
        return {name: tensor for name, tensor in named if tensor is not None}

    def _each(self, change: Callable[[Tensor], Tensor]) -> "Gaussians":
        return Gaussians(**{name: change(tensor) for name, tensor in self.tensors().items()})

    @property
    def degree(self) -> int:
        """The highest degree of the harmonics, 0 to 3."""
        return 0 if self.harmonics is None else degree_of(self.harmonics.shape[1])

    def of_degree(self, degree: int) -> "Gaussians":
        """The same with harmonics up to `degree`: higher ones are cut off, and lacking ones are 0."""
        if degree == self.degree:
            return self
        if degree == 0:
            return replace(self, harmonics=None)
        count, channels = COUNTS[degree], self.features.shape[1]
        old = self.features.new_zeros(len(self), 0, channels) if self.harmonics is None else self.harmonics
        lacking = old.new_zeros(len(self), max(0, count - old.shape[1]), channels)
        return replace(self, harmonics=torch.cat([old[:, :count], lacking], dim=1))

    def covariances(self) -> Float[Tensor, "n 3 3"]:
        """R diag(scales^2) R' (world units squared)."""
        half = rotations(self.quaternions) * self.scales[:, None, :]
        return half @ half.mT

    def transformed(self, new_from_world: Float[Tensor, "4 4"]) -> "Gaussians":
        """The same Gaussians in a new frame; `new_from_world` is a similarity without reflection."""
        matrix = new_from_world.to(self.means)
        scale = scale_of(matrix)
        rotation = matrix[:3, :3] / scale
        turn = quaternions_of(rotation[None])
        return Gaussians(
            apply(matrix, self.means),
            self.scales * scale,
            multiply(turn, torch.nn.functional.normalize(self.quaternions, dim=-1)),
            self.opacities,
            self.features,
            None if self.harmonics is None else turned(self.harmonics, rotation),
        )

    @staticmethod
    def cat(parts: Sequence["Gaussians"]) -> "Gaussians":
        """All Gaussians of `parts`, in order, with the highest degree of them; they share a channel count."""
        highest = max(part.degree for part in parts)
        columns = zip(*(part.of_degree(highest).tensors().values() for part in parts))
        return Gaussians(*(torch.cat(tensors) for tensors in columns))
