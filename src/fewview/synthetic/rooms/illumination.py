"""Light of a furnished room: day through the windows, at times the sun, lamps, and what the surfaces throw back."""

from collections.abc import Sequence

import numpy as np
from jaxtyping import Float

from fewview.synthetic.opengl import room_shaders
from fewview.synthetic.opengl.rasterise import linear, sky_directions
from fewview.synthetic.opengl.room_renderer import Lamp, RoomLight
from fewview.synthetic.opengl.room_shaders import LAMPS
from fewview.synthetic.rooms.floorplans import Plan
from fewview.synthetic.rooms.interiors import Placed

Rng = np.random.Generator
FILL = 0.8  # of the light that a room of diffuse walls would throw back; furniture swallows the rest
HEIGHTS = {"pendant": 0.35, "floor_lamp": 0.85, "table_lamp": 0.7}  # where lamps shine, as a share of their height


def illuminate(
    plan: Plan, placed: Sequence[Placed], rng: Rng, *, colours: Float[np.ndarray, "3 3"], first_part: int
) -> tuple[RoomLight, float]:
    """The light of a room whose pieces are parts `first_part`, ..., and the radiance of what lies outside.

    Radiance is relative: a clip is exposed for its mean. `colours` are sRGB of floor, walls and ceiling."""
    evening = rng.random() < 0.12
    day = rng.uniform(0.05, 0.3) if evening else rng.uniform(5.0, 11.0)
    cool = rng.normal(0, 0.05)
    sky = day * np.array([1 - 1.2 * cool - 0.02, 1.0, 1 + 1.2 * cool + 0.02])
    windows = sorted((o for o in plan.openings if o.kind == "window"), key=lambda o: -(o.u1 - o.u0) * (o.v1 - o.v0))
    lamps = []
    for o in windows[:4]:
        area = (o.u1 - o.u0) * (o.v1 - o.v0)
        place = plan.point(o.wall, (o.u0 + o.u1) / 2, (o.v0 + o.v1) / 2, away=0.06)
        inward = plan.inward(o.wall)
        aim = inward - np.array([0, 0.25, 0])
        lamps.append(Lamp(place, aim / np.linalg.norm(aim), sky * area / np.pi, area, True))
    burning = 0.95 if evening else 0.45
    for k, piece in enumerate(placed):
        share = HEIGHTS.get(piece.prop.role)
        if share is None or len(lamps) == LAMPS or rng.random() > burning:
            continue
        power = {"pendant": 2.2, "floor_lamp": 0.9, "table_lamp": 0.45}[piece.prop.role] * rng.uniform(0.6, 1.4)
        warm = np.array([1.0, rng.uniform(0.74, 0.88), rng.uniform(0.5, 0.72)])
        place = piece.position + np.array([0, share * piece.prop.size[1], 0])
        lamps.append(Lamp(place, np.array([0.0, -1.0, 0.0]), power * warm, 0.06, False, first_part + k))
    sun, direction = _sun(plan, rng, dull=evening or rng.random() < 0.45)
    return RoomLight(
        direction, sun, tuple(lamps), _bounce(plan, lamps, sun, direction=direction, albedo=linear(colours)),
        plan.walls, plan.height,
    ), day * float(rng.uniform(0.25, 0.5))  # fmt: skip


def _sun(plan: Plan, rng: Rng, *, dull: bool) -> tuple[np.ndarray, np.ndarray]:
    """Colour and direction of a sun that shines through one of the windows."""
    windows = [o for o in plan.openings if o.kind == "window"]
    wall = windows[rng.integers(len(windows))].wall
    inward = plan.inward(wall)
    side = np.cross(inward, [0, 1.0, 0])
    flat = -inward + rng.uniform(-0.9, 0.9) * side
    direction = flat / np.linalg.norm(flat) + np.array([0, np.tan(np.deg2rad(rng.uniform(18, 52))), 0])
    colour = np.array([1.0, 0.93, 0.8]) * rng.uniform(4.0, 9.0) * (not dull)
    return colour, direction / np.linalg.norm(direction)


def _bounce(
    plan: Plan, lamps: Sequence[Lamp], sun: np.ndarray, *, direction: np.ndarray, albedo: np.ndarray
) -> Float[np.ndarray, "n 3"]:
    """Radiance of floor, walls and ceiling: that of an integrating sphere, tinted by what lies in each direction.

    Lamp colours are irradiance / pi at one metre, so that a window gives pi^2 times its colour, a bulb 4 pi^2 times."""
    flux = sum((np.pi**2 * (1 if lamp.wide else 4) * lamp.colour for lamp in lamps), np.zeros(3))
    for o in plan.openings:
        if o.kind == "window":
            inward = plan.inward(o.wall)
            flux = flux + np.pi * sun * max(float(-inward @ direction), 0.0) * (o.u1 - o.u0) * (o.v1 - o.v0)
    around = sum(plan.length(w) for w in range(len(plan.outline))) * plan.height
    areas = np.array([plan.area, around, plan.area])
    mean = (areas[:, None] * albedo).sum(0) / areas.sum()
    level = FILL * flux / (np.pi * areas.sum() * (1 - np.minimum(mean, 0.7)))
    y = sky_directions(room_shaders.SKY)[:, 1:2]
    up, down = np.clip(y * 1.6, 0, 1), np.clip(-y * 1.6, 0, 1)
    return level * (up * albedo[2] * 0.95 + down * albedo[0] * 1.1 + (1 - up - down) * albedo[1])
