"""Points of a PLY file, such as the sparse cloud that a transforms.json names, to start splats on."""

from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from fewview.errors import InputError
from fewview.export.ply_table import read_tables
from fewview.geometry.origin import Origin

AXES = ("x", "y", "z")


def read_points(path: Path, origin: Origin) -> Float[Tensor, "n 3"]:
    """The finite points of a file of the input's world, counted from `origin`. InputError where it has none."""
    try:
        vertices = read_tables(path).vertices
    except (ValueError, OSError) as error:
        raise InputError(f"{path} is not a whole PLY file ({error}); export it again.") from None
    if not set(AXES) <= set(vertices.dtype.names or ()):
        raise InputError(f"{path} has no x, y and z; name a PLY file of points.")
    wide = np.stack([vertices[axis].astype(np.float64) for axis in AXES], axis=-1)
    fine = wide[np.isfinite(wide).all(-1)] - np.array(origin)
    if not len(fine):
        raise InputError(f"{path} holds no points; export it again.")
    return torch.from_numpy(fine.astype(np.float32))
