"""The picture that `fewview reconstruct --preview` keeps: one camera, as the scene comes about."""

import time
from pathlib import Path
from typing import TYPE_CHECKING

from fewview.commands.targets import check_place
from fewview.errors import InputError
from fewview.progress import See

if TYPE_CHECKING:
    from fewview.cameras import Cameras
    from fewview.views import Views

SIZE, ORBIT = 192, 48  # pixels and cameras of the film among the results, whose first one the picture is of
PATIENCE = 1.0  # seconds between two pictures, at least ...
SHARE = 0.05  # ... and so much of the time, at most, goes into them


class Preview:
    """What looks at unfinished work from one camera (batch shape ()), and writes each picture whole.

    A name with a place for a number (`%04d`) gives a file for each picture, from 0.
    """

    def __init__(self, path: Path, camera: "Cameras") -> None:
        self.path, self.camera = path, camera
        self.count, self.next = 0, 0.0

    def __call__(self, see: See) -> None:
        """Look, unless the last picture is too young."""
        start = time.monotonic()
        if start < self.next:
            return
        import torch

        from fewview.export.images import straight, write_png

        with torch.no_grad():
            picture = straight(see(self.camera.reshape(1)))[0]
        write_png(numbered(self.path, self.count), picture)
        self.count += 1
        end = time.monotonic()
        self.next = end + max(PATIENCE, (end - start) / SHARE)

    def last(self, see: See) -> None:
        """Look once more, however young the last picture is."""
        self.next = 0.0
        self(see)


def numbered(path: Path, count: int) -> Path:
    """The file of picture `count`."""
    return path.with_name(path.name % count) if "%" in path.name else path


def check_preview(path: Path) -> None:
    """InputError unless pictures can be written under this name."""
    try:
        numbered(path, 0)
    except (TypeError, ValueError):
        raise InputError(f"--preview-file {path}: write one number as %04d, or none.") from None
    if path.suffix.lower() != ".png":
        raise InputError(f"--preview-file {path} ends in '{path.suffix}'; pictures are written as .png.")
    if path.is_dir():
        raise InputError(f"--preview-file {path} is a folder; name a file in it, such as {path / 'preview.png'}.")
    check_place(numbered(path, 0))


def standpoint(views: "Views", *, room: bool) -> "Cameras":
    """Where the film of the results begins, around an object; of a room the first photo's camera."""
    from fewview.framing import crop_to_object
    from fewview.paths import orbit

    if not room:
        return orbit(crop_to_object(views, SIZE).cameras, ORBIT)[0]
    first = views.cameras[0]
    shrink = SIZE / max(first.height, first.width)
    return first.resized(max(1, round(first.height * shrink)), max(1, round(first.width * shrink)))
