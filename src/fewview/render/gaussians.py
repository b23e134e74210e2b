"""3D Gaussians as plain tensors of activated values, and the asset that they make.

Quaternions are (w, x, y, z). A Gaussian's density is opacity * exp(-x' C^-1 x / 2) with C = R diag(scales^2) R'.
"""

from collections.abc import Sequence
from dataclasses import dataclass, fields
from pathlib import Path

import torch
from jaxtyping import Float
from torch import Tensor

from fewview.cameras import Cameras
from fewview.checkpoint import FORMAT, atomic_folder, load_tensors, read_json, save_tensors, write_json
from fewview.errors import InputError
from fewview.geometry.transforms import apply
from fewview.views import Render

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
        scale = torch.linalg.det(matrix[:3, :3]).abs() ** (1 / 3)
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


@dataclass(frozen=True, eq=False)
class GaussianAsset:
    """Gaussians whose features are what they show: RGB in [0, 1], or latents."""

    gaussians: Gaussians
    antialiased: bool = False

    def render(self, cameras: Cameras) -> Render:
        from fewview.render.splatting import splat  # `splatting` needs the type above

        return splat(self.gaussians, cameras, antialiased=self.antialiased)

    def to(self, device: torch.device | str) -> "GaussianAsset":
        return GaussianAsset(self.gaussians.to(device), self.antialiased)

    def transformed(self, new_from_world: Float[Tensor, "4 4"]) -> "GaussianAsset":
        return GaussianAsset(self.gaussians.transformed(new_from_world), self.antialiased)

    def save(self, folder: Path) -> None:
        """config.json and gaussians.safetensors, written whole."""
        config = {"antialiased": self.antialiased}
        tensors = {name: tensor.detach().cpu() for name, tensor in self.gaussians.tensors().items()}
        with atomic_folder(folder) as temporary:
            write_json(temporary / "config.json", {"format": FORMAT, "class": "GaussianAsset", "config": config})
            save_tensors(temporary / "gaussians.safetensors", tensors)

    @staticmethod
    def load(folder: Path) -> "GaussianAsset":
        """The asset that `save` wrote; InputError where a file is missing, malformed or of another kind."""
        header = read_json(folder / "config.json")
        if not isinstance(header, dict) or (header.get("format"), header.get("class")) != (FORMAT, "GaussianAsset"):
            raise InputError(f"{folder / 'config.json'} does not describe a GaussianAsset of format {FORMAT}.")
        path = folder / "gaussians.safetensors"
        tensors = load_tensors(path)
        config = header.get("config")
        if not isinstance(config, dict):
            raise InputError(f"{folder / 'config.json'} has no settings under 'config'; write it again.")
        antialiased = bool(config.get("antialiased", False))
        return GaussianAsset(gaussians_of(tensors, path), antialiased)


def gaussians_of(tensors: dict[str, Tensor], path: Path) -> Gaussians:
    """Splats of a file's tensors; InputError, naming the file, where their shapes or numbers are none of splats."""
    tails = {"means": (3,), "scales": (3,), "quaternions": (4,), "opacities": (), "features": (None,)}
    if set(tensors) != set(tails):
        raise InputError(
            f"{path} holds {sorted(tensors)}, not {sorted(tails)}; write it again with GaussianAsset.save."
        )
    count = len(tensors["means"])
    for name, tail in tails.items():
        shape = tuple(tensors[name].shape)
        fits = len(shape) == 1 + len(tail) and all(want in (None, have) for want, have in zip(tail, shape[1:]))
        if not fits or shape[0] != count:
            raise InputError(f"{path}: '{name}' has the shape {shape}; write the file again with GaussianAsset.save.")
        if not tensors[name].is_floating_point() or not bool((tensors[name].abs() < LARGEST).all()):
            raise InputError(f"{path}: '{name}' holds NaN or numbers beyond {LARGEST:g}; write the file again.")
    return Gaussians(**{name: tensor.float() for name, tensor in tensors.items()})


def rotations(quaternions: Float[Tensor, "n 4"]) -> Float[Tensor, "n 3 3"]:
    """Rotation matrices of (w, x, y, z), which need not have length one."""
    w, x, y, z = torch.nn.functional.normalize(quaternions, dim=-1).unbind(-1)
    rows = [
        1 - 2 * (y * y + z * z), 2 * (x * y - w * z), 2 * (x * z + w * y),
        2 * (x * y + w * z), 1 - 2 * (x * x + z * z), 2 * (y * z - w * x),
        2 * (x * z - w * y), 2 * (y * z + w * x), 1 - 2 * (x * x + y * y),
    ]  # fmt: skip
    return torch.stack(rows, dim=-1).reshape(-1, 3, 3)


def quaternions_of(matrices: Float[Tensor, "n 3 3"]) -> Float[Tensor, "n 4"]:
    """Unit quaternions (w >= 0) of rotation matrices: the top eigenvector of Bar-Itzhack's K (2000)."""
    (a, b, c), (d, e, f), (g, h, i) = (row.unbind(-1) for row in matrices.unbind(-2))
    k = torch.stack([
        a + e + i, h - f, c - g, d - b,
        h - f, a - e - i, b + d, c + g,
        c - g, b + d, e - a - i, f + h,
        d - b, c + g, f + h, i - a - e,
    ], dim=-1).reshape(-1, 4, 4)  # fmt: skip
    quaternions = torch.linalg.eigh(k).eigenvectors[..., -1]
    return torch.where(quaternions[:, :1] < 0, -quaternions, quaternions)


def multiply(a: Float[Tensor, "#n 4"], b: Float[Tensor, "#n 4"]) -> Float[Tensor, "n 4"]:
    """Hamilton product: the rotation b, then a."""
    (aw, ax, ay, az), (bw, bx, by, bz) = a.unbind(-1), b.unbind(-1)
    return torch.stack(
        [
            aw * bw - ax * bx - ay * by - az * bz,
            aw * bx + ax * bw + ay * bz - az * by,
            aw * by - ax * bz + ay * bw + az * bx,
            aw * bz + ax * by - ay * bx + az * bw,
        ],
        dim=-1,
    )
