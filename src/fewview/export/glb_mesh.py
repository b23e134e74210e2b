"""The mesh of a .glb file that `write_glb` wrote, back in the world: results keep their surface so."""

from pathlib import Path

import numpy as np
import torch

from fewview.data.fields import field
from fewview.export.glb import y_up
from fewview.export.gltf_splats import GltfFile
from fewview.export.mesh import Mesh


def read_mesh(path: Path) -> Mesh | None:
    """The mesh with colours at its corners, turned back; None for a file that does not say which way was up.

    InputError for what is no whole glTF file.
    """
    file = GltfFile.open(path)
    node = file.entry("nodes", 0)
    extras = node.get("extras")
    up = extras.get("up") if isinstance(extras, dict) else None
    numbers = isinstance(up, list) and len(up) == 3 and all(isinstance(x, (int, float)) for x in up)
    primitives = file.entry("meshes", node.get("mesh")).get("primitives")
    if not numbers or not isinstance(primitives, list) or not primitives:
        return None
    attributes = field(primitives[0], "attributes", dict, where=str(path))
    if "COLOR_0" not in attributes:
        return None
    places, colours = (
        file.accessor(field(attributes, name, int, where=str(path))).astype(np.float64)
        for name in ("POSITION", "COLOR_0")
    )
    corners = file.accessor(field(primitives[0], "indices", int, where=str(path)))
    linear = colours[:, :3]
    srgb = np.where(linear <= 0.0031308, 12.92 * linear, 1.055 * linear ** (1 / 2.4) - 0.055)  # IEC 61966-2-1
    turn = y_up(torch.tensor(up)).double().numpy()
    faces = corners.astype(np.int64).reshape(-1, 3)
    return Mesh((places @ turn).astype(np.float32), faces, np.round(srgb.clip(0, 1) * 255).astype(np.uint8))
