#!/usr/bin/env bash
# @playcanvas/splat-transform 3.7.0 (npm): an opaque splat (logit 8, opacity 0.9997) through packed formats to PLY.
# Guess: 8 bits cannot tell 0.9997 from 1, so each format gives one large finite logit back, and about the same one.
# Seen: compressed PLY gives infinity, SPZ 13.8 and SOG 5.54 (opacity 254/255). Training that goes on from a PLY that
#   was once compressed starts with infinite parameters. A half-transparent splat is alike in all three.
# Output:
#   .compressed.ply: logit 8 becomes inf, logit 2 becomes 2.01
#   .spz: logit 8 becomes 13.82, logit 2 becomes 2.01
#   .sog: logit 8 becomes 5.54, logit 2 becomes 1.98
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
echo '{"private": true}' > package.json
npm install --silent --no-audit --no-fund @playcanvas/splat-transform@3.7.0
cat > opaque.py <<'END'
import math
import struct
import subprocess
from pathlib import Path

names = "x y z f_dc_0 f_dc_1 f_dc_2 opacity scale_0 scale_1 scale_2 rot_0 rot_1 rot_2 rot_3".split()
header = ["ply", "format binary_little_endian 1.0", "element vertex 2", *(f"property float {name}" for name in names)]
rows = [(x, 0, 0, 0.5, 0.5, 0.5, logit, -3, -3, -3, 1, 0, 0, 0) for x, logit in ((0, 8), (1, 2))]
content = b"".join(struct.pack("<14f", *row) for row in rows)
Path("plain.ply").write_bytes("\n".join([*header, "end_header\n"]).encode() + content)


def transform(source, target):
    tool = "node_modules/@playcanvas/splat-transform/bin/cli.mjs"
    subprocess.run(["node", tool, "-q", "-w", "-g", "cpu", source, target], check=True)


expected = {".compressed.ply": math.inf, ".spz": 13.82, ".sog": 5.54}
for ending, logit in expected.items():
    transform("plain.ply", f"packed{ending}")
    transform(f"packed{ending}", "back.ply")
    head, body = Path("back.ply").read_bytes().split(b"end_header\n", 1)
    fields = [line.split()[2] for line in head.decode().splitlines() if line.startswith("property float ")]
    table = [dict(zip(fields, row)) for row in struct.iter_unpack(f"<{len(fields)}f", body)]
    opaque, half = (row["opacity"] for row in sorted(table, key=lambda row: row["x"]))  # the order is not kept
    print(f"{ending}: logit 8 becomes {opaque:.2f}, logit 2 becomes {half:.2f}")
    assert opaque == logit or abs(opaque - logit) < 0.01
    assert abs(half - 2) < 0.05
END
python3 opaque.py
