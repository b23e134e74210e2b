"""Parts that procedural objects are put together from: bars, rings, nuts, hollow vessels."""

from itertools import pairwise

import numpy as np

from fewview.data.meshes import Material, Mesh, Model, join
from fewview.synthetic.shapes.solids import lathe, prism, tube

Rng = np.random.Generator


class Builder:
    """Collects painted parts; `add` returns nothing, `model` joins all."""

    def __init__(self) -> None:
        self.parts: list[Mesh] = []
        self.materials: list[Material] = []

    def material(self, material: Material) -> int:
        self.materials.append(material)
        return len(self.materials) - 1

    def add(self, mesh: Mesh, material: int) -> None:
        self.parts.append(mesh.painted(material))

    def mirrored(self, mesh: Mesh, material: int) -> None:
        """The part and its mirror image in x."""
        self.add(mesh, material)
        self.add(mirror(mesh), material)

    def model(self, category: str) -> Model:
        return Model(join(self.parts), tuple(self.materials), info={"category": category})


def mirror(mesh: Mesh) -> Mesh:
    """The mirror image in x, its triangles turned round so that they still face outwards."""
    mesh = mesh.scaled(-1, 1, 1)
    order = np.arange(len(mesh.positions)).reshape(-1, 3)[:, ::-1].reshape(-1)
    return Mesh(mesh.positions[order], mesh.normals[order], mesh.local[order], mesh.material[order])


def bar(ends, radius, sides: int) -> Mesh:
    """A straight bar; `radius` may be a list of radii from end to end."""
    radii = np.atleast_1d(np.asarray(radius, dtype=float))
    n = max(len(radii), 2)
    path = np.linspace(np.asarray(ends[0], dtype=float), np.asarray(ends[1], dtype=float), n)
    return tube(path, radii if len(radii) == n else radii[0], sides=sides)


def turned_radii(rng: Rng, radius: float) -> np.ndarray:
    """Radii of a turned leg: beads and coves that repeat."""
    t = np.linspace(0, 1, 28)
    return radius * (0.85 + 0.3 * np.sin(2 * np.pi * rng.integers(2, 5) * t + rng.uniform(0, 6)) * np.sin(np.pi * t))


def dense(path, n: int = 6) -> np.ndarray:
    """A polyline with each segment cut into n."""
    path = np.asarray(path, dtype=float)
    return np.concatenate([np.linspace(a, c, n, endpoint=False) for a, c in pairwise(path)] + [path[-1:]])


def ring(radius: float, y: float, thick: float) -> Mesh:
    angle = np.arange(40) * (2 * np.pi / 40)
    path = np.stack([radius * np.sin(angle), np.full(40, y), radius * np.cos(angle)], -1)
    return tube(path, thick, sides=10, closed=True)


def hollow(outside: np.ndarray, wall: float, floor: float) -> Mesh:
    """A vessel with an inner wall and floor."""
    inside = outside[::-1] - [wall, 0]
    inside = inside[inside[:, 1] > floor]
    lip = [outside[-1] + [-wall / 2, wall / 3]]
    return lathe(np.concatenate([[[0, outside[0, 1]]], outside, lip, inside, [[0, inside[-1, 1]]]]), 48)


def nut(radius: float, height: float, sides: int = 6) -> Mesh:
    """A polygonal nut that stands on y = 0."""
    angle = np.arange(sides) * (2 * np.pi / sides)
    outline = np.stack([np.cos(angle), np.sin(angle)], -1) * radius
    return prism(outline, height).turned("x", -90).moved(y=height / 2)
