"""The solids that procedural shapes are made of: turned, swept, boxed and puffed; see `data.meshes` for their frame."""

from collections.abc import Callable, Sequence

import numpy as np

from fewview.data.meshes import Mesh, shade, unit


def grid_faces(rows: int, columns: int, *, wrap_rows: bool = False, wrap_columns: bool = False) -> np.ndarray:
    """Triangles of a (rows, columns) grid of vertices, seen counter-clockwise for rows up and columns to the right."""
    i, j = np.meshgrid(np.arange(rows - (not wrap_rows)), np.arange(columns - (not wrap_columns)), indexing="ij")
    up, right = (i + 1) % rows, (j + 1) % columns
    a, b, c, d = (x.reshape(-1) for x in (i * columns + j, i * columns + right, up * columns + right, up * columns + j))
    return np.concatenate([np.stack([a, b, c], -1), np.stack([a, c, d], -1)])


def spline(points: Sequence[Sequence[float]] | np.ndarray, n: int = 24) -> np.ndarray:
    """n points on a shape-preserving cubic through the given points, spread by chord length."""
    from scipy.interpolate import PchipInterpolator

    knots = np.asarray(points, dtype=float)
    t = np.concatenate([[0.0], np.cumsum(np.linalg.norm(np.diff(knots, axis=0), axis=1) + 1e-9)])
    return np.asarray(PchipInterpolator(t, knots)(np.linspace(0, t[-1], n)))


def lathe(
    profile: np.ndarray,
    segments: int = 40,
    *,
    crease: float = 40.0,
    ripple: Callable[[np.ndarray, np.ndarray], np.ndarray] | None = None,
) -> Mesh:
    """Surface of revolution about y of (radius, height) points, bottom first; `ripple(angle, height)` scales radii."""
    profile = np.asarray(profile, dtype=float)
    angle = np.arange(segments) * (2 * np.pi / segments)
    height = np.repeat(profile[:, 1:], segments, axis=1)
    radius = np.repeat(profile[:, :1], segments, axis=1)
    if ripple is not None:
        radius = radius * ripple(np.broadcast_to(angle, radius.shape), height)
    grid = np.stack([radius * np.sin(angle), height, radius * np.cos(angle)], axis=-1)
    faces = grid_faces(len(profile), segments, wrap_columns=True)
    return shade(*_weld(grid.reshape(-1, 3), faces), crease)


def tube(
    path: Sequence[Sequence[float]] | np.ndarray,
    radius: float | Sequence[float] | np.ndarray,
    *,
    sides: int = 10,
    flat: float = 1.0,
    closed: bool = False,
) -> Mesh:
    """A round (or, with 4 sides, square) bar along a path; `flat` squeezes one axis of the section."""
    path = np.asarray(path, dtype=float)
    radii = np.broadcast_to(np.asarray(radius, dtype=float), (len(path),))
    tangent = np.roll(path, -1, 0) - np.roll(path, 1, 0) if closed else np.gradient(path, axis=0)
    tangent = unit(tangent)
    start = np.eye(3)[np.argmin(np.abs(tangent[0]))]
    across = np.empty_like(path)
    for k in range(len(path)):  # parallel transport keeps the section from twisting
        start = start - (start @ tangent[k]) * tangent[k]
        start = start / np.linalg.norm(start)
        across[k] = start
    other = np.cross(tangent, across)
    angle = (np.arange(sides) + 0.5) * (2 * np.pi / sides)
    ring = np.cos(angle)[:, None] * across[:, None] + flat * np.sin(angle)[:, None] * other[:, None]
    vertices = (path[:, None] + radii[:, None, None] * ring).reshape(-1, 3)
    faces = grid_faces(len(path), sides, wrap_rows=closed, wrap_columns=True)
    if not closed:
        vertices = np.concatenate([vertices, path[:1], path[-1:]])
        ids, last = np.arange(sides), (len(path) - 1) * sides
        end = np.roll(ids, -1)
        low = np.stack([end, ids, np.full(sides, len(path) * sides)], -1)
        high = np.stack([ids + last, end + last, np.full(sides, len(path) * sides + 1)], -1)
        faces = np.concatenate([faces, low, high])
    return shade(vertices, faces, 60.0 if sides > 6 else 40.0)


