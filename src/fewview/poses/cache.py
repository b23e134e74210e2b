"""Estimated cameras on disk: a folder that `open_scene` and COLMAP's users can read, and that saves a second search."""

import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float
from PIL import Image

from fewview.checkpoint import atomic_folder, read_json, write_json
from fewview.data.colmap import open_colmap, read_model, write_colmap
from fewview.data.unposed import UnposedPhotos
from fewview.errors import InputError
from fewview.poses.estimate import Estimated
from fewview.poses.matching import Matcher

RECORD = "poses.json"


def write_cache(folder: Path, photos: UnposedPhotos, estimated: Estimated, *, matcher: Matcher = "sift") -> None:
    """images/, masks/ (both upright and undistorted), sparse/0/*.txt, and poses.json; whole or not at all.

    InputError where the folder is there and is not such a cache.
    """
    if folder.exists() and not (folder / RECORD).is_file():
        raise InputError(f"{folder} is in the way of the estimated cameras; move it, or name another output.")
    names = [f"{i:04d}.png" for i in estimated.registered]
    with atomic_folder(folder) as target:
        for kind in ("images", "masks", "sparse/0"):
            (target / kind).mkdir(parents=True)
        for name, photo in zip(names, estimated.scene.photos):
            view = photo.read()
            _write(target / "images" / name, view.images)
            if view.masks is not None:
                _write(target / "masks" / name, view.masks)
        write_colmap(target / "sparse" / "0", estimated.scene.cameras, names, points=estimated.points.double().numpy())
        record = {"registered": list(estimated.registered), "names": list(estimated.names)}
        record |= {"counts": estimated.counts.tolist(), "error": estimated.error, "photos": fingerprint(photos)}
        record["matcher"] = matcher
        write_json(target / RECORD, record)


def read_cache(folder: Path, photos: UnposedPhotos, matcher: Matcher = "sift") -> Estimated | None:
    """What `write_cache` kept for the very same photos and matcher; None where it is for others, or damaged."""
    try:
        record = read_json(folder / RECORD)
        if (record["photos"], record.get("matcher", "sift")) != (fingerprint(photos), matcher):
            return None
        scene = open_colmap(folder)
        scene = replace(scene, name=photos.name, kind=f"{photos.kind}, cameras estimated before")
        points = torch.from_numpy(read_model(folder / "sparse" / "0").points).float()
        registered, counts = tuple(record["registered"]), np.array(record["counts"], np.int64)
        error, count = float(record["error"]), len(photos)
        right = counts.shape == (count, count) and record["names"] == photos.names and math.isfinite(error)
        chosen = sorted(set(registered) & set(range(count)))
        if not right or len(scene) != len(registered) or list(registered) != chosen:
            return None
        return Estimated(scene, registered, tuple(record["names"]), counts, points, error)
    except (InputError, OSError, KeyError, TypeError, ValueError, OverflowError):
        return None


def fingerprint(photos: UnposedPhotos) -> list[list]:
    """Name, size in bytes and time of change of each photo's file and mask."""
    rows = []
    for name, *files in zip(photos.names, photos.paths, photos.masks):
        stats = [file.stat() for file in files if file is not None]
        rows.append([name, *(number for stat in stats for number in (stat.st_size, stat.st_mtime_ns))])
    return rows


def _write(path: Path, image: Float[torch.Tensor, "channels h w"]) -> None:
    values = (image * 255).round().clamp(0, 255).byte().movedim(0, -1).numpy()
    Image.fromarray(values[..., 0] if values.shape[-1] == 1 else values).save(path, compress_level=1)
