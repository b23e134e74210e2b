"""Splats as SPZ files (github.com/nianticlabs/spz, README "File Format"): versions 1 to 4 are read, 2 to 4 written.

A gzip stream of a 16-byte header and one block for each attribute: positions (24-bit fixed point), opacities, colours,
log scales (8 bits each), rotations (smallest three components, 10 bits each), and harmonics of degree 1 and higher
(8 bits each, 128 for 0, in steps of 1/128; red, green and blue of one after those of another). In version 4 each block
is a zstd stream of its own, behind a header of 32 bytes and a table of (compressed size, size). Axes in the file are
those that its extension SPZ_ADOBE_coordinate_system states (extensions/README.md there); without it the README's right,
up, back in versions 1 to 3, and in version 4 a PLY's right, down, front, which splat-transform 3.7, gsply 0.4,
gaussforge 0.6 and spz-js store unsaid. They are turned to right, down, front on the way, for the worlds of splats have
y down. Version 4 is written with a PLY's axes and says so, which all of these tools read alike.
"""

import gzip
import math
import struct
import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from io import BufferedIOBase
from pathlib import Path

import numpy as np
import torch
import zstandard
from jaxtyping import Float, Shaped, UInt8
from torch import Tensor

from fewview.checkpoint import atomic_path
from fewview.errors import InputError
from fewview.export.ply import arrays, check_is_file, harmonics_array, without_bad
from fewview.export.quantised import with_largest, without_largest
from fewview.geometry.harmonics import COUNTS, HIGHEST, SH_DC, turned
from fewview.render.asset import GaussianAsset
from fewview.render.gaussians import Gaussians

NAME, HEADER = b"NGSP", struct.Struct("<4sIIBBBB")  # version, splats, degree, bits, flags, number of zstd streams
ANTIALIASED, EXTENDED = 1, 2  # bits of the flags
AXES_EXTENSION = 0xADBE0003  # type of the record that states the axes; then its size (4), and a number of AXES
AXES = (  # by number: where x, y and z of the file point to (spz/src/cc/splat-types.h); 0 is unspecified
    *("", "LDB", "RDB", "LUB", "RUB", "LDF", "RDF", "LUF", "RUF"),
    *("LFD", "RFD", "LFU", "RFU", "LBD", "RBD", "LBU", "RBU"),
)
UNSAID = {1: "RUB", 2: "RUB", 3: "RUB", 4: "RDF"}  # by version
WAYS = {"R": (1, 0, 0), "L": (-1, 0, 0), "D": (0, 1, 0), "U": (0, -1, 0), "F": (0, 0, 1), "B": (0, 0, -1)}
MOST_EXTENSIONS = 2**20  # bytes
COLOUR_SCALE = 0.15 * 255  # steps for one unit of the 0th harmonic
LOG_OFFSET, LOG_STEPS = 10, 16  # log scales from -10 in 1/16
MOST_FRACTION_BITS = 20
MAX_SPLATS = 10_000_000
ZSTD_LEVEL = 12  # of 22
MAX_WINDOW = 2**27  # bytes of memory for a zstd stream
V4_HEADER = 32  # bytes
SLACK, RATIO = 2**20, 64  # bytes, and how many times smaller than its content a file of real splats may be
HARMONIC, ZERO = 128, 128  # steps for one unit of a higher harmonic, and the byte that stands for none
NEWEST, WRITTEN = 4, (2, 3, 4)  # versions


@dataclass(frozen=True)
class SpzLayout:
    """The version to write, and axes: of files that are read, whatever they say, and of those that are written."""

    version: int = NEWEST
    axes: str | None = None

    def __post_init__(self) -> None:
        if self.version not in WRITTEN:
            raise InputError(f"--spz-version is {self.version}; it is one of {', '.join(map(str, WRITTEN))}.")
        if self.axes is not None and (not self.axes or self.axes not in AXES):
            raise InputError(f"--spz-axes is '{self.axes}'; it is one of {', '.join(AXES[1:])}.")


