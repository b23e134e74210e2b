"""The shells of rooms: rectangular and L-shaped outlines, walls with windows and doors, finishes, curtains.

World frame: y up, metres, the floor at y = 0, the middle of the outline's bounding box at the origin.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import pairwise

import numpy as np
from jaxtyping import Float

from fewview.data.meshes import Material, Mesh, join, shade
from fewview.synthetic.opengl.room_renderer import CONTENT, OUTSIDE, SHELL, Part
from fewview.synthetic.rooms.inventory import indexed
from fewview.synthetic.shapes import finishes
from fewview.synthetic.shapes.joinery import sheet, timber
from fewview.synthetic.shapes.palettes import fabric, metal, near
from fewview.synthetic.shapes.solids import box, grid_faces

Rng = np.random.Generator
SKIRTING, FAR = 0.08, 13.0
WET = ("kitchen",)  # rooms with tiles more often


@dataclass(frozen=True)
class Opening:
    """A hole in wall `wall` from u0 to u1 along it and v0 to v1 above the floor; kind "window", "door" or "doorway"."""

    wall: int
    u0: float
    u1: float
    v0: float
    v1: float
    kind: str


@dataclass(frozen=True, eq=False)
class Plan:
    """Corners of the outline (x, z), the room on the left of each wall; `notch` is what an L lacks (x0, z0, x1, z1)."""

    outline: Float[np.ndarray, "n 2"]
    height: float
    openings: tuple[Opening, ...] = ()
    notch: tuple[float, float, float, float] | None = None

    @property
    def walls(self) -> Float[np.ndarray, "n 4"]:
        return np.concatenate([self.outline, np.roll(self.outline, -1, 0)], axis=1)

    @property
    def low(self) -> Float[np.ndarray, "2"]:
        return self.outline.min(0)

    @property
    def high(self) -> Float[np.ndarray, "2"]:
        return self.outline.max(0)

    def length(self, wall: int) -> float:
        a, b = self.walls[wall].reshape(2, 2)
        return float(np.linalg.norm(b - a))

    def yaw(self, wall: int) -> float:
        """Degrees about y that turn +z to the wall's inward normal."""
        dx, dz = _along(self.walls[wall])
        return float(np.rad2deg(np.arctan2(-dz, dx)))

    def point(self, wall: int, u: float, y: float = 0.0, *, away: float = 0.0) -> Float[np.ndarray, "3"]:
        """World point at u along a wall, at height y, `away` from it into the room."""
        dx, dz = _along(self.walls[wall])
        x, z = self.walls[wall][:2] + u * np.array([dx, dz]) + away * np.array([-dz, dx])
        return np.array([x, y, z])

    def inward(self, wall: int) -> Float[np.ndarray, "3"]:
        """The unit vector from a wall into the room."""
        return self.point(wall, 0, away=1.0) - self.point(wall, 0)

    def inside(self, points: Float[np.ndarray, "*n 2"], margin: float = 0.0) -> np.ndarray:
        """Which (x, z) lie in the room, at least `margin` from its walls."""
        x, z = points[..., 0], points[..., 1]
        room = (x > self.low[0] + margin) & (x < self.high[0] - margin)
        room &= (z > self.low[1] + margin) & (z < self.high[1] - margin)
        if self.notch is not None:
            x0, z0, x1, z1 = self.notch
            room &= ~((x > x0 - margin) & (x < x1 + margin) & (z > z0 - margin) & (z < z1 + margin))
        return room

    @property
    def area(self) -> float:
        x, z = self.outline.T
        return float(abs(x @ np.roll(z, -1) - z @ np.roll(x, -1)) / 2)


