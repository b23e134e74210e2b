"""SIFT features of photos and their matches in every pair, by pycolmap on the CPU; kept in COLMAP's database."""

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float, Int
from PIL import Image

from fewview.data.unposed import UnposedPhotos
from fewview.errors import InputError

LONGEST = 1600  # px: larger photos are scaled down for matching; more pixels add time and hardly accuracy
SMALL = 1000  # px: features of smaller photos are sought in a doubled picture too
MOST_FEATURES = 4096  # a photo; the time of matching grows with the square
GUESS = 1.2  # COLMAP's focal length, in longer sides, where EXIF tells none
SAME_FOCAL = 0.01  # photos whose EXIF focal lengths differ by less were taken with one lens setting

Progress = Callable[[str, float], None]
"""(stage, fraction done in [0, 1])."""


@dataclass(frozen=True, eq=False)
class Matches:
    """Verified matches of photos at working size. Keypoints are (x, y) in working pixels.

    `pairs` maps (i, j), i < j, to rows of keypoint numbers (of i, of j). Photos of one `group` share their lens.
    """

    sizes: list[tuple[int, int]]  # (height, width) at working size
    keypoints: list[Float[np.ndarray, "_ 2"]]
    pairs: dict[tuple[int, int], Int[np.ndarray, "_ 2"]]
    groups: list[int]
    focal: list[float | None]  # by EXIF, in working pixels

    def counts(self) -> Int[np.ndarray, "n n"]:
        """Number of matches of each pair."""
        table = np.zeros((len(self.sizes),) * 2, dtype=np.int64)
        for (i, j), rows in self.pairs.items():
            table[i, j] = table[j, i] = len(rows)
        return table


def load_pycolmap() -> Any:
    """The package; InputError with the mend where it is missing. Its log is kept to fatal errors."""
    try:
        import pycolmap
    except ImportError:
        raise InputError(
            "Photos without cameras need pycolmap to find them; pip install 'fewview[poses]' (or pip install pycolmap)."
        ) from None
    pycolmap.logging.minloglevel = 3
    return pycolmap


def match_photos(
    photos: UnposedPhotos, folder: Path, *, use_masks: bool = False, threads: int = -1, progress: Progress | None = None
) -> Matches:
    """Features and exhaustive matches of all photos; `folder` receives the working images and `matches.db`.

    With `use_masks`, features outside of the masks are ignored, as a turntable's still background asks for.
    """
    pycolmap, report = load_pycolmap(), progress or (lambda stage, fraction: None)
    names, sizes, scales, groups = _write_working_images(photos, folder, use_masks, report)
    database = folder / "matches.db"
    reader = pycolmap.ImageReaderOptions(camera_model="SIMPLE_RADIAL", default_focal_length_factor=GUESS)
    if use_masks:
        reader.mask_path = folder / "masks"
    extraction = pycolmap.FeatureExtractionOptions(num_threads=threads)
    extraction.sift.max_num_features = MOST_FEATURES
    extraction.sift.first_octave = -1 if max(map(max, sizes)) < SMALL else 0
    matching = pycolmap.FeatureMatchingOptions(num_threads=threads)
    verification = pycolmap.TwoViewGeometryOptions()
    verification.ransac.random_seed = 0
    where = dict(device=pycolmap.Device.cpu)
    focal = [None if f is None else f * s for f, s in zip(photos.focal, scales)]
    with quiet(folder / "log.txt"):
        report("finding features", 0)
        mode = pycolmap.CameraMode.PER_FOLDER
        pycolmap.extract_features(
            database, folder / "images", camera_mode=mode, reader_options=reader, extraction_options=extraction, **where
        )
        _tell_focal(pycolmap, database, names, groups, focal)
        report("matching photos", 0)
        pycolmap.match_exhaustive(database, matching_options=matching, verification_options=verification, **where)
        report("matching photos", 1)
    return _read(pycolmap, database, names, sizes, groups=groups, focal=focal)


