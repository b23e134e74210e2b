"""Procedural lamps, plants and small things for rooms. Own work, CC0.

Each function `kind(rng) -> Model` builds one instance in metres that stands on y = 0, centred, its front to +z.
Pendants hang: their cord ends at the top.
"""

from dataclasses import replace

import numpy as np

from fewview.data.meshes import Material, Mesh, Model, shade
from fewview.synthetic.shapes import finishes
from fewview.synthetic.shapes.joinery import sheet
from fewview.synthetic.shapes.palettes import contrast, fabric, glaze, hue, metal, near, paint, shift, wood
from fewview.synthetic.shapes.parts import Builder, bar, ring
from fewview.synthetic.shapes.solids import box, ellipsoid, lathe, spline

Rng = np.random.Generator


def glow(rng: Rng, strength: float) -> Material:
    """A lampshade that is lit from within."""
    return Material(a=near(rng, (0.98, 0.88, 0.7), 0.06), metal=-strength)


def floor_lamp(rng: Rng) -> Model:
    b = Builder()
    stem, h = b.material([metal, wood, paint][rng.integers(3)](rng)), rng.uniform(1.35, 1.75)
    b.add(lathe(np.array([[0, 0], [0.15, 0], [0.15, 0.02], [0.02, 0.04], [0, 0.04]]), 20), stem)
    b.add(bar([[0, 0.02, 0], [0, h - 0.2, 0]], 0.012, 8), stem)
    _shade(b, rng, h - 0.32, size=(rng.uniform(0.12, 0.2), rng.uniform(0.18, 0.26), 0.3))
    return b.model("floor_lamp")


def table_lamp(rng: Rng) -> Model:
    b = Builder()
    foot, h = b.material([glaze, metal, paint][rng.integers(3)](rng)), rng.uniform(0.18, 0.32)
    r = rng.uniform(0.05, 0.09)
    profile = spline([[0.7 * r, 0], [r, 0.3 * h], [0.8 * r, 0.6 * h], [0.015, h], [0.012, h + 0.05]], 12)
    b.add(lathe(np.concatenate([[[0, 0]], profile, [[0, h + 0.05]]]), 20).textured(4.0), foot)
    _shade(b, rng, h + 0.02, size=(rng.uniform(0.07, 0.11), rng.uniform(0.11, 0.16), rng.uniform(0.14, 0.22)))
    return b.model("table_lamp")


def pendant(rng: Rng) -> Model:
    """One shade, or a few bulbs on a bar, below a cord."""
    b = Builder()
    cord, drop = b.material(Material(a=(0.1, 0.1, 0.1))), rng.uniform(0.3, 0.7)
    if rng.random() < 0.4:
        n, span = int(rng.integers(3, 6)), rng.uniform(0.5, 1.0)
        b.add(box(span, 0.02, 0.03).moved(y=0.2), cord)
        bulb = b.material(glow(rng, 4.0))
        for x in np.linspace(-span / 2, span / 2, n) * 0.92:
            b.add(bar([[x, 0.2, 0], [x, 0.1, 0]], 0.012, 6), cord)
            b.add(ellipsoid(0.045, 0.06, 0.045, segments=12).moved(x, 0.06), bulb)
        b.add(bar([[0, 0.2, 0], [0, 0.2 + drop, 0]], 0.008, 6), cord)
        return b.model("pendant")
    wide = rng.uniform(0.15, 0.28)
    _shade(b, rng, 0.0, size=(wide * rng.uniform(0.3, 0.9), wide, rng.uniform(0.16, 0.28)))
    b.add(bar([[0, 0.15, 0], [0, 0.28 + drop, 0]], 0.008, 6), cord)
    return b.model("pendant")


def floor_plant(rng: Rng) -> Model:
    """A pot with long leaves that bow, or a stem with a crown of leaves."""
    return _plant(rng, rng.uniform(0.7, 1.6), "floor_plant")


def small_plant(rng: Rng) -> Model:
    return _plant(rng, rng.uniform(0.18, 0.42), "small_plant")


def books(rng: Rng) -> Model:
    """A lying stack of books, turned a little against each other."""
    b = Builder()
    y = 0.0
    for _ in range(int(rng.integers(1, 6))):
        w, d, t = rng.uniform(0.17, 0.28), rng.uniform(0.13, 0.2), rng.uniform(0.012, 0.04)
        turn = rng.uniform(-15, 15)
        b.add(box(w, t, d).turned("y", turn).moved(y=y + t / 2), b.material(paint(rng)))
        b.add(
            box(w - 0.008, t - 0.008, d + 0.001).turned("y", turn).moved(y=y + t / 2),
            b.material(Material(a=(0.9, 0.88, 0.8))),
        )
        y += t
    return b.model("books")


