"""Furnishing a room: what stands where, without collisions, doors kept free; and the light that falls in.

Boxes are axis-aligned in the world. A piece turned by 0 faces +z.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import numpy as np
from jaxtyping import Float

from fewview.data.meshes import rotation
from fewview.synthetic.rooms.floorplans import Opening, Plan
from fewview.synthetic.rooms.inventory import Prop, Stock

Rng = np.random.Generator
GAP = 0.015  # between boxes, metres
FLAT = 0.03  # rugs are lower
DOOR_CLEAR = 0.9


@dataclass(frozen=True, eq=False)
class Placed:
    """A piece at `position` (of the middle of its base), turned by `turn` degrees about y."""

    prop: Prop
    position: Float[np.ndarray, "3"]
    turn: float = 0.0

    @property
    def points(self) -> Float[np.ndarray, "v 3"]:
        return self.prop.vertices[:, :3] @ rotation("y", self.turn).T + self.position

    @property
    def box(self) -> Float[np.ndarray, "2 3"]:
        """Lowest and highest corner."""
        points = self.points
        return np.stack([points.min(0), points.max(0)])


def collide(a: Float[np.ndarray, "2 3"], b: Float[np.ndarray, "2 3"]) -> bool:
    """Whether two boxes come nearer than GAP; furniture may stand on rugs."""
    flat = (a[1] - a[0])[1] < FLAT, (b[1] - b[0])[1] < FLAT
    return bool(flat[0] == flat[1] and (a[0] < b[1] + GAP).all() and (a[1] > b[0] - GAP).all())


@dataclass(eq=False)
class Layout:
    """A room that is being furnished; every method places what fits and says what it placed."""

    plan: Plan
    stock: Stock
    rng: Rng
    placed: list[Placed] = field(default_factory=list)
    boxes: list[np.ndarray] = field(default_factory=list)

    def get(self, role: str, fits: Callable[[Prop], bool] = lambda _: True) -> Prop | None:
        return self.stock.choose(role, self.rng, fits=fits)

    def free(self, box: np.ndarray, *, on: Placed | None = None, walls: float = 0.005) -> bool:
        """Whether a box lies in the room, touches no other piece but the one it stands on, and blocks no door."""
        (x0, _, z0), (x1, y1, z1) = box
        corners = np.array([[x0, z0], [x1, z0], [x1, z1], [x0, z1], [(x0 + x1) / 2, (z0 + z1) / 2]])
        if y1 > self.plan.height or not self.plan.inside(corners, walls).all() or self._hits_notch(box):
            return False
        for other, its in zip(self.placed, self.boxes):
            if other is not on and collide(box, its):
                return False
        return not any(self._blocks(box, opening) for opening in self.plan.openings)

    def put(self, piece: Placed, *, on: Placed | None = None, walls: float = 0.005) -> Placed | None:
        box = piece.box
        if not self.free(box, on=on, walls=walls):
            return None
        self.placed.append(piece)
        self.boxes.append(box)
        return piece

    def along_wall(self, prop: Prop | None, *, y: float = 0.0, gap: float = 0.02, middle: bool = False,
                   walls: Sequence[int] | None = None) -> Placed | None:  # fmt: skip
        """With its back to a wall, anywhere along it or near its middle."""
        if prop is None:
            return None
        order = self.rng.permutation(len(self.plan.outline)) if walls is None else walls
        for wall in order:
            room = self.plan.length(int(wall)) - prop.size[0]
            for k in range(10 if room > 0.05 else 0):
                share = self.rng.normal(0.5, 0.1) if middle and k < 5 else self.rng.random()
                u = prop.size[0] / 2 + 0.02 + float(np.clip(share, 0, 1)) * (room - 0.04)
                spot = self.plan.point(int(wall), u, y, away=prop.size[2] / 2 + gap + (0.015 if y == 0 else 0))
                piece = self.put(Placed(prop, spot, self.plan.yaw(int(wall))))
                if piece:
                    return piece
        return None

    def beside(self, prop: Prop | None, anchor: Placed, side: int, *, gap: float = 0.06) -> Placed | None:
        """Next to another piece (side -1 or 1), backs in line."""
        if prop is None:
            return None
        size = anchor.prop.size
        offset = np.array([side * (size[0] / 2 + prop.size[0] / 2 + gap), 0, -size[2] / 2 + prop.size[2] / 2])
        return self.put(Placed(prop, anchor.position + rotation("y", anchor.turn) @ offset, anchor.turn))

    def before(self, prop: Prop | None, anchor: Placed, distance: float, *, turn: float = 180.0) -> Placed | None:
        """In front of another piece at a distance between their edges, turned against it."""
        if prop is None:
            return None
        deep = prop.size[0] if abs(turn % 180 - 90) < 45 else prop.size[2]
        offset = np.array([0, 0, anchor.prop.size[2] / 2 + distance + deep / 2])
        spot = anchor.position + rotation("y", anchor.turn) @ offset
        return self.put(Placed(prop, np.array([spot[0], 0.0, spot[2]]), anchor.turn + turn))

    def anywhere(
        self, prop: Prop | None, *, tries: int = 40, walls: float = 0.05, corner: bool = False
    ) -> Placed | None:
        """At a random place on the floor, or close to a corner, turned at random."""
        for _ in range(tries if prop is not None else 0):
            assert prop is not None
            if corner:
                k = int(self.rng.integers(len(self.plan.outline)))
                away = float(np.hypot(prop.size[0], prop.size[2])) / 2 + 0.05 + 0.2 * self.rng.random(2)
                x, z = self.plan.outline[k] + away * self.rng.choice([-1, 1], 2)
            else:
                x, z = self.rng.uniform(self.plan.low, self.plan.high)
            turn = float(self.rng.uniform(0, 360)) if corner else 90.0 * int(self.rng.integers(4))
            piece = self.put(Placed(prop, np.array([x, 0.0, z]), turn), walls=walls)
            if piece:
                return piece
        return None

    def upon(self, prop: Prop | None, support: Placed | None, *, share: float = 1.0, tries: int = 20,
             facing: bool = False) -> Placed | None:  # fmt: skip
        """Standing on the top of another piece where that is level; anywhere on a `share` of it about its middle."""
        if prop is None or support is None:
            return None
        half = np.array([prop.size[0], prop.size[2]]) / 2
        extent = np.array([support.prop.size[0], support.prop.size[2]]) / 2
        for _ in range(tries):
            turn = 0.0 if facing else float(self.rng.normal(0, 20))
            x, z = self.rng.uniform(-1, 1, 2) * np.maximum(extent - half - 0.02, 0) * share
            y = level_under(support.prop, np.array([x, z]), half)
            if y is None:
                continue
            spot = support.position + rotation("y", support.turn) @ np.array([x, y + 0.003, z])
            piece = self.put(Placed(prop, spot, support.turn + turn), on=support)
            if piece:
                return piece
        return None

    def around(self, role: str, table: Placed, count: int) -> None:
        """Equal chairs at the sides of a table, drawn out by different amounts."""
        chair = self.get(role)
        if chair is None:
            return
        w, _, d = table.prop.size
        per_side = max(1, int(w // 0.62))
        seats = [((i - (per_side - 1) / 2) * min(0.75, w / per_side), s) for s in (1, -1) for i in range(per_side)]
        seats = [(x, s * (d / 2), 90 - 90 * s + 180) for x, s in seats]
        if per_side > 1 or w > 1.0:
            seats += [(None, s * w / 2, -90 * s) for s in (1, -1)]
        for k in self.rng.permutation(len(seats))[:count]:
            x, edge, turn = seats[k]
            out = chair.size[2] / 2 + self.rng.uniform(0.03, 0.15)
            offset = [edge + np.sign(edge) * out, 0, 0] if x is None else [x, 0, edge + np.sign(edge) * out]
            spot = table.position + rotation("y", table.turn) @ np.array(offset)
            self.put(Placed(chair, spot, table.turn + turn + self.rng.normal(0, 6)))

    def _blocks(self, box: np.ndarray, o: Opening) -> bool:
        """Whether a box stands before a door, or rises before a window."""
        deep = DOOR_CLEAR if o.v0 == 0 else 0.25
        a, b = self.plan.point(o.wall, o.u0, o.v0 + 0.05), self.plan.point(o.wall, o.u1, o.v1, away=deep)
        low, high = np.minimum(a, b), np.maximum(a, b)
        return bool((box[0] < high).all() and (box[1] > low).all())

    def _hits_notch(self, box: np.ndarray) -> bool:
        if self.plan.notch is None:
            return False
        x0, z0, x1, z1 = self.plan.notch
        return bool(box[0][0] < x1 and box[1][0] > x0 and box[0][2] < z1 and box[1][2] > z0)


def level_under(prop: Prop, at: Float[np.ndarray, "2"], half: Float[np.ndarray, "2"]) -> float | None:
    """Height of the top surface below a rectangle about (x, z) in the piece's frame; None where that is not level."""
    spots = at + np.array([[0, 0], *((sx, sz) for sx in (-0.85, 0.85) for sz in (-0.85, 0.85))]) * half
    corners = prop.vertices[prop.faces][..., :3].astype(np.float64)
    a, b, c = corners[:, 0], corners[:, 1], corners[:, 2]
    plane = lambda p, q: p[:, 0] * q[:, 1] - p[:, 1] * q[:, 0]
    e, f = (b - a)[:, [0, 2]], (c - a)[:, [0, 2]]
    area = plane(e, f)
    steep = np.abs(area) < 1e-9
    heights = []
    for spot in spots:
        d = spot - a[:, [0, 2]]
        s = np.divide(plane(d, f), area, where=~steep, out=np.full(len(a), -1.0))
        t = np.divide(plane(e, d), area, where=~steep, out=np.full(len(a), -1.0))
        hit = (s >= -1e-6) & (t >= -1e-6) & (s + t <= 1 + 1e-6)
        if not hit.any():
            return None
        heights.append(float((a[:, 1] + s * (b - a)[:, 1] + t * (c - a)[:, 1])[hit].max()))
    return max(heights) if max(heights) - min(heights) < 0.015 and min(heights) > 0.2 else None