def random_plan(rng: Rng, kind: str) -> Plan:
    """A room of a kind's usual size with a door, at times an open doorway, and one to four windows."""
    sizes = {"living": (4.6, 7.0), "dining": (4.2, 6.0), "bedroom": (4.0, 5.6), "office": (3.8, 5.2),
             "kitchen": (4.0, 5.8), "studio": (5.8, 8.0)}  # fmt: skip
    w = rng.uniform(*sizes[kind])
    d = float(np.clip(w * rng.uniform(0.62, 0.95), 3.2, 6.5))
    if rng.random() < 0.5:
        w, d = d, w
    x, z = w / 2, d / 2
    outline = np.array([[-x, -z], [x, -z], [x, z], [-x, z]])
    notch = None
    if rng.random() < (0.6 if kind == "studio" else 0.2) and w * d > 15:
        cut = np.array([w, d]) * rng.uniform(0.25, 0.45, 2)
        cx, cz = x - cut[0], z - cut[1]
        outline = np.array([[-x, -z], [x, -z], [x, cz], [cx, cz], [cx, z], [-x, z]])
        notch = (cx, cz, x + 1, z + 1)
        if rng.random() < 0.5:  # mirrored, which turns the order round
            outline = (outline * [-1, 1])[::-1].copy()
            notch = (-x - 1, cz, -cx, z + 1)
    plan = Plan(outline, float(rng.uniform(2.4, 3.1)), notch=notch)
    return replace(plan, openings=_openings(rng, plan))


def _openings(rng: Rng, plan: Plan) -> tuple[Opening, ...]:
    walls = sorted(range(len(plan.outline)), key=lambda w: -plan.length(w))
    bright = [walls[i] for i in rng.permutation(min(3, len(walls)))[: int(rng.integers(1, 3))]]
    found: list[Opening] = []
    style = int(rng.integers(3))  # ordinary, tall, band
    sill = (rng.uniform(0.75, 1.0), rng.uniform(0.08, 0.35), rng.uniform(0.95, 1.2))[style]
    head = min(plan.height - 0.15, rng.uniform(2.05, 2.4))
    for wall in bright:
        length = plan.length(wall)
        n = 1 if length < 3 else int(rng.integers(1, 3))
        wide = rng.uniform(0.9, 1.3) if style == 1 else rng.uniform(1.0, 2.4)
        wide = min(wide, 0.75 * length / n)
        for k in range(n):
            u = length * (k + 0.5) / n + rng.uniform(-0.1, 0.1) * length / n
            found.append(Opening(wall, u - wide / 2, u + wide / 2, sill, head, "window"))
    dark = [w for w in walls if w not in bright and plan.length(w) > 1.4]
    for i, wall in enumerate(dark[: int(rng.integers(1, 3))]):
        kind = "doorway" if rng.random() < 0.5 else "door"
        wide = rng.uniform(0.9, 1.4) if kind == "doorway" else rng.uniform(0.78, 0.9)
        u = rng.uniform(0.15, plan.length(wall) - wide - 0.15)
        found.append(Opening(wall, u, u + wide, 0.0, rng.uniform(2.0, 2.1), kind if i == 0 else "door"))
    return tuple(found)


@dataclass(frozen=True, eq=False)
class Shell:
    """The built room without furniture, and the mean sRGB of floor, walls and ceiling."""

    parts: tuple[Part, ...]
    materials: tuple[Material, ...]
    images: tuple[np.ndarray, ...]
    colours: Float[np.ndarray, "3 3"]


class _Painter:
    """Collects meshes by part, with materials and images of all."""

    def __init__(self) -> None:
        self.materials: list[Material] = []
        self.images: list[np.ndarray] = []
        self.parts: list[Part] = []

    def material(self, material: Material) -> int:
        self.materials.append(material)
        return len(self.materials) - 1

    def image(self, image: np.ndarray, **options) -> int:
        self.images.append(image)
        return self.material(Material("image", (1.0, 1.0, 1.0), layer=len(self.images) - 1, **options))

    def part(self, meshes: Sequence[Mesh], layer: str) -> None:
        vertices, faces = indexed(join(meshes))
        self.parts.append(Part(vertices, faces, layer))


