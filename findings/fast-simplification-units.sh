#!/usr/bin/env bash
# fast-simplification 0.2.0 (PyPI): simplify(vertices, faces, target_reduction=0.9) of one ball in several units.
# Guess: how many triangles are left does not depend on the unit of length: errors are compared with each other.
# Seen: they are compared with fixed numbers. A ball of radius 1 is reduced to a tenth as asked, one of radius 30,000 to
#   a third, and one of radius 100,000 is handed back whole. No warning, in float64 too. Scale to radius 1 first.
# Output (triangles left of 5120, where 512 are asked for):
#   radius 0.01: 510, radius 1: 510, radius 1000: 510, radius 30000: 1630, radius 100000: 5120
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
python3 -m venv env
env/bin/pip install --quiet --disable-pip-version-check numpy==2.4.6 trimesh==5.2.0 fast-simplification==0.2.0
cat > units.py <<'END'
import fast_simplification
import numpy as np
import trimesh

ball = trimesh.creation.icosphere(4)
left = {}
for radius in (0.01, 1, 1000, 30000, 100000):
    vertices = np.ascontiguousarray(ball.vertices * radius)
    assert vertices.dtype == np.float64
    left[radius] = len(fast_simplification.simplify(vertices, ball.faces, target_reduction=0.9)[1])
print(", ".join(f"radius {radius}: {count}" for radius, count in left.items()))
assert len(ball.faces) == 5120 and all(abs(left[radius] - 512) < 10 for radius in (0.01, 1, 1000))
assert 1000 < left[30000] < 2500 and left[100000] == 5120
END
env/bin/python units.py
