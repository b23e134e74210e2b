"""Readers of photographs with and without cameras."""

import re
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

from fewview.data.fields import shown
from fewview.data.images import PHOTO_SUFFIXES, is_file
from fewview.data.instead import (
    ARCHIVES,
    instead_of_photos,
    missing,
    other_transforms,
    polycam_cameras,
    unread_cameras,
)
from fewview.data.photos import PhotoScene, check_reconstructable
from fewview.data.unposed import VIDEO_SUFFIXES, UnposedPhotos
from fewview.errors import InputError

__all__ = ["PhotoScene", "UnposedPhotos", "check_reconstructable", "open_scene"]

ONE_PHOTO = "name a folder of two or more of one object, or let --method wildfusion make one side of it"
PHOTO_FOLDERS = ("images", "images_2", "images_4", "images_8", "input", "train", "rgb", "color")
SCENES = (".ply", ".spz", ".sog", ".splat", ".ksplat", ".glb", ".gltf", ".obj", ".fbx", ".stl", ".usdz", ".blend")
COLMAP_FILES = tuple(f"{name}.{suffix}" for name in ("cameras", "images", "points3D") for suffix in ("bin", "txt"))


def open_scene(path: Path | str) -> PhotoScene | UnposedPhotos:
    """What a folder or file is, by what lies in it; `describe()` of the answer says so.

    Photos with cameras: transforms.json, a COLMAP model, a CO3Dv2 sequence, a RealEstate10K clip, Blender's
    transforms_train.json, LLFF's poses_bounds.npy, each perhaps with train_test_split_<n>.json. Without: a folder of
    photos, a video. A file may be named where a folder has several. Raises InputError that says what is missing.
    """
    path = Path(path)
    if path.is_dir():
        scene = _cameras_of(path)
        return scene if scene is not None else _without_cameras(path)
    if not path.is_file():
        raise InputError(f"{missing(path)}; name a folder of photos, a video, or a file with cameras.")
    return _of_file(path)


def _cameras_of(folder: Path) -> PhotoScene | None:
    """A folder's posed photos, with its split where it has just one."""
    scene = _posed(folder)
    if scene is None:
        return None
    from fewview.data.splits import find_splits, with_split

    splits = find_splits(folder)
    if len(splits) == 1:
        return with_split(scene, folder / splits[0])
    note = f" (beside it {len(splits)} splits, such as {splits[0]}; name one to use it)" if splits else ""
    return replace(scene, kind=scene.kind + note)


def _posed(folder: Path) -> PhotoScene | None:
    """A folder's posed photos, by the first kind of cameras that can be read; others that cannot are named in a note.

    Raises the first kind's InputError where none can.
    """
    refused: list[tuple[str, InputError]] = []
    for name, there, reader in _kinds(folder):
        if not there():
            continue
        try:
            scene = reader(folder)
        except InputError as error:
            refused.append((name, error))
            continue
        notes = (f"{name} beside it is not readable: {str(error).rstrip('.')}" for name, error in refused)
        return replace(scene, notes=(*scene.notes, *notes))
    if refused:
        raise refused[0][1]
    return _lone_transforms(folder) or _clip_of(folder)


def _lone_transforms(folder: Path) -> PhotoScene | None:
    """The photos of the only file that is a transforms.json but for its name, which programs choose freely."""
    from fewview.data.nerfstudio import open_transforms

    files = other_transforms(folder)
    return open_transforms(files[0]) if len(files) == 1 else None


def _kinds(folder: Path) -> Iterator[tuple[str, Callable[[], bool], Callable[[Path], PhotoScene]]]:
    """Name, test and reader of each kind of cameras that a folder may hold, in their order."""
    from fewview.data.blender import open_blender
    from fewview.data.co3d import open_sequence
    from fewview.data.colmap import open_colmap
    from fewview.data.colmap_folders import find_models
    from fewview.data.llff import open_llff
    from fewview.data.nerfstudio import open_transforms

    has = lambda name: lambda: (folder / name).is_file()
    yield "transforms.json", has("transforms.json"), open_transforms
    yield "transforms_train.json", has("transforms_train.json"), open_blender
    yield "a COLMAP model", lambda: bool(find_models(folder)), open_colmap
    yield "poses_bounds.npy", has("poses_bounds.npy"), open_llff
    annotated = (folder.resolve().parent / "frame_annotations.jgz").is_file
    yield "frame_annotations.jgz", annotated, open_sequence


