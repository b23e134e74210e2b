"""Splats of .ksplat files, version 0.1 (github.com/mkkellogg/GaussianSplats3D): read only.

A header of 4096 bytes, one of 1024 for each section, then the sections: how many splats each bucket that is not full
has (uint32), the centres of all buckets (float32), and the splats: mean, scales, quaternion (w, x, y, z), four bytes of
colour and opacity, harmonics of degrees 1 and 2 (red, green and blue of one degree after another). At compression level
0 all else is float32. At levels 1 and 2 a mean is three uint16 about the centre of its bucket, and all else half
precision; harmonics of level 2 are bytes between two bounds that the header states. Buckets that are full come first.
Axes are those of a PLY. Harmonics of degree 3 have no place in it.
"""

import struct
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float, Int

from fewview.errors import InputError
from fewview.export.ply import check_is_file, unit_quaternions, without_bad
from fewview.geometry.harmonics import COUNTS
from fewview.render.asset import GaussianAsset
from fewview.render.gaussians import Gaussians

HEADER, SECTION = 4096, 1024  # bytes
COUNTS_OF_FILE = struct.Struct("<BB2x4IH")  # version, sections (most, now), splats (most, now), level
LIMITS, LIMITS_AT = struct.Struct("<2f"), 36  # of harmonics of level 2
COUNTS_OF_SECTION = struct.Struct("<4IfH2xI4xIIH")
HALF_LIMIT = 1.5  # where the header states none
STEPS = 32767  # from a bucket's centre to its side, where a section states none
BUCKET = 12  # bytes of a bucket's centre
LEVELS = (("<f4", "<f4", "<f4"), ("<u2", "<f2", "<f2"), ("<u2", "<f2", "u1"))  # means, shapes, harmonics
DEGREES = 3  # 0, 1 and 2
MOST_SECTIONS, MOST_BYTES = 4096, 2**31


@dataclass(frozen=True)
class _Section:
    """One section's header, and where it begins in the file."""

    count: int
    room: int
    bucket_size: int
    buckets: int
    block: float
    bucket_bytes: int
    steps: int
    full: int
    partial: int
    degree: int
    start: int

    @property
    def splats_at(self) -> int:
        return self.start + 4 * self.partial + self.bucket_bytes * self.buckets


def read_ksplat(path: Path) -> GaussianAsset:
    """Splats of a file, with harmonics up to degree 2. InputError if it is damaged or of another version."""
    check_is_file(path)
    if path.stat().st_size > MOST_BYTES:
        raise InputError(f"{path} is larger than {MOST_BYTES >> 30} GiB; cut it down.")
    data = path.read_bytes()
    if len(data) < HEADER:
        raise InputError(f"{path} is not a whole .ksplat file (it is shorter than its header); copy it again.")
    major, minor, most, _, _, count, level = COUNTS_OF_FILE.unpack_from(data)
    if (major, minor) != (0, 1) or level >= len(LEVELS):
        raise InputError(
            f"{path} is .ksplat of version {major}.{minor} and level {level}, not 0.1 and 0 to 2; export it again."
        )
    if most > MOST_SECTIONS or HEADER + most * SECTION > len(data):
        raise InputError(f"{path} claims to have {most} sections, which it cannot; copy it again.")
    low, high = LIMITS.unpack_from(data, LIMITS_AT)
    limits = (low or -HALF_LIMIT, high or HALF_LIMIT)
    parts, at = [], HEADER + most * SECTION
    for number in range(most):
        section, row = _section(path, data, number, level=level, at=at)
        if section.count:
            parts.append(_splats(path, data, section, row=row, limits=limits))
        at = section.splats_at + section.room * row.itemsize
    found = sum(map(len, parts))
    if not count or found != count:
        raise InputError(f"{path} has {found} splats, its header says {count}; copy it again.")
    kept, notes = without_bad(Gaussians.cat(parts), path)
    return GaussianAsset(kept, notes=notes)


def _section(path: Path, data: bytes, number: int, *, level: int, at: int) -> tuple[_Section, np.dtype]:
    """A section that begins at byte `at`, and the layout of its splats."""
    numbers = COUNTS_OF_SECTION.unpack_from(data, HEADER + number * SECTION)
    section = _Section(*numbers, start=at)
    if section.degree >= DEGREES:
        raise InputError(f"{path} has harmonics of degree {section.degree}, which .ksplat does not; export it again.")
    mean, shape, harmonic = LEVELS[level]
    row = np.dtype(
        [
            ("mean", mean, 3),
            ("scale", shape, 3),
            ("rotation", shape, 4),
            ("colour", "u1", 4),
            ("harmonics", harmonic, 3 * COUNTS[section.degree]),
        ]
    )
    if section.splats_at + section.room * row.itemsize > len(data) or section.count > section.room:
        raise InputError(f"{path} ends before the splats of its section {number}; copy it again.")
    return section, row


def _splats(path: Path, data: bytes, section: _Section, *, row: np.dtype, limits: tuple[float, float]) -> Gaussians:
    rows = np.frombuffer(data, row, section.count, section.splats_at)
    means = rows["mean"].astype(np.float64)
    if row["mean"].base.kind == "u":
        centres = _centres(path, data, section)
        steps = section.steps or STEPS
        means = (means - steps) * (section.block / 2 / steps) + centres[_buckets(path, data, section)]
    colours = rows["colour"].astype(np.float32) / 255
    harmonics = rows["harmonics"].astype(np.float32)
    if row["harmonics"].base.kind == "u":
        harmonics = limits[0] + harmonics / np.float32(255) * np.float32(limits[1] - limits[0])
    tensor = lambda values: torch.from_numpy(np.array(values, np.float32))
    return Gaussians(
        tensor(means),
        tensor(rows["scale"]).abs(),
        unit_quaternions(tensor(rows["rotation"])),
        tensor(colours[:, 3]),
        tensor(colours[:, :3]),
        tensor(_by_coefficient(harmonics, section.degree)) if section.degree else None,
    )


def _centres(path: Path, data: bytes, section: _Section) -> Float[np.ndarray, "buckets 3"]:
    if section.bucket_bytes < BUCKET or section.buckets < section.full + section.partial:
        raise InputError(f"{path} has {section.buckets} buckets, fewer than it fills; copy it again.")
    stride, at = section.bucket_bytes, section.start + 4 * section.partial
    table = np.ndarray((section.buckets, 3), "<f4", data, at, (stride, 4))
    return table.astype(np.float64)


def _buckets(path: Path, data: bytes, section: _Section) -> Int[np.ndarray, " splats"]:
    """The bucket of each splat: those of full ones first, then as many as each other one says that it has."""
    held = np.frombuffer(data, "<u4", section.partial, section.start).astype(np.int64)
    if section.full * section.bucket_size > section.count or held.max(initial=0) > section.count:
        raise InputError(f"{path} has buckets of more splats than it holds; copy it again.")
    sizes = np.concatenate([np.full(section.full, section.bucket_size, np.int64), held])
    if sizes.sum() < section.count:
        raise InputError(f"{path} has {section.count} splats, of which {sizes.sum()} are in buckets; copy it again.")
    return np.repeat(np.arange(len(sizes)), sizes)[: section.count]


def _by_coefficient(values: Float[np.ndarray, "n numbers"], degree: int) -> Float[np.ndarray, "n coefficients 3"]:
    """Harmonics that come as red, green and blue of each degree."""
    ends = [3 * count for count in COUNTS[: degree + 1]]
    degrees = [values[:, start:end].reshape(len(values), 3, -1) for start, end in pairwise(ends)]
    return np.concatenate(degrees, axis=-1).swapaxes(1, 2)
