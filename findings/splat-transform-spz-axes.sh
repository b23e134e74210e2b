#!/usr/bin/env bash
# @playcanvas/splat-transform 2.7.1 and 3.7.0 (npm): .ply to .spz and back.
# Guess: SPZ says that its axes are right, up, back, so a file means the same to both versions of the tool.
# Seen: 2.7.1 turns y and z over on the way in and out, 3.7.0 copies the numbers. Each undoes its own work, but reads
#   what the other wrote upside down, and nothing in the header tells the files apart.
# Output:
#   2.7.1 writes, 2.7.1 reads: 1 2 3      2.7.1 writes, 3.7.0 reads: 1 -2 -3
#   3.7.0 writes, 2.7.1 reads: 1 -2 -3    3.7.0 writes, 3.7.0 reads: 1 2 3
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
for version in 2.7.1 3.7.0; do
    mkdir "$version"
    echo '{"private": true}' > "$version/package.json"
    npm install --silent --no-audit --no-fund --prefix "$version" "@playcanvas/splat-transform@$version"
done
cat > splat.py <<'END'
"""Write one splat at (1, 2, 3), or print where the splat of a PLY file is."""
import struct
import sys

NAMES = "x y z f_dc_0 f_dc_1 f_dc_2 opacity scale_0 scale_1 scale_2 rot_0 rot_1 rot_2 rot_3".split()
path = sys.argv[2]
if sys.argv[1] == "write":
    header = ["ply", "format binary_little_endian 1.0", "element vertex 1", *(f"property float {n}" for n in NAMES)]
    row = struct.pack("<14f", 1, 2, 3, 0, 0, 0, 1, -3, -3, -3, 1, 0, 0, 0)
    open(path, "wb").write("\n".join([*header, "end_header\n"]).encode() + row)
else:
    header, body = open(path, "rb").read().split(b"end_header\n")
    names = [line.split()[2] for line in header.decode().splitlines() if line.startswith("property float ")]
    row = dict(zip(names, struct.unpack(f"<{len(names)}f", body)))
    print(*(round(row[axis]) for axis in "xyz"))
END
python3 splat.py write splat.ply
convert() { node "$1/node_modules/@playcanvas/splat-transform/bin/cli.mjs" -q -w "$2" "$3" > notes.txt; }
check() {
    convert "$2" "$1.spz" back.ply
    place=$(python3 splat.py read back.ply)
    echo "$1 writes, $2 reads: $place"
    test "$place" = "$3"
}
convert 2.7.1 splat.ply 2.7.1.spz
convert 3.7.0 splat.ply 3.7.0.spz
check 2.7.1 2.7.1 "1 2 3"
check 2.7.1 3.7.0 "1 -2 -3"
check 3.7.0 2.7.1 "1 -2 -3"
check 3.7.0 3.7.0 "1 2 3"