def furnish(layout: Layout, kind: str) -> None:
    """Everything that belongs in a room of a kind, as far as it fits; big pieces first."""
    FURNISHERS[kind](layout)
    rng = layout.rng
    for role, chance in (("bookcase", 0.5), ("cabinet", 0.6), ("piano", 0.08), ("bookcase", 0.25)):
        if rng.random() < chance:
            dress(layout, layout.along_wall(layout.get(role)))
    for role, count in (
        ("floor_plant", rng.integers(0, 3)),
        ("armchair", rng.integers(0, 2)),
        ("floor_lamp", rng.integers(0, 2)),
        ("floor_thing", rng.integers(0, 3)),
    ):
        for _ in range(count):
            layout.anywhere(layout.get(role), corner=True)
    for _ in range(int(rng.integers(0, 3))):
        layout.along_wall(layout.get("floor_thing" if rng.random() < 0.6 else "stool"), gap=0.04)
    for _ in range(int(rng.integers(2, 8))):
        hang(layout)
    pendants(layout)


def dress(layout: Layout, support: Placed | None, *, role: str = "thing", most: int = 4) -> None:
    """A few things on top of a piece that is low enough to see them."""
    if support is None or support.prop.size[1] > 1.6:
        return
    rng = layout.rng
    if rng.random() < 0.35:
        layout.upon(layout.get("table_lamp"), support)
    for _ in range(int(rng.integers(1, most + 1))):
        layout.upon(layout.get(role), support, facing=rng.random() < 0.5)


