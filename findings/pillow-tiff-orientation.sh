#!/usr/bin/env bash
# pillow 13.0.0 (PyPI): Image.open of 6 x 4 stored pixels with EXIF orientation 6, as JPEG, PNG and TIFF.
# Guess: formats are alike: the size is that of the stored pixels, getexif() says 6, and exif_transpose turns it.
# Seen: load() turns a TIFF, its size is the turned one from open() on, and its tag says 6 until load() takes it away.
#   Code that reads the header alone and swaps width and height by the tag is wrong for TIFF only.
# Output:
#   jpeg: on open (6, 4) and tag 6, after load (6, 4) and tag 6
#   png: on open (6, 4) and tag 6, after load (6, 4) and tag 6
#   tiff: on open (4, 6) and tag 6, after load (4, 6) and tag None
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
python3 -m venv env
env/bin/pip install --quiet --disable-pip-version-check pillow==13.0.0
cat > turned.py <<'END'
from PIL import Image

ORIENTATION = 274
exif = Image.Exif()
exif[ORIENTATION] = 6
for ending in ("jpeg", "png", "tiff"):
    Image.new("RGB", (6, 4)).save(f"photo.{ending}", exif=exif)
    with Image.open(f"photo.{ending}") as photo:
        before = photo.size, photo.getexif().get(ORIENTATION)
        photo.load()
        after = photo.size, photo.getexif().get(ORIENTATION)
    print("{}: on open {} and tag {}, after load {} and tag {}".format(ending, *before, *after))
    assert before == ((4, 6) if ending == "tiff" else (6, 4), 6)
    assert after == (((4, 6), None) if ending == "tiff" else ((6, 4), 6))
END
env/bin/python turned.py
