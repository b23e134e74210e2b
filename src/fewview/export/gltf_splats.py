"""Splats of glTF files (KHR_gaussian_splatting, Khronos): all of a scene's primitives, moved by their nodes.

Files have y up; splats are turned by 180 degrees about x, for the worlds of splats have y down. A node that leads far
away, as that of a world in map coordinates does, becomes the origin.
"""

import base64
import struct
from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from itertools import takewhile
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import torch
from jaxtyping import Float, Float64
from torch import Tensor

from fewview.data.fields import field, parse_json, shown
from fewview.data.images import path_inside
from fewview.errors import InputError
from fewview.export.gltf import COMPONENTS, TYPES
from fewview.export.ply import check_is_file, unit_quaternions, without_bad
from fewview.export.srgb import srgb_of
from fewview.geometry.harmonics import COUNTS, HIGHEST, SH_DC, turned
from fewview.geometry.origin import Origin, origin_of, written
from fewview.geometry.quaternions import quaternions_of, rotations
from fewview.geometry.transforms import scale_of
from fewview.render.asset import GaussianAsset
from fewview.render.gaussians import Gaussians

SPLATTING = "KHR_gaussian_splatting"
PACKED = ("KHR_gaussian_splatting_compression_spz", "KHR_gaussian_splatting_compression_spz_2", "KHR_spz_compression")
MOST_BYTES = 2**31
MOST_NODES = 10_000
KINDS = {number: kind for kind, number in COMPONENTS.items()} | {5120: np.dtype("i1"), 5122: np.dtype("<i2")}
WIDTHS = {name: width for width, name in TYPES.items()}
COLUMNS = {"means": "POSITION"} | {
    name: f"{SPLATTING}:{attribute}"
    for name, attribute in (
        ("scales", "SCALE"), ("quaternions", "ROTATION"), ("opacities", "OPACITY"), ("features", "SH_DEGREE_0_COEF_0"),
    )
}  # fmt: skip
T = TypeVar("T")
DISPLAY, LINEAR = "srgb_rec709_display", "lin_rec709_display"
SLOPE_STEP = 1e-6  # of linear light
ALIKE = 1e-3  # largest entry of R^T R - 1 of a node that scales alike along all axes
Y_DOWN = torch.tensor([1.0, -1.0, -1.0, 1.0], dtype=torch.float64)


def read_gltf_splats(path: Path) -> GaussianAsset:
    """Splats of a .glb or .gltf file. InputError if it is damaged, or holds none."""
    file = GltfFile.open(path)
    parts = [(file.splats(primitive), matrix) for primitive, matrix in file.primitives()]
    if not parts:
        raise InputError(f"{path} has no splats ({SPLATTING}); it may hold a mesh, so name a file of splats.")
    wide = torch.cat([part.means.double() @ matrix[:3, :3].T + matrix[:3, 3] for part, matrix in parts])
    origin = origin_of(wide[wide.isfinite().all(-1)])
    moved = [_moved(part, matrix, origin) for part, matrix in parts]
    kept, notes = without_bad(Gaussians.cat(moved), path)
    if any(origin):
        notes = (*notes, f"coordinates count from {written(origin)} of the input's world")
    unread = ", ".join(f"{number} {kind}" for kind, number in file.unread.items() if number)
    others = (f"beside the splats, {unread} are left out",) if unread else ()
    return GaussianAsset(kept, notes=(*notes, *dict.fromkeys(file.notes), *others), origin=origin)


def _moved(part: Gaussians, matrix: Float64[Tensor, "4 4"], origin: Origin) -> Gaussians:
    near = matrix.clone()
    near[:3, 3] -= torch.tensor(origin, dtype=torch.float64)
    if torch.equal(near, torch.eye(4, dtype=torch.float64)):
        return part
    turn = near[:3, :3] / scale_of(near)
    if torch.allclose(turn.T @ turn, torch.eye(3, dtype=torch.float64), atol=ALIKE):
        return part.transformed(near.float())
    return _stretched(part, near)


