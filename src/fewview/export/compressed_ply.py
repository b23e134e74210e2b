"""SuperSplat's compressed PLY (github.com/playcanvas/splat-transform): 16 bytes a splat.

Splats come in chunks of 256, each with the bounds of its means, log scales and colours as float32. Within them a splat
has four words: means and log scales in 11, 10 and 11 bits (x the highest), the rotation in 2 bits for the largest of
(w, x, y, z) and 10 for each of the others, red, green, blue and opacity in 8 bits each. Harmonics are bytes of an
element "sh", f_rest_0 and so on as in a PLY: 256 steps from -4 to 4. Axes are those of a PLY.
"""

from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float, Int, Shaped, UInt32
from torch import Tensor

from fewview.checkpoint import atomic_path
from fewview.errors import InputError
from fewview.export.ply import REST, arrays, check_is_file, harmonics_array, origin_comment, stated_origin, without_bad
from fewview.export.ply_table import HEADER_BYTES, PlyTables, read_tables
from fewview.export.quantised import spatial_order, with_largest, without_largest
from fewview.geometry.harmonics import COUNTS
from fewview.geometry.origin import NO_ORIGIN, Origin
from fewview.render.asset import GaussianAsset
from fewview.render.gaussians import Gaussians

CHUNK = 256
WORDS = ("packed_position", "packed_rotation", "packed_scale", "packed_color")
BITS = (11, 10, 11)
LOWEST, HIGHEST = -20.0, 20.0  # log scales
SPAN = 8.0  # of harmonics, from -4 to 4
MEANS, SCALES, COLOURS = (
    (tuple(f"min_{part}{axis}" for axis in axes), tuple(f"max_{part}{axis}" for axis in axes))
    for part, axes in (("", "xyz"), ("scale_", "xyz"), ("", "rgb"))
)


def is_compressed(path: Path) -> bool:
    """Whether the header of a PLY file names packed words; False for what is no file."""
    if not path.is_file():
        return False
    with path.open("rb") as file:
        lines = file.read(HEADER_BYTES).partition(b"end_header\n")[0].split(b"\n")
    return any(line.split()[::2] == [b"property", WORDS[0].encode()] for line in lines)


def write_compressed_ply(path: Path, gaussians: Gaussians, *, origin: Origin = NO_ORIGIN) -> None:
    """Write RGB splats in the order of a Morton curve. ValueError if not RGB, or none."""
    if not len(gaussians):
        raise ValueError("a file needs at least one splat")
    gaussians = gaussians[torch.from_numpy(spatial_order(arrays(gaussians)[0]))]
    means, scales, quaternions, opacities, features = arrays(gaussians)
    logs = np.log(scales.clip(1e-20)).clip(LOWEST, HIGHEST)
    places, low, high = zip(*(_within_chunks(values) for values in (means, logs, features)))
    largest, others = without_largest(quaternions)
    turns = _levels((others * np.sqrt(2) + 1) / 2, 10)
    colours = np.concatenate([_levels(places[2], 8), _levels(opacities[:, None], 8)], axis=-1)
    words = [
        _packed(places[0]),
        largest << 30 | turns[:, 0] << 20 | turns[:, 1] << 10 | turns[:, 2],
        _packed(places[1]),
        colours[:, 0] << 24 | colours[:, 1] << 16 | colours[:, 2] << 8 | colours[:, 3],
    ]
    bounds = np.concatenate([low[0], high[0], low[1], high[1], low[2], high[2]], axis=-1).astype("<f4")
    names = [name for pair in (MEANS, SCALES, COLOURS) for side in pair for name in side]
    lines = ["ply", "format binary_little_endian 1.0", *origin_comment(origin), f"element chunk {len(bounds)}"]
    lines += [*(f"property float {name}" for name in names), f"element vertex {len(means)}"]
    lines += [f"property uint {name}" for name in WORDS]
    rest = harmonics_array(gaussians).swapaxes(1, 2).reshape(len(means), -1)
    if rest.shape[1]:
        lines += [f"element sh {len(means)}", *(f"property uchar {REST}{i}" for i in range(rest.shape[1]))]
    content = bounds.tobytes() + np.stack(words, -1).astype("<u4").tobytes()
    content += np.floor((rest / SPAN + 0.5) * 256).clip(0, 255).astype(np.uint8).tobytes()
    with atomic_path(path) as temporary:
        temporary.write_bytes("\n".join([*lines, "end_header", ""]).encode() + content)


def read_compressed_ply(path: Path) -> GaussianAsset:
    """Splats of a file. InputError if it is damaged, or lacks bounds of its chunks."""
    check_is_file(path)
    try:
        file = read_tables(path)
    except (ValueError, OSError) as error:
        raise InputError(f"{path} is not a whole PLY file ({error}); export it again.") from None
    if "chunk" not in file.tables:
        raise InputError(f"{path} has packed splats without their chunks; export it again.")
    words, bounds = file.vertices, file.tables["chunk"]
    there = {*(words.dtype.names or ()), *(bounds.dtype.names or ())}
    missing = [name for name in (*WORDS, *MEANS[0], *MEANS[1], *SCALES[0], *SCALES[1]) if name not in there]
    if missing:
        raise InputError(f"{path} has no '{missing[0]}'; it is no compressed PLY of splats.")
    if len(bounds) * CHUNK < len(words):
        raise InputError(f"{path} has {len(bounds)} chunks for {len(words)} splats; export it again.")
    harmonics, cut = _harmonics(file)
    wrong = int((~_possible(_others(words["packed_rotation"]))).sum())
    if 2 * wrong >= len(words) > 0:  # an empty or zeroed body; no writer, however careless, makes so many
        what = f"{wrong} of its {len(words)} compressed rotations are none"
        raise InputError(f"{path}: {what}, so it is damaged; copy it again, or compress the scene again.")
    kept, notes = without_bad(_unpacked(words, bounds, harmonics), path)
    return GaussianAsset(kept, notes=(*notes, *cut), origin=stated_origin(file.comments))


