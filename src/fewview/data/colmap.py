"""COLMAP's sparse models, as text and as binary files (colmap.github.io/format.html).

A pose maps the world to the camera, with OpenCV axes; quaternions are (w, x, y, z); the upper left pixel is centred at
(0.5, 0.5). All this is this package's own convention too.
"""

import math
import struct
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Float

from fewview.cameras import Cameras
from fewview.checkpoint import atomic_path
from fewview.data.colmap_folders import count_images, encoding_of, find_models, photo_folder
from fewview.data.fields import shown
from fewview.data.images import MissingFile, image_size, same_shape
from fewview.data.lens import Lens
from fewview.data.names import Finder, check_enough
from fewview.data.photos import Photo, PhotoScene, counted, find_mask, located, origin_notes, pinhole, rigid
from fewview.errors import InputError
from fewview.geometry.quaternions import quaternions_of, rotations

MOST_PIXELS = 2**20  # along a side
MOST_BYTES = 2**31  # of one file; a larger one is refused before it is read
SOME = 16  # names by which the photos' folder is known
WORDS = 9  # before the name of an image
MOST_NAMED = 3  # of the models that are not taken
MODELS = (  # in the order of their ids: name, parameters, of which focal lengths
    ("SIMPLE_PINHOLE", 3, 1),
    ("PINHOLE", 4, 2),
    ("SIMPLE_RADIAL", 4, 1),
    ("RADIAL", 5, 1),
    ("OPENCV", 8, 2),
    ("OPENCV_FISHEYE", 8, 2),
    ("FULL_OPENCV", 12, 2),
    ("FOV", 5, 2),
    ("SIMPLE_RADIAL_FISHEYE", 4, 1),
    ("RADIAL_FISHEYE", 5, 1),
    ("THIN_PRISM_FISHEYE", 12, 2),
    ("RAD_TAN_THIN_PRISM_FISHEYE", 16, 2),
    ("SIMPLE_DIVISION", 4, 1),
    ("DIVISION", 5, 2),
    ("SIMPLE_FISHEYE", 3, 1),
    ("FISHEYE", 4, 2),
    ("EUCM", 6, 2),
    ("EQUIRECTANGULAR", 2, 0),
)
PARAMETERS = {name: (count, focals) for name, count, focals in MODELS}
LENSES = {  # what the parameters after the principal point are: k1..k6 by number, p1 and p2 by letter
    "SIMPLE_PINHOLE": "",
    "PINHOLE": "",
    "SIMPLE_RADIAL": "1",
    "RADIAL": "12",
    "OPENCV": "12pq",
    "FULL_OPENCV": "12pq3456",
    "OPENCV_FISHEYE": "1234",
    "SIMPLE_RADIAL_FISHEYE": "1",
    "RADIAL_FISHEYE": "12",
    "SIMPLE_FISHEYE": "",
    "FISHEYE": "",
}


@dataclass(frozen=True)
class ColmapCamera:
    """Intrinsics, which images share."""

    model: str
    width: int
    height: int
    parameters: tuple[float, ...]


@dataclass(frozen=True)
class ColmapImage:
    """One registered image: its pose (w, x, y, z, then the translation), camera id and name."""

    pose: tuple[float, ...]
    camera: int
    name: str


@dataclass(frozen=True, eq=False)
class ColmapModel:
    """A sparse model; colours are in [0, 1]."""

    cameras: dict[int, ColmapCamera]
    images: list[ColmapImage]
    points: Float[np.ndarray, "n 3"]
    colours: Float[np.ndarray, "n 3"]


def open_colmap(root: Path, model_folder: Path | None = None) -> PhotoScene:
    """The registered photos, sorted by name, of the largest model below `root`, or of the one that is named."""
    found = find_models(root) if model_folder is None else [model_folder]
    if not found:
        raise InputError(f"{root} has no sparse/0/cameras.bin or cameras.txt; run COLMAP's mapper there.")
    models = sorted(found, key=lambda folder: -count_images(folder)) if len(found) > 1 else found
    model, unplaced = _placed(read_model(models[0]))
    if not model.images:
        raise InputError(f"{models[0]} has no registered images; run COLMAP with more overlapping photos.")
    names = [image.name for image in model.images]
    if len(set(names)) < len(names):
        twice = next(name for name in names if names.count(name) > 1)
        raise InputError(f"{models[0]} has the image {shown(twice)} twice; run COLMAP's mapper again.")
    folder = photo_folder(root, models[0], names[:SOME])
    photos, missing, notes = _photos(folder, model, models[0])
    placed, origin = located(photos)
    encoding = "binary" if encoding_of(models[0]) == ".bin" else "text"
    kind = f"COLMAP model ({encoding})"
    notes = (*_others(root, models), *unplaced, *notes, *origin_notes(origin))
    return PhotoScene(root.resolve().name, placed, kind=kind, origin=origin, notes=notes, missing=missing)


