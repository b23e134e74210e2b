"""SOG files, version 2 (developer.playcanvas.com, "The SOG Format"): meta.json and lossless WebP pictures, in a ZIP.

They may lie unpacked in a folder, too. A pixel is a splat, row after row. Means have 16 bits in two pictures, of
sign(x) log(1 + |x|) between bounds. Log scales and the 0th harmonic are bytes that count into codebooks of 256 numbers.
Rotations leave out the largest of (w, x, y, z), whose number is alpha less 252. Opacity is the alpha of the colours.
Further harmonics are in a palette of up to 65,536 entries, 64 to a row of a picture of bytes that count into a third
codebook. Axes are those of a PLY, as splat-transform and GaussForge have them, though the page says right, up, back.
"""

import io
import json
import warnings
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Float, Int, UInt8
from PIL import Image

from fewview.checkpoint import atomic_path
from fewview.data.fields import array, field, parse_json
from fewview.data.images import DECODING_ERRORS
from fewview.errors import InputError
from fewview.export.ply import arrays, check_is_file, harmonics_array, without_bad
from fewview.export.quantised import CODES, codebook, spatial_order, with_largest, without_largest
from fewview.geometry.harmonics import COUNTS, SH_DC
from fewview.render.asset import GaussianAsset
from fewview.render.gaussians import Gaussians

META = "meta.json"
FILES = {  # pictures of each part, and how many of their channels count
    "means": (("means_l.webp", "means_u.webp"), 3),
    "scales": (("scales.webp",), 3),
    "quats": (("quats.webp",), 4),
    "sh0": (("sh0.webp",), 4),
}
MODE = 252  # alpha of a rotation whose first component is the largest
STEPS = 65535
PALETTE, ROW = 65536, 64  # entries of harmonics, and of one row
REST = ("shN_centroids.webp", "shN_labels.webp")
BLOCK = 4  # pixels that sides are multiples of
MAX_SPLATS = 10_000_000
Bundle = zipfile.Path | Path
"""Where the pictures are: in a ZIP, or in a folder."""
MOST_BYTES = 2**26  # of one packed file; 10 million splats take some 30 MiB each


def write_sog(path: Path, gaussians: Gaussians, *, antialiased: bool = False) -> None:
    """Write RGB splats in the order of a Morton curve. ValueError if not RGB, or none."""
    if not len(gaussians):
        raise ValueError("a file needs at least one splat")
    gaussians = gaussians[torch.from_numpy(spatial_order(arrays(gaussians)[0]))]
    means, scales, quaternions, opacities, features = arrays(gaussians)
    places, low, high = _steps(means)
    sizes, size_codes = codebook(np.log(scales.clip(1e-20)))
    colours, colour_codes = codebook((features - 0.5) / SH_DC)
    largest, others = without_largest(quaternions)
    turns = np.column_stack([_bytes((others * np.sqrt(2) + 1) / 2), (largest + MODE).astype(np.uint8)])
    pictures = {
        "means_l.webp": (places & 255).astype(np.uint8),
        "means_u.webp": (places >> 8).astype(np.uint8),
        "scales.webp": size_codes,
        "quats.webp": turns,
        "sh0.webp": np.column_stack([colour_codes, _bytes(opacities)]),
    }
    parts: dict[str, dict] = {name: {"files": list(files)} for name, (files, _) in FILES.items()}
    parts["means"] |= {"mins": low.tolist(), "maxs": high.tolist()}
    parts["scales"] |= {"codebook": sizes.tolist()}
    parts["sh0"] |= {"codebook": colours.tolist()}
    if gaussians.harmonics is not None:
        parts["shN"], centroids, labels = _palette(harmonics_array(gaussians))
        pictures |= {REST[0]: centroids, REST[1]: labels}
    meta = {"version": 2, "asset": {"generator": "fewview"}, "count": len(means), "antialias": antialiased, **parts}
    wide = {REST[0]: ROW * len(gaussians.harmonics[0])} if gaussians.harmonics is not None else {}
    with atomic_path(path) as temporary, zipfile.ZipFile(temporary, "w", zipfile.ZIP_STORED) as bundle:
        for name, pixels in pictures.items():
            bundle.writestr(zipfile.ZipInfo(name), _picture(pixels, wide.get(name)))
        bundle.writestr(zipfile.ZipInfo(META), json.dumps(meta))


