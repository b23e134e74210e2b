"""Splats as PLY files in the layout of 3D Gaussian Splatting (github.com/graphdeco-inria/gaussian-splatting).

x y z, nx ny nz (zeros), f_dc_0..2 (colour less 1/2, over the constant of the 0th spherical harmonic), opacity (logit),
scale_0..2 (logarithms), rot_0..3 (w x y z); float32, little endian.
"""

from pathlib import Path

import numpy as np
import torch
from plyfile import PlyData, PlyParseError
from torch import Tensor

from fewview.checkpoint import atomic_path
from fewview.errors import InputError
from fewview.render.gaussians import Gaussians

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


def write_ply(path: Path, gaussians: Gaussians) -> None:
    """Write RGB splats; quaternions are normalised, opacities kept 1e-6 away from 0 and 1. ValueError if not RGB."""
    if gaussians.features.shape[1] != 3:
        raise ValueError(f"a splat file holds 3 colour channels, not {gaussians.features.shape[1]}")
    columns = {
        "means": gaussians.means,
        "normals": torch.zeros_like(gaussians.means),
        "features": (gaussians.features - 0.5) / SH_DC,
        "opacities": torch.logit(gaussians.opacities.double(), eps=LOGIT_EPS).float()[:, None],
        "scales": gaussians.scales.clamp(min=1e-20).log(),
        "quaternions": torch.nn.functional.normalize(gaussians.quaternions, dim=-1),
    }
    table = torch.cat([columns[name].detach().float().cpu() for name in COLUMNS], dim=-1)
    names = [name for group in COLUMNS.values() for name in group]
    lines = ["ply", "format binary_little_endian 1.0", f"element vertex {len(table)}"]
    lines += [f"property float {name}" for name in names] + ["end_header", ""]
    with atomic_path(path) as temporary:
        temporary.write_bytes("\n".join(lines).encode() + table.numpy().astype("<f4").tobytes())


def read_ply(path: Path) -> Gaussians:
    """Splats of a file in this layout. View-dependent colour (f_rest_*) is dropped. InputError if it is damaged."""
    try:
        data = PlyData.read(str(path))
    except FileNotFoundError:
        raise InputError(f"{path} does not exist.") from None
    except (PlyParseError, ValueError, OSError, UnicodeDecodeError) as error:
        raise InputError(f"{path} is not a whole PLY file ({error}); export it again.") from None
    if "vertex" not in data:
        raise InputError(f"{path} has no vertices; a file of Gaussian splats is needed.")
    vertices = data["vertex"].data
    means, features, logits, logs, quaternions = (
        _columns(vertices, name, path) for name in ("means", "features", "opacities", "scales", "quaternions")
    )
    return Gaussians(means, logs.exp(), quaternions, logits[:, 0].sigmoid(), features * SH_DC + 0.5)


def _columns(vertices: np.ndarray, name: str, path: Path) -> Tensor:
    missing = [column for column in COLUMNS[name] if column not in (vertices.dtype.names or ())]
    if missing:
        raise InputError(f"{path} has no '{missing[0]}'; it is a PLY file, but not of Gaussian splats.")
    table = np.stack([vertices[column].astype(np.float32) for column in COLUMNS[name]], axis=-1)
    bad = np.flatnonzero(~np.isfinite(table).all(-1))
    if len(bad):
        raise InputError(f"{path}: vertex {bad[0]} has a '{name}' that is not finite; export it again.")
    return torch.from_numpy(table)