def _write_working_images(
    photos: UnposedPhotos, folder: Path, use_masks: bool, report: Progress
) -> tuple[list[str], list[tuple[int, int]], list[float], list[int]]:
    """Upright photos, scaled down, as <group>/<number>.png; COLMAP gives a folder one camera."""
    groups, names, sizes, scales = _groups(photos), [], [], []
    for i in range(len(photos)):
        image, mask = photos.image(i)
        name = f"{groups[i]}/{i:05d}.png"
        picture = Image.fromarray((image.movedim(0, -1) * 255).round().byte().numpy())
        scale = min(1.0, LONGEST / max(picture.size))
        size = (round(picture.width * scale), round(picture.height * scale))
        (folder / "images" / name).parent.mkdir(parents=True, exist_ok=True)
        picture.resize(size, Image.Resampling.LANCZOS).save(folder / "images" / name, compress_level=1)
        if use_masks and mask is not None:
            (folder / "masks" / name).parent.mkdir(parents=True, exist_ok=True)
            marked = Image.fromarray(((mask[0] > 0.5) * 255).byte().numpy()).resize(size)
            marked.save(folder / "masks" / f"{name}.png", compress_level=1)
        names.append(name)
        sizes.append(size[::-1])
        scales.append(scale)
        report("reading photos", (i + 1) / len(photos))
    return names, sizes, scales, groups


def _groups(photos: UnposedPhotos) -> list[int]:
    """Numbers of lenses: photos of one size whose EXIF focal lengths agree share one."""
    found: list[tuple[tuple[int, int], float | None]] = []
    groups = []
    for size, focal in zip(photos.sizes, photos.focal):
        same = [
            k
            for k, (s, f) in enumerate(found)
            if s == size and (f is focal or (f and focal and abs(f / focal - 1) < SAME_FOCAL))
        ]
        if not same:
            found.append((size, focal))
        groups.append(same[0] if same else len(found) - 1)
    return groups


def _tell_focal(pycolmap: Any, database: Path, names: list[str], groups: list[int], focal: list[float | None]) -> None:
    """EXIF's focal lengths into the database, as trusted first values."""
    file = pycolmap.Database.open(database)
    for group in sorted(set(groups)):
        first = groups.index(group)
        image, known = file.read_image_with_name(names[first]), focal[first]
        if image is None or known is None:
            continue
        camera = file.read_camera(image.camera_id)
        camera.params = [known, *camera.params[1:]]
        camera.has_prior_focal_length = True
        file.update_camera(camera)
    file.close()


def _read(
    pycolmap: Any, database: Path, names: list[str], sizes: list[tuple[int, int]], *, groups: list, focal: list
) -> Matches:
    file = pycolmap.Database.open(database)
    ids = {image.name: image.image_id for image in file.read_all_images()}
    points = []
    for name in names:
        known = name in ids and file.exists_keypoints(ids[name])
        points.append(np.asarray(file.read_keypoints(ids[name])[:, :2], np.float64) if known else np.zeros((0, 2)))
    pairs: dict[tuple[int, int], np.ndarray] = {}
    for i in range(len(names)):
        for j in range(i + 1, len(names)):
            first, second = ids.get(names[i]), ids.get(names[j])
            if first is None or second is None or not file.exists_two_view_geometry(first, second):
                continue
            rows = np.asarray(file.read_two_view_geometry(first, second).inlier_matches, np.int64).reshape(-1, 2)
            if len(rows):
                pairs[i, j] = rows
    file.close()
    return Matches(sizes, points, pairs, groups, focal)


@contextmanager
def quiet(log: Path) -> Iterator[None]:
    """What the C++ below writes to the standard streams goes to a file."""
    import os

    sys.stdout.flush()
    sys.stderr.flush()
    kept = [os.dup(1), os.dup(2)]
    with log.open("ab") as file:
        try:
            for stream in (1, 2):
                os.dup2(file.fileno(), stream)
            yield
        finally:
            for stream, old in zip((1, 2), kept):
                os.dup2(old, stream)
                os.close(old)