def read_sog(path: Path) -> GaussianAsset:
    """Splats of a .sog file, or of a meta.json and the pictures beside it.

    InputError if it is damaged, of another version, or larger than it can be.
    """
    check_is_file(path)
    try:
        if path.name.lower() == META:
            return _read(path, path.parent)
        with zipfile.ZipFile(path) as bundle:
            return _read(path, zipfile.Path(bundle))
    except (zipfile.BadZipFile, NotImplementedError, RuntimeError, *DECODING_ERRORS) as error:
        if isinstance(error, InputError):
            raise
        raise InputError(f"{path} is not a whole SOG file ({error}); export it again.") from None


def _read(path: Path, bundle: Bundle) -> GaussianAsset:
    meta = parse_json(_member(path, bundle, META), path)
    if not isinstance(meta, dict) or meta.get("version") != 2:
        raise InputError(f"{path} is SOG of another version than 2; `splat-transform IN OUT.ply` converts it.")
    count = field(meta, "count", int, where=str(path))
    if not 0 < count <= MAX_SPLATS:
        raise InputError(f"{path} claims to hold {count} splats, which it cannot; export it again.")
    part = {name: field(meta, name, dict, where=str(path)) for name in FILES}
    pixels = {name: _pictures(path, bundle, part[name], name=name, count=count) for name in FILES}
    low, high = (array(part["means"], key, (3,), where=f"{path}: 'means'") for key in ("mins", "maxs"))
    lower, upper = (planes.astype(np.float64) for planes in pixels["means"])
    logs = low + (lower + 256 * upper) / STEPS * (high - low)
    modes = pixels["quats"][0][:, 3].astype(np.int64) - MODE
    if modes.min() < 0:
        raise InputError(f"{path} has a rotation of the unknown mode {modes.min() + MODE}; export it again.")
    sh0 = pixels["sh0"][0]
    with np.errstate(over="ignore"):
        columns = (
            np.sign(logs) * np.expm1(np.abs(logs)),
            np.exp(_codes(part["scales"], path)[pixels["scales"][0]]),
            with_largest(modes, (2 * (pixels["quats"][0][:, :3] / 255) - 1) / np.sqrt(2)),
            sh0[:, 3] / 255,
            _codes(part["sh0"], path)[sh0[:, :3]] * SH_DC + 0.5,
            *(_harmonics(path, bundle, meta, count=count) if "shN" in meta else ()),
        )
        splats = Gaussians(*(torch.from_numpy(np.asarray(column, np.float32)) for column in columns))
    kept, notes = without_bad(splats, path)
    return GaussianAsset(kept, meta.get("antialias") is True, notes)


