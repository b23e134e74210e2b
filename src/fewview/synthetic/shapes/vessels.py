"""Procedural vases, cups and bottles. y is up, handles point to +x. Own work, CC0."""

from collections.abc import Callable

import numpy as np

from fewview.data.meshes import Material, Mesh, Model
from fewview.synthetic.shapes.palettes import contrast, glaze, hue, metal, near, paint, wood
from fewview.synthetic.shapes.parts import Builder, dense, hollow, ring
from fewview.synthetic.shapes.solids import lathe, spline, tube

Rng = np.random.Generator


def vase(rng: Rng) -> Model:
    """A hollow spline profile, at times fluted, twisted, squarish, footed or with handles."""
    b = Builder()
    skin = b.material(glaze(rng))
    belly, neck, lip = rng.uniform(0.22, 0.5), rng.uniform(0.07, 0.3), rng.uniform(0.1, 0.4)
    foot, height = rng.uniform(0.1, 0.3), rng.uniform(0.8, 1.5)
    at, neck_at = rng.uniform(0.2, 0.65), rng.uniform(0.72, 0.92)
    points = [
        [foot, 0.0],
        [(foot + belly) / 2 * rng.uniform(0.85, 1.15), at / 2],
        [belly, at],
        [neck, neck_at],
        [lip, 1.0],
    ]
    if rng.random() < 0.2:
        points = [[foot, 0.0], [belly, rng.uniform(0.6, 0.9)], [lip, 1.0]]
    outside = spline(points, 36) * [1, height]
    wall = 0.025
    inside = outside[::-1][:-3] - [wall, 0]
    inside = inside[inside[:, 0] > 0.02]
    profile = np.concatenate([[[0, 0.0]], outside, inside, [[0, inside[-1, 1]]]])
    ripple = _ripple(rng, height)
    b.add(lathe(profile, 72 if ripple else 48, ripple=ripple).textured(2.0), skin)
    trim = b.material(paint(rng) if rng.random() < 0.6 else metal(rng))
    if rng.random() < 0.35 and ripple is None:
        for t in rng.uniform(0.05, 0.97, int(rng.integers(1, 4))):
            r = float(np.interp(t * height, outside[:, 1], outside[:, 0]))
            b.add(ring(r, t * height, rng.uniform(0.01, 0.025)), trim)
    if rng.random() < 0.35:
        low, high = rng.uniform(0.35, 0.6) * height, rng.uniform(0.75, 0.95) * height
        ends = [float(np.interp(y, outside[:, 1], outside[:, 0])) for y in (low, high)]
        out = max(ends) + rng.uniform(0.08, 0.25)
        path = spline(
            [[ends[0] - 0.02, low, 0], [out, (low + high) / 2, 0], [out * 0.9, high, 0], [ends[1] - 0.01, high, 0]], 24
        )
        mesh = tube(path, rng.uniform(0.018, 0.035))
        (b.mirrored if rng.random() < 0.7 else b.add)(mesh, skin if rng.random() < 0.5 else trim)
    return b.model("vase")


def _ripple(rng: Rng, height: float) -> Callable[[np.ndarray, np.ndarray], np.ndarray] | None:
    kind = rng.choice(["none", "none", "flutes", "twist", "square"])
    n, depth = int(rng.integers(5, 16)), rng.uniform(0.02, 0.07)
    twist = rng.uniform(1, 4) / height if kind == "twist" else 0.0
    if kind == "none":
        return None
    if kind == "square":
        sides, depth = int(rng.choice([3, 4, 4, 5, 6])), rng.uniform(0.04, 0.1)
        return lambda angle, y: 1 + depth * np.cos(sides * angle)
    return lambda angle, y: 1 + depth * np.cos(n * angle + twist * y)


def cup(rng: Rng) -> Model:
    """Mugs, teacups with saucers, goblets, and staved or glazed tankards with bands and lids."""
    return [_mug, _mug, _teacup, _tankard, _tankard, _goblet][rng.integers(6)](rng).model("cup")


def _mug(rng: Rng) -> Builder:
    b = Builder()
    skin, plain = b.material(glaze(rng)), b.material(paint(rng))
    r, h = rng.uniform(0.3, 0.42), rng.uniform(0.6, 1.0)
    bottom, mid = r * rng.uniform(0.7, 1.05), r * rng.uniform(0.9, 1.12)
    outside = np.concatenate([[[bottom * 0.93, 0]], spline([[bottom, 0.03], [mid, 0.5 * h], [r, h]], 16)])
    b.add(hollow(outside, 0.035, 0.06).textured(2.5), skin)
    _cup_handle(b, rng, skin if rng.random() < 0.5 else plain, outside=outside, h=h)
    return b


