"""Splats as PLY files in the layout of 3D Gaussian Splatting (github.com/graphdeco-inria/gaussian-splatting).

x y z, nx ny nz (zeros), f_dc_0..2 (colour less 1/2, over the constant of the 0th spherical harmonic), f_rest_0.. (9, 24
or 45 further harmonics, all of red before those of green and blue; none for degree 0), opacity (logit), scale_0..2
(logarithms), rot_0..3 (w x y z); float32, little endian. A comment "origin x y z" of the header leads to the input's
world, where that is far from its own origin.
"""

import math
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from fewview.checkpoint import atomic_path
from fewview.data.instead import missing
from fewview.errors import InputError
from fewview.export.ply_table import PlyTables, read_tables
from fewview.geometry.harmonics import COUNTS, SH_DC
from fewview.geometry.origin import NO_ORIGIN, Origin, origin_of, written
from fewview.render.asset import GaussianAsset
from fewview.render.gaussians import LARGEST, Gaussians

LOGIT_EPS = 1e-6  # opacities of 0 and 1 have no logit
RGB = ("red", "green", "blue")
COLUMNS = {
    "means": ("x", "y", "z"),
    "normals": ("nx", "ny", "nz"),
    "features": ("f_dc_0", "f_dc_1", "f_dc_2"),
    "opacities": ("opacity",),
    "scales": ("scale_0", "scale_1", "scale_2"),
    "quaternions": ("rot_0", "rot_1", "rot_2", "rot_3"),
}
REST = "f_rest_"
ORDER = ("means", "normals", "features", "harmonics", "opacities", "scales", "quaternions")
NAMED = 4  # columns that are left out, by name, at most


def arrays(gaussians: Gaussians) -> tuple[Float[np.ndarray, "n ..."], ...]:
    """Means, scales, unit quaternions, opacities and colours (of degree 0) in float32. ValueError if not RGB."""
    if gaussians.features.shape[1] != 3:
        raise ValueError(f"a splat file holds 3 colour channels, not {gaussians.features.shape[1]}")
    unit = unit_quaternions(gaussians.quaternions)
    fields = (gaussians.means, gaussians.scales, unit, gaussians.opacities, gaussians.features)
    return tuple(tensor.detach().float().cpu().numpy() for tensor in fields)


def harmonics_array(gaussians: Gaussians) -> Float[np.ndarray, "n coefficients 3"]:
    """Harmonics of degree 1 and higher in float32; without any, no coefficients."""
    if gaussians.harmonics is None:
        return np.zeros((len(gaussians), 0, 3), np.float32)
    return gaussians.harmonics.detach().float().cpu().numpy()


def write_ply(path: Path, gaussians: Gaussians, *, origin: Origin = NO_ORIGIN) -> None:
    """Write RGB splats; quaternions are normalised, opacities kept 1e-6 away from 0 and 1. ValueError if not RGB."""
    means, scales, quaternions, opacities, features = arrays(gaussians)
    rest = harmonics_array(gaussians).swapaxes(1, 2).reshape(len(means), -1)
    columns = {
        "means": means,
        "normals": np.zeros_like(means),
        "features": (features - 0.5) / SH_DC,
        "harmonics": rest,
        "opacities": _logit(opacities)[:, None],
        "scales": np.log(scales.clip(1e-20)),
        "quaternions": quaternions,
    }
    layout = {**COLUMNS, "harmonics": tuple(f"{REST}{i}" for i in range(rest.shape[1]))}
    table = np.concatenate([columns[name] for name in ORDER], axis=-1).astype("<f4")
    names = [name for group in ORDER for name in layout[group]]
    lines = ["ply", "format binary_little_endian 1.0", *origin_comment(origin), f"element vertex {len(table)}"]
    lines += [f"property float {name}" for name in names] + ["end_header", ""]
    with atomic_path(path) as temporary:
        temporary.write_bytes("\n".join(lines).encode() + table.tobytes())


