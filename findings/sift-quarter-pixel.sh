#!/usr/bin/env bash
# opencv-python-headless 5.0.0.93, pycolmap 4.2.1 (PyPI): where SIFT finds a round blob centred in column 31, row 31.
# Guess: OpenCV's pixel centres are integers and it says 31, COLMAP's are halves and it says 31.5: add 0.5 to convert.
# Seen: OpenCV says 31.24 for all sizes of the blob: its first octave is enlarged without regard to where pixel centres
#   lie. The offset to COLMAP is 0.26; it is 0.5 with SIFT_create(enable_precise_upscale=True).
# Output:
#   sigma 2: COLMAP 31.50, OpenCV 31.24 to 31.26, precise 31.00
#   sigma 3: COLMAP 31.50, OpenCV 31.24, precise 31.00
#   sigma 4: COLMAP 31.50, OpenCV 31.23, precise 31.00
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
python3 -m venv env
env/bin/pip install --quiet --disable-pip-version-check numpy==2.4.6 opencv-python-headless==5.0.0.93 pycolmap==4.2.1
cat > blob.py <<'END'
import warnings

import cv2
import numpy as np
import pycolmap

warnings.simplefilter("ignore", DeprecationWarning)
pycolmap.logging.minloglevel = pycolmap.logging.WARNING.value
y, x = np.mgrid[:63, :63]
for sigma in (2, 3, 4):
    blob = 40 + 200 * np.exp(-((x - 31) ** 2 + (y - 31) ** 2) / (2 * sigma**2))
    blob = blob.round().astype(np.uint8)
    places = {
        "COLMAP": pycolmap.Sift().extract(blob.astype(np.float32) / 255)[0][:, :2],
        "OpenCV": np.array([point.pt for point in cv2.SIFT_create().detect(blob, None)]),
        "precise": np.array([p.pt for p in cv2.SIFT_create(enable_precise_upscale=True).detect(blob, None)]),
    }
    ends = {name: sorted({f"{value:.2f}" for value in (found.min(), found.max())}) for name, found in places.items()}
    print(f"sigma {sigma}:", ", ".join(f"{name} {' to '.join(span)}" for name, span in ends.items()))
    for name, expected in (("COLMAP", 31.5), ("OpenCV", 31.24), ("precise", 31)):
        assert len(places[name]) and np.abs(places[name] - expected).max() < 0.03
END
env/bin/python blob.py
