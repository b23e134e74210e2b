"""Procedural instances of CO3D categories: a function (rng) -> Model for each. Object frame: y up, z to the front."""

from collections.abc import Callable, Sequence

import numpy as np

from fewview.data.meshes import Material, Mesh, Model, box, ellipsoid, join, lathe, spline, tube
from fewview.data.primitives import random_colour, random_material

Rng = np.random.Generator


def vase(rng: Rng) -> Model:
    """Foot, belly, neck and lip by a spline; sometimes fluted, sometimes with two handles."""
    height = rng.uniform(1.2, 2.4)
    radii = [rng.uniform(0.2, 0.45), rng.uniform(0.35, 0.75), rng.uniform(0.3, 0.7), rng.uniform(0.12, 0.4)]
    knots = np.stack([[*radii, radii[3] * rng.uniform(1.0, 1.8)], np.linspace(0, height, 5)], -1)
    outer = spline(knots, 32)
    body = _vessel(outer, rng.uniform(0.03, 0.07), ripple=_fluting(rng) if rng.random() < 0.3 else None)
    parts = [body]
    if rng.random() < 0.3:
        low, high = outer[18], outer[27]
        for side in (0.0, 180.0):
            parts.append(_handle(low, high, rng.uniform(0.15, 0.4), 0.05).turned("y", side))
    return _painted(parts, [0] + [1] * (len(parts) - 1), [_glaze(rng), _glaze(rng)])


def cup(rng: Rng) -> Model:
    """A mug, teacup or tankard: one handle; tankards have bands and often a lid."""
    tankard = rng.random() < 0.4
    height = rng.uniform(1.3, 2.0) if tankard else rng.uniform(0.8, 1.3)
    foot, top = rng.uniform(0.4, 0.6), rng.uniform(0.4, 0.65)
    if tankard:
        foot, top = rng.uniform(0.5, 0.65), rng.uniform(0.4, 0.5)
    outer = spline([[foot, 0], [(foot + top) / 2 + rng.uniform(-0.08, 0.1), height / 2], [top, height]], 24)
    parts, paint = [_vessel(outer, 0.05)], [0]
    parts.append(_handle(outer[4], outer[20], rng.uniform(0.25, 0.45), rng.uniform(0.04, 0.08)))
    paint.append(1)
    if tankard:
        for at in rng.choice(np.arange(2, 23), rng.integers(1, 4), replace=False):
            radius, level = outer[at]
            parts.append(_ring(radius + 0.015, level, rng.uniform(0.04, 0.1)))
            paint.append(2)
        if rng.random() < 0.6:
            lid = lathe(
                np.array([[0, 0], [top + 0.04, 0], [top + 0.04, 0.06], [top * 0.5, 0.14], [0.06, 0.16], [0, 0.26]])
            )
            parts.append(lid.textured().moved(y=height))
            paint.append(1)
    wooden = Material(
        str(rng.choice(["wood", "staves"])), *(_brown(rng) for _ in range(3)), scale=float(rng.uniform(5, 12))
    )
    body = wooden if tankard and rng.random() < 0.7 else _glaze(rng)
    return _painted(parts, paint, [body, body if rng.random() < 0.6 else _glaze(rng), random_material(rng)])


def bottle(rng: Rng) -> Model:
    """Body, shoulder, neck and cap, with a label."""
    height, radius, neck = rng.uniform(1.8, 2.6), rng.uniform(0.3, 0.5), rng.uniform(0.1, 0.18)
    shoulder = rng.uniform(0.5, 0.75) * height
    profile = [[radius, 0], [radius, shoulder * 0.5], [radius, shoulder], [neck, shoulder + 0.35], [neck, height]]
    parts = [_vessel(spline(profile, 32), 0.03), _ring(neck + 0.03, height - 0.1, 0.2)]
    parts.append(_ring(radius + 0.012, shoulder * 0.5, shoulder * rng.uniform(0.3, 0.7)))
    return _painted(parts, [0, 1, 2], [_glaze(rng), random_material(rng), random_material(rng)])


