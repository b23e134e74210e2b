"""Where COLMAP's models and their photos lie in a folder: its own layout, and those of programs that run it."""

import struct
from collections.abc import Iterator, Sequence
from pathlib import Path

from fewview.data.names import Finder
from fewview.errors import InputError

PLACES = (  # of a model, or of folders 0, 1, ... that each hold one; the first place that has any counts
    "sparse",
    ".",
    "colmap/sparse",  # nerfstudio's ns-process-data
    "colmap",
    "dense/sparse",  # image_undistorter
    "dense/0/sparse",  # the automatic reconstructor
    "undistorted/sparse",
    "distorted/sparse",  # 3D Gaussian Splatting's convert.py
)
DEEPEST = 3  # levels below the folder, where any other folder with a model is looked for
MOST_FOLDERS = 4096  # that are looked into for it
PHOTOS = ("images", "input", "images_2", "images_4", "images_8")  # downscaled copies scale the camera
HIGHEST = 3  # levels above a model that is named itself, where its photos may lie


def find_models(root: Path) -> list[Path]:
    """The folders of sparse models at the first place below `root` that has any, by name."""
    for place in PLACES:
        found = [folder for folder in _at(root / place) if has_model(folder)]
        if found:
            return found
    for level in _levels(root):
        found = [folder for folder in level if has_model(folder)]
        if found:
            return found
    return []


def has_model(folder: Path) -> bool:
    """Whether cameras.bin or cameras.txt lies in a folder."""
    return any((folder / f"cameras{suffix}").is_file() for suffix in (".bin", ".txt"))


def encoding_of(folder: Path) -> str:
    """ ".bin" or ".txt": that of which cameras and images are both there, binary first."""
    whole = lambda suffix: all((folder / f"{name}{suffix}").is_file() for name in ("cameras", "images"))
    binary = whole(".bin") or ((folder / "cameras.bin").is_file() and not whole(".txt"))
    return ".bin" if binary else ".txt"


def _at(place: Path) -> list[Path]:
    """A place with its numbered folders, or alone."""
    if not place.is_dir():
        return []
    numbered = [folder for folder in place.iterdir() if folder.name.isdecimal() and folder.is_dir()]
    return [*sorted(numbered, key=lambda folder: (len(folder.name), folder.name)), place]


def _levels(root: Path) -> Iterator[list[Path]]:
    """The folders one, two, ... levels below `root`; hidden ones and links are left out."""
    level, left = [root], MOST_FOLDERS
    for _ in range(DEEPEST):
        below = []
        for folder in level:
            try:
                entries = sorted(folder.iterdir())
            except OSError:
                continue
            below += [e for e in entries if not e.name.startswith(".") and e.is_dir() and not e.is_symlink()]
        level = below[:left]
        left -= len(level)
        yield level


def count_images(folder: Path) -> int:
    """How many images a model claims to have registered, 0 where it cannot be told; used to choose among models."""
    try:
        binary, text = folder / "images.bin", folder / "images.txt"
        if encoding_of(folder) == ".bin":
            with binary.open("rb") as stream:
                count = struct.unpack("<Q", stream.read(8))[0]
            return count if count * 73 <= binary.stat().st_size else 0
        with text.open("rb") as stream:
            return sum(_is_image(line) for line in stream)
    except (OSError, struct.error):
        return 0


def _is_image(line: bytes) -> bool:
    """Whether a line of images.txt may be an image's: ten words of which the last is no number, as its name is none."""
    words = line.split(maxsplit=9)
    if len(words) < 10 or words[0].startswith(b"#"):
        return False
    try:
        float(words[9])
    except ValueError:
        return any(byte > 57 for byte in words[9])
    return False


def photo_folder(root: Path, model: Path, names: Sequence[str] = ()) -> Path:
    """The folder of a model's photos: images/ or the like beside the model or above it, up to `root`.

    Where the model itself was named, the search goes on above it. Of several folders the first counts that has one of
    `names`, the photos may also lie in a place itself, or be named from there.
    """
    inside = [place for place in (model, *model.parents) if place.is_relative_to(root)]
    above = [model.resolve(), *model.resolve().parents][1 : HIGHEST + 1] if root == model else []
    places = (*inside, *above)
    found = [place / name for place in places for name in PHOTOS if (place / name).is_dir()]
    for folder in (*found, *places):
        finder = Finder(folder)
        if any(finder.has(name) is not None for name in names):
            return folder
    if not found:
        raise InputError(f"{root} has no folder 'images' beside its COLMAP model; put the photos there.")
    return found[0]
