"""The mesh of a .glb file that `write_glb` wrote, back in the world: results keep their surface so."""

import json
import struct
from pathlib import Path

import numpy as np
import torch
import trimesh
from trimesh.visual import ColorVisuals, TextureVisuals

from fewview.errors import InputError
from fewview.export.glb import y_up
from fewview.export.mesh import Mesh, TexturedMesh


def read_mesh(path: Path) -> Mesh | TexturedMesh | None:
    """The mesh, with colours at its corners or a texture, turned back; None where no file says which way was up.

    InputError for what is no glTF file.
    """
    try:
        data = path.read_bytes()
        (size,) = struct.unpack_from("<I", data, 12)
        up = json.loads(data[20 : 20 + size])["nodes"][0].get("extras", {}).get("up")
        loaded = trimesh.load(path, file_type="glb", process=False)
    except (ValueError, KeyError, IndexError, AttributeError, struct.error, OSError) as error:
        raise InputError(f"{path} is not a whole .glb file ({type(error).__name__}); export it again.") from None
    mesh = next(iter(loaded.geometry.values()), None) if isinstance(loaded, trimesh.Scene) else None
    numbers = isinstance(up, list) and len(up) == 3 and all(isinstance(x, (int, float)) for x in up)
    if not numbers or not isinstance(mesh, trimesh.Trimesh):
        return None
    turn = y_up(torch.tensor(up)).double().numpy()
    vertices = (np.asarray(mesh.vertices, np.float64) @ turn).astype(np.float32)
    faces = np.asarray(mesh.faces, np.int64)
    if isinstance(mesh.visual, TextureVisuals):
        picture = getattr(mesh.visual.material, "baseColorTexture", None)
        if picture is None or mesh.visual.uv is None:
            return None
        places = np.asarray(mesh.visual.uv, np.float32) * [1, -1] + [0, 1]  # trimesh counts from the lower edge
        return TexturedMesh(vertices, faces, places.astype(np.float32), np.asarray(picture.convert("RGB")))
    if not isinstance(mesh.visual, ColorVisuals):
        return None
    colours = np.asarray(mesh.visual.vertex_colors)[:, :3].astype(np.float64) / 255
    srgb = np.where(colours <= 0.0031308, 12.92 * colours, 1.055 * colours.clip(min=0) ** (1 / 2.4) - 0.055)
    return Mesh(vertices, faces, np.round(srgb * 255).astype(np.uint8))