def _stretched(part: Gaussians, matrix: Float64[Tensor, "4 4"]) -> Gaussians:
    """Splats that a node does not scale alike along all axes: those whose covariance is M C C^T M^T.

    Harmonics turn with the rotation of M.
    """
    shapes = matrix[:3, :3] @ (rotations(part.quaternions) * part.scales[:, None]).double()
    fine = shapes.isfinite().all(-1).all(-1)
    axes, scales, _ = torch.linalg.svd(torch.where(fine[:, None, None], shapes, 0.0))
    axes[:, :, 2] *= torch.linalg.det(axes)[:, None]
    u, _, v = torch.linalg.svd(matrix[:3, :3])
    means = part.means.double() @ matrix[:3, :3].T + matrix[:3, 3]
    return replace(
        part,
        means=torch.where(fine[:, None], means, torch.nan).float(),
        scales=scales.float(),
        quaternions=quaternions_of(axes).float(),
        harmonics=None if part.harmonics is None else turned(part.harmonics, (u @ v).float()),
    )


def _displayed(part: Gaussians) -> Gaussians:
    """Splats of linear colours in sRGB: those of degree 0 exactly, and harmonics by the slope of the curve there."""
    linear = part.features.double().numpy().clip(0)
    slope = (srgb_of(linear + SLOPE_STEP) - srgb_of(linear)) / SLOPE_STEP
    harmonics = None if part.harmonics is None else part.harmonics * torch.from_numpy(slope)[:, None].float()
    return replace(part, features=torch.from_numpy(srgb_of(linear)).float(), harmonics=harmonics)


def _opened(path: Path) -> tuple[Any, bytes | None]:
    """The tree in JSON, and the binary chunk of a .glb file."""
    data = path.read_bytes()
    if data[:4] != b"glTF":
        return parse_json(data, path), None
    try:
        version, _, size, kind = struct.unpack_from("<III4s", data, 4)
        if version != 2 or kind != b"JSON" or 20 + size > len(data):
            raise struct.error("its first chunk is not JSON of glTF 2")
        rest = data[20 + size :]
        length = struct.unpack_from("<I4s", rest)[0] if len(rest) >= 8 else 0
    except struct.error as error:
        raise InputError(f"{path} is not a whole .glb file ({error}); export it again.") from None
    return parse_json(data[20 : 20 + size], path), rest[8 : 8 + length]


