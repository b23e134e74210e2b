#!/usr/bin/env bash
# scikit-image 0.26.0 (PyPI): marching_cubes of a ball of density (6 - distance) at level 0, all else default.
# Guess: "descent" (objects are denser than what is around them) gives faces and normals that both look outward, and
#   gradient_direction="ascent" turns both.
# Seen: in the coordinates that come back, faces look inward by default (negative volume) and normals outward. "ascent"
#   turns the faces alone, so that for a density it is "ascent" whose faces and normals agree.
# Output:
#   descent: volume -890, 0 % of faces and 100 % of normals look outward
#   ascent: volume 890, 100 % of faces and 100 % of normals look outward
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
python3 -m venv env
env/bin/pip install --quiet --disable-pip-version-check numpy==2.4.6 scikit-image==0.26.0
cat > ball.py <<'END'
import numpy as np
from skimage.measure import marching_cubes

grid = np.mgrid[-8:9, -8:9, -8:9].astype(np.float32)
density = 6 - np.linalg.norm(grid, axis=0)


def outward(vectors, points):
    return 100 * float(((vectors * points).sum(axis=1) > 0).mean())


def ball(**how):
    vertices, faces, normals, _ = marching_cubes(density, 0, allow_degenerate=False, **how)
    points = vertices - 8
    a, b, c = points[faces].transpose(1, 0, 2)
    volume = float((a * np.cross(b, c)).sum() / 6)
    return round(volume), outward(np.cross(b - a, c - a), a + b + c), outward(normals, points)


for name, found, expected in (
    ("descent", ball(), (-890, 0, 100)),
    ("ascent", ball(gradient_direction="ascent"), (890, 100, 100)),
):
    print("{}: volume {}, {:.0f} % of faces and {:.0f} % of normals look outward".format(name, *found))
    assert found == expected and abs(abs(found[0]) / (4 / 3 * np.pi * 6**3) - 1) < 0.02
END
env/bin/python ball.py
