"""Scenes as NeRF's synthetic ones: transforms_train.json, and perhaps transforms_test.json, exported from Blender.

Each is a transforms.json whose field of view is `camera_angle_x` and whose file names lack their suffix.
"""

from pathlib import Path

from fewview.data.nerfstudio import read_photos
from fewview.data.photos import PhotoScene, located, origin_notes

TRAIN, TEST = "transforms_train.json", "transforms_test.json"


def open_blender(folder: Path) -> PhotoScene:
    """The training photos, which are the inputs, and the test photos, where there are any: the targets.

    Test poses without pictures, as BlenderNeRF writes them, are a path to film along and named in a note.
    """
    train = read_photos(folder / TRAIN)
    test = read_photos(folder / TEST, perhaps_none=True) if (folder / TEST).exists() else None
    targets = test.photos if test is not None else ()
    photos, origin = located((*train.photos, *targets))
    count = len(train.photos)
    split = {"inputs": tuple(range(count)), "targets": tuple(range(count, len(photos)))} if targets else {}
    kind = f"Blender scene ({TRAIN}{f' and {TEST}' if targets else ''})"
    notes = (*train.notes, *(test.notes if test is not None else ()), *origin_notes(origin))
    name = folder.resolve().name
    listed = count + len(train.missing)
    missing = (*train.missing, *(listed + i for i in (test.missing if test is not None else ())))
    return PhotoScene(name, photos, kind=kind, origin=origin, notes=notes, missing=missing, cloud=train.cloud, **split)