def hang(layout: Layout) -> None:
    """A picture at eye level."""
    prop = layout.get("picture")
    if prop is not None:
        layout.along_wall(prop, y=layout.rng.normal(1.55, 0.08) - prop.size[1] / 2, gap=0.008)


def pendants(layout: Layout) -> None:
    """A lamp over each dining table and, if there is none, in the middle; its cord ends at the ceiling."""
    prop, ceiling = layout.get("pendant"), layout.plan.height
    if prop is None:
        return
    tables = [p for p in layout.placed if p.prop.role == "dining_table"]
    spots = [p.position for p in tables] or [np.insert(layout.plan.outline.mean(0), 1, 0.0)]
    for spot in spots:
        layout.put(Placed(prop, np.array([spot[0], ceiling - prop.size[1] - 0.001, spot[2]])))


def living(layout: Layout) -> None:
    rng = layout.rng
    sofa = layout.along_wall(layout.get("sofa"), middle=True, gap=float(rng.choice([0.03, 0.1])))
    if sofa is not None:
        if rng.random() < 0.7:
            layout.before(layout.get("carpet"), sofa, 0.05, turn=0.0)
        distance = rng.uniform(0.3, 0.5)
        table = layout.before(layout.get("coffee_table"), sofa, distance, turn=0.0)
        dress(layout, table, most=3)
        for side in (-1, 1):
            if rng.random() < 0.6:
                lamp = layout.beside(layout.get("nightstand"), sofa, side, gap=0.08)
                layout.upon(layout.get("table_lamp"), lamp, share=0.2)
            elif rng.random() < 0.6:
                layout.beside(layout.get("floor_lamp"), sofa, side, gap=0.1)
            if table is not None and rng.random() < 0.6:
                chair = layout.get("armchair")
                if chair is not None:
                    away = table.prop.size[0] / 2 + chair.size[2] / 2 + rng.uniform(0.25, 0.45)
                    spot = table.position + rotation("y", sofa.turn) @ np.array(
                        [side * away, 0, rng.uniform(-0.1, 0.3)]
                    )
                    spot[1] = 0.0
                    layout.put(Placed(chair, spot, sofa.turn - side * 90 + rng.normal(0, 8)))
    low = layout.along_wall(layout.get("cabinet", lambda p: bool(p.size[1] < 0.85)), middle=True)
    if low is not None:
        wide = float(low.prop.size[0])
        layout.upon(layout.get("screen", lambda p: bool(p.size[0] < wide)), low, share=0.1, facing=True)
        dress(layout, low, most=2)
    dress(layout, layout.along_wall(layout.get("bookcase")), most=2)