def fruit_bowl(rng: Rng) -> Model:
    b = Builder()
    r, h = rng.uniform(0.11, 0.17), rng.uniform(0.05, 0.1)
    outer = spline([[0.4 * r, 0], [0.8 * r, 0.4 * h], [r, h]], 8)
    b.add(
        lathe(np.concatenate([[[0, 0]], outer, outer[::-1] - [0.008, -0.004], [[0, 0.012]]]), 24).textured(5.0),
        b.material(glaze(rng)),
    )
    for _ in range(int(rng.integers(2, 7))):
        angle, at, size = rng.uniform(0, 6.28), rng.uniform(0, 0.55) * r, rng.uniform(0.03, 0.042)
        skin = [(0.75, 0.15, 0.1), (0.9, 0.55, 0.1), (0.5, 0.65, 0.15), (0.92, 0.8, 0.25)][rng.integers(4)]
        fruit = ellipsoid(size, size * rng.uniform(0.85, 1.1), size, segments=10)
        b.add(
            fruit.moved(at * np.cos(angle), h * 0.6 + size * 0.7, at * np.sin(angle)),
            b.material(Material(a=near(rng, skin))),
        )
    return b.model("fruit_bowl")


def laptop(rng: Rng) -> Model:
    b = Builder()
    w, d = rng.uniform(0.3, 0.36), rng.uniform(0.21, 0.25)
    case = b.material(metal(rng) if rng.random() < 0.6 else paint(rng))
    b.add(box(w, 0.016, d).moved(y=0.008), case)
    b.add(
        sheet(w - 0.04, d * 0.5).turned("x", -90).moved(y=0.0165, z=-0.03), b.material(Material(a=(0.08, 0.08, 0.08)))
    )
    lid = [box(w, d, 0.01).moved(y=d / 2), sheet(w - 0.02, d - 0.02).moved(y=d / 2, z=0.006)]
    show = b.material(Material("image", (0.9, 0.9, 0.9), layer=0, metal=-1.0))
    for mesh, material in zip(lid, (case, show)):
        b.add(mesh.turned("x", -rng.uniform(10, 20)).moved(y=0.012, z=-d / 2), material)
    return replace(b.model("laptop"), images=(finishes.painting(rng),))


def casket(rng: Rng) -> Model:
    """A small box with a lid, a candle, or a clock: things that stand about."""
    b = Builder()
    kind = rng.integers(3)
    if kind == 0:
        w, h, d = rng.uniform(0.1, 0.25), rng.uniform(0.06, 0.14), rng.uniform(0.08, 0.16)
        skin = b.material([wood, fabric, paint][rng.integers(3)](rng))
        b.add(box(w, h, d).moved(y=h / 2), skin)
        b.add(box(w + 0.01, 0.02, d + 0.01).moved(y=h), skin)
    elif kind == 1:
        for _ in range(int(rng.integers(1, 4))):
            x, z, h, r = *rng.uniform(-0.06, 0.06, 2), rng.uniform(0.06, 0.2), rng.uniform(0.02, 0.04)
            wax = b.material(Material(a=near(rng, (0.93, 0.9, 0.82)) if rng.random() < 0.6 else hue(rng)))
            b.add(lathe(np.array([[0, 0], [r, 0], [r, h], [0, h - 0.005]]), 14).moved(x, 0, z), wax)
    else:
        r = rng.uniform(0.07, 0.13)
        rim, face = b.material(metal(rng)), b.material(Material(a=(0.93, 0.92, 0.9)))
        b.add(lathe(np.array([[0, 0], [r, 0], [r, 0.04], [0, 0.04]]), 24).turned("x", 90).moved(y=r), rim)
        b.add(lathe(np.array([[0, 0], [0.88 * r, 0], [0, 0.001]]), 24).turned("x", 90).moved(y=r, z=0.041), face)
        hand = b.material(Material(a=(0.05, 0.05, 0.05)))
        for angle, length in zip(rng.uniform(0, 360, 2), (0.55, 0.8)):
            b.add(box(0.012, length * r, 0.004).moved(y=length * r / 2).turned("z", angle).moved(y=r, z=0.044), hand)
    return b.model("casket")


def basket(rng: Rng) -> Model:
    """A basket, bin or pouffe that stands on the floor."""
    b = Builder()
    r, h = rng.uniform(0.16, 0.3), rng.uniform(0.25, 0.45)
    skin = fabric(rng)
    weave = replace(skin, kind="weave", scale=rng.uniform(8, 16), mapping="cylinder", offset=shift(rng))
    outer = spline([[0.85 * r, 0], [r, 0.5 * h], [0.92 * r, h]], 8)
    profile = np.concatenate([[[0, 0]], outer, [[0, h if rng.random() < 0.4 else 0.05]]])
    b.add(lathe(profile, 24).textured(), b.material(weave))
    b.add(ring(0.92 * r, h, 0.012), b.material(paint(rng, a=contrast(rng, skin.a))))
    return b.model("basket")


