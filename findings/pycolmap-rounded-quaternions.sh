#!/usr/bin/env bash
# pycolmap 4.2.1 and 3.10.0 (PyPI): a text model with a rounded quarter turn about z, "0.71 0 0 0.71" in images.txt.
# Guess: the rotation is that of the normalised quaternion, so rounding does nothing to a quarter turn.
# Seen: 3.10.0 normalises on reading; 4.2.1 keeps the four numbers, and its rotation matrix is none: a point 1000 px
#   from the principal point is seen 8.2 px too far out and 8.2 px aside. With 0.707 it is 0.3 px, like noise.
# Output:
#   3.10.0, 0.71: determinant 1.0000, (1, 0, 1) is seen at (0.0, 1000.0) px
#   3.10.0, 0.707: determinant 1.0000, (1, 0, 1) is seen at (0.0, 1000.0) px
#   4.2.1, 0.71: determinant 1.0165, (1, 0, 1) is seen at (-8.2, 1008.2) px
#   4.2.1, 0.707: determinant 0.9994, (1, 0, 1) is seen at (0.3, 999.7) px
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
echo "1 PINHOLE 4000 4000 1000 1000 2000 2000" > cameras.txt
printf '1 0.71 0 0 0.71 0 0 0 1 a.jpg\n\n2 0.707 0 0 0.707 0 0 0 1 b.jpg\n\n' > images.txt
: > points3D.txt
cat > project.py <<'END'
import sys

import numpy as np
import pycolmap

version, model = sys.argv[1], pycolmap.Reconstruction(".")
for image, half, off in ((1, "0.71", [-8.2, 1008.2]), (2, "0.707", [0.3, 999.7])):
    pose = model.images[image].cam_from_world
    rotation = np.asarray((pose() if callable(pose) else pose).rotation.matrix())
    x, y, z = rotation @ [1, 0, 1]
    seen = [round(float(1000 * value / z), 1) + 0.0 for value in (x, y)]
    size = np.linalg.det(rotation)
    print(f"{version}, {half}: determinant {size:.4f}, (1, 0, 1) is seen at ({seen[0]}, {seen[1]}) px")
    assert seen == ([0, 1000] if version == "3.10.0" else off)
END
for version in 3.10.0 4.2.1; do
    python3 -m venv --clear env
    env/bin/pip install --quiet --disable-pip-version-check numpy==2.4.6 "pycolmap==$version"
    env/bin/python project.py "$version"
done