def write_spz(path: Path, gaussians: Gaussians, *, antialiased: bool = False, layout: SpzLayout | None = None) -> None:
    """Write RGB splats within 8e6 of the origin, the fixed point as fine as they allow. ValueError if not RGB.

    Harmonics are clipped to [-1, 127/128].
    """
    layout = layout or SpzLayout()
    version, axes = layout.version, layout.axes or UNSAID[layout.version]
    means, scales, quaternions, opacities, features = arrays(gaussians)
    turn = _turn(axes)
    quaternions = quaternions.copy()
    quaternions[:, 1:] = quaternions[:, 1:] @ turn * np.linalg.det(turn).astype(np.float32)
    largest = max(float(np.abs(means).max(initial=0)), 1e-3)
    bits = min(MOST_FRACTION_BITS, 23 - math.ceil(math.log2(largest * 1.001)))
    if bits < 0:
        raise ValueError(f"SPZ holds positions up to 2^23, not {largest:.3g}")
    fixed = np.round(means.astype(np.float64) @ turn * 2**bits).astype("<i4")
    logs = (np.log(scales.clip(1e-20)) @ abs(turn) + LOG_OFFSET) * LOG_STEPS
    blocks = [
        fixed[..., None].view(np.uint8)[..., :3],
        _bytes(opacities * 255),
        _bytes((features - 0.5) / SH_DC * COLOUR_SCALE + 127.5),
        _bytes(logs),
        _packed(quaternions) if version > 2 else _three(quaternions),
        _bytes(_turned_harmonics(gaussians, turn) * HARMONIC + ZERO),
    ]
    said = version == NEWEST or axes != UNSAID[version]
    records = struct.pack("<III", AXES_EXTENSION, 4, AXES.index(axes)) if said else b""
    flags = ANTIALIASED * antialiased | EXTENDED * said
    contents = [block.tobytes() for block in blocks if block.size]
    streams = len(contents) if version == NEWEST else 0
    header = HEADER.pack(NAME, version, len(means), gaussians.degree, bits, flags, streams)
    with atomic_path(path) as temporary:
        if version == NEWEST:
            temporary.write_bytes(header + _streamed(contents, records))
        else:
            temporary.write_bytes(gzip.compress(header + b"".join(contents) + records, mtime=0))


def _streamed(contents: Sequence[bytes], records: bytes) -> bytes:
    """What follows the first 16 bytes in version 4: where the table is, the records, the table, zstd streams."""
    packed = [zstandard.ZstdCompressor(level=ZSTD_LEVEL).compress(content) for content in contents]
    table = b"".join(struct.pack("<QQ", len(small), len(large)) for small, large in zip(packed, contents))
    return struct.pack("<I12x", V4_HEADER + len(records)) + records + table + b"".join(packed)


def _turn(axes: str) -> Float[np.ndarray, "3 3"]:
    """Columns: where the file's axes point to, in a PLY's."""
    return np.array([WAYS[letter] for letter in axes], np.float32).T


def _turned_harmonics(gaussians: Gaussians, turn: Float[np.ndarray, "3 3"]) -> Float[np.ndarray, "n coefficients 3"]:
    """Harmonics in the axes that are written."""
    if gaussians.harmonics is None:
        return harmonics_array(gaussians)
    matrix = torch.from_numpy(turn.T.copy()).to(gaussians.means)
    return harmonics_array(replace(gaussians, harmonics=turned(gaussians.harmonics, matrix)))


def read_spz(path: Path, axes: str | None = None) -> GaussianAsset:
    """Splats of a file, with harmonics up to degree 3. InputError if it is damaged or larger than it can be.

    `axes` are those of the file, whatever it says.
    """
    check_is_file(path)
    try:
        with path.open("rb") as file:
            packed = file.read(4) != NAME
            file.seek(0)
            return _read(path, gzip.GzipFile(fileobj=file) if packed else file, axes)
    except (OSError, EOFError, zlib.error) as error:
        raise InputError(f"{path} is not a whole SPZ file ({error}); export it again.") from None


