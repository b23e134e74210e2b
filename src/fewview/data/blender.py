"""Scenes as NeRF's synthetic ones: transforms_train.json, and perhaps transforms_test.json, exported from Blender.

Each is a transforms.json whose field of view is `camera_angle_x` and whose file names lack their suffix.
"""

from pathlib import Path

from fewview.data.nerfstudio import open_transforms
from fewview.data.photos import PhotoScene

TRAIN, TEST = "transforms_train.json", "transforms_test.json"


def open_blender(folder: Path) -> PhotoScene:
    """The training photos, which are the inputs, and the test photos, where there are any: the targets."""
    train = open_transforms(folder / TRAIN)
    test = open_transforms(folder / TEST).photos if (folder / TEST).exists() else ()
    count = len(train)
    split = {"inputs": tuple(range(count)), "targets": tuple(range(count, count + len(test)))} if test else {}
    kind = f"Blender scene ({TRAIN}{f' and {TEST}' if test else ''})"
    return PhotoScene(folder.resolve().name, train.photos + test, kind=kind, **split)