def read_ply(path: Path) -> GaussianAsset:
    """Splats of a file in this layout, and of its relatives.

    Colours may be `red green blue` (nerfstudio, Polycam), and `scale_2` may lack: then the splats are flat (2D Gaussian
    Splatting). Splats that are not finite, and columns that splats here cannot hold, are left out with a note.
    InputError if the file is damaged, or holds no splats.
    """
    check_is_file(path)
    try:
        file = read_tables(path)
    except (ValueError, OSError) as error:
        raise InputError(f"{path} is not a whole PLY file ({error}); export it again.") from None
    vertices = file.vertices
    names = set(vertices.dtype.names or ())
    _check_are_splats(file, path)
    flat = {"scale_0", "scale_1"} <= names and "scale_2" not in names
    logits, quaternions = (_columns(vertices, name, path) for name in ("opacities", "quaternions"))
    means, origin = _means(file, path)
    if flat:
        two = _table(vertices, COLUMNS["scales"][:2])
        logs = torch.cat([two, torch.full_like(two[:, :1], -math.inf)], dim=-1)
    else:
        logs = _columns(vertices, "scales", path)
    harmonics, cut = _harmonics(vertices)
    splats = Gaussians(
        means, logs.exp(), unit_quaternions(quaternions), logits[:, 0].sigmoid(), _colours(vertices, path), harmonics
    )
    kept, notes = without_bad(splats, path)
    flatness = ("no scale_2, so the splats are flat",) if flat else ()
    notes = (*notes, *flatness, *cut, *_left_out(vertices), *_origin_notes(origin))
    return GaussianAsset(kept, notes=notes, origin=origin)


def origin_comment(origin: Origin) -> tuple[str, ...]:
    """The line of a header that says from where coordinates count."""
    return ("comment origin {!r} {!r} {!r}".format(*origin),) if any(origin) else ()


def stated_origin(comments: Sequence[str]) -> Origin:
    """What such a line says; zero where there is none."""
    for comment in comments:
        match comment.split():
            case ["origin", *words] if len(words) == 3:
                try:
                    x, y, z = (float(word) for word in words)
                except ValueError:
                    continue
                if max(abs(x), abs(y), abs(z)) < LARGEST:
                    return x, y, z
    return NO_ORIGIN


def _means(file: PlyTables, path: Path) -> tuple[Tensor, Origin]:
    """Places in float32, and the origin that they count from: the one that the header states, or of far float64."""
    vertices, names = file.vertices, COLUMNS["means"]
    origin = stated_origin(file.comments)
    if set(names) <= set(vertices.dtype.names or ()) and all(vertices.dtype[name].itemsize == 8 for name in names):
        wide = torch.from_numpy(np.stack([vertices[name].astype(np.float64) for name in names], axis=-1))
        far = origin_of(wide[wide.isfinite().all(-1)])
        if any(far) and not any(origin):
            return (wide - torch.tensor(far, dtype=torch.float64)).float(), far
    return _columns(vertices, "means", path), origin


def _origin_notes(origin: Origin) -> tuple[str, ...]:
    return (f"coordinates count from {written(origin)} of the input's world",) if any(origin) else ()


def _check_are_splats(file: PlyTables, path: Path) -> None:
    """InputError, in the words of what it is, for a PLY file of something else."""
    names = set(file.vertices.dtype.names or ())
    if {"x", "y", "z"} <= names and not names & {"opacity", "scale_0", "rot_0"}:
        what = "mesh" if "face" in file.elements else "point cloud"
        raise InputError(f"{path} is a {what}, not splats (it has no 'opacity'); name a PLY file of Gaussian splats.")


def _colours(vertices: np.ndarray, path: Path) -> Tensor:
    """Colours of the 0th harmonic, else red, green and blue: bytes or other integers by their range, floats as is."""
    names = vertices.dtype.names or ()
    if "f_dc_0" in names or not set(RGB) <= set(names):
        return _columns(vertices, "features", path) * SH_DC + 0.5
    scales = [np.iinfo(vertices[c].dtype).max if vertices[c].dtype.kind in "iu" else 1 for c in RGB]
    return _table(vertices, RGB) / torch.tensor(scales, dtype=torch.float32)