def _read(path: Path, stream: BufferedIOBase, given: str | None) -> GaussianAsset:
    """No more is unpacked than the header asks for, and the header is believed only where the file is large enough."""
    head = stream.read(HEADER.size)
    if len(head) < HEADER.size or head[:4] != NAME:
        raise InputError(f"{path} is not an SPZ file (it does not begin with NGSP); export it again.")
    _, version, count, degree, bits, flags, streams = HEADER.unpack(head)
    if version not in (1, 2, 3, 4) or (version == 4) == isinstance(stream, gzip.GzipFile) or degree > 4:
        raise InputError(f"{path} is SPZ of version {version} and degree {degree}, which is not known; save it as 3.")
    if bits > 24:
        raise InputError(f"{path} states {bits} bits behind the point of its 24; its writer erred, so export it again.")
    widths = (6 if version == 1 else 9, 1, 3, 3, 4 if version > 2 else 3, 3 * ((degree + 1) ** 2 - 1))
    if not 0 < count <= MAX_SPLATS or count * sum(widths) > SLACK + RATIO * path.stat().st_size:
        raise InputError(f"{path} claims to hold {count} splats, which it cannot; export it again.")
    sizes, axes = [count * width for width in widths], 0
    if version == 4:
        start = int.from_bytes(stream.read(4), "little")
        stream.seek(V4_HEADER)
        if flags & EXTENDED:
            axes = _axes(stream.read(min(max(start - V4_HEADER, 0), MOST_EXTENSIONS)))
        stream.seek(start)
        blocks = list(_frames(stream, streams, sizes, path=path))
    else:
        blocks = [stream.read(size) for size in sizes]
        if flags & EXTENDED:
            axes = _axes(stream.read(MOST_EXTENSIONS))
    if any(len(block) < size for block, size in zip(blocks, sizes)):
        raise InputError(f"{path} ends early; copy it again.")
    if axes >= len(AXES):
        raise InputError(f"{path} states axes of number {axes}, which are not known; save it without the extension.")
    letters = given or AXES[axes] or UNSAID[version]
    custom = f"as {'the file states' if axes else f'SPZ of version {version} has them by custom'}"
    note = f"axes are {letters}, {'as --spz-axes says' if given else custom}"
    kept, dropped = without_bad(_splats(blocks, bits, letters), path)
    cut = (f"harmonics of degree {degree} are left out",) if degree > HIGHEST else ()
    return GaussianAsset(kept, bool(flags & ANTIALIASED), (note, *dropped, *cut))


def _splats(blocks: Sequence[bytes], bits: int, letters: str) -> Gaussians:
    """The blocks of the six attributes, turned from the axes of the file."""
    count = len(blocks[1])
    places, opacities, colours, logs, turns = (np.frombuffer(b, np.uint8).reshape(count, -1) for b in blocks[:5])
    turn = _turn(letters)
    quaternions = _quaternions(turns)
    quaternions[:, 1:] = quaternions[:, 1:] @ turn.T * np.linalg.det(turn).astype(np.float32)
    return Gaussians(
        torch.from_numpy(_positions(places, bits) @ turn.T),
        torch.from_numpy(np.exp(logs / np.float32(LOG_STEPS) - LOG_OFFSET) @ abs(turn).T),
        torch.from_numpy(quaternions),
        torch.from_numpy(opacities[:, 0] / np.float32(255)),
        torch.from_numpy((colours - np.float32(127.5)) / np.float32(COLOUR_SCALE) * np.float32(SH_DC) + 0.5),
        _harmonics(np.frombuffer(blocks[5], np.uint8).reshape(count, -1, 3), torch.from_numpy(turn)),
    )


