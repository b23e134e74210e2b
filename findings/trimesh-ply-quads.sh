#!/usr/bin/env bash
# trimesh 5.2.0 (PyPI): load a PLY whose faces are a red quad, then a blue triangle, each with its colour.
# Guess: the quad becomes two red triangles, then comes the blue one; process=False keeps what the file says.
# Seen: triangles come first, the halves of quads last, but the colours stay in the file's order, two for three faces:
#   the blue triangle is red, and half of the red quad is blue. The same file with the quad already split is right.
# Output:
#   quad, triangle: faces [[0, 1, 4], [0, 1, 2], [2, 3, 0]] have colours ['red', 'blue']
#   three triangles: faces [[0, 1, 2], [2, 3, 0], [0, 1, 4]] have colours ['red', 'red', 'blue']
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
python3 -m venv env
env/bin/pip install --quiet --disable-pip-version-check numpy==2.4.6 trimesh==5.2.0
cat > quads.py <<'END'
import io

import trimesh

RED, BLUE = "255 0 0", "0 0 255"
NAMES = {(255, 0, 0): "red", (0, 0, 255): "blue"}


def loaded(*faces):
    lines = ["ply", "format ascii 1.0", "element vertex 5", *(f"property float {axis}" for axis in "xyz")]
    lines += [f"element face {len(faces)}", "property list uchar int vertex_indices"]
    lines += [*(f"property uchar {name}" for name in ("red", "green", "blue")), "end_header"]
    lines += ["0 0 0", "1 0 0", "1 1 0", "0 1 0", "0 0 1", *faces, ""]
    mesh = trimesh.load(io.BytesIO("\n".join(lines).encode()), file_type="ply", process=False)
    colours = [NAMES[tuple(colour[:3])] for colour in mesh.visual.face_colors.tolist()]
    return mesh.faces.tolist(), colours


mixed = loaded(f"4 0 1 2 3 {RED}", f"3 0 1 4 {BLUE}")
split = loaded(f"3 0 1 2 {RED}", f"3 2 3 0 {RED}", f"3 0 1 4 {BLUE}")
print(f"quad, triangle: faces {mixed[0]} have colours {mixed[1]}")
print(f"three triangles: faces {split[0]} have colours {split[1]}")
assert mixed == ([[0, 1, 4], [0, 1, 2], [2, 3, 0]], ["red", "blue"])
assert split == ([[0, 1, 2], [2, 3, 0], [0, 1, 4]], ["red", "red", "blue"])
END
env/bin/python quads.py