def _teacup(rng: Rng) -> Builder:
    b = Builder()
    skin = b.material(glaze(rng))
    r, h = rng.uniform(0.38, 0.5), rng.uniform(0.4, 0.6)
    outside = spline([[0.2, 0], [0.22, 0.05], [r * 0.85, 0.4 * h], [r, h]], 20)
    b.add(hollow(outside, 0.025, 0.08).textured(2.5), skin)
    _cup_handle(b, rng, skin, outside=outside, h=h)
    if rng.random() < 0.7:
        s = r * rng.uniform(1.4, 1.75)
        plate = np.array(
            [
                [0, -0.03],
                [0.25, -0.03],
                [0.3, -0.02],
                [0.8 * s, 0.03],
                [s, 0.08],
                [s * 0.97, 0.1],
                [0.75 * s, 0.05],
                [0.25, 0.0],
                [0, 0.0],
            ]
        )
        b.add(lathe(plate, 56).textured(2.5), skin if rng.random() < 0.6 else b.material(glaze(rng)))
    return b


def _tankard(rng: Rng) -> Builder:
    b = Builder()
    woody = rng.random() < 0.6
    if woody:
        base = wood(rng)
        turns = int(rng.integers(9, 18)) / (2 * np.pi)
        skin = b.material(
            Material(
                "staves",
                base.a,
                base.b,
                near(rng, (0.12, 0.08, 0.05)),
                scale=turns,
                p=rng.random(),
                mapping="cylinder",
                specular=0.06,
                bump=0.15,
            )
        )
    else:
        skin = b.material(glaze(rng))
    trim = b.material(metal(rng) if rng.random() < 0.6 else wood(rng))
    r, h, taper = rng.uniform(0.3, 0.4), rng.uniform(0.75, 1.15), rng.uniform(0.0, 0.09)
    bulge = rng.uniform(0, 0.05)
    outside = np.concatenate(
        [[[r + taper - 0.02, 0]], spline([[r + taper, 0.02], [r + taper / 2 + bulge, h / 2], [r, h]], 16)]
    )
    b.add(hollow(outside, 0.045, 0.07).textured(1.0 if woody else 2.5), skin)
    heights = (
        [0.05 * h, 0.95 * h] + [float(rng.uniform(0.2, 0.8)) * h] * int(rng.integers(0, 2))
        if rng.random() < 0.85
        else []
    )
    for y in heights:
        wide, at = rng.uniform(0.03, 0.07), float(np.interp(y, outside[:, 1], outside[:, 0]))
        band = np.array(
            [[at - 0.01, -wide / 2], [at + 0.014, -wide / 2], [at + 0.014, wide / 2], [at - 0.01, wide / 2]]
        )
        b.add(lathe(band, 48).moved(y=y), trim)
    _cup_handle(b, rng, trim if rng.random() < 0.5 else skin, outside=outside, h=h)
    if rng.random() < 0.6:
        lid = spline(
            [[0, 0.0], [r + 0.03, 0.0], [r + 0.035, 0.04], [0.6 * r, rng.uniform(0.06, 0.16)], [0.04, 0.12]], 16
        )
        knob = [[0.04, 0.16], [0.06, 0.2], [0.04, 0.24], [0, 0.25]] if rng.random() < 0.5 else [[0, 0.13]]
        mesh = lathe(np.concatenate([lid, knob]), 44).textured(2.5)
        b.add(mesh.moved(y=h + 0.005), trim if rng.random() < 0.5 else skin)
        thumb = spline([[r - 0.02, h + 0.03, 0], [r + 0.1, h + 0.08, 0], [r + 0.07, h + 0.2, 0]], 12)
        b.add(tube(thumb, [0.03] * 6 + [0.045] * 6, flat=0.5), trim)
    return b


