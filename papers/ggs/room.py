"""Photos and renders of a reconstruction, as docs/images/room.jpg shows them. `python room.py OUT PICTURE`."""

import argparse
from pathlib import Path

import torch

from fewview.data import open_scene
from fewview.evaluation.pictures import comparison, load_png
from fewview.views import resize


def main(out: Path, picture: Path, size: int, columns: int) -> None:
    """The photos, and two rows of evenly spread pictures of the film's path."""
    photos = open_scene(out / "inputs").read(list(range(2))).images
    files = sorted((out / "views").glob("*.png"))
    chosen = [load_png(files[i * (len(files) - 1) // (2 * columns - 1)]) for i in range(2 * columns)]
    tiles = [resize(image[None], size, size)[0] for image in chosen if image is not None]
    names = ["the scene that was made of them", *[""] * (columns - 1)]
    shown = [(names[i], [tiles[i], tiles[columns + i]]) for i in range(columns)]
    comparison(torch.cat([resize(photos, size, size)]), shown).save(picture, quality=90)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("out", type=Path)
    parser.add_argument("picture", type=Path)
    parser.add_argument("--size", type=int, default=160)
    parser.add_argument("--columns", type=int, default=5)
    options = parser.parse_args()
    main(options.out, options.picture, options.size, options.columns)