def _clip_of(folder: Path) -> PhotoScene | None:
    """The RealEstate10K clip beside or in a folder, if there is one."""
    beside = folder.parent / f"{folder.name}.txt"
    clips = [beside] if is_clip(beside) else [file for file in sorted(folder.glob("*.txt")) if is_clip(file)]
    if len(clips) > 1:
        raise InputError(f"{folder} has {len(clips)} RealEstate10K clips; name one of them, such as {clips[0]}.")
    return _clip(clips[0]) if clips else None


def _of_file(path: Path) -> PhotoScene | UnposedPhotos:
    """What a file is, by its name."""
    suffix = path.suffix.lower()
    if path.match("train_test_split_*.json"):
        from fewview.data.splits import with_split

        scene = _posed(path.parent)
        if scene is None:
            raise InputError(f"{path} is a split, but {path.parent} has no cameras; put transforms.json beside it.")
        return with_split(scene, path)
    if suffix == ".json":
        from fewview.data.nerfstudio import open_transforms

        return open_transforms(path)
    if path.name == "poses_bounds.npy":
        from fewview.data.llff import open_llff

        return open_llff(path.parent)
    if is_clip(path.with_suffix(".txt")) and suffix in (".txt", *VIDEO_SUFFIXES):
        return _clip(path)
    if path.name in COLMAP_FILES:
        from fewview.data.colmap import open_colmap

        return open_colmap(path.parent, path.parent)
    if suffix in VIDEO_SUFFIXES:
        from fewview.data.video import open_video

        return open_video(path)
    raise InputError(f"{path} {_instead_of_input(suffix)}.")


def _instead_of_input(suffix: str) -> str:
    """What a file of this suffix is instead of photos or cameras, and the mend."""
    if suffix in PHOTO_SUFFIXES:
        return f"is a single photo; {ONE_PHOTO}"
    if suffix in ARCHIVES:
        return "is an archive; unpack it and name the folder"
    if suffix in SCENES:
        return "holds 3D already, not photos of it; `fewview view` and `export` take splats"
    return "is no video and no file with cameras; name a folder of photos"


def _without_cameras(folder: Path) -> UnposedPhotos:
    """A folder's photos; InputError with the mend where there are none."""
    from fewview.data.unposed import find_photos, open_photos

    if (folder / "frame_annotations.jgz").is_file():
        raise InputError(f"{folder} has CO3D annotations of a whole category; name the folder of one of its sequences.")
    if any(folder.glob("*/frame_annotations.jgz")):
        raise InputError(f"{folder} has CO3D categories; name the folder of one sequence, <category>/<sequence>.")
    if find_photos(folder):
        photos = open_photos(folder)
        unused = _cameras_above(folder) or unread_cameras(folder) or polycam_cameras(folder) or _several(folder)
        return photos if unused is None else replace(photos, kind=f"{photos.kind} ({unused})")
    videos = sorted(file.name for file in folder.glob("*") if file.suffix.lower() in VIDEO_SUFFIXES)
    if videos:
        raise InputError(f"{folder} has videos; name one of them, such as {folder / videos[0]}.")
    raise InputError(f"{folder} {instead_of_photos(folder)}.")


def _several(folder: Path) -> str | None:
    """Words for several files with cameras, of which one has to be named; None without."""
    files = other_transforms(folder)
    return f"but {', '.join(shown(path.name) for path in files[:3])} have cameras: name one of them" if files else None


def _cameras_above(folder: Path) -> str | None:
    """Words for cameras that lie beside a folder named as those of photos are; None without."""
    outer = folder.resolve().parent
    if folder.resolve().name not in PHOTO_FOLDERS:
        return None
    name = next((name for name, there, _ in _kinds(outer) if there()), None)
    return None if name is None else f"but {name} lies beside this folder: name {outer} to use its cameras"


def is_clip(file: Path) -> bool:
    """Whether a text file is a RealEstate10K clip: an address, then lines of 19 numbers (18 without the time)."""
    if not is_file(file):
        return False
    with file.open("rb") as stream:
        first, _, rest = stream.read(2**12).decode("utf-8", "replace").partition("\n")
    row = rest.partition("\n")[0].split()
    if not re.match(r"[a-z]+:\S", first) or len(row) not in (18, 19):
        return False
    return all(re.fullmatch(r"[-+.\deE]+", word) for word in row)


def _clip(file: Path) -> PhotoScene:
    """A RealEstate10K clip by its text file, or by the video beside it."""
    from fewview.data.realestate10k import open_clip

    return replace(open_clip(file.with_suffix(".txt")), kind="RealEstate10K clip")