def chair(rng: Rng) -> Model:
    """Seat, four legs or a pedestal, a back of a panel or slats, sometimes arms."""
    width, depth, seat = rng.uniform(0.8, 1.1), rng.uniform(0.8, 1.0), rng.uniform(0.8, 1.0)
    thick, back = rng.uniform(0.06, 0.2), rng.uniform(0.7, 1.3)
    cushion = rng.random() < 0.5
    parts = [box(width, thick, depth, edge=0.04, puff=0.04 if cushion else 0.0).moved(y=seat)]
    paint = [1 if cushion else 0]
    if rng.random() < 0.2:
        parts += [_bar([0, 0.1, 0], [0, seat, 0], 0.06), *_star(rng, width / 2)]
    else:
        parts += _legs(rng, width, depth, seat)
    paint += [0] * (len(parts) - len(paint))
    lean = rng.uniform(0.0, 0.2)
    top = np.array([0, seat + back, -depth / 2 - lean])
    for side in (-1, 1):
        x = side * (width / 2 - 0.06)
        parts.append(_bar([x, seat, -depth / 2 + 0.05], [x, top[1], top[2]], 0.04))
    parts += _back(rng, width, seat, back, -depth / 2 + 0.05, top[2])
    paint += [0] * (len(parts) - len(paint))
    if rng.random() < 0.35:
        for side in (-1, 1):
            x, level = side * width / 2, seat + rng.uniform(0.25, 0.4)
            parts.append(box(0.09, 0.06, depth, edge=0.02).moved(x, level, 0))
            parts.append(_bar([x, seat, depth / 2 - 0.1], [x, level, depth / 2 - 0.1], 0.035))
    paint += [0] * (len(parts) - len(paint))
    return _painted(parts, paint, [_timber(rng), _cloth(rng)])


def couch(rng: Rng) -> Model:
    """Base, cushions, back and arms, on feet."""
    width, depth, seat = rng.uniform(1.5, 2.6), rng.uniform(0.8, 1.0), rng.uniform(0.3, 0.45)
    arm, back, thick = rng.uniform(0.12, 0.3), rng.uniform(0.4, 0.7), rng.uniform(0.15, 0.3)
    soft = rng.uniform(0.03, 0.1)
    parts = [box(width, seat, depth, edge=0.04).moved(y=seat / 2 + 0.12)]
    parts.append(
        box(width, back + seat, thick, edge=soft, puff=soft / 2).moved(0, (back + seat) / 2 + 0.12, -depth / 2)
    )
    paint = [0, 0]
    for side in (-1, 1):
        tall = seat + rng.uniform(0.15, 0.35)
        parts.append(box(arm, tall, depth, edge=soft, puff=soft / 2).moved(side * width / 2, tall / 2 + 0.12, 0))
        paint.append(0)
    count = int(rng.integers(1, 4))
    each = (width - arm) / count
    for i in range(count):
        x = (i - (count - 1) / 2) * each
        parts.append(box(each * 0.97, 0.18, depth * 0.85, edge=0.06, puff=0.05).moved(x, seat + 0.2, 0.05))
        parts.append(
            box(each * 0.95, back * 0.8, 0.16, edge=0.06, puff=0.06).moved(x, seat + back * 0.55, -depth / 2 + thick)
        )
        paint += [1, 1]
    for x in (-1, 1):
        for z in (-1, 1):
            parts.append(
                _bar([x * width * 0.45, 0, z * depth * 0.42], [x * width * 0.45, 0.14, z * depth * 0.42], 0.05)
            )
            paint.append(2)
    cloth = _cloth(rng)
    return _painted(parts, paint, [cloth, cloth if rng.random() < 0.5 else _cloth(rng), _timber(rng)])