def _placed(model: ColmapModel) -> tuple[ColmapModel, tuple[str, ...]]:
    """The model without images whose quaternion is 0, as programs write those that got no pose, and a note of them."""
    images = [image for image in model.images if any(image.pose[:4])]
    left = len(model.images) - len(images)
    if not left:
        return model, ()
    return replace(model, images=images), (f"{counted(left, 'image')} without a pose left out",)


def _others(root: Path, models: Sequence[Path]) -> tuple[str, ...]:
    """A note of the models that were not taken."""
    if len(models) < 2:
        return ()
    taken, *left = (folder.relative_to(root).as_posix() for folder in models)
    rest = ", ".join(f"{name} ({count_images(root / name)})" for name in left[:MOST_NAMED])
    more = f" and {len(left) - MOST_NAMED} more" if len(left) > MOST_NAMED else ""
    return (f"the largest of {len(models)} models, {taken}; smaller are {rest}{more}, name one to use it",)


def _photos(folder: Path, model: ColmapModel, where: Path) -> tuple[list[Photo], tuple[int, ...], tuple[str, ...]]:
    """The photos that are there, with cameras in float64, numbers of those that are not, and notes."""
    finders, photos, missing = (Finder(folder), Finder(folder.parent)), [], {}
    images = sorted(model.images, key=lambda i: i.name)
    turns = rotations(torch.tensor([image.pose[:4] for image in images], dtype=torch.float64)).numpy()
    for i, (image, turn) in enumerate(zip(images, turns)):
        try:
            photos.append(_photo(finders, model, (image, turn), where=where))
        except MissingFile as error:
            missing[i] = error
    notes = check_enough(len(photos), list(missing.values()))
    if any(photo.scaled for photo in photos):
        notes = (*notes, f"photos of {folder.name} have another size than the model's, so focal lengths are scaled")
    return photos, tuple(missing), notes


def read_model(folder: Path) -> ColmapModel:
    """cameras, images and (where there) points3D, all .bin or all .txt."""
    suffix = encoding_of(folder)
    readers = (_binary_cameras, _binary_images, _binary_points) if suffix == ".bin" else (_cameras, _images, _points)
    cameras = readers[0](_existing(folder / f"cameras{suffix}"))
    images = readers[1](_existing(folder / f"images{suffix}"))
    path = folder / f"points3D{suffix}"
    points = np.array(readers[2](_existing(path)) if path.is_file() else [], dtype=np.float64).reshape(-1, 6)
    if not np.isfinite(points).all():
        raise InputError(f"{path} holds NaN or infinity; run COLMAP's mapper again.")
    return ColmapModel(cameras, images, points[:, :3], points[:, 3:] / 255)


def write_colmap(
    folder: Path,
    cameras: Sequence[Cameras],
    files: Sequence[str],
    *,
    points: Float[np.ndarray, "n 3"] | None = None,
) -> None:
    """A text model: a PINHOLE camera for each image (batch shape ()), and grey points without tracks."""
    camera_lines, image_lines = [], []
    for i, (camera, name) in enumerate(zip(cameras, files, strict=True), start=1):
        k = camera.intrinsics.double()
        numbers = _text([k[0, 0], k[1, 1], k[0, 2], k[1, 2]])
        camera_lines.append(f"{i} PINHOLE {camera.width} {camera.height} {numbers}")
        cam_from_world = torch.linalg.inv(camera.world_from_cam.double())
        quaternion = quaternions_of(cam_from_world[None, :3, :3])[0]
        image_lines += [f"{i} {_text([*quaternion, *cam_from_world[:3, 3]])} {i} {name}", ""]
    rows = np.zeros((0, 3)) if points is None else points
    point_lines = [f"{i} {_text(row)} 128 128 128 0" for i, row in enumerate(rows, start=1)]
    for name, lines in (("cameras", camera_lines), ("images", image_lines), ("points3D", point_lines)):
        with atomic_path(folder / f"{name}.txt") as temporary:
            temporary.write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")


