#!/usr/bin/env bash
# @playcanvas/splat-transform 3.7.0 (npm): a PLY whose header says `format binary_big_endian 1.0`.
# Guess: it is read, for PLY has always had both byte orders, or refused as unsupported.
# Seen: the rows are taken for little endian. Every number is garbage, the output is written all the same, and the exit
#   status is 0. The little-endian file of the same splat comes through unchanged.
# Output:
#   little endian: 1 2 3
#   big endian: 4.6006e-41 8.96831e-44 2.30486e-41
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
echo '{"private": true}' > package.json
npm install --silent --no-audit --no-fund @playcanvas/splat-transform@3.7.0
cat > orders.py <<'END'
import struct
import subprocess
from pathlib import Path

names = "x y z f_dc_0 f_dc_1 f_dc_2 opacity scale_0 scale_1 scale_2 rot_0 rot_1 rot_2 rot_3".split()
values = 1, 2, 3, 0, 0, 0, 1, -3, -3, -3, 1, 0, 0, 0
tool = "node_modules/@playcanvas/splat-transform/bin/cli.mjs"
found = {}
for order, sign in (("little", "<"), ("big", ">")):
    header = ["ply", f"format binary_{order}_endian 1.0", "element vertex 1", *(f"property float {n}" for n in names)]
    content = "\n".join([*header, "end_header\n"]).encode() + struct.pack(f"{sign}14f", *values)
    Path(f"{order}.ply").write_bytes(content)
    subprocess.run(["node", tool, "-q", f"{order}.ply", f"{order}-out.ply"], check=True)
    head, body = Path(f"{order}-out.ply").read_bytes().split(b"end_header\n", 1)
    assert b"binary_little_endian" in head
    fields = [line.split()[2] for line in head.decode().splitlines() if line.startswith("property float ")]
    row = dict(zip(fields, struct.unpack(f"<{len(fields)}f", body)))
    found[order] = tuple(row[axis] for axis in "xyz")
    print(f"{order} endian:", *(f"{value:g}" for value in found[order]))
assert found["little"] == (1, 2, 3)
assert found["big"] == struct.unpack("<3f", struct.pack(">3f", 1, 2, 3))
END
python3 orders.py
