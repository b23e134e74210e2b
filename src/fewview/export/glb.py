"""Binary glTF 2.0 (khronos.org/registry/glTF): y is up, lengths are metres, vertex colours are linear.

The material is unlit (KHR_materials_unlit): a reconstruction's colours hold the light already. Colours are 16-bit, for
dark sRGB tones collapse in 8 linear bits; that is why this is not trimesh's exporter.
"""

import json
import struct
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from fewview.checkpoint import atomic_path
from fewview.export.mesh import Mesh

FLOAT, UNSIGNED_SHORT, UNSIGNED_INT = 5126, 5123, 5125
VERTICES, INDICES = 34962, 34963  # buffer targets


def write_glb(path: Path, mesh: Mesh, up: Float[Tensor, "3"]) -> None:
    """Write a mesh turned so that `up` (world) becomes +y; sizes and the origin stay. ValueError if it has no faces."""
    if not len(mesh.faces):
        raise ValueError("a mesh needs at least one face")
    turn = y_up(up).double().numpy()
    positions = (mesh.vertices.astype(np.float64) @ turn.T).astype("<f4")
    srgb = mesh.colours.astype(np.float64) / 255
    linear = np.where(srgb <= 0.04045, srgb / 12.92, ((srgb + 0.055) / 1.055) ** 2.4)  # IEC 61966-2-1
    colours = np.round(np.concatenate([linear, np.ones_like(linear[:, :1])], axis=-1) * 65535).astype("<u2")
    chunks = [positions.tobytes(), colours.tobytes(), mesh.faces.astype("<u4").tobytes()]
    limits = {"min": positions.min(0).tolist(), "max": positions.max(0).tolist()}
    accessors = [
        {"bufferView": 0, "componentType": FLOAT, "count": len(positions), "type": "VEC3", **limits},
        {"bufferView": 1, "componentType": UNSIGNED_SHORT, "normalized": True, "count": len(positions), "type": "VEC4"},
        {"bufferView": 2, "componentType": UNSIGNED_INT, "count": mesh.faces.size, "type": "SCALAR"},
    ]
    with atomic_path(path) as temporary:
        temporary.write_bytes(_container(chunks, accessors))


def _container(chunks: list[bytes], accessors: list[dict]) -> bytes:
    offsets = np.cumsum([0, *map(len, chunks)]).tolist()
    views = [
        {"buffer": 0, "byteOffset": start, "byteLength": len(chunk), "target": INDICES if i == 2 else VERTICES}
        for i, (start, chunk) in enumerate(zip(offsets, chunks))
    ]
    primitive = {"attributes": {"POSITION": 0, "COLOR_0": 1}, "indices": 2, "material": 0}
    unlit = {"pbrMetallicRoughness": {"metallicFactor": 0.0}, "extensions": {"KHR_materials_unlit": {}}}
    tree = {
        "asset": {"version": "2.0", "generator": "fewview"},
        "extensionsUsed": ["KHR_materials_unlit"],
        "scene": 0,
        "scenes": [{"nodes": [0]}],
        "nodes": [{"mesh": 0}],
        "meshes": [{"primitives": [primitive]}],
        "materials": [unlit],
        "buffers": [{"byteLength": offsets[-1]}],
        "bufferViews": views,
        "accessors": accessors,
    }
    text, binary = json.dumps(tree, separators=(",", ":")).encode(), b"".join(chunks)
    text, binary = text + b" " * (-len(text) % 4), binary + b"\0" * (-len(binary) % 4)
    body = struct.pack("<I4s", len(text), b"JSON") + text + struct.pack("<I4s", len(binary), b"BIN\0") + binary
    return struct.pack("<4sII", b"glTF", 2, 12 + len(body)) + body


def y_up(up: Float[Tensor, "3"]) -> Float[Tensor, "3 3"]:
    """The smallest rotation that takes the direction `up` to +y."""
    y = torch.nn.functional.normalize(up.detach().double().cpu(), dim=0)
    target = torch.tensor([0.0, 1.0, 0.0], dtype=torch.float64)
    if y[1] < -1 + 1e-9:
        return torch.diag(torch.tensor([1.0, -1.0, -1.0], dtype=torch.float64)).to(up)
    cross = torch.linalg.cross(y, target)
    skew = torch.stack([torch.linalg.cross(cross, axis) for axis in torch.eye(3, dtype=torch.float64)], dim=1)
    return (torch.eye(3, dtype=torch.float64) + skew + skew @ skew / (1 + y[1])).to(up)
