#!/usr/bin/env bash
# pillow 13.0.0 (PyPI): an uncompressed grey TIFF of 4 x 3 stored pixels with EXIF orientation 6, opened by its path and
#   from an open file.
# Guess: the same picture: the stored one, turned clockwise, since load() turns TIFF by its tag.
# Seen: by its path the rows are mixed up: the pixels are mapped into memory as if rows had the turned picture's width,
#   and then turned. Modes that are mapped (L, P, I;16, RGBA, CMYK) are all so; RGB, and any compression, is right.
# Output:
#   from a file: [[8, 4, 0], [9, 5, 1], [10, 6, 2], [11, 7, 3]]
#   by its path: [[9, 6, 3, 0], [10, 7, 4, 1], [11, 8, 5, 2]]
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
python3 -m venv env
env/bin/pip install --quiet --disable-pip-version-check pillow==13.0.0 numpy==2.3.5
cat > mapped.py <<'END'
import numpy as np
from PIL import Image

stored = np.arange(12, dtype=np.uint8).reshape(3, 4)
exif = Image.Exif()
exif[274] = 6
Image.fromarray(stored).save("x.tif", exif=exif)
with open("x.tif", "rb") as file:
    from_file = np.array(Image.open(file)).tolist()
by_path = np.array(Image.open("x.tif")).tolist()
print("from a file:", from_file)
print("by its path:", by_path)
assert from_file == np.rot90(stored, -1).tolist()
assert by_path == [[9, 6, 3, 0], [10, 7, 4, 1], [11, 8, 5, 2]]
END
env/bin/python mapped.py