def _photo(
    finders: tuple[Finder, Finder], model: ColmapModel, posed: tuple[ColmapImage, np.ndarray], *, where: Path
) -> Photo:
    """`finders` are of the photos and of the folder above, which has the masks; an image comes with its rotation."""
    (finder, above), (image, turn) = finders, posed
    who = f"{where}: image {shown(image.name)}"
    camera = model.cameras.get(image.camera)
    path = finder.find(image.name, where=who)
    if camera is None:
        raise InputError(f"{who} has the camera {image.camera}, which the model lacks; export the model again.")
    lens = _lens(camera, f"{where}: camera {image.camera}")
    if not all(map(math.isfinite, image.pose)) or abs(math.hypot(*image.pose[:4]) - 1) > 1e-2:
        raise InputError(f"{who} has no rigid pose (its quaternion has not length 1); write QW QX QY QZ TX TY TZ.")
    cam_from_world = rigid(np.column_stack([turn, image.pose[4:]]), where=who)
    world_from_cam = np.eye(4)
    world_from_cam[:3, :3] = cam_from_world[:3, :3].T
    world_from_cam[:3, 3] = -world_from_cam[:3, :3] @ cam_from_world[:3, 3]
    size = calibrated = camera.height, camera.width
    stored = image_size(path)
    if calibrated not in (stored, stored[::-1]) and same_shape(stored, calibrated):
        size, lens = stored, lens.scaled(stored[1] / calibrated[1], stored[0] / calibrated[0])
    focal, centre = np.array(lens.focal), np.array(lens.centre)
    pinhole_camera = pinhole(world_from_cam, focal, centre, size=size, where=who, dtype=torch.float64)
    mask = find_mask(above.root, f"images/{path.relative_to(finder.root).as_posix()}", above)
    scaled = size != calibrated
    if lens.straight:
        return Photo(pinhole_camera, path, mask, scaled=scaled)
    return Photo(lens.pinhole(pinhole_camera, where=who), path, mask, lens=lens, scaled=scaled)


def _lens(camera: ColmapCamera, where: str) -> Lens:
    """Focal lengths, principal point and distortion of a camera (colmap/src/colmap/sensor/models.h)."""
    letters = LENSES.get(camera.model)
    if letters is None:
        raise InputError(f"{where} is of the model {camera.model}; run colmap image_undistorter and use its output.")
    values, focals = camera.parameters, PARAMETERS[camera.model][1]
    sizes = camera.height, camera.width
    if not (np.isfinite(values).all() and min(values[:focals]) > 0 and min(sizes) > 0 and max(sizes) <= MOST_PIXELS):
        raise InputError(f"{where} has impossible intrinsics {shown(values)}; run COLMAP's mapper again.")
    number = dict(zip(letters, values[focals + 2 :]))
    radial = tuple(number.get(letter, 0.0) for letter in "123456")
    fisheye = camera.model.endswith("FISHEYE")
    centre, tangential = values[focals : focals + 2], (number.get("p", 0.0), number.get("q", 0.0))
    return Lens((values[0], values[focals - 1]), (centre[0], centre[1]), radial, tangential, fisheye)


def _existing(path: Path) -> Path:
    if not path.is_file():
        raise InputError(f"{path} does not exist; export the whole COLMAP model.")
    if path.stat().st_size > MOST_BYTES:
        raise InputError(f"{path} is larger than {MOST_BYTES >> 30} GiB; reconstruct from fewer photos.")
    return path


def _text(numbers: Any) -> str:
    return " ".join(repr(float(number)) for number in numbers)


def _lines(path: Path, most: int = -1) -> Iterator[tuple[str, list[str]]]:
    """(where, words) of every line that is not a comment; empty lines too, as images.txt counts them.

    After `most` words the rest of a line is one, as it stands.
    """
    try:
        lines = path.read_text(encoding="utf-8-sig").split("\n")  # names may hold what else splitlines ends lines at
    except UnicodeDecodeError:
        raise InputError(f"{path} is not a text file in UTF-8; export the model again.") from None
    for i, line in enumerate(lines, start=1):
        if not line.lstrip().startswith("#"):
            yield f"{path}, line {i}", line.strip().split(maxsplit=most)