def teddybear(rng: Rng) -> Model:
    """Belly, head, snout, ears, arms and legs of fur; eyes and nose; sometimes a bow."""
    fat, head = rng.uniform(0.42, 0.6), rng.uniform(0.34, 0.46)
    body_height = rng.uniform(0.5, 0.65)
    parts, paint = [ellipsoid(fat, body_height, fat * 0.85).moved(y=body_height)], [0]
    top = 2 * body_height + head * 0.6
    parts.append(ellipsoid(head, head * 0.92, head * 0.9).moved(y=top))
    parts.append(ellipsoid(head * 0.45, head * 0.36, head * 0.4).moved(0, top - head * 0.2, head * 0.8))
    parts.append(ellipsoid(fat * 0.6, body_height * 0.65, 0.1).moved(0, body_height, fat * 0.78))
    paint += [0, 1, 1]
    spread, sit = rng.uniform(20, 70), rng.random() < 0.6
    for side in (-1, 1):
        parts.append(ellipsoid(head * 0.3, head * 0.3, head * 0.16).moved(side * head * 0.72, top + head * 0.75, 0))
        arm = ellipsoid(0.17, 0.42, 0.17).moved(y=-0.36).turned("z", side * spread).turned("x", -rng.uniform(0, 40))
        parts.append(arm.moved(side * fat * 0.8, 2 * body_height - 0.22, 0.05))
        leg = ellipsoid(0.2, 0.42, 0.22).moved(y=-0.3).turned("x", -80 if sit else -rng.uniform(0, 20))
        parts.append(leg.moved(side * fat * 0.55, 0.2, 0.2))
        foot = np.array([side * fat * 0.55, 0.24, 0.9]) if sit else np.array([side * fat * 0.55, -0.4, 0.3])
        parts.append(ellipsoid(0.17, 0.17, 0.06).moved(*foot))
        parts.append(ellipsoid(0.055, 0.055, 0.04).moved(side * head * 0.38, top + head * 0.15, head * 0.84))
        paint += [0, 0, 0, 1, 2]
    parts.append(ellipsoid(0.09, 0.06, 0.05).moved(0, top - head * 0.08, head * 1.18))
    paint.append(2)
    if rng.random() < 0.4:
        parts += [ellipsoid(0.18, 0.1, 0.06).moved(s * 0.17, 2 * body_height - 0.02, fat * 0.8) for s in (-1, 1)]
        paint += [3, 3]
    fur = Material("fur", *(_brown(rng) if rng.random() < 0.6 else random_colour(rng) for _ in range(3)), scale=20.0)
    dark = Material("plain", a=(0.03, 0.02, 0.02), specular=0.3)
    return _painted(parts, paint, [fur, random_material(rng, ("plain", "fur")), dark, random_material(rng)])


def hydrant(rng: Rng) -> Model:
    """Flange, barrel, bonnet and three or four nozzles with bolted caps."""
    radius, height = rng.uniform(0.26, 0.38), rng.uniform(1.1, 1.6)
    parts, paint = (
        [_ring(radius * 1.6, 0.05, 0.1), lathe(_closed([[radius, 0], [radius * 0.95, height]])).textured()],
        [0, 0],
    )
    for level in (0.15, height * rng.uniform(0.5, 0.6), height):
        parts.append(_ring(radius * rng.uniform(1.15, 1.4), level, rng.uniform(0.06, 0.12)))
        paint.append(0)
    dome = spline([[radius * 1.15, 0], [radius, 0.2], [radius * 0.5, 0.38], [0.0, 0.44]], 16)
    parts += [lathe(_closed(dome)).textured().moved(y=height), box(0.12, 0.14, 0.12).moved(y=height + 0.48)]
    paint += [1, 2]
    angles = [90, 270, 0] + ([180] if rng.random() < 0.3 else [])
    for i, angle in enumerate(angles):
        size, level = (0.13, 0.72) if i < 2 else (0.2, 0.66)
        nozzle = lathe(_closed([[size, 0], [size, radius + 0.2]]))
        cap = lathe(_closed([[size * 1.3, 0], [size * 1.3, 0.12], [size * 0.8, 0.16]])).moved(y=radius + 0.18)
        nut = box(0.09, 0.12, 0.09).moved(y=radius + 0.36)
        for mesh, colour in ((nozzle, 0), (cap, 1), (nut, 2)):
            parts.append(mesh.textured().turned("x", 90).turned("y", angle).moved(y=height * level))
            paint.append(colour)
    kinds = ("plain", "rust", "speckle")
    return _painted(
        parts, paint, [random_material(rng, kinds), random_material(rng, kinds), random_material(rng, kinds)]
    )


