"""A scene format of your own in twenty lines: here, a table with a line for each photo."""

import csv
import sys
from pathlib import Path

import torch

from fewview import Cameras, InputError
from fewview.data.photos import Photo, PhotoScene

COLUMNS = ("image", "x", "y", "z", "focal", "width", "height")


def open_table(path: Path) -> PhotoScene:
    """Photos of a CSV file with the camera's place, focal length (pixels) and size; all look at the origin, z is up."""
    photos = []
    with path.open(newline="") as stream:
        for number, row in enumerate(csv.DictReader(stream), start=2):
            try:
                x, y, z, focal, width, height = (float(row[name]) for name in COLUMNS[1:])
            except (KeyError, TypeError, ValueError):
                raise InputError(f"{path}, line {number} needs numbers for {', '.join(COLUMNS[1:])}.") from None
            up = torch.tensor([0.0, 0.0, 1.0])
            camera = Cameras.look_at(
                torch.tensor([x, y, z]), torch.zeros(3), up, focal=focal, height=int(height), width=int(width)
            )
            photos.append(Photo(camera, path.parent / row["image"]))  # an alpha channel is the mask
    return PhotoScene(path.stem, tuple(photos))


def main(path: Path) -> None:
    scene = open_table(path)
    views = scene.read(range(len(scene)))  # a Views: ready for SparseFusion.reconstruct, fit_field, evaluate
    covered = "no masks" if views.masks is None else f"{views.masks.mean():.0%} covered by the object"
    print(f"{scene.name}: {len(views)} photos, {covered}")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