def bedroom(layout: Layout) -> None:
    rng = layout.rng
    bed = layout.along_wall(layout.get("bed"), middle=True)
    if bed is not None:
        for side in (-1, 1):
            stand = layout.beside(layout.get("nightstand"), bed, side)
            layout.upon(layout.get("table_lamp"), stand, share=0.3)
            layout.upon(layout.get("thing", lambda p: bool(p.size.max() < 0.25)), stand)
        if rng.random() < 0.6:
            layout.before(layout.get("carpet"), bed, 0.1, turn=0.0)
        if rng.random() < 0.4:
            layout.before(layout.get("stool"), bed, 0.1)
    layout.along_wall(layout.get("wardrobe"))
    dress(layout, layout.along_wall(layout.get("cabinet")))
    if rng.random() < 0.5:
        working_place(layout)
    if rng.random() < 0.4:
        layout.anywhere(layout.get("armchair"), corner=True)


def dining(layout: Layout) -> None:
    rng, plan = layout.rng, layout.plan
    table_prop = layout.get("dining_table")
    if table_prop is not None:
        centre = (plan.low + plan.high) / 2 + rng.normal(0, 0.15, 2)
        turn = 90.0 * int(rng.integers(2))
        rug = layout.get("carpet")
        if rug is not None and rng.random() < 0.4:
            layout.put(Placed(rug, np.array([centre[0], 0.0, centre[1]]), turn))
        piece = Placed(table_prop, np.array([centre[0], 0.0, centre[1]]), turn)
        table = layout.put(piece) or layout.anywhere(table_prop, walls=0.5)
        if table is not None:
            seat(layout, table)
            dress(layout, table, most=5)
    dress(layout, layout.along_wall(layout.get("cabinet"), middle=True))
    dress(layout, layout.along_wall(layout.get("bookcase")))


