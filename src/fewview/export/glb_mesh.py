"""The mesh of a .glb file that `write_glb` wrote, back in the world: results keep their surface so."""

import io
from pathlib import Path

import numpy as np
import torch
from jaxtyping import UInt8
from PIL import Image, UnidentifiedImageError

from fewview.data.fields import field
from fewview.errors import InputError
from fewview.export.glb import y_up
from fewview.export.gltf_splats import GltfFile
from fewview.export.mesh import Mesh, TexturedMesh
from fewview.export.srgb import srgb_of


def read_mesh(path: Path) -> Mesh | TexturedMesh | None:
    """The mesh, with colours at its corners or a texture, turned back; None where the file does not say what was up.

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
    column = lambda listed, name: file.accessor(field(listed, name, int, where=str(path)))
    turn = y_up(torch.tensor(up)).double().numpy()
    vertices = (column(attributes, "POSITION").astype(np.float64) @ turn).astype(np.float32)
    faces = column(primitives[0], "indices").astype(np.int64).reshape(-1, 3)
    if "TEXCOORD_0" in attributes:
        return TexturedMesh(vertices, faces, column(attributes, "TEXCOORD_0"), _picture(file))
    if "COLOR_0" not in attributes:
        return None
    srgb = srgb_of(column(attributes, "COLOR_0").astype(np.float64)[:, :3])
    return Mesh(vertices, faces, np.round(srgb.clip(0, 1) * 255).astype(np.uint8))


def _picture(file: GltfFile) -> UInt8[np.ndarray, "h w 3"]:
    """The only picture of the file."""
    data = file.stretch(file.entry("images", 0).get("bufferView"))
    try:
        return np.asarray(Image.open(io.BytesIO(data)).convert("RGB"))
    except (UnidentifiedImageError, OSError):
        raise InputError(f"{file.path} has a texture that is no picture; export it again.") from None
