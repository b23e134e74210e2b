"""Random piles of textured primitives: no category at all, but all there is to learn about matching views.

The idea of training reconstruction on random compositions is Zeroverse's (2406.09371).
"""

import colorsys
from collections.abc import Sequence

import numpy as np

from fewview.data.meshes import KINDS, MAPPINGS, Material, Mesh, Model, join
from fewview.synthetic.shapes.solids import box, ellipsoid, lathe, spline, tube


def primitives(rng: np.random.Generator) -> Model:
    """Two to seven boxes, ellipsoids, lathed solids and tubes, overlapping near the origin, each with its material."""
    count = int(rng.integers(2, 8))
    meshes = [_placed(_solid(rng), rng).painted(i) for i in range(count)]
    return Model(join(meshes), tuple(random_material(rng) for _ in range(count)), info={"license": "CC0-1.0"})


TEXTURES = tuple(kind for kind in KINDS if kind not in ("image", "plain"))


def random_material(rng: np.random.Generator, kinds: Sequence[str] | None = None) -> Material:
    """One of the given kinds, or any procedural texture (plain in a quarter of cases), in three random colours."""
    kind = str(rng.choice(kinds or TEXTURES))
    if kinds is None and rng.random() < 0.25:
        kind = "plain"
    a, b, c = (random_colour(rng) for _ in range(3))
    mapping, axis = str(rng.choice(MAPPINGS)), int(rng.integers(3))
    specular, shininess = float(rng.uniform(0, 0.3)), float(rng.uniform(8, 60))
    scale = float(np.exp(rng.uniform(0.7, 2.8)))
    return Material(kind, a, b, c, scale=scale, mapping=mapping, axis=axis, specular=specular, shininess=shininess)


def _solid(rng: np.random.Generator) -> Mesh:
    kind = rng.integers(4)
    x, y, z = np.exp(rng.uniform(-1.4, 0.1, 3))
    if kind == 0:
        return box(x, y, z, edge=float(rng.uniform(0, 0.1)))
    if kind == 1:
        return ellipsoid(x / 2, y / 2, z / 2, power=float(rng.uniform(0.4, 1.0)))
    if kind == 2:
        heights = np.linspace(-y, y, 5)
        radii = rng.uniform(0.1, 0.5, 5)
        profile = spline(np.stack([radii, heights], -1), 24)
        ends = np.array([[0.0, -y]]), np.array([[0.0, y]])
        return lathe(np.concatenate([ends[0], profile, ends[1]]))
    path = spline(rng.uniform(-0.7, 0.7, (4, 3)), 24)
    return tube(path, float(rng.uniform(0.05, 0.2)), sides=12)


def _placed(mesh: Mesh, rng: np.random.Generator) -> Mesh:
    for axis in "xyz":
        mesh = mesh.turned(axis, float(rng.uniform(0, 360)))
    return mesh.moved(*rng.normal(0, 0.35, 3))


def random_colour(rng: np.random.Generator) -> tuple[float, float, float]:
    """sRGB of any hue, mostly muted."""
    saturation, value = float(rng.beta(1.2, 1.8)), float(rng.uniform(0.1, 1.0))
    return colorsys.hsv_to_rgb(float(rng.random()), saturation, value)
