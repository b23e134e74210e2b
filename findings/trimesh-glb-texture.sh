#!/usr/bin/env bash
# trimesh 5.2.0 and pillow 13.0.0 (PyPI): a mesh with TextureVisuals(uv=..., image=...), exported to .glb.
# Guess: the picture is the base colour, so its factor is 1 (glTF's default), and a white texel shines white.
# Seen: trimesh's material for a bare image is grey, and its grey goes along as baseColorFactor 0.4, by which viewers
#   multiply: the texture has 40 % of its light. OBJ has it too (Kd 0.4). A PBRMaterial has no factor.
# Output:
#   image=picture: baseColorFactor [0.4, 0.4, 0.4, 1.0], OBJ Kd 0.40000000 0.40000000 0.40000000
#   material=PBRMaterial(baseColorTexture=picture): baseColorFactor None
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
python3 -m venv env
env/bin/pip install --quiet --disable-pip-version-check numpy==2.4.6 pillow==13.0.0 trimesh==5.2.0
cat > texture.py <<'END'
import json
import struct

import trimesh
from PIL import Image
from trimesh.visual import TextureVisuals
from trimesh.visual.material import PBRMaterial

picture = Image.new("RGB", (4, 4), "white")
corners = [[0, 0, 0], [1, 0, 0], [1, 1, 0], [0, 1, 0]]


def square(**how):
    visual = TextureVisuals(uv=[[0, 0], [1, 0], [1, 1], [0, 1]], **how)
    return trimesh.Trimesh(corners, [[0, 1, 2], [0, 2, 3]], visual=visual, process=False)


def factor(mesh):
    content = mesh.export(file_type="glb")
    (length,) = struct.unpack_from("<I", content, 12)
    (material,) = json.loads(content[20 : 20 + length])["materials"]
    assert "baseColorTexture" in material["pbrMetallicRoughness"]
    return material["pbrMetallicRoughness"].get("baseColorFactor")


bare, physical = square(image=picture), square(material=PBRMaterial(baseColorTexture=picture))
_, files = trimesh.exchange.obj.export_obj(bare, include_texture=True, return_texture=True)
(diffuse,) = (line for line in files["material.mtl"].decode().splitlines() if line.startswith("Kd "))
print(f"image=picture: baseColorFactor {factor(bare)}, OBJ {diffuse}")
print(f"material=PBRMaterial(baseColorTexture=picture): baseColorFactor {factor(physical)}")
assert factor(bare) == [0.4, 0.4, 0.4, 1.0] and [float(value) for value in diffuse.split()[1:]] == [0.4] * 3
assert factor(physical) in (None, [1.0, 1.0, 1.0, 1.0])
END
env/bin/python texture.py
