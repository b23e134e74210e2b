"""A copy of a Nerfstudio-format folder with masks by brightness: `python temple_masks.py SOURCE TARGET [0.19]`.

Middlebury's temple stands before black velvet and comes without masks; its data set page suggests such a threshold.
"""

import json
import shutil
import sys
from pathlib import Path

import numpy as np
from PIL import Image
from scipy import ndimage


def main(source: Path, target: Path, threshold: float) -> None:
    """Images and transforms.json are copied; the largest bright region of each image, filled, becomes its mask."""
    shutil.copytree(source, target)
    meta = json.loads((source / "transforms.json").read_text())
    (target / "masks").mkdir()
    for frame in meta["frames"]:
        bright = np.asarray(Image.open(source / frame["file_path"]).convert("L")) / 255 > threshold
        labels, count = ndimage.label(ndimage.binary_closing(bright, iterations=3))
        sizes = ndimage.sum(bright, labels, range(1, count + 1))
        mask = ndimage.binary_fill_holes(labels == 1 + int(np.argmax(sizes)))
        frame["mask_path"] = f"masks/{Path(frame['file_path']).stem}.png"
        Image.fromarray((mask * 255).astype(np.uint8)).save(target / frame["mask_path"])
    (target / "transforms.json").write_text(json.dumps(meta, indent=1))


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]), float(sys.argv[3]) if len(sys.argv) > 3 else 0.19)