def bench(rng: Rng) -> Model:
    """Planks on two supports, mostly with a back of planks."""
    width, depth, seat = rng.uniform(1.8, 2.8), rng.uniform(0.5, 0.7), rng.uniform(0.5, 0.6)
    count = int(rng.integers(2, 6))
    parts, paint = [], []
    for i in range(count):
        z = (i - (count - 1) / 2) * depth / count
        parts.append(box(width, 0.06, depth / count * 0.85, edge=0.01).moved(0, seat, z))
        paint.append(0)
    if rng.random() < 0.8:
        for i in range(int(rng.integers(2, 4))):
            parts.append(
                box(width, 0.13, 0.05, edge=0.01).moved(0, seat + 0.25 + 0.18 * i, -depth / 2 - 0.05 - 0.03 * i)
            )
            paint.append(0)
    for side in (-0.4, 0.4):
        x = side * width
        parts += [
            _bar([x, 0, depth * 0.4], [x, seat, depth * 0.4], 0.045),
            _bar([x, 0, -depth * 0.4], [x, seat, -depth * 0.4], 0.045),
        ]
        parts += [
            _bar([x, seat, -depth * 0.5], [x, seat + 0.7, -depth * 0.5 - 0.12], 0.04),
            box(0.07, 0.07, depth).moved(x, seat - 0.06, 0),
        ]
        paint += [1] * 4
    return _painted(parts, paint, [_timber(rng), random_material(rng, ("plain", "rust"))])


TRAINING: dict[str, Callable[[Rng], Model]] = {
    "chair": chair, "couch": couch, "cup": cup, "hydrant": hydrant, "teddybear": teddybear, "vase": vase,
}  # fmt: skip
HELD_OUT: dict[str, Callable[[Rng], Model]] = {"bench": bench, "bottle": bottle}


def _painted(parts: Sequence[Mesh], paint: Sequence[int], materials: Sequence[Material]) -> Model:
    meshes = [part.painted(index) for part, index in zip(parts, paint, strict=True)]
    return Model(
        join(meshes), tuple(materials), info={"source": "procedural", "license": "CC0-1.0", "author": "fewview"}
    )


def _closed(profile: Sequence[Sequence[float]] | np.ndarray) -> np.ndarray:
    """A profile with its ends joined to the axis."""
    profile = np.asarray(profile, dtype=float)
    return np.concatenate([[[0.0, profile[0, 1]]], profile, [[0.0, profile[-1, 1]]]])


def _vessel(outer: np.ndarray, wall: float, *, ripple=None) -> Mesh:
    """An open vessel: bottom, outer wall, lip, inner wall, inner bottom."""
    inner = outer[::-1] - [wall, 0]
    inner = inner[inner[:, 1] > outer[0, 1] + wall]
    inner[:, 0] = np.maximum(inner[:, 0], 0.02)
    profile = np.concatenate([[[0, outer[0, 1]]], outer, inner, [[0, inner[-1, 1]]]])
    return lathe(profile, 48, ripple=ripple).textured()


def _fluting(rng: Rng):
    waves, depth = int(rng.integers(6, 16)), rng.uniform(0.02, 0.06)
    return lambda angle, height: 1 + depth * np.cos(waves * angle)