def _goblet(rng: Rng) -> Builder:
    b = Builder()
    skin = b.material(glaze(rng) if rng.random() < 0.6 else metal(rng))
    r, stem, bowl = rng.uniform(0.28, 0.42), rng.uniform(0.25, 0.6), rng.uniform(0.4, 0.7)
    foot = [[0, 0], [r * 0.8, 0], [r * 0.8, 0.03], [0.06, 0.08]]
    knot = (
        [[0.045, stem * 0.45], [0.09, stem * 0.55], [0.045, stem * 0.65]]
        if rng.random() < 0.5
        else [[0.045, stem * 0.5]]
    )
    cone = spline([[0.05, stem], [r * rng.uniform(0.8, 1.2), stem + bowl * 0.5], [r, stem + bowl]], 16)
    inside = (cone - [0.025, -0.02])[::-1]
    inside = inside[inside[:, 0] > 0.02]
    inside[:, 1] = np.minimum(inside[:, 1], stem + bowl)
    b.add(lathe(np.concatenate([foot, knot, cone, inside, [[0, inside[-1, 1]]]]), 48).textured(2.5), skin)
    if rng.random() < 0.5:
        b.add(ring(r, stem + bowl, 0.015), b.material(metal(rng)))
    return b


def _cup_handle(b: Builder, rng: Rng, material: int, *, outside: np.ndarray, h: float) -> None:
    low, high = rng.uniform(0.12, 0.3) * h, rng.uniform(0.7, 0.92) * h
    at = lambda y: float(np.interp(y, outside[:, 1], outside[:, 0])) - 0.015
    out = rng.uniform(0.16, 0.3)
    kind = rng.choice(["ear", "round", "square"])
    corners = [[at(low), low, 0], [at(low) + out * 0.6, low + 0.02, 0], [at(high) + out, (low + 2 * high) / 3, 0]]
    path = spline([*corners, [at(high) + out * 0.6, high + 0.03, 0], [at(high), high, 0]], 28)
    if kind == "round":
        t = np.linspace(-np.pi / 2, np.pi / 2, 24)
        path = np.stack(
            [(at(low) + at(high)) / 2 + out * np.cos(t), (low + high) / 2 + (high - low) / 2 * np.sin(t), 0 * t], -1
        )
    elif kind == "square":
        x = max(at(low), at(high)) + out
        path = dense(
            [
                [at(low), low, 0],
                [x - 0.03, low, 0],
                [x, low + 0.03, 0],
                [x, high - 0.03, 0],
                [x - 0.03, high, 0],
                [at(high), high, 0],
            ]
        )
    b.add(
        tube(path, rng.uniform(0.026, 0.05), sides=int(rng.choice([4, 12, 12])), flat=rng.uniform(0.6, 1.4)), material
    )


def bottle(rng: Rng) -> Model:
    """Wine, beer, milk, water or squat bottles with a label and a cork, crown or screw cap. Held out."""
    b = Builder()
    base = paint(rng, specular=0.5, shininess=90.0) if rng.random() < 0.7 else glaze(rng)
    skin = b.material(base)
    r, h = rng.uniform(0.16, 0.28), rng.uniform(0.9, 1.3)
    neck, shoulder, slope = r * rng.uniform(0.28, 0.5), rng.uniform(0.5, 0.75), rng.uniform(0.08, 0.22)
    outline = [
        [0, 0.02],
        [r * 0.6, 0.02],
        [r * 0.92, 0],
        [r, 0.03],
        [r * rng.uniform(0.85, 1.0), shoulder * h * 0.5],
        [r, shoulder * h - 0.02],
    ]
    curve = spline(
        [
            [r, shoulder * h],
            [r * 0.85, (shoulder + slope * 0.35) * h],
            [neck * 1.1, (shoulder + slope) * h],
            [neck, h * 0.97],
        ],
        16,
    )
    rim = [[neck * 1.2, h * 0.97], [neck * 1.2, h], [0, h]]
    b.add(lathe(np.concatenate([outline, curve, rim]), 48).textured(4.0), skin)
    if rng.random() < 0.85:
        paper = hue(rng, (0.7, 1.0))
        y, tall = shoulder * h * 0.5, shoulder * h * rng.uniform(0.25, 0.38)
        label = Material(
            "label", base.a, paper, contrast(rng, paper), scale=1.0, p=rng.uniform(0.8, 1.6), q=0.9, mapping="cylinder"
        )
        kind = b.material(label if rng.random() < 0.6 else glaze(rng))
        band = lathe(np.array([[r + 0.004, -tall], [r + 0.004, tall]]), 48)
        mesh = Mesh(band.positions, band.normals, band.positions / [r, tall, r], band.material)
        b.add(mesh.moved(y=y), kind)
    cap = b.material([metal, paint, wood][rng.integers(3)](rng))
    b.add(
        lathe(np.array([[0, 0], [neck * 1.25, 0], [neck * 1.25, 0.07], [neck, 0.09], [0, 0.09]]), 32).moved(y=h - 0.03),
        cap,
    )
    return b.model("bottle")
