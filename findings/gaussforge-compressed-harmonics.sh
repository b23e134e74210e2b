#!/usr/bin/env bash
# gaussforge 0.6.0 (PyPI), @playcanvas/splat-transform 3.7.0 (npm): harmonics in PlayCanvas' compressed PLY.
# Guess: f_rest_* keep a plain PLY's order (all of red, then green, then blue), and a tool reads back what it wrote.
# Seen: GaussForge writes them coefficient by coefficient (red, green, blue of the first, then of the second, ...) but
#   reads them channel by channel, so that its own round trip permutes them, and other readers of its files do too.
# Output (f_rest_0 to f_rest_8 of one splat in tenths; 0 1 2 3 4 5 6 7 8 goes in):
#   splat-transform writes, GaussForge reads: 0 1 2 3 4 5 6 7 8
#   GaussForge writes, splat-transform reads: 0 3 6 1 4 7 2 5 8
#   GaussForge writes, GaussForge reads: 0 3 6 1 4 7 2 5 8
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
echo '{"private": true}' > package.json
npm install --silent --no-audit --no-fund @playcanvas/splat-transform@3.7.0
python3 -m venv env
env/bin/pip install --quiet --disable-pip-version-check numpy==2.4.6 gaussforge==0.6.0
cat > harmonics.py <<'END'
import subprocess
from pathlib import Path

import gaussforge
import numpy as np

forge = gaussforge.GaussForge()
rest = [f"f_rest_{i}" for i in range(9)]
names = [*"x y z f_dc_0 f_dc_1 f_dc_2".split(), *rest, "opacity", *(f"scale_{i}" for i in range(3))]
names += [f"rot_{i}" for i in range(4)]
row = np.array([0, 0, 0, 0, 0, 0, *np.arange(9) / 10, 1, -3, -3, -3, 1, 0, 0, 0], "<f4")
header = ["ply", "format binary_little_endian 1.0", "element vertex 1", *(f"property float {name}" for name in names)]
plain = "\n".join([*header, "end_header\n"]).encode() + row.tobytes()
Path("plain.ply").write_bytes(plain)


def transform(source, target):
    tool = "node_modules/@playcanvas/splat-transform/bin/cli.mjs"
    subprocess.run(["node", tool, "-q", "-w", source, target], check=True)
    return Path(target).read_bytes()


def tenths(ply):
    head, body = ply.split(b"end_header\n", 1)
    fields = [line.split()[2] for line in head.decode().splitlines() if line.startswith("property float ")]
    values = dict(zip(fields, np.frombuffer(body, "<f4").tolist()))
    return [round(values[name] * 10) for name in rest]


ours = forge.convert(plain, "ply", "compressed.ply")["data"]
Path("forge.compressed.ply").write_bytes(ours)
theirs = transform("plain.ply", "tool.compressed.ply")
order, turned = list(range(9)), [0, 3, 6, 1, 4, 7, 2, 5, 8]
for how, found, expected in (
    ("splat-transform writes, GaussForge reads", forge.convert(theirs, "compressed.ply", "ply")["data"], order),
    ("GaussForge writes, splat-transform reads", transform("forge.compressed.ply", "a.ply"), turned),
    ("GaussForge writes, GaussForge reads", forge.convert(ours, "compressed.ply", "ply")["data"], turned),
):
    print(f"{how}:", *tenths(found))
    assert tenths(found) == expected
assert tenths(plain) == order
END
env/bin/python harmonics.py
