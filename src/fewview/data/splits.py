"""train_test_split_<n>.json beside a posed scene, as ReconFusion and Stable Virtual Camera have it.

{"train_ids": [...], "test_ids": [...]}: which frames, by their place in the scene's own list, whether or not
all of it are there, go in and which are judged.
"""

from dataclasses import replace
from pathlib import Path

from fewview.data.fields import field, read_json, shown
from fewview.data.photos import PhotoScene
from fewview.errors import InputError

PATTERN = "train_test_split_*.json"


def find_splits(folder: Path) -> list[str]:
    """Names of the split files in a folder."""
    return sorted(path.name for path in folder.glob(PATTERN))


def with_split(scene: PhotoScene, file: Path) -> PhotoScene:
    """The scene with its inputs and targets marked."""
    data, total = read_json(file), len(scene) + len(scene.missing)
    train, test = (_ids(data, key, total, file=file) for key in ("train_ids", "test_ids"))
    both = set(train) & set(test)
    if both:
        raise InputError(f"{file} has frame {min(both)} under 'train_ids' and 'test_ids'; keep it in one of them.")
    there = [i for i in range(total) if i not in set(scene.missing)]
    place = {number: i for i, number in enumerate(there)}
    inputs, targets = (tuple(place[i] for i in ids if i in place) for ids in (train, test))
    if not inputs or not targets:
        raise InputError(f"{file} names photos of which none are there; restore them.")
    return replace(scene, kind=f"{scene.kind} with {file.name}", inputs=inputs, targets=targets)


def _ids(data: object, key: str, count: int, *, file: Path) -> tuple[int, ...]:
    """Frame numbers below `count`, each once."""
    ids = field(data, key, list, where=str(file))
    wrong = [i for i in ids if not isinstance(i, int) or isinstance(i, bool) or not 0 <= i < count]
    if wrong:
        raise InputError(f"{file}: '{key}' holds {shown(wrong[0])}; the scene has {count} frames, numbered from 0.")
    if not ids or len(set(ids)) < len(ids):
        raise InputError(f"{file}: '{key}' {'names a frame twice' if ids else 'is empty'}; list each frame once.")
    return tuple(ids)
