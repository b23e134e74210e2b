#!/usr/bin/env bash
# @playcanvas/splat-transform 3.7.0 (npm), gaussforge 0.6.0 (PyPI): splats thousands of units from the origin to .spz.
# Guess: SPZ's header holds the number of fractional bits, so a writer lowers it for a large scene, clamps, or refuses.
# Seen: both keep 12 fractional bits of 24, whose range ends at 2048, and store the low 24 bits of what is beyond: the
#   splat lands on the other side of the scene, without a warning. Scans in metres of a map projection are so large.
# Output:
#   splat-transform: x = 100, 2047, 3000, -5000 becomes 100, 2047, -1096, -904
#   GaussForge: x = 100, 2047, 3000, -5000 becomes 100, 2047, -1096, -904
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
echo '{"private": true}' > package.json
npm install --silent --no-audit --no-fund @playcanvas/splat-transform@3.7.0
python3 -m venv env
env/bin/pip install --quiet --disable-pip-version-check numpy==2.4.6 gaussforge==0.6.0
cat > far.py <<'END'
import gzip
import subprocess
from pathlib import Path

import gaussforge
import numpy as np

places = [100, 2047, 3000, -5000]
names = "x y z f_dc_0 f_dc_1 f_dc_2 opacity scale_0 scale_1 scale_2 rot_0 rot_1 rot_2 rot_3".split()
rows = np.zeros((4, 14), "<f4")
rows[:, 0], rows[:, 7:10], rows[:, 10] = places, -3, 1
header = ["ply", "format binary_little_endian 1.0", "element vertex 4", *(f"property float {name}" for name in names)]
Path("far.ply").write_bytes("\n".join([*header, "end_header\n"]).encode() + rows.tobytes())

tool = "node_modules/@playcanvas/splat-transform/bin/cli.mjs"
subprocess.run(["node", tool, "-q", "--spz-version", "3", "far.ply", "far.spz"], check=True)
files = {
    "splat-transform": Path("far.spz").read_bytes(),
    "GaussForge": gaussforge.GaussForge().convert(Path("far.ply").read_bytes(), "ply", "spz")["data"],
}
for name, packed in files.items():
    content = gzip.decompress(packed)
    bits = content[13]
    low = np.frombuffer(content[16 : 16 + 4 * 9], np.uint8).reshape(4, 3, 3)[:, 0].astype(int) @ [1, 256, 65536]
    found = [round(value / 2**bits) for value in np.where(low < 2**23, low, low - 2**24).tolist()]
    print(f"{name}: x = {', '.join(map(str, places))} becomes {', '.join(map(str, found))}")
    assert bits == 12 and found == [100, 2047, 3000 - 4096, -5000 + 4096]
END
env/bin/python far.py