def _ring(radius: float, level: float, height: float) -> Mesh:
    profile = [[radius, level - height / 2], [radius, level + height / 2]]
    return lathe(_closed(profile), 40).textured()


def _handle(low: np.ndarray, high: np.ndarray, reach: float, radius: float) -> Mesh:
    """A bow in the plane z = 0, x > 0, between two points (radius, height) of a profile."""
    middle = (low + high) / 2 + [reach, 0]
    knots = [
        [low[0] - 0.02, low[1], 0],
        [middle[0], low[1] + 0.1, 0],
        [middle[0], high[1] - 0.1, 0],
        [high[0] - 0.02, high[1], 0],
    ]
    return tube(spline(knots, 24), radius, sides=12).textured()


def _bar(start: Sequence[float], end: Sequence[float], radius: float) -> Mesh:
    return tube(np.linspace(start, end, 3), radius, sides=8).textured()


def _legs(rng: Rng, width: float, depth: float, seat: float) -> list[Mesh]:
    splay, radius = rng.uniform(0, 0.12), rng.uniform(0.03, 0.06)
    legs = []
    for x in (-1, 1):
        for z in (-1, 1):
            at = np.array([x * (width / 2 - 0.07), seat, z * (depth / 2 - 0.07)])
            legs.append(_bar(at * [1, 0, 1] + [x * splay, 0, z * splay], at, radius))
    if rng.random() < 0.4:
        legs += [
            _bar([x * width / 2.3, 0.3, -depth / 2.3], [x * width / 2.3, 0.3, depth / 2.3], 0.025) for x in (-1, 1)
        ]
    return legs


def _star(rng: Rng, reach: float) -> list[Mesh]:
    arms = int(rng.integers(4, 6))
    return [
        _bar([0, 0.12, 0], [reach * np.sin(a), 0.04, reach * np.cos(a)], 0.05)
        for a in np.arange(arms) * 2 * np.pi / arms
    ]


def _back(rng: Rng, width: float, seat: float, back: float, z_low: float, z_high: float) -> list[Mesh]:
    """A panel, upright bars or cross slats between the posts."""
    kind = rng.integers(3)
    at = lambda share: (seat + back * share, z_low + (z_high - z_low) * share)
    if kind == 0:
        y, z = at(0.62)
        return [box(width * 0.9, back * 0.65, 0.07, edge=0.03, puff=0.03).moved(0, y, z)]
    if kind == 1:
        (y0, z0), (y1, z1) = at(0.1), at(0.95)
        xs = np.linspace(-0.38, 0.38, int(rng.integers(3, 7))) * width
        bars = [_bar([x, y0, z0], [x, y1, z1], 0.025) for x in xs]
        return [*bars, _bar([-width / 2.2, y1, z1], [width / 2.2, y1, z1], 0.045)]
    levels = np.linspace(0.35, 0.95, int(rng.integers(2, 5)))
    return [box(width * 0.92, 0.11, 0.05, edge=0.02).moved(0, *at(level)) for level in levels]


def _glaze(rng: Rng) -> Material:
    return random_material(rng)


def _cloth(rng: Rng) -> Material:
    return random_material(rng, ("plain", "plaid", "stripes", "weave", "dots", "checks", "fur"))


def _timber(rng: Rng) -> Material:
    if rng.random() < 0.6:
        return Material(
            "wood", *(_brown(rng) for _ in range(3)), scale=float(rng.uniform(4, 10)), axis=int(rng.integers(3))
        )
    return random_material(rng, ("plain", "wood", "speckle", "rust"))


def _brown(rng: Rng) -> tuple[float, float, float]:
    """From pale beech to dark walnut."""
    value = rng.uniform(0.2, 0.85)
    return float(value), float(value * rng.uniform(0.6, 0.8)), float(value * rng.uniform(0.3, 0.55))