def office(layout: Layout) -> None:
    working_place(layout)
    if layout.rng.random() < 0.4:
        working_place(layout)
    dress(layout, layout.along_wall(layout.get("bookcase")))
    dress(layout, layout.along_wall(layout.get("bookcase")))
    if layout.along_wall(layout.get("sofa")) is None:
        layout.anywhere(layout.get("armchair"), corner=True)
    if layout.rng.random() < 0.6:
        layout.anywhere(layout.get("carpet"))


def kitchen(layout: Layout) -> None:
    """A run of counters along one wall with cupboards above, a fridge at its end, a table if there is room."""
    rng, plan = layout.rng, layout.plan
    first: Placed | None = None
    for wall in sorted(range(len(plan.outline)), key=lambda w: (-plan.length(w), w)):
        counter = layout.get("counter")
        if counter is None:
            break
        u = 0.05 + counter.size[0] / 2
        end = plan.length(wall)
        while counter is not None and u + counter.size[0] / 2 < end:
            piece = layout.put(Placed(counter, plan.point(wall, u, away=counter.size[2] / 2 + 0.02), plan.yaw(wall)))
            if piece is not None:
                first = first or piece
                dress(layout, piece, role="kitchenware", most=2)
                wide = float(piece.prop.size[0]) + 0.1
                above = layout.get("wall_cabinet", lambda p, wide=wide: bool(p.size[0] < wide))
                if above is not None and rng.random() < 0.75:
                    height = min(1.45, plan.height - above.size[1] - 0.02)
                    spot = plan.point(wall, u, height, away=above.size[2] / 2 + 0.01)
                    layout.put(Placed(above, spot, plan.yaw(wall)))
            u += counter.size[0] / 2
            counter = layout.get("counter")
            u += counter.size[0] / 2 + 0.02 if counter is not None else 0
        if first is not None and rng.random() < 0.7:
            break
    layout.along_wall(layout.get("fridge"))
    table = layout.anywhere(layout.get("dining_table"), walls=0.6, tries=60)
    if table is not None:
        seat(layout, table)
        dress(layout, table, role="kitchenware", most=3)


def studio(layout: Layout) -> None:
    living(layout)
    table = layout.anywhere(layout.get("dining_table"), walls=0.6, tries=80)
    if table is not None:
        seat(layout, table)
        dress(layout, table)
    if layout.rng.random() < 0.4:
        bedroom(layout)


def seat(layout: Layout, table: Placed) -> None:
    layout.around("chair", table, int(layout.rng.integers(2, 7)))


def working_place(layout: Layout) -> None:
    table = layout.along_wall(layout.get("desk"))
    if table is None:
        return
    layout.upon(layout.get("gadget" if layout.rng.random() < 0.5 else "screen"), table, share=0.5, facing=True)
    layout.upon(layout.get("table_lamp"), table)
    dress(layout, table, role="gadget", most=2)
    layout.before(layout.get("chair"), table, float(layout.rng.uniform(0.03, 0.25)))


FURNISHERS: dict[str, Callable[[Layout], None]] = {
    "living": living, "bedroom": bedroom, "dining": dining, "office": office, "kitchen": kitchen, "studio": studio
}  # fmt: skip