def shell(plan: Plan, rng: Rng, kind: str, *, daylight: float) -> Shell:
    """Walls, floor, ceiling, openings, skirting and curtains; `daylight` is the radiance of the outside."""
    p = _Painter()
    floor_image, across = (finishes.tiles if kind in WET and rng.random() < 0.6 else
                           finishes.FLOORS[rng.integers(len(finishes.FLOORS))])(rng)  # fmt: skip
    gloss = rng.uniform(0.02, 0.12)
    floor = p.image(floor_image, specular=gloss, shininess=rng.uniform(20, 70))
    white = p.material(Material(a=near(rng, (0.93, 0.93, 0.91), 0.02), specular=0.0, scale=0.5))
    paint = finishes.wall_paint(rng)
    finish, wall_scale = p.material(paint), 1.0
    wall_colour = np.asarray(paint.a)
    if rng.random() < 0.22:
        image, wall_scale = finishes.WALLS[rng.integers(len(finishes.WALLS))](rng)
        finish, wall_colour = p.image(image, specular=0.02), np.asarray(finishes.mean_colour(image))
    accent, accent_scale, chosen = finish, wall_scale, int(rng.integers(len(plan.outline)))
    if rng.random() < 0.35:
        if rng.random() < 0.5:
            accent = p.material(finishes.wall_paint(rng))
        else:
            image, accent_scale = finishes.WALLS[rng.integers(len(finishes.WALLS))](rng)
            accent = p.image(image, specular=0.02)
    p.part([m.painted(floor) for m in _level(plan, 0.0, across)], SHELL)
    p.part([m.painted(white) for m in _level(plan, plan.height, 1.0)], SHELL)
    trim = p.material(
        Material(a=near(rng, (0.92, 0.91, 0.89), 0.03), specular=0.08) if rng.random() < 0.75 else timber(rng)
    )
    leaf = p.material(timber(rng))
    moulding = rng.random() < 0.5
    for wall in range(len(plan.outline)):
        skin, scale = (accent, accent_scale) if wall == chosen else (finish, wall_scale)
        meshes = [m.painted(skin) for m in _wall(plan, wall, scale)]
        meshes += [m.painted(trim) for m in _trim(plan, wall, moulding)]
        for opening in plan.openings:
            if opening.wall == wall:
                meshes += _framed(plan, opening, rng, p=p, skins=(trim, leaf, finish, floor, white))
        p.part([_placed(plan, wall, m) for m in meshes], SHELL)
    cloth = fabric(rng, 0.4)
    pale = {k: tuple(finishes.muted(getattr(cloth, k), 0.5).tolist()) for k in "abc"}
    cloth = p.material(replace(cloth, bump=0.0, **pale))
    if rng.random() < 0.6:
        for opening in plan.openings:
            if opening.kind == "window":
                rod = p.material(metal(rng))
                p.part(
                    [_placed(plan, opening.wall, m) for m in _curtains(plan, opening, rng, cloth=cloth, rod=rod)],
                    CONTENT,
                )
    view = p.image(finishes.outside(rng), metal=-daylight)
    p.part([m.painted(view) for m in _panorama()], OUTSIDE)
    floor_colour = np.asarray(finishes.mean_colour(floor_image))
    colours = np.stack([floor_colour, wall_colour, np.asarray(p.materials[white].a)])
    return Shell(tuple(p.parts), tuple(p.materials), tuple(p.images), colours)


def _along(wall: np.ndarray) -> np.ndarray:
    d = wall[2:] - wall[:2]
    return d / np.linalg.norm(d)


def _placed(plan: Plan, wall: int, mesh: Mesh) -> Mesh:
    """From a wall's frame (x along it from its start, y up, z into the room) to the world."""
    turned = mesh.turned("y", plan.yaw(wall))
    return turned.moved(*plan.point(wall, 0.0))


def _level(plan: Plan, y: float, scale: float) -> list[Mesh]:
    """Floor (y = 0) or ceiling as one or two rectangles, textured in metres / scale."""
    (x0, z0), (x1, z1) = plan.low, plan.high
    rectangles = [(x0, z0, x1, z1)]
    if plan.notch is not None:
        a, c, b, _ = plan.notch
        rectangles = [(x0, z0, x1, c), (x0, c, a, z1) if b > x1 else (b, c, x1, z1)]
    meshes = []
    for a, b, c, d in rectangles:
        corners = np.array([[a, y, b], [c, y, b], [c, y, d], [a, y, d]])
        faces = np.array([[0, 2, 1], [0, 3, 2]]) if y == 0 else np.array([[0, 1, 2], [0, 2, 3]])
        mesh = shade(corners, faces)
        local = np.stack([mesh.positions[:, 0], mesh.positions[:, 2], 0 * mesh.positions[:, 0]], -1) / scale
        meshes.append(replace(mesh, local=local))
    return meshes


