"""What lies where photos were looked for, and what to do with it: the words of a refusal."""

import re
from collections import Counter
from collections.abc import Iterator
from itertools import islice
from pathlib import Path

from fewview.data.fields import shown
from fewview.data.images import PHOTO_SUFFIXES

ARCHIVES = (".zip", ".tar", ".gz", ".tgz", ".7z", ".rar")
OTHER_PICTURES = (  # which are not read: animations, newer codecs, what cameras call raw
    *(".gif", ".avif", ".jxl", ".jp2", ".exr", ".hdr", ".psd", ".svg"),
    *(".dng", ".cr2", ".cr3", ".nef", ".arw", ".raf", ".rw2", ".orf", ".pef", ".srw", ".insp"),
)
CAMERAS = ("transforms.json", "transforms_train.json", "poses_bounds.npy", "images.bin", "images.txt")
UNREAD_CAMERAS = (  # how files begin that hold cameras in formats that are not read: whose they are
    (".xml", rb"(?s).{0,200}<document\b.*<chunk\b", "Metashape's"),
    (".csv", rb"#name,x,y,(alt|z),", "RealityCapture's"),
    (".out", rb"# Bundle file v", "Bundler's"),
    (".nvm", rb"NVM_V", "VisualSFM's"),
    (".json", rb'\s*\[\s*\{\s*"id": \d+, "img_name"', "3D Gaussian Splatting's"),
)
FRAMES = (b'"frames"', b'"file_path"', b'"transform_matrix"')  # words of a transforms.json, whatever its name
BLENDER = "transforms_train.json"  # what a Blender scene cannot do without
HEAD = 2048  # bytes of a file by which it is known
DEEPEST, MOST_ENTRIES = 3, 2000  # levels of folders below the named one, and files in them, that are looked at


def missing(path: Path) -> str:
    """Why there is nothing at `path`, without a full stop: it may be an address, of whose slashes a Path keeps one."""
    address = re.match(r"(https?|ftp|s3|gs):/+(.*)", str(path))
    if address:
        return f"{address[1]}://{address[2]} is an address, from which nothing is fetched"
    return f"{path} does not exist"


def instead_of_photos(folder: Path) -> str:
    """What a folder without photos holds, and the mend, without a full stop."""
    files = sorted(path for path in folder.iterdir() if path.is_file())
    archive = next((path for path in files if path.suffix.lower() in ARCHIVES), None)
    if archive is not None:
        return f"has no photos, but an archive; unpack {shown(archive.name)}, and name its folder"
    kinds = Counter(path.suffix.lower() for path in files if path.suffix.lower() in OTHER_PICTURES)
    if kinds:
        kind, count = kinds.most_common(1)[0]
        return f"has {count} {kind} file{'s' * (count > 1)}, which are not read; export them as JPEG, PNG or TIFF"
    below = next(_below(folder), None)
    if below is not None:
        return f"has no photos and no cameras itself; name the folder {below}, which has"
    if not files and not any(folder.iterdir()):
        return "has no photos, for it is empty; put them there, or name another folder"
    return "has no photos, no transforms.json and no COLMAP model; name a folder of photos"


def unread_cameras(folder: Path) -> str | None:
    """Words for a file beside photos whose cameras are not read; None without one."""
    for path in sorted(islice(folder.iterdir(), MOST_ENTRIES)):
        kinds = [(start, whose) for suffix, start, whose in UNREAD_CAMERAS if path.suffix.lower() == suffix]
        if not kinds or not path.is_file():
            continue
        with path.open("rb") as file:
            head = file.read(HEAD)
        for start, whose in kinds:
            if re.match(start, head):
                return f"but {shown(path.name)} has {whose} cameras, which are not read: export a COLMAP model of them"
    return None


def polycam_cameras(folder: Path) -> str | None:
    """Words for the files of Polycam's raw data that lie beside a folder of its pictures; None without."""
    for name in ("corrected_cameras", "cameras"):
        first = next((folder.resolve().parent / name).glob("*.json"), None)
        if first is not None and b'"t_00"' in first.read_bytes()[:HEAD]:
            return f"but {name}/ beside them has Polycam's cameras, which are not read: ns-process-data converts them"
    return None


def other_transforms(folder: Path) -> list[Path]:
    """Files beside photos that hold cameras as transforms.json does, under other names; none beside Blender's split."""
    if (folder / BLENDER).exists():
        return []
    files = (path for path in sorted(islice(folder.iterdir(), MOST_ENTRIES)) if path.suffix.lower() == ".json")
    return [path for path in files if path.is_file() and all(word in _start(path) for word in FRAMES)]


def _start(path: Path) -> bytes:
    with path.open("rb") as file:
        return file.read(32 * HEAD)


def scene_mend(folder: Path) -> str:
    """What to do where a scene was looked for in a folder, without a full stop: its photos, if any, make one."""
    places = (folder, *(folder / name for name in ("images", "sparse", "sparse/0")))
    if any(place.is_dir() and any(map(_is_input, islice(place.iterdir(), MOST_ENTRIES))) for place in places):
        return f"`fewview reconstruct {folder} -o OUT` makes one of its photos"
    return "name the results of `fewview reconstruct`"


def _below(folder: Path) -> Iterator[Path]:
    """Folders below with photos or cameras, the upper ones first; links and hidden folders are left alone."""
    level = [folder]
    for _ in range(DEEPEST):
        level = [path for upper in level for path in sorted(upper.iterdir()) if _is_plain_folder(path)][:MOST_ENTRIES]
        yield from (path for path in level if any(map(_is_input, islice(path.iterdir(), MOST_ENTRIES))))


def _is_plain_folder(path: Path) -> bool:
    return path.is_dir() and not path.is_symlink() and not path.name.startswith(".")


def _is_input(path: Path) -> bool:
    return path.name in CAMERAS or (path.suffix.lower() in PHOTO_SUFFIXES and not path.name.startswith("."))