def _shade(b: Builder, rng: Rng, y: float, *, size: tuple[float, float, float]) -> None:
    """A drum, cone or globe that glows; (upper radius, lower radius, height)."""
    top, low, h = size
    lit = b.material(glow(rng, rng.uniform(1.5, 3.5)))
    if rng.random() < 0.25:
        b.add(ellipsoid(low, low, low, segments=20).moved(y=y + low), lit)
        return
    if rng.random() < 0.35:  # an opaque shade with a bright inside
        skin, bulb = b.material([metal, paint, wood][rng.integers(3)](rng)), lit
        b.add(lathe(np.array([[low, 0], [top, h], [0, h]]), 24).moved(y=y), skin)
        b.add(ellipsoid(0.04, 0.05, 0.04, segments=12).moved(y=y + 0.4 * h), bulb)
        b.add(lathe(np.array([[0, h - 0.01], [top * 0.97, h - 0.01], [low * 0.97, 0.0]]), 24).moved(y=y), lit)
        return
    b.add(lathe(np.array([[low, 0], [top, h]]), 24).moved(y=y), lit)


def _plant(rng: Rng, tall: float, name: str) -> Model:
    b = Builder()
    pot_h, r = tall * rng.uniform(0.2, 0.35), tall * rng.uniform(0.1, 0.16) + 0.02
    pot = b.material([glaze, paint, fabric][rng.integers(3)](rng))
    outer = spline([[0.75 * r, 0], [0.95 * r, 0.5 * pot_h], [r, pot_h]], 8)
    b.add(
        lathe(
            np.concatenate([[[0, 0]], outer, [[0.9 * r, pot_h], [0.85 * r, 0.9 * pot_h], [0, 0.9 * pot_h]]]), 20
        ).textured(3.0),
        pot,
    )
    green = near(rng, (0.2, 0.4, 0.14), 0.3)
    leaf = [b.material(Material("plain", near(rng, green, 0.25), scale=4, specular=0.08)) for _ in range(3)]
    crown, kind = tall - pot_h, rng.integers(3)
    if kind == 0:  # long leaves from the ground
        for _ in range(int(rng.integers(14, 30))):
            length = crown * rng.uniform(0.7, 1.1)
            mesh = _leaf(length, length * rng.uniform(0.06, 0.1), rng.uniform(0.2, 1.1))
            b.add(mesh.turned("y", rng.uniform(0, 360)).moved(y=0.9 * pot_h), leaf[rng.integers(3)])
        return b.model(name)
    stem = b.material(wood(rng))
    for _ in range(int(rng.integers(1, 4)) if kind == 1 else int(rng.integers(5, 10))):
        lean, turn = rng.uniform(0, 0.25) + 0.25 * (kind == 2), rng.uniform(0, 2 * np.pi)
        length = crown * rng.uniform(0.5, 0.8)
        tip = np.array([lean * np.cos(turn) * length, pot_h + length, lean * np.sin(turn) * length])
        b.add(bar([[0, 0.8 * pot_h, 0], tip], [0.02 * tall, 0.008 * tall], 5), stem)
        for t in rng.uniform(0.35, 1.0, int(rng.integers(9, 18)) if kind == 1 else 7):
            at = np.array([0, pot_h, 0]) * (1 - t) + tip * t
            mesh = _leaf(crown * rng.uniform(0.2, 0.4), crown * rng.uniform(0.05, 0.1), rng.uniform(0.3, 1.2))
            b.add(mesh.turned("y", rng.uniform(0, 360)).moved(*at), leaf[rng.integers(3)])
    return b.model(name)


def _leaf(length: float, width: float, bow: float) -> Mesh:
    """A blade that rises from the origin and bows towards +z."""
    t = np.linspace(0, 1, 6)
    angle = bow * t * 1.6
    step = length / 5
    y = np.concatenate([[0], np.cumsum(np.cos(angle[:-1]) * step)])
    z = np.concatenate([[0], np.cumsum(np.sin(angle[:-1]) * step)])
    half = width * np.sin(np.pi * np.clip(t * 0.9 + 0.08, 0, 1)) * [1, 1, 1, 1, 1, 0.15]
    left, right = np.stack([-half, y, z], -1), np.stack([half, y, z], -1)
    a = np.arange(5)
    faces = np.concatenate([np.stack([a, a + 6, a + 7], -1), np.stack([a, a + 7, a + 1], -1)])
    return shade(np.concatenate([left, right]), faces, 80.0)