def _wall(plan: Plan, wall: int, scale: float) -> list[Mesh]:
    """Rectangles around the openings, textured in metres / scale."""
    holes = [o for o in plan.openings if o.wall == wall]
    us = sorted({0.0, plan.length(wall), *(o.u0 for o in holes), *(o.u1 for o in holes)})
    vs = sorted({0.0, plan.height, *(o.v0 for o in holes), *(o.v1 for o in holes)})
    meshes = []
    for u0, u1 in pairwise(us):
        for v0, v1 in pairwise(vs):
            u, v = (u0 + u1) / 2, (v0 + v1) / 2
            if not any(o.u0 < u < o.u1 and o.v0 < v < o.v1 for o in holes):
                mesh = sheet(u1 - u0, v1 - v0).moved(u, v)
                meshes.append(replace(mesh, local=mesh.positions * [1, -1, 0] / scale))
    return meshes


def _trim(plan: Plan, wall: int, moulding: bool) -> list[Mesh]:
    """Skirting between doors, and a moulding below the ceiling."""
    length = plan.length(wall)
    doors = sorted((o.u0 - 0.06, o.u1 + 0.06) for o in plan.openings if o.wall == wall and o.v0 == 0)
    edges = [0.0, *(u for door in doors for u in door), length]
    meshes = [
        box(b - a, SKIRTING, 0.015).moved((a + b) / 2, SKIRTING / 2, 0.0075)
        for a, b in zip(edges[::2], edges[1::2])
        if b - a > 0.02
    ]
    if moulding:
        meshes.append(box(length, 0.07, 0.05).moved(length / 2, plan.height - 0.035, 0.025))
    return meshes


def _framed(plan: Plan, o: Opening, rng: Rng, *, p: _Painter, skins: tuple[int, int, int, int, int]) -> list[Mesh]:
    """Reveals and frame of an opening, panes' bars, a door leaf, or the corridor behind a doorway."""
    trim, leaf, wall, floor, white = skins
    w, h, depth = o.u1 - o.u0, o.v1 - o.v0, 0.14
    u, v = (o.u0 + o.u1) / 2, (o.v0 + o.v1) / 2
    sides = [
        sheet(depth, h).turned("y", 90).moved(o.u0, v, -depth / 2),
        sheet(depth, h).turned("y", -90).moved(o.u1, v, -depth / 2),
        sheet(w, depth).turned("x", 90).moved(u, o.v1, -depth / 2),
        sheet(w, depth).turned("x", -90).moved(u, o.v0, -depth / 2),
    ]
    meshes = [m.painted(trim) for m in sides]
    face = 0.06
    around = [box(face, h + face, 0.02).moved(x, v, 0.01) for x in (o.u0 - face / 2, o.u1 + face / 2)]
    around.append(box(w + 2 * face, face, 0.02).moved(u, o.v1 + face / 2, 0.01))
    meshes += [m.painted(trim) for m in around]
    if o.kind == "window":
        meshes.append(box(w + 0.16, 0.03, 0.14).moved(u, o.v0 - 0.015, 0.05).painted(trim))
        bars, back = max(1, round(w / rng.uniform(0.6, 1.1))), -depth + 0.03
        meshes += [box(0.05, h, 0.04).moved(x, v, back).painted(trim) for x in np.linspace(o.u0, o.u1, bars + 1)]
        rows = int(rng.choice([1, 1, 2, 3]))
        meshes += [box(w, 0.04, 0.035).moved(u, y, back).painted(trim) for y in np.linspace(o.v0, o.v1, rows + 1)]
    elif o.kind == "door":
        meshes.append(box(w, h, 0.04).moved(u, v, -0.05).painted(leaf))
        panels = int(rng.choice([0, 2, 3]))
        for k in range(panels):
            y, tall = o.v0 + h * (k + 0.5) / panels, h / panels - 0.16
            meshes.append(box(w - 0.28, tall, 0.012).moved(u, y, -0.026).painted(leaf))
        side = o.u0 + 0.08 if rng.random() < 0.5 else o.u1 - 0.08
        meshes.append(box(0.1, 0.02, 0.03).moved(side, 1.0, 0.01).painted(p.material(metal(rng))))
    else:
        meshes += _corridor(plan, o, rng.uniform(1.2, 3.0), wider=rng.uniform(0.1, 1.2), skins=(wall, floor, white))
    return meshes


