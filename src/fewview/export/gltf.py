"""glTF 2.0 (khronos.org/registry/glTF) as bytes, binary or text: a tree in JSON, and the arrays that it refers to."""

import base64
import json
import struct
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from fewview.checkpoint import atomic_path

COMPONENTS = {np.dtype("<f4"): 5126, np.dtype("u1"): 5121, np.dtype("<u2"): 5123, np.dtype("<u4"): 5125}
TYPES = {1: "SCALAR", 2: "VEC2", 3: "VEC3", 4: "VEC4"}
VERTICES, INDICES = 34962, 34963  # buffer targets


class Gltf:
    """One file in the making: arrays and pictures go in, the numbers by which the tree names them come out."""

    def __init__(self, *extensions: str) -> None:
        self.binary = bytearray()
        self.views: list[dict] = []
        self.accessors: list[dict] = []
        self.extensions = list(extensions)

    def attribute(self, values: np.ndarray, *, limits: bool = False) -> int:
        """Accessor of an array with a row for each vertex; integers stand for [0, 1]. Positions need `limits`."""
        more: dict = {"min": values.min(0).tolist(), "max": values.max(0).tolist()} if limits else {}
        if values.dtype.kind == "u":
            more["normalized"] = True
        return self._accessor(values, VERTICES, kind=TYPES[values.shape[1] if values.ndim == 2 else 1], more=more)

    def indices(self, faces: np.ndarray) -> int:
        """Accessor of the corners of triangles."""
        return self._accessor(faces.astype("<u4").reshape(-1), INDICES, kind="SCALAR", more={})

    def picture(self, data: bytes) -> int:
        """Buffer view of a picture file."""
        return self._view(data, {})

    def save(self, path: Path, primitive: dict, node: Mapping[str, object] | None = None, **parts: list[dict]) -> None:
        """Write the file, whole: as text with its arrays in base64 where the name ends in .gltf, else binary."""
        content = self.to_bytes(primitive, node, text=path.suffix.lower() == ".gltf", **parts)
        with atomic_path(path) as temporary:
            temporary.write_bytes(content)

    def to_bytes(
        self, primitive: dict, node: Mapping[str, object] | None = None, *, text: bool = False, **parts: list[dict]
    ) -> bytes:
        """The file with one mesh of one primitive; `parts` are further lists of the tree, such as materials.

        `node` is what the mesh's node has besides it, such as a translation.
        """
        tree: dict[str, Any] = {
            "asset": {"version": "2.0", "generator": "fewview"},
            "extensionsUsed": self.extensions,
            "scene": 0,
            "scenes": [{"nodes": [0]}],
            "nodes": [{"mesh": 0, **(node or {})}],
            "meshes": [{"primitives": [primitive]}],
            "buffers": [{"byteLength": len(self.binary)}],
            "bufferViews": self.views,
            "accessors": self.accessors,
            **parts,
        }
        if text:
            tree["buffers"][0]["uri"] = "data:application/octet-stream;base64," + base64.b64encode(self.binary).decode()
            return json.dumps(tree, separators=(",", ":")).encode()
        chunk = json.dumps(tree, separators=(",", ":")).encode()
        chunk += b" " * (-len(chunk) % 4)
        body = struct.pack("<I4s", len(chunk), b"JSON") + chunk
        body += struct.pack("<I4s", len(self.binary), b"BIN\0") + bytes(self.binary)
        return struct.pack("<4sII", b"glTF", 2, 12 + len(body)) + body

    def _accessor(self, values: np.ndarray, target: int, *, kind: str, more: dict) -> int:
        view = self._view(np.ascontiguousarray(values).tobytes(), {"target": target})
        component = COMPONENTS[values.dtype]
        self.accessors.append(
            {"bufferView": view, "componentType": component, "count": len(values), "type": kind, **more}
        )
        return len(self.accessors) - 1

    def _view(self, data: bytes, more: dict) -> int:
        self.views.append({"buffer": 0, "byteOffset": len(self.binary), "byteLength": len(data), **more})
        self.binary += data + b"\0" * (-len(data) % 4)
        return len(self.views) - 1