def _unpacked(words: np.ndarray, bounds: np.ndarray, harmonics: Tensor | None) -> Gaussians:
    position, rotation, scale, colour = (words[name].astype(np.int64) for name in WORDS)
    chunk = np.arange(len(words)) // CHUNK
    bytes_ = np.stack([colour >> shift & 255 for shift in (24, 16, 8, 0)], -1) / 255
    colours = bytes_[:, :3]
    if set(COLOURS[0]) | set(COLOURS[1]) <= set(bounds.dtype.names or ()):  # older files have colours of [0, 1]
        colours = _between(colours, bounds, COLOURS, chunk=chunk)
    others = _others(rotation)
    turns = np.where(_possible(others)[:, None], with_largest(rotation >> 30 & 3, others), np.nan)
    tensor = lambda column: torch.from_numpy(np.asarray(column, np.float32))
    return Gaussians(
        tensor(_between(_shares(position), bounds, MEANS, chunk=chunk)),
        tensor(np.exp(_between(_shares(scale), bounds, SCALES, chunk=chunk))),
        tensor(turns),
        tensor(bytes_[:, 3]),
        tensor(colours),
        harmonics,
    )


def _others(rotation: np.ndarray) -> Float[np.ndarray, "n 3"]:
    """The components beside the largest, of packed rotations."""
    levels = np.stack([rotation.astype(np.int64) >> shift & 1023 for shift in (20, 10, 0)], -1)
    return (2 * levels / 1023 - 1) / np.sqrt(2)


def _possible(others: Float[np.ndarray, "n 3"]) -> Shaped[np.ndarray, " n"]:
    """Whether there is a unit quaternion with these components: a word of zeros has components of length 1.2."""
    return np.square(others).sum(-1) <= 1


def _harmonics(file: PlyTables) -> tuple[Tensor | None, tuple[str, ...]]:
    """Harmonics of the element "sh", and a note where they are of no degree that is known."""
    if "sh" not in file.tables:
        return None, ()
    table = file.tables["sh"]
    names = [f"{REST}{i}" for i in range(len(table.dtype.names or ()))]
    each = len(names) // 3
    fits = table.dtype.names == tuple(names) and len(table) == len(file.vertices)
    if len(names) % 3 or each not in COUNTS[1:] or not fits:
        return None, (f"{len(names)} harmonics a splat are of no degree from 1 to 3, and left out",)
    steps = np.stack([table[name] for name in names], -1).astype(np.float32)
    shares = np.where(steps == 0, 0, np.where(steps == 255, 1, (steps + 0.5) / 256))  # the ends stand for all beyond
    values = ((shares - 0.5) * SPAN).astype(np.float32).reshape(-1, 3, each).swapaxes(1, 2)
    return torch.from_numpy(values.copy()), ()


def _within_chunks(
    values: Float[np.ndarray, "n 3"],
) -> tuple[Float[np.ndarray, "n 3"], Float[np.ndarray, "chunks 3"], Float[np.ndarray, "chunks 3"]]:
    """Shares in [0, 1] of the bounds of each chunk, and the bounds (float32)."""
    starts = np.arange(0, len(values), CHUNK)
    low, high = (which.reduceat(values, starts).astype(np.float32) for which in (np.minimum, np.maximum))
    chunk = np.arange(len(values)) // CHUNK
    span = (high - low).astype(np.float64)[chunk]
    return np.where(span > 0, (values - low[chunk]) / np.where(span > 0, span, 1), 0), low, high


def _between(
    shares: Float[np.ndarray, "n 3"],
    bounds: np.ndarray,
    names: tuple[tuple[str, ...], tuple[str, ...]],
    *,
    chunk: Int[np.ndarray, " n"],
) -> Float[np.ndarray, "n 3"]:
    low, high = (np.stack([bounds[name] for name in side], -1).astype(np.float64)[chunk] for side in names)
    return low + shares * (high - low)


def _levels(shares: Shaped[np.ndarray, "n k"], bits: int) -> Int[np.ndarray, "n k"]:
    return np.round(shares.clip(0, 1) * (2**bits - 1)).astype(np.int64)


def _packed(shares: Float[np.ndarray, "n 3"]) -> Int[np.ndarray, " n"]:
    x, y, z = (_levels(shares[:, [i]], bits)[:, 0] for i, bits in enumerate(BITS))
    return x << 21 | y << 11 | z


def _shares(word: Int[np.ndarray, " n"] | UInt32[np.ndarray, " n"]) -> Float[np.ndarray, "n 3"]:
    return np.stack([word >> 21 & 2047, word >> 11 & 1023, word & 2047], -1) / [2047, 1023, 2047]