def _corridor(plan: Plan, o: Opening, deep: float, *, wider: float, skins: tuple[int, int, int]) -> list[Mesh]:
    wall, floor, white = skins
    a, b, h, front = o.u0 - wider, o.u1 + wider, min(plan.height, 2.5), -0.14
    w, u, z = b - a, (a + b) / 2, front - deep / 2
    walls = [
        sheet(w, h).moved(u, h / 2, front - deep),
        sheet(deep, h).turned("y", 90).moved(a, h / 2, z),
        sheet(deep, h).turned("y", -90).moved(b, h / 2, z),
    ]
    around = [sheet(o.u0 - a, h).turned("y", 180).moved((a + o.u0) / 2, h / 2, front),
              sheet(b - o.u1, h).turned("y", 180).moved((b + o.u1) / 2, h / 2, front),
              sheet(w, h - o.v1).turned("y", 180).moved(u, (h + o.v1) / 2, front)]  # fmt: skip
    ground = sheet(w, deep).turned("x", -90).moved(u, 0.0, z)
    meshes = [replace(m, local=m.positions).painted(wall) for m in walls + around]
    meshes.append(
        replace(ground, local=ground.positions @ np.array([[0.5, 0, 0], [0, 0, 0], [0, 0.5, 0]])).painted(floor)
    )
    return [*meshes, sheet(w, deep).turned("x", 90).moved(u, h, z).painted(white)]


def _curtains(plan: Plan, o: Opening, rng: Rng, *, cloth: int, rod: int) -> list[Mesh]:
    """Two gathered panels at the sides of a window and their rod."""
    w, top = o.u1 - o.u0, min(o.v1 + 0.15, plan.height - 0.05)
    low = 0.03 if rng.random() < 0.7 else o.v0 - 0.15
    wide = rng.uniform(0.18, 0.35) * w
    meshes = [box(w + 0.5, 0.025, 0.025).moved((o.u0 + o.u1) / 2, top + 0.01, 0.09).painted(rod)]
    for u in (o.u0 - 0.12, o.u1 + 0.12 - wide):
        x = np.linspace(0, wide, 41)
        z = 0.09 + 0.035 * np.sin(x * 2 * np.pi / 0.09 + rng.random())
        points = np.concatenate([np.stack([u + x, np.full(41, y), z], -1) for y in (low, top)])
        meshes.append(shade(points, grid_faces(2, 41), 90.0).painted(cloth))
    return meshes


def _panorama(sides: int = 24) -> list[Mesh]:
    """A cylinder seen from inside, the horizon 1.5 m above the floor, with a lid and a ground."""
    angle = np.linspace(0, 2 * np.pi, sides + 1)
    ring = np.stack([np.cos(angle), 0 * angle, np.sin(angle)], -1) * FAR
    low, high = 1.5 - 6.0, 1.5 + 6.0
    points = np.concatenate([ring + np.array([0, y, 0]) for y in (low, high)])
    local = np.concatenate([np.stack([angle / np.pi, 0 * angle + v, 0 * angle], -1) for v in (0.999, 0.001)])
    faces = grid_faces(2, sides + 1)
    side = replace(shade(points, faces, keep=True), local=local[faces.reshape(-1)])
    flat = lambda y, v: replace(
        sheet(2 * FAR, 2 * FAR).turned("x", 90).moved(y=y), local=np.tile([0.5, v, 0.0], (6, 1))
    )
    return [side, flat(high, 0.003), flat(low, 0.99)]