def _harmonics(vertices: np.ndarray) -> tuple[Tensor | None, tuple[str, ...]]:
    """Harmonics of degrees 1 to 3, of the columns f_rest_*, and notes of what is not among them."""
    count = sum(name.startswith(REST) for name in vertices.dtype.names or ())
    names = [f"{REST}{i}" for i in range(count)]
    if count == 0:
        return None, ()
    each = count // 3
    if count % 3 or each not in (*COUNTS, 24) or not set(names) <= set(vertices.dtype.names or ()):
        return None, (f"{count} columns {REST}* are no harmonics of degree 1, 2 or 3 (9, 24 or 45), and left out",)
    table = _table(vertices, names).reshape(-1, 3, each).mT[:, : COUNTS[-1]].contiguous()
    return table, () if each in COUNTS else ("harmonics of degree 4 are left out",)


def _left_out(vertices: np.ndarray) -> tuple[str, ...]:
    """A note of the columns that splats cannot hold: normals, unless they are 0, and what is not of this layout."""
    names = vertices.dtype.names or ()
    normals = COLUMNS["normals"]
    empty = all(not vertices[name].any() for name in normals if name in names)
    known = {name for group in COLUMNS.values() for name in group} - (set() if empty else set(normals))
    known |= set() if "f_dc_0" in names else set(RGB)
    more = [name for name in names if name not in known and not name.startswith(REST)]
    if not more:
        return ()
    listed = ", ".join(more[:NAMED]) + (f" and {len(more) - NAMED} more" if len(more) > NAMED else "")
    return (f"splats have no place for {listed}, which {'is' if len(more) == 1 else 'are'} left out",)


def unit_quaternions(quaternions: Float[Tensor, "n 4"]) -> Float[Tensor, "n 4"]:
    """Of length one; those without a direction, as padding has them, stand for no rotation."""
    lengths = quaternions.norm(dim=-1, keepdim=True)
    identity = torch.tensor([1.0, 0, 0, 0]).to(quaternions)
    return torch.where(lengths == 0, identity, quaternions / lengths.clamp(min=1e-30))


def without_bad(gaussians: Gaussians, path: Path) -> tuple[Gaussians, tuple[str, ...]]:
    """The splats whose numbers make sense, and a note of how many do not.

    InputError where the file at `path` held none, or where half of them or more make no sense: then it is damaged.
    """
    if not len(gaussians):
        raise InputError(f"{path} holds no splats; export it again.")
    fine = torch.ones(len(gaussians), dtype=torch.bool)
    for tensor in gaussians.tensors().values():
        fine &= (tensor.reshape(len(gaussians), -1).abs() < LARGEST).all(-1)
    bad = torch.nonzero(~fine)[:, 0]
    if not len(bad):
        return gaussians, ()
    if 2 * len(bad) >= len(gaussians):
        name = next(n for n, t in gaussians.tensors().items() if not bool((t[bad[0]].abs() < LARGEST).all()))
        raise InputError(
            f"{path}: splat {int(bad[0])} has '{name}' that are not finite, or beyond {LARGEST:g}; export it again."
        )
    verb = "splat is" if len(bad) == 1 else "splats are"
    return gaussians[fine], (f"{len(bad)} {verb} left out, for numbers that are not finite or beyond {LARGEST:g}",)


def check_is_file(path: Path) -> None:
    """InputError for a file that is missing, and for pipes, which would be waited for."""
    if not path.is_file():
        why = f"{path} is no file" if path.exists() else missing(path)
        raise InputError(f"{why}; name a file of splats.")


def _logit(opacities: Float[np.ndarray, " n"]) -> Float[np.ndarray, " n"]:
    p = opacities.astype(np.float64).clip(LOGIT_EPS, 1 - LOGIT_EPS)
    return np.log(p / (1 - p))


def _columns(vertices: np.ndarray, name: str, path: Path) -> Tensor:
    missing = [column for column in COLUMNS[name] if column not in (vertices.dtype.names or ())]
    if missing:
        raise InputError(f"{path} has no '{missing[0]}'; it is a PLY file, but not of Gaussian splats.")
    return _table(vertices, COLUMNS[name])


def _table(vertices: np.ndarray, names: Sequence[str]) -> Tensor:
    return torch.from_numpy(np.stack([vertices[name].astype(np.float32) for name in names], axis=-1))
