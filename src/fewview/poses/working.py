"""Photos as the matchers work on them: scaled down, in folders by lens, beside the database of COLMAP."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from PIL import Image

from fewview.data.unposed import UnposedPhotos
from fewview.errors import MissingPackage
from fewview.progress import Progress

LONGEST = 1600  # px: larger photos are scaled down for matching; more pixels add time and hardly accuracy
GUESS = 1.2  # COLMAP's focal length, in longer sides, where EXIF tells none
SAME_FOCAL = 0.01  # photos whose EXIF focal lengths differ by less were taken with one lens setting


def load_pycolmap() -> Any:
    """The package; InputError with the mend where it is missing. Its log is kept to fatal errors."""
    try:
        import pycolmap
    except ImportError:
        raise MissingPackage(
            "Photos without cameras need pycolmap to find them; pip install 'fewview[poses]' (or pip install pycolmap)."
        ) from None
    pycolmap.logging.minloglevel = 3
    return pycolmap


@dataclass(frozen=True, eq=False)
class Working:
    """Upright photos at working size: images/<name>, masks/<name>.png where masks count, and the database's place."""

    folder: Path
    names: list[str]
    sizes: list[tuple[int, int]]  # (height, width)
    groups: list[int]  # photos of one number share their lens
    focal: list[float | None]  # by EXIF, in working pixels
    use_masks: bool

    @property
    def database(self) -> Path:
        """COLMAP's, with keypoints, matches and verified pairs."""
        return self.folder / "matches.db"

    @property
    def images(self) -> Path:
        """Folder of the pictures, one folder in it for each lens."""
        return self.folder / "images"

    def reader(self) -> Any:
        """How COLMAP is to read the pictures."""
        options = load_pycolmap().ImageReaderOptions(camera_model="SIMPLE_RADIAL", default_focal_length_factor=GUESS)
        if self.use_masks:
            options.mask_path = self.folder / "masks"
        return options

    def mask(self, i: int) -> Image.Image | None:
        """Of a photo, L; None where the whole photo counts."""
        file = self.folder / "masks" / f"{self.names[i]}.png"
        return Image.open(file) if file.is_file() else None

    @contextmanager
    def quiet(self) -> Iterator[None]:
        """What the C++ below writes to the standard streams goes to a file."""
        with quiet(self.folder / "log.txt"):
            yield


def write_working(photos: UnposedPhotos, folder: Path, use_masks: bool, *, report: Progress) -> Working:
    """Upright photos, scaled down, as <group>/<number>.png; COLMAP gives a folder one camera."""
    groups, names, sizes, scales = lens_groups(photos), [], [], []
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
    focal = [None if f is None else f * s for f, s in zip(photos.focal, scales)]
    return Working(folder, names, sizes, groups, focal, use_masks)


def lens_groups(photos: UnposedPhotos) -> list[int]:
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


def tell_focal(work: Working) -> None:
    """EXIF's focal lengths into the database, as trusted first values."""
    file = load_pycolmap().Database.open(work.database)
    for group in sorted(set(work.groups)):
        first = work.groups.index(group)
        image, known = file.read_image_with_name(work.names[first]), work.focal[first]
        if image is None or known is None:
            continue
        camera = file.read_camera(image.camera_id)
        camera.params = [known, *camera.params[1:]]
        camera.has_prior_focal_length = True
        file.update_camera(camera)
    file.close()


def verification() -> Any:
    """Options of COLMAP's geometric verification, repeatable."""
    options = load_pycolmap().TwoViewGeometryOptions()
    options.ransac.random_seed = 0
    return options


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
