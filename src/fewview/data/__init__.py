"""Readers of posed photographs, and makers of synthetic ones."""

from pathlib import Path

from fewview.data.photos import PhotoScene, check_reconstructable
from fewview.errors import InputError

__all__ = ["PhotoScene", "check_reconstructable", "open_scene"]


def open_scene(path: Path | str) -> PhotoScene:
    """The scene of a folder with transforms.json, a COLMAP model, or one CO3D sequence (all its annotated frames).

    A transforms.json may also be named itself. Raises InputError that says what is missing.
    """
    path = Path(path)
    if path.suffix == ".json" or (path / "transforms.json").exists():
        from fewview.data.nerfstudio import open_transforms

        return open_transforms(path)
    if not path.is_dir():
        raise InputError(f"{path} is not a folder; name one with photos and their cameras.")
    from fewview.data.colmap import find_model, open_colmap

    if find_model(path) is not None:
        return open_colmap(path)
    if (path.resolve().parent / "frame_annotations.jgz").is_file():
        from fewview.data.co3d import open_sequence

        return open_sequence(path)
    raise InputError(f"{path} has {_missing(path)}")


def _missing(path: Path) -> str:
    """What a folder without cameras lacks, and the mend."""
    if (path / "transforms_train.json").is_file():
        return "no transforms.json; name transforms_train.json itself to read that split."
    if (path / "frame_annotations.jgz").is_file():
        return "CO3D annotations of a whole category; name the folder of one of its sequences."
    if any(path.glob("*/frame_annotations.jgz")):
        return "CO3D categories; name the folder of one sequence, <category>/<sequence>."
    if (path / "images").is_dir() or any(path.glob("*.jpg")) or any(path.glob("*.png")):
        return "photos but no cameras; run COLMAP (sparse/0) or ns-process-data (transforms.json) on them."
    return "no transforms.json, no COLMAP model (sparse/0) and no CO3D annotations; name a folder of posed photos."
