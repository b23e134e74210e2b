"""Splats as PLY files in the layout of 3D Gaussian Splatting (github.com/graphdeco-inria/gaussian-splatting).

x y z, nx ny nz (zeros), f_dc_0..2 (colour less 1/2, over the constant of the 0th spherical harmonic), opacity (logit),
scale_0..2 (logarithms), rot_0..3 (w x y z); float32, little endian.
"""

from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from fewview.checkpoint import atomic_path
from fewview.errors import InputError
from fewview.export.ply_table import read_vertices
from fewview.render.gaussians import LARGEST, Gaussians

SH_DC = 0.28209479177387814  # 1 / (2 sqrt(pi))
LOGIT_EPS = 1e-6  # opacities of 0 and 1 have no logit
COLUMNS = {
    "means": ("x", "y", "z"),
    "normals": ("nx", "ny", "nz"),
    "features": ("f_dc_0", "f_dc_1", "f_dc_2"),
    "opacities": ("opacity",),
    "scales": ("scale_0", "scale_1", "scale_2"),
    "quaternions": ("rot_0", "rot_1", "rot_2", "rot_3"),
}


def arrays(gaussians: Gaussians) -> tuple[Float[np.ndarray, "n ..."], ...]:
    """Means, scales, unit quaternions, opacities and colours in float32. ValueError if the features are not RGB."""
    if gaussians.features.shape[1] != 3:
        raise ValueError(f"a splat file holds 3 colour channels, not {gaussians.features.shape[1]}")
    unit = torch.nn.functional.normalize(gaussians.quaternions, dim=-1)
    fields = {**gaussians.tensors(), "quaternions": unit}
    return tuple(tensor.detach().float().cpu().numpy() for tensor in fields.values())


def write_ply(path: Path, gaussians: Gaussians) -> None:
    """Write RGB splats; quaternions are normalised, opacities kept 1e-6 away from 0 and 1. ValueError if not RGB."""
    means, scales, quaternions, opacities, features = arrays(gaussians)
    columns = {
        "means": means,
        "normals": np.zeros_like(means),
        "features": (features - 0.5) / SH_DC,
        "opacities": _logit(opacities)[:, None],
        "scales": np.log(scales.clip(1e-20)),
        "quaternions": quaternions,
    }
    table = np.concatenate([columns[name] for name in COLUMNS], axis=-1).astype("<f4")
    names = [name for group in COLUMNS.values() for name in group]
    lines = ["ply", "format binary_little_endian 1.0", f"element vertex {len(table)}"]
    lines += [f"property float {name}" for name in names] + ["end_header", ""]
    with atomic_path(path) as temporary:
        temporary.write_bytes("\n".join(lines).encode() + table.tobytes())


def read_ply(path: Path) -> Gaussians:
    """Splats of a file in this layout. View-dependent colour (f_rest_*) is dropped. InputError if it is damaged."""
    check_is_file(path)
    try:
        vertices = read_vertices(path)
    except (ValueError, OSError) as error:
        raise InputError(f"{path} is not a whole PLY file ({error}); export it again.") from None
    means, features, logits, logs, quaternions = (
        _columns(vertices, name, path) for name in ("means", "features", "opacities", "scales", "quaternions")
    )
    splats = Gaussians(means, logs.exp(), quaternions, logits[:, 0].sigmoid(), features * SH_DC + 0.5)
    return checked(splats, path)


def checked(gaussians: Gaussians, path: Path) -> Gaussians:
    """The same splats; InputError where the file at `path` held none, or some with values that make no sense."""
    if not len(gaussians):
        raise InputError(f"{path} holds no splats; export it again.")
    for name, tensor in gaussians.tensors().items():
        bad = torch.nonzero(~(tensor.reshape(len(gaussians), -1).abs() < LARGEST).all(-1))
        if len(bad):
            raise InputError(
                f"{path}: splat {int(bad[0])} has '{name}' that are not finite, or beyond {LARGEST:g}; export it again."
            )
    return gaussians


def check_is_file(path: Path) -> None:
    """InputError for a file that is missing, and for pipes, which would be waited for."""
    if not path.is_file():
        raise InputError(f"{path} does not exist, or is no file; name a file of splats.")


def _logit(opacities: Float[np.ndarray, " n"]) -> Float[np.ndarray, " n"]:
    p = opacities.astype(np.float64).clip(LOGIT_EPS, 1 - LOGIT_EPS)
    return np.log(p / (1 - p))


def _columns(vertices: np.ndarray, name: str, path: Path) -> Tensor:
    missing = [column for column in COLUMNS[name] if column not in (vertices.dtype.names or ())]
    if missing:
        raise InputError(f"{path} has no '{missing[0]}'; it is a PLY file, but not of Gaussian splats.")
    return torch.from_numpy(np.stack([vertices[column].astype(np.float32) for column in COLUMNS[name]], axis=-1))