def _harmonics(block: UInt8[np.ndarray, "n coefficients 3"], turn: Float[Tensor, "3 3"]) -> Tensor | None:
    """Those of degrees 1 to 3, turned from the axes of the file; None without any."""
    if not block.shape[1]:
        return None
    values = (block[:, : COUNTS[-1]].astype(np.float32) - ZERO) / np.float32(HARMONIC)
    return turned(torch.from_numpy(values), turn)


def _axes(records: bytes) -> int:
    """The number that the record of axes holds, 0 without one; records are (type, size, content)."""
    place = 0
    while place + 8 <= len(records):
        kind, size = struct.unpack_from("<II", records, place)
        if kind == AXES_EXTENSION and size == 4 and place + 12 <= len(records):
            return struct.unpack_from("<I", records, place + 8)[0]
        place += 8 + size
    return 0


def _frames(stream: BufferedIOBase, streams: int, sizes: Sequence[int], *, path: Path) -> Iterator[bytes]:
    """The first of the `streams` blocks of version 4 that have a size, each at most as long as it should be."""
    table = np.frombuffer(stream.read(16 * streams).ljust(16 * streams, b"\0"), "<u8")[::2].tolist()
    table += [0] * (len(sizes) - streams)
    for size, length in zip(sizes, table):
        packed = stream.read(min(length, path.stat().st_size))
        try:
            yield zstandard.ZstdDecompressor(max_window_size=MAX_WINDOW).stream_reader(packed).read(size)
        except zstandard.ZstdError as error:
            raise InputError(f"{path} is not a whole SPZ file ({error}); export it again.") from None


def _bytes(values: Shaped[np.ndarray, "..."]) -> UInt8[np.ndarray, "..."]:
    return np.round(values).clip(0, 255).astype(np.uint8)


def _positions(block: UInt8[np.ndarray, "n width"], bits: int) -> Float[np.ndarray, "n 3"]:
    if block.shape[1] == 6:  # version 1: half precision
        return np.ascontiguousarray(block).view("<f2").astype(np.float32)
    wide = np.zeros((len(block), 3, 4), np.uint8)
    wide[..., 1:] = block.reshape(-1, 3, 3)  # in the upper bytes, so that the sign is kept
    return ((wide.view("<i4")[..., 0] >> 8) / 2.0**bits).astype(np.float32)


def _packed(quaternions: Float[np.ndarray, "n 4"]) -> Shaped[np.ndarray, " n"]:
    """Unit (w, x, y, z) as 32 bits: the index of the largest of (x, y, z, w), then sign and 9 bits of the others."""
    largest, others = without_largest(np.roll(quaternions, -1, axis=-1))
    sizes = np.round(np.abs(others) * math.sqrt(2) * 511).clip(0, 511)
    a, b, c = (sizes + 512 * (others < 0)).astype(np.uint32).T
    return (largest.astype(np.uint32) << 30 | a << 20 | b << 10 | c).astype("<u4")


def _three(quaternions: Float[np.ndarray, "n 4"]) -> UInt8[np.ndarray, "n 3"]:
    """x, y, z of 8 bits each, of the quaternion whose w is not negative."""
    sign = np.where(quaternions[:, :1] < 0, -1, 1)
    return _bytes((quaternions[:, 1:] * sign + 1) * 127.5)


def _quaternions(block: UInt8[np.ndarray, "n width"]) -> Float[np.ndarray, "n 4"]:
    """(w, x, y, z) of 4 bytes (`_packed`) or of 3 (x, y, z in steps of 1/127.5, w not negative)."""
    if block.shape[1] == 3:
        others, largest = block / np.float32(127.5) - 1, np.full(len(block), 3)
    else:
        word = np.ascontiguousarray(block).view("<u4")[:, 0]
        fields = np.stack([word >> 20, word >> 10, word], -1) & 1023
        others = np.where(fields & 512, -1, 1) * (fields & 511) / np.float32(511 * math.sqrt(2))
        largest = (word >> 30).astype(np.int64)
    return np.roll(with_largest(largest, others), 1, axis=-1)
