"""Triangle meshes with texture coordinates and materials, as readers and generators of models make them.

Object frame: y up, z to the front. A mesh is a triangle soup: three consecutive rows are a triangle, so that normals
can differ between the faces of a sharp edge. `local` are texture coordinates of a part, untouched by later moves.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import numpy as np
from jaxtyping import Float, Int

Colour = tuple[float, float, float]
KINDS = (
    "plain", "wood", "stripes", "speckle", "checks", "gradient", "marble", "dots",
    "staves", "fur", "plaid", "label", "motifs", "weave", "rust", "image",
)  # fmt: skip
MAPPINGS = ("solid", "cylinder", "box")


@dataclass(frozen=True)
class Material:
    """Colours are sRGB in [0, 1]. What `scale`, `p`, `q` mean depends on `kind`; see `shaders.py`."""

    kind: str = "plain"
    a: Colour = (0.7, 0.7, 0.7)
    b: Colour = (0.5, 0.5, 0.5)
    c: Colour = (0.3, 0.3, 0.3)
    scale: float = 8.0
    p: float = 0.5
    q: float = 0.5
    mapping: str = "solid"
    axis: int = 1
    offset: Colour = (0.0, 0.0, 0.0)
    specular: float = 0.1
    shininess: float = 24.0
    metal: float = 0.0
    bump: float = 0.0
    layer: int = -1


@dataclass(frozen=True, eq=False)
class Mesh:
    """A triangle soup; `material` is the row of each vertex in the model's list of materials."""

    positions: Float[np.ndarray, "n 3"]
    normals: Float[np.ndarray, "n 3"]
    local: Float[np.ndarray, "n 3"]
    material: Int[np.ndarray, " n"]

    def moved(self, x: float = 0.0, y: float = 0.0, z: float = 0.0) -> "Mesh":
        return replace(self, positions=self.positions + np.array([x, y, z]))

    def scaled(self, x: float, y: float, z: float) -> "Mesh":
        """Scaled about the origin; negative factors mirror."""
        factors = np.array([x, y, z], dtype=float)
        return replace(self, positions=self.positions * factors, normals=unit(self.normals / factors))

    def turned(self, axis: str, degrees: float) -> "Mesh":
        """Turned about an axis ("x", "y" or "z") through the origin, right-handed."""
        matrix = rotation(axis, degrees)
        return replace(self, positions=self.positions @ matrix.T, normals=self.normals @ matrix.T)

    def painted(self, material: int) -> "Mesh":
        return replace(self, material=np.full(len(self.positions), material))

    def textured(self, scale: float = 1.0) -> "Mesh":
        """Texture coordinates taken anew from the present positions."""
        return replace(self, local=self.positions * scale)


@dataclass(frozen=True, eq=False)
class Model:
    """A mesh with its materials and image textures (RGBA bytes, all of one square size)."""

    mesh: Mesh
    materials: tuple[Material, ...]
    images: tuple[np.ndarray, ...] = ()
    info: dict[str, str] = field(default_factory=dict)


def join(meshes: Sequence[Mesh]) -> Mesh:
    """One mesh of all triangles."""
    columns = ("positions", "normals", "local", "material")
    return Mesh(*(np.concatenate([getattr(mesh, name) for mesh in meshes]) for name in columns))


def rotation(axis: str, degrees: float) -> Float[np.ndarray, "3 3"]:
    """Right-handed rotation about a coordinate axis."""
    angle = np.deg2rad(degrees)
    i, j = {"x": (1, 2), "y": (2, 0), "z": (0, 1)}[axis]
    matrix = np.eye(3)
    matrix[i, i] = matrix[j, j] = np.cos(angle)
    matrix[j, i], matrix[i, j] = np.sin(angle), -np.sin(angle)
    return matrix


def shade(
    vertices: Float[np.ndarray, "v 3"], faces: Int[np.ndarray, "f 3"], crease: float = 40.0, *, keep: bool = False
) -> Mesh:
    """Soup with area-weighted normals, smoothed over edges that bend by less than `crease` degrees.

    Triangles without area are dropped, unless `keep` asks for one output triangle a face."""
    from scipy import sparse

    corners = vertices[faces]
    cross = np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
    area = np.linalg.norm(cross, axis=1)
    if not keep:
        faces, corners, cross, area = (item[area > 1e-12] for item in (faces, corners, cross, area))
    normal = cross / np.maximum(area, 1e-20)[:, None]
    n = faces.size
    incidence = sparse.csr_matrix((np.ones(n), (np.arange(n), faces.reshape(-1))), shape=(n, len(vertices)))
    pairs = (incidence @ incidence.T).tocoo()
    first, second = pairs.row, pairs.col // 3
    smooth = (normal[first // 3] * normal[second]).sum(-1) > np.cos(np.deg2rad(crease))
    first, second = first[smooth], second[smooth]
    normals = np.stack([np.bincount(first, cross[second, k], minlength=n) for k in range(3)], axis=-1)
    positions = corners.reshape(-1, 3)
    return Mesh(positions, unit(normals), positions, np.zeros(n, dtype=np.int64))


def unit(vectors: np.ndarray) -> np.ndarray:
    """Rows of length one; zeros stay zeros."""
    return vectors / np.maximum(np.linalg.norm(vectors, axis=-1, keepdims=True), 1e-20)
