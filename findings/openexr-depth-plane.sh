#!/usr/bin/env bash
# OpenEXR 3.5.3 and numpy 2.4.6 (PyPI): OpenEXR.File(header, {"Z": rgbd[..., 3]}), the depth plane of an RGBD array.
# Guess: what NumPy shows is what is stored; a view is copied if need be, or refused (as float64 is).
# Seen: strides are ignored. Z gets the first height x width floats from where the view begins: colours and depths of
#   the top quarter. No warning. Transposed maps are scrambled likewise; with .copy() all is right.
# Output:
#   plane: [[9.0, 0.1, 0.2], [0.3, 9.0, 0.1]]
#   copy:  [[9.0, 9.0, 9.0], [9.0, 9.0, 9.0]]
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
python3 -m venv env
env/bin/pip install --quiet --disable-pip-version-check numpy==2.4.6 OpenEXR==3.5.3
cat > plane.py <<'END'
import numpy as np
import OpenEXR

rgbd = np.tile(np.array([0.1, 0.2, 0.3, 9], np.float32), (2, 3, 1))


def stored(depth):
    header = {"compression": OpenEXR.ZIP_COMPRESSION, "type": OpenEXR.scanlineimage}
    with OpenEXR.File(header, {"Z": depth}) as file:
        file.write("depth.exr")
    with OpenEXR.File("depth.exr") as file:
        return file.channels()["Z"].pixels.round(3).tolist()


plane, copy = stored(rgbd[..., 3]), stored(rgbd[..., 3].copy())
shown = [[float(f"{value:g}") for value in row] for row in plane]
print("plane:", shown)
print("copy: ", copy)
assert copy == [[9, 9, 9], [9, 9, 9]]
assert shown == [[9, 0.1, 0.2], [0.3, 9, 0.1]]
assert stored(np.arange(6, dtype=np.float32).reshape(3, 2).T) == [[0, 1, 2], [3, 4, 5]]  # not [[0, 2, 4], [1, 3, 5]]
END
env/bin/python plane.py