def _numbers(words: list[str], kind: type, where: str) -> tuple:
    try:
        return tuple(kind(word) for word in words)
    except ValueError:
        raise InputError(
            f"{where} holds {' '.join(words)[:60]!r} where numbers belong; export the model again."
        ) from None


def _cameras(path: Path) -> dict[int, ColmapCamera]:
    cameras = {}
    for where, words in _lines(path):
        if not words:
            continue
        known = len(words) >= 4 and words[1] in PARAMETERS
        if not known or (len(words) != 4 + PARAMETERS[words[1]][0] and words[1] in LENSES):
            raise InputError(f"{where} is no camera (id, model, width, height, parameters); export the model again.")
        key, width, height = _numbers([words[0], *words[2:4]], int, where)
        cameras[key] = ColmapCamera(words[1], width, height, _numbers(words[4:], float, where))
    return cameras


def _images(path: Path) -> list[ColmapImage]:
    """Lines of images, each followed by that of its 2D points, which may be empty; blank lines before an image too.

    The last line of points may be missing.
    """
    images, lines = [], list(_lines(path, WORDS))
    i = 0
    while i < len(lines):
        where, words = lines[i]
        i += 1
        if not words:
            continue
        if len(words) <= WORDS:
            raise InputError(f"{where} is no image (id, pose, camera, name), or its line of points is missing.")
        pose = _numbers(words[1:8], float, where)
        (camera,) = _numbers(words[8:9], int, where)
        images.append(ColmapImage(pose, camera, words[WORDS]))
        i += 1
    return images


def _points(path: Path) -> list[tuple[float, ...]]:
    points = []
    for where, words in _lines(path):
        if words and len(words) < 8:
            raise InputError(f"{where} is no point (id, position, colour, error, track); export the model again.")
        if words:
            points.append(_numbers(words[1:7], float, where))
    return points


class _Binary:
    """A little-endian file read from front to back; no count in it is believed before the bytes are there."""

    def __init__(self, path: Path):
        self.path, self.data, self.position = path, path.read_bytes(), 0

    def take(self, layout: str) -> tuple:
        size = struct.calcsize(f"<{layout}")
        self.need(size)
        values = struct.unpack_from(f"<{layout}", self.data, self.position)
        self.position += size
        return values

    def need(self, size: int) -> None:
        if size > len(self.data) - self.position:
            raise InputError(
                f"{self.path} ends early: {size} bytes are missing at byte {self.position}; copy it again."
            )

    def count(self, least: int) -> int:
        """A number of entries that take at least so many bytes each."""
        (count,) = self.take("Q")
        self.need(count * least)
        return count

    def skip(self, size: int) -> None:
        self.need(size)
        self.position += size

    def name(self) -> str:
        end = self.data.find(b"\0", self.position)
        self.need(1 if end >= 0 else len(self.data))
        text = self.data[self.position : end]
        self.position = end + 1
        try:
            return text.decode("utf-8")
        except UnicodeDecodeError:
            raise InputError(f"{self.path} has an image name that is not UTF-8; rename the image.") from None


def _binary_cameras(path: Path) -> dict[int, ColmapCamera]:
    file, cameras = _Binary(path), {}
    for _ in range(file.count(24)):
        key, model, width, height = file.take("IiQQ")
        if not 0 <= model < len(MODELS):
            raise InputError(f"{path}: camera {key} has the unknown model {model}; run colmap image_undistorter.")
        name, parameters, _ = MODELS[model]
        cameras[key] = ColmapCamera(name, width, height, file.take(f"{parameters}d"))
    return cameras


def _binary_images(path: Path) -> list[ColmapImage]:
    file, images = _Binary(path), []
    for _ in range(file.count(73)):
        _, *pose, camera = file.take("I7dI")
        images.append(ColmapImage(tuple(pose), camera, file.name()))
        file.skip(24 * file.count(24))  # its 2D points
    return images


def _binary_points(path: Path) -> list[tuple[float, ...]]:
    file, points = _Binary(path), []
    for _ in range(file.count(51)):
        _, *point, _ = file.take("Q3d3Bd")
        points.append(tuple(point))
        file.skip(8 * file.count(8))  # its track
    return points
