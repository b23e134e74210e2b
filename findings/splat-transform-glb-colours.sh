#!/usr/bin/env bash
# @playcanvas/splat-transform 3.7.0 (npm): one grey splat of sRGB 0.5 to .glb with KHR_gaussian_splatting.
# Guess: COLOR_0, which programs without splats show, is linear: 0.5 of sRGB is 0.2140 of light, 55 of 255. glTF 2.0 has
#   COLOR_0 linear, and the extension's release candidate says that sRGB colours "have to be decoded" for it.
# Seen: 128: sRGB as it stands. Point clouds made of such files look washed out where splats are not known.
# Output:
#   COLOR_0: 128 128 128, colorSpace srgb_rec709_display
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
echo '{}' > package.json
npm install --silent --ignore-scripts @playcanvas/splat-transform@3.7.0
python3 - <<'END'
import struct
names = "x y z f_dc_0 f_dc_1 f_dc_2 opacity scale_0 scale_1 scale_2 rot_0 rot_1 rot_2 rot_3".split()
head = "ply\nformat binary_little_endian 1.0\nelement vertex 1\n" + "".join(f"property float {n}\n" for n in names)
row = struct.pack("<14f", 0, 0, 0, 0, 0, 0, 5, -3, -3, -3, 1, 0, 0, 0)
open("x.ply", "wb").write((head + "end_header\n").encode() + row)
END
node_modules/.bin/splat-transform -q -w x.ply x.glb
python3 - <<'END'
import json, struct
data = open("x.glb", "rb").read()
size = struct.unpack_from("<I", data, 12)[0]
tree = json.loads(data[20 : 20 + size])
primitive = tree["meshes"][0]["primitives"][0]
accessor = tree["accessors"][primitive["attributes"]["COLOR_0"]]
view = tree["bufferViews"][accessor["bufferView"]]
start = 28 + size + view.get("byteOffset", 0) + accessor.get("byteOffset", 0)
space = primitive["extensions"]["KHR_gaussian_splatting"]["colorSpace"]
found = tuple(data[start : start + 3])
print("COLOR_0:", *found, end=f", colorSpace {space}\n")
assert accessor["componentType"] == 5121 and found == (128, 128, 128) and space == "srgb_rec709_display"
END