def _harmonics(
    path: Path, bundle: Bundle, meta: dict[str, Any], *, count: int
) -> tuple[Float[np.ndarray, "n coefficients 3"]]:
    """The entry of the palette that each splat has."""
    part = field(meta, "shN", dict, where=str(path))
    degree, entries = (field(part, key, int, where=f"{path}: 'shN'") for key in ("bands", "count"))
    if not (0 < degree < len(COUNTS) and 0 < entries <= PALETTE):
        raise InputError(f"{path} has {entries} entries of harmonics of degree {degree}; export it again.")
    names, size = field(part, "files", list, where=f"{path}: 'shN'"), COUNTS[degree]
    if len(names) != len(REST):
        raise InputError(f"{path}: 'shN' has {len(names)} files, not {len(REST)}; export it again.")
    centroids = _pixels(path, bundle, names[0], count=-(-entries // ROW) * ROW * size)[:, :3]
    labels = _pixels(path, bundle, names[1], count=count).astype(np.int64)
    label = labels[:, 0] + 256 * labels[:, 1]
    if label.max() >= entries:
        raise InputError(f"{path} names entry {label.max()} of {entries} of its harmonics; export it again.")
    return (_codes(part, path)[centroids.reshape(-1, size, 3)[label]],)


def _steps(
    means: Float[np.ndarray, "n 3"],
) -> tuple[Int[np.ndarray, "n 3"], Float[np.ndarray, "3"], Float[np.ndarray, "3"]]:
    """Means as 16-bit steps between bounds of their logarithms, and the bounds."""
    logs = np.sign(means) * np.log1p(np.abs(means.astype(np.float64)))
    low, high = logs.min(0), logs.max(0)
    return np.round((logs - low) / np.maximum(high - low, 1e-30) * STEPS).astype(np.int64), low, high


def _bytes(shares: Float[np.ndarray, "*n"]) -> UInt8[np.ndarray, "*n"]:
    return np.round(shares.clip(0, 1) * 255).astype(np.uint8)


def _palette(
    harmonics: Float[np.ndarray, "n coefficients 3"],
) -> tuple[dict, UInt8[np.ndarray, "pixels 3"], UInt8[np.ndarray, "n 2"]]:
    """What meta.json says of harmonics, the palette's pixels, and which entry each splat has (lower byte, upper byte).

    Every splat has an entry of its own; of more than PALETTE, neighbours in the order share one, their mean.
    """
    count, coefficients = harmonics.shape[:2]
    each = -(-count // PALETTE)
    entry = np.arange(count) // each
    starts = np.arange(0, count, each)
    entries = np.add.reduceat(harmonics, starts) / np.bincount(entry)[:, None, None]
    codes, places = codebook(entries)
    part = {"count": len(starts), "bands": COUNTS.index(coefficients), "codebook": codes.tolist(), "files": list(REST)}
    return part, places.reshape(-1, 3), np.stack([entry & 255, entry >> 8], -1).astype(np.uint8)


def _picture(rows: UInt8[np.ndarray, "n channels"], width: int | None = None) -> bytes:
    """A WebP picture of the rows, nearly square unless a width is given, lossless to what transparent pixels hide."""
    width = width or BLOCK * max(1, int(np.ceil(np.sqrt(len(rows)) / BLOCK)))
    height = BLOCK * max(1, int(np.ceil(len(rows) / width / BLOCK)))
    full = np.zeros((height * width, 4), np.uint8)
    full[:, 3] = 255
    full[: len(rows), : rows.shape[1]] = rows
    buffer = io.BytesIO()
    Image.fromarray(full.reshape(height, width, 4), "RGBA").save(buffer, "WEBP", lossless=True, exact=True)
    return buffer.getvalue()


def _pictures(
    path: Path, bundle: Bundle, part: Mapping[str, Any], *, name: str, count: int
) -> list[UInt8[np.ndarray, "n channels"]]:
    """The first `count` pixels of each of a part's pictures."""
    names, channels = field(dict(part), "files", list, where=f"{path}: '{name}'"), FILES[name][1]
    if len(names) != len(FILES[name][0]):
        raise InputError(f"{path}: '{name}' has {len(names)} files, not {len(FILES[name][0])}; export it again.")
    return [_pixels(path, bundle, each, count=count)[:, :channels] for each in names]


def _pixels(path: Path, bundle: Bundle, name: object, *, count: int) -> UInt8[np.ndarray, "n 4"]:
    """The first `count` pixels of a picture, which is not much larger."""
    data = _member(path, bundle, name)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", Image.DecompressionBombWarning)  # our own limit is lower
        picture = Image.open(io.BytesIO(data))
    with picture:
        width, height = picture.size
        if not count <= width * height <= max(4 * count, 2**16):
            raise InputError(f"{path}: {name} is {width} x {height} pixels for {count}; export it again.")
        return np.asarray(picture.convert("RGBA")).reshape(-1, 4)[:count]


def _member(path: Path, bundle: Bundle, name: object) -> bytes:
    """A file of the bundle, no larger than it may be."""
    if not isinstance(name, str) or Path(name).name != name or not (bundle / name).is_file():
        raise InputError(f"{path} has no {name} in it, which SOG of version 2 has; export it again.")
    with (bundle / name).open("rb") as file:
        data = file.read(MOST_BYTES + 1)
    if len(data) > MOST_BYTES:
        raise InputError(f"{path}: {name} is larger than {MOST_BYTES >> 20} MiB; export it again.")
    return data


def _codes(part: Mapping[str, Any], path: Path) -> Float[np.ndarray, " codes"]:
    return array(dict(part), "codebook", (CODES,), where=str(path))