class GltfFile:
    """A tree and its buffers; whatever a number of the tree names is checked where it is looked up."""

    def __init__(self, path: Path, tree: Any, binary: bytes | None) -> None:
        self.path, self.tree, self.binary = path, tree, binary
        self.buffers: dict[int, bytes] = {}
        self.notes: tuple[str, ...] = ()
        self.unread = Counter({key: len(self.perhaps(tree, key, [])) for key in ("animations", "cameras", "skins")})

    @staticmethod
    def open(path: Path) -> "GltfFile":
        """A .glb or .gltf file. InputError if it is damaged, or too large."""
        check_is_file(path)
        if path.stat().st_size > MOST_BYTES:
            raise InputError(f"{path} is larger than {MOST_BYTES >> 30} GiB; cut it down.")
        return GltfFile(path, *_opened(path))

    def entry(self, kind: str, number: object) -> dict[str, Any]:
        """One of the tree's lists of objects, by number."""
        listed = field(self.tree, kind, list, where=str(self.path))
        if not isinstance(number, int) or isinstance(number, bool) or not 0 <= number < len(listed):
            raise InputError(f"{self.path} names number {number!r} of {len(listed)} {kind}; export it again.")
        if not isinstance(listed[number], dict):
            raise InputError(f"{self.path}: number {number} of its {kind} is no object; export it again.")
        return listed[number]

    def perhaps(self, data: Any, key: str, default: T) -> T:
        """data[key], which may lack, of the type of what stands for it then."""
        lacks = isinstance(data, dict) and key not in data
        return default if lacks else field(data, key, type(default), where=str(self.path))

    def primitives(self) -> Iterator[tuple[dict[str, Any], Float64[Tensor, "4 4"]]]:
        """Those of splats, with world_from_node."""
        scene = self.entry("scenes", self.tree.get("scene", 0) if isinstance(self.tree, dict) else 0)
        waiting = [(number, torch.diag(Y_DOWN), ()) for number in self.perhaps(scene, "nodes", [])]
        for _ in range(MOST_NODES):
            if not waiting:
                return
            number, above, line = waiting.pop(0)
            node = self.entry("nodes", number)
            if number in line:
                break
            matrix = above @ self.matrix(node)
            waiting += [(child, matrix, (*line, number)) for child in self.perhaps(node, "children", [])]
            mesh = self.entry("meshes", node["mesh"]) if "mesh" in node else {}
            for primitive in self.perhaps(mesh, "primitives", []):
                if SPLATTING in self.perhaps(primitive, "extensions", {}):
                    yield primitive, matrix
                else:
                    self.unread["parts of meshes"] += 1
        raise InputError(f"{self.path} has more than {MOST_NODES} nodes, or a circle of them; export it again.")

    def matrix(self, node: dict[str, Any]) -> Float64[Tensor, "4 4"]:
        """parent_from_node; InputError where it mirrors, or is none."""
        numbers = lambda key, default: torch.tensor(node.get(key, default), dtype=torch.float64)
        try:
            if "matrix" in node:
                found = numbers("matrix", None).reshape(4, 4).T
            else:
                found = torch.eye(4, dtype=torch.float64)
                turn = rotations(numbers("rotation", [0, 0, 0, 1])[[3, 0, 1, 2]][None])[0]
                found[:3, :3] = turn * numbers("scale", [1, 1, 1]).reshape(3)
                found[:3, 3] = numbers("translation", [0, 0, 0]).reshape(3)
        except (TypeError, ValueError, RuntimeError, IndexError):
            raise InputError(
                f"{self.path} has a node whose transform is no list of numbers; export it again."
            ) from None
        if not bool(found.isfinite().all()) or not float(torch.det(found[:3, :3])) > 0:
            raise InputError(f"{self.path} has a node that mirrors or flattens its splats; apply its transform first.")
        return found

    def splats(self, primitive: dict[str, Any]) -> Gaussians:
        """The splats of one primitive, before its node moves them."""
        extension = self.perhaps(primitive["extensions"], SPLATTING, {})
        inner = self.perhaps(extension, "extensions", {})
        packed = next((name for name in PACKED if name in inner or name in primitive["extensions"]), None)
        if packed is not None:
            raise InputError(f"{self.path} has splats packed by {packed}, which is not read; save them unpacked.")
        space = extension.get("colorSpace", DISPLAY)
        if space != DISPLAY:
            done = "turned to" if space == LINEAR else "taken as"
            self.notes = (*self.notes, f"colours are of {shown(space)} and {done} sRGB")
        listed = field(primitive, "attributes", dict, where=f"{self.path}: its splats")
        column = {}
        for name, attribute in COLUMNS.items():
            values = self.accessor(field(listed, attribute, int, where=str(self.path)))
            if values.shape[1] != {"quaternions": 4, "opacities": 1}.get(name, 3):
                raise InputError(f"{self.path} has splats with attributes of other types; export it again.")
            column[name] = torch.from_numpy(values)
        if len({len(values) for values in column.values()}) > 1:
            raise InputError(f"{self.path} has attributes of different lengths; export it again.")
        names = [f"{SPLATTING}:SH_DEGREE_{n}_COEF_{i}" for n in range(1, HIGHEST + 1) for i in range(2 * n + 1)]
        rest = [name for name in takewhile(lambda name: name in listed, names)]
        degree = max(n for n, count in enumerate(COUNTS) if count <= len(rest))
        try:
            quaternions = unit_quaternions(column["quaternions"][:, [3, 0, 1, 2]])
            opacities = column["opacities"][:, 0].clamp(0, 1)
            means, scales, coefficients = (column[name] for name in ("means", "scales", "features"))
            columns = [torch.from_numpy(self.accessor(field(listed, name, int, where=str(self.path)))) for name in rest]
            harmonics = torch.stack(columns[: COUNTS[degree]], 1).reshape(len(means), -1, 3) if degree else None
            if bool((scales < 0).any()):
                scales = scales.exp()
                self.notes = (*self.notes, "some scales are negative, so all are logarithms (the extension's draft)")
            found = Gaussians(means, scales, quaternions, opacities, coefficients * SH_DC + 0.5, harmonics)
            return _displayed(found) if space == LINEAR else found
        except (RuntimeError, IndexError):
            raise InputError(f"{self.path} has splats with attributes of other types; export it again.") from None

    def accessor(self, number: int) -> Float[np.ndarray, "n width"]:
        """An array as float32; integers stand for [0, 1] or [-1, 1] where they are normalised."""
        listed = self.entry("accessors", number)
        where = f"{self.path}: accessor {number}"
        kind = KINDS.get(field(listed, "componentType", int, where=where))
        width = WIDTHS.get(field(listed, "type", str, where=where))
        count = field(listed, "count", int, where=where)
        if kind is None or width is None or "sparse" in listed or "bufferView" not in listed:
            raise InputError(f"{where} is of a kind that is not read; save the file again without compression.")
        view = self.entry("bufferViews", listed["bufferView"])
        data = self.buffer(view.get("buffer"))
        start, size = view.get("byteOffset", 0), view.get("byteLength", 0)
        skip, stride = listed.get("byteOffset", 0), view.get("byteStride", kind.itemsize * width)
        fine = all(isinstance(x, int) and x >= 0 for x in (start, size, skip, stride, count))
        row = kind.itemsize * width
        if (
            not fine
            or stride < row
            or count < 1
            or start + size > len(data)
            or skip + stride * (count - 1) + row > size
        ):
            raise InputError(f"{where} reaches beyond its buffer; export the file again.")
        values = np.ndarray((count, width), kind, data, start + skip, (stride, kind.itemsize)).astype(np.float32)
        if kind.kind in "iu" and listed.get("normalized") is True:
            values = np.maximum(values / np.iinfo(kind).max, -1).astype(np.float32)
        return values

    def stretch(self, number: object) -> bytes:
        """The bytes of a buffer view."""
        view = self.entry("bufferViews", number)
        data = self.buffer(view.get("buffer"))
        start, size = view.get("byteOffset", 0), view.get("byteLength", 0)
        if not all(isinstance(x, int) and x >= 0 for x in (start, size)) or start + size > len(data):
            raise InputError(f"{self.path}: buffer view {number} reaches beyond its buffer; export the file again.")
        return data[start : start + size]

    def buffer(self, number: object) -> bytes:
        """The bytes of a buffer: the file's own, in its text, or of a file beside it."""
        listed = self.entry("buffers", number)
        uri = listed.get("uri")
        if uri is None:
            if self.binary is None:
                raise InputError(f"{self.path} names a buffer that is nowhere; export it again.")
            return self.binary
        assert isinstance(number, int)
        if number not in self.buffers:
            self.buffers[number] = self._fetched(uri)
        return self.buffers[number]

    def _fetched(self, uri: object) -> bytes:
        if not isinstance(uri, str):
            raise InputError(f"{self.path} has a buffer whose address is no text; export it again.")
        if uri.startswith("data:"):
            try:
                return base64.b64decode(uri.partition(",")[2], validate=True)
            except ValueError:
                raise InputError(f"{self.path} has a buffer that is not base64; export it again.") from None
        beside = path_inside(self.path.parent, uri, where=str(self.path))
        if beside.stat().st_size > MOST_BYTES:
            raise InputError(f"{beside} is larger than {MOST_BYTES >> 30} GiB; cut it down.")
        return beside.read_bytes()