def box(
    x: float,
    y: float,
    z: float,
    *,
    edge: float = 0.0,
    puff: float = 0.0,
    detail: int = 0,
    warp: Callable[[np.ndarray], np.ndarray] | None = None,
) -> Mesh:
    """A centred box of full sizes x, y, z with rounded edges of radius `edge`.

    `puff` swells its faces like a cushion, `detail` adds inner grid lines, `warp` moves the vertices."""
    half = np.array([x, y, z]) / 2
    edge = float(min(edge, 0.98 * half.min()))
    if puff > 0:
        detail = max(detail, 6)
    vertices, faces = _cube(3 if edge > 0 else 0, detail, edge / half)
    points = vertices * half
    if edge > 0:
        core = np.clip(points, -(half - edge), half - edge)
        points = core + edge * unit(points - core + 1e-12 * vertices)
    if puff > 0:
        rest = 1 - np.clip(np.abs(points) / half, 0, 1) ** 2.5
        swell = np.stack([rest[:, 1] * rest[:, 2], rest[:, 0] * rest[:, 2], rest[:, 0] * rest[:, 1]], -1)
        points = points + puff * swell * np.sign(points) * (np.abs(points) > 0.6 * half)
    if warp is not None:
        points = warp(points)
    return shade(points, faces, 44.0)


def ellipsoid(x: float, y: float, z: float, *, segments: int = 28, power: float = 1.0) -> Mesh:
    """A centred superellipsoid with semi-axes x, y, z; a power below 1 makes it boxier."""
    t = np.linspace(-np.pi / 2, np.pi / 2, segments // 2 + 3)
    curve = lambda v: np.sign(v) * np.abs(v) ** power
    radius = np.maximum(curve(np.cos(t)), 0)
    radius[[0, -1]] = 0
    return lathe(np.stack([radius, curve(np.sin(t))], -1), segments, crease=60).scaled(x, y, z).textured()


def prism(outline: np.ndarray, depth: float, *, crease: float = 40.0) -> Mesh:
    """An outline (n, 2) in the xy plane, star-shaped about its mean and counter-clockwise, extruded along z."""
    n = len(outline)
    front = np.column_stack([outline, np.full(n, depth / 2)])
    back = front * [1, 1, -1]
    centre = outline.mean(0)
    vertices = np.concatenate([back, front, [[*centre, -depth / 2], [*centre, depth / 2]]])
    ids, end = np.arange(n), np.roll(np.arange(n), -1)
    sides = np.concatenate([np.stack([ids, end, end + n], -1), np.stack([ids, end + n, ids + n], -1)])
    caps = np.concatenate(
        [np.stack([end, ids, ids * 0 + 2 * n], -1), np.stack([ids + n, end + n, ids * 0 + 2 * n + 1], -1)]
    )
    return shade(vertices, np.concatenate([sides, caps]), crease)


def sample_surface(mesh: Mesh, n: int, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """n points spread over the surface by area, and the material of each."""
    corners = mesh.positions.reshape(-1, 3, 3)
    area = np.linalg.norm(np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0]), axis=-1)
    triangle = rng.choice(len(corners), n, p=area / area.sum())
    u, v = np.sqrt(rng.random((n, 1))), rng.random((n, 1))
    a, b, c = corners[triangle].transpose(1, 0, 2)
    return (1 - u) * a + u * (1 - v) * b + u * v * c, mesh.material[3 * triangle]


def _weld(vertices: np.ndarray, faces: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Merge vertices that coincide to 1e-7."""
    _, first, inverse = np.unique(
        np.round(vertices * 1e7).astype(np.int64), axis=0, return_index=True, return_inverse=True
    )
    return vertices[first], inverse.reshape(-1)[faces]


def _cube(rounding: int, detail: int, edge: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The cube [-1, 1]^3 as a welded grid with `rounding` steps inside the relative edge width of each axis."""
    lines = []
    for width in edge:
        inner = np.linspace(-1 + width, 1 - width, detail + 2)
        bevel = 1 - width + width * np.tan(np.linspace(0, np.pi / 4, rounding + 1))[1:]
        lines.append(np.concatenate([-bevel[::-1], inner, bevel]))
    vertices, faces, count = [], [], 0
    for axis in range(3):
        i, j = (axis + 1) % 3, (axis + 2) % 3
        u, v = np.meshgrid(lines[i], lines[j], indexing="ij")
        for sign in (-1.0, 1.0):
            points = np.full((*u.shape, 3), sign)
            points[..., i], points[..., j] = u, v
            order = slice(None) if sign < 0 else slice(None, None, -1)
            vertices.append(points.reshape(-1, 3))
            faces.append(grid_faces(*u.shape)[:, order] + count)
            count += u.size
    return _weld(np.concatenate(vertices), np.concatenate(faces))
