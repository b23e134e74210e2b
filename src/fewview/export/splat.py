"""Splats as .splat files (github.com/antimatter15/splat): 32 bytes each, no header.

Mean and scales (float32), RGB and opacity (8 bits), the unit quaternion w x y z (8 bits: 128 q + 128); little endian.
"""

from pathlib import Path

import numpy as np
import torch

from fewview.checkpoint import atomic_path
from fewview.errors import InputError
from fewview.export.ply import arrays, check_is_file, unit_quaternions, without_bad
from fewview.export.ply_table import MOST_ROWS
from fewview.render.asset import GaussianAsset
from fewview.render.gaussians import Gaussians

ROW = np.dtype([("mean", "<f4", 3), ("scale", "<f4", 3), ("colour", "u1", 4), ("rotation", "u1", 4)])

LENGTH = 0.3  # how far from one a quaternion of four bytes may be: some writers do not normalise them


def write_splat(path: Path, gaussians: Gaussians) -> None:
    """Write RGB splats, in their order; colours are clipped to [0, 1]. ValueError if not RGB."""
    means, scales, quaternions, opacities, features = arrays(gaussians)
    rows = np.empty(len(means), ROW)
    rows["mean"], rows["scale"] = means, scales
    rows["colour"] = np.round(np.column_stack([features, opacities]).clip(0, 1) * 255)
    rows["rotation"] = np.round(quaternions * 128 + 128).clip(0, 255)
    with atomic_path(path) as temporary:
        temporary.write_bytes(rows.tobytes())


def read_splat(path: Path) -> GaussianAsset:
    """Splats of a file; rotations get length one, and rows of zeros and splats that are not finite are left out.

    InputError where its bytes cannot be splats, for the format has no header to go by.
    """
    check_is_file(path)
    if path.stat().st_size > MOST_ROWS * ROW.itemsize:
        raise InputError(f"{path} has more than {MOST_ROWS} splats; cut it down.")
    try:
        data = path.read_bytes()
    except OSError as error:
        raise InputError(f"{path} cannot be read ({error.strerror}).") from None
    if len(data) % ROW.itemsize:
        raise InputError(f"{path} is not a whole .splat file (its size is no multiple of 32 bytes); copy it again.")
    rows = np.frombuffer(data, ROW)
    padding = ~rows.view(np.uint8).reshape(-1, ROW.itemsize).any(-1)
    rows = rows[~padding]
    quaternions = (rows["rotation"].astype(np.float32) - 128) / 128
    lengths = np.linalg.norm(quaternions, axis=-1)
    still = (rows["rotation"] == 128).all(-1)  # no rotation, which other writers mean by four neutral bytes
    with np.errstate(invalid="ignore"):
        odd = np.flatnonzero((rows["scale"] < 0).any(-1) | (~still & (abs(lengths - 1) > LENGTH)))
    if len(odd) or 2 * still.sum() > len(rows):
        bad = odd[0] if len(odd) else np.flatnonzero(still)[0]
        raise InputError(f"{path}: splat {bad} has a negative size or no rotation; it is not a .splat file.")
    colours = rows["colour"].astype(np.float32) / 255
    columns = (rows["mean"], rows["scale"], quaternions, colours[:, 3], colours[:, :3])
    tensors = [torch.from_numpy(np.array(column, np.float32)) for column in columns]
    tensors[2] = unit_quaternions(tensors[2])
    kept, notes = without_bad(Gaussians(*tensors), path)
    count = int(padding.sum())
    return GaussianAsset(kept, notes=(*notes, *((f"{count} empty rows are left out",) if count else ())))
