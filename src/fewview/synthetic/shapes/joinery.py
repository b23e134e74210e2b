"""Procedural cupboards, tables, beds, shelves and screens. Own work, CC0.

Each function `kind(rng) -> Model` builds one instance in metres that stands on y = 0, centred, its front to +z.
"""

from dataclasses import replace

import numpy as np

from fewview.data.meshes import Material, Mesh, Model, shade
from fewview.synthetic.shapes import finishes
from fewview.synthetic.shapes.palettes import contrast, fabric, hue, metal, near, paint, wood
from fewview.synthetic.shapes.parts import Builder, bar
from fewview.synthetic.shapes.solids import box, lathe

Rng = np.random.Generator


def sheet(width: float, height: float, *, repeat: tuple[float, float] = (1.0, 1.0)) -> Mesh:
    """An upright rectangle that faces +z, its texture coordinates running over [0, repeat] from the top left."""
    corners = np.array([[-1, -1, 0], [1, -1, 0], [1, 1, 0], [-1, 1, 0]]) * [width / 2, height / 2, 0]
    faces = np.array([[0, 1, 2], [0, 2, 3]])
    mesh = shade(corners, faces)
    local = np.array([[0, 1, 0], [1, 1, 0], [1, 0, 0], [0, 0, 0]], dtype=float) * [*repeat, 0]
    return replace(mesh, local=local[faces.reshape(-1)])


def timber(rng: Rng) -> Material:
    """What cupboards and tables are made of: wood, white or coloured lacquer."""
    kind = rng.random()
    if kind < 0.55:
        return wood(rng, axis=0, scale=rng.uniform(3, 7))
    if kind < 0.8:
        return Material(a=near(rng, (0.88, 0.87, 0.85), 0.05), specular=0.12, shininess=40)
    return paint(rng)


def dining_table(rng: Rng) -> Model:
    """Rectangular on legs or trestles, or round on a pedestal."""
    b = Builder()
    h = rng.uniform(0.72, 0.77)
    if rng.random() < 0.3:
        r = rng.uniform(0.45, 0.65)
        top, stem = b.material(timber(rng)), b.material([timber, metal][rng.integers(2)](rng))
        b.add(lathe(np.array([[0, h - 0.03], [r, h - 0.03], [r, h], [0, h]]), 32), top)
        foot = r * rng.uniform(0.4, 0.65)
        b.add(
            lathe(np.array([[0, 0], [foot, 0], [foot, 0.03], [0.05, 0.06], [0.045, h - 0.03], [0, h - 0.03]]), 20), stem
        )
        return b.model("dining_table")
    return _table(b, rng, (rng.uniform(1.2, 2.2), h, rng.uniform(0.75, 1.0)), name="dining_table")


def coffee_table(rng: Rng) -> Model:
    """Low, with a shelf at times, or round."""
    b = Builder()
    h = rng.uniform(0.34, 0.48)
    if rng.random() < 0.3:
        r = rng.uniform(0.35, 0.5)
        top = b.material(timber(rng))
        leg = b.material([timber, metal][rng.integers(2)](rng))
        b.add(lathe(np.array([[0, h - 0.03], [r, h - 0.03], [r, h], [0, h]]), 32), top)
        for angle in np.arange(3) * 2.094 + rng.random():
            x, z = 0.75 * r * np.cos(angle), 0.75 * r * np.sin(angle)
            b.add(bar([[1.15 * x, 0, 1.15 * z], [x, h - 0.02, z]], 0.018, 6), leg)
        return b.model("coffee_table")
    size = (rng.uniform(0.8, 1.4), h, rng.uniform(0.45, 0.7))
    if rng.random() < 0.5:
        b.add(box(size[0] - 0.1, 0.02, size[2] - 0.1).moved(y=rng.uniform(0.08, 0.18)), b.material(timber(rng)))
    return _table(b, rng, size, name="coffee_table")


def desk(rng: Rng) -> Model:
    """A writing table with a block of drawers on one side."""
    b = Builder()
    w, h, d = rng.uniform(1.0, 1.6), rng.uniform(0.71, 0.76), rng.uniform(0.55, 0.75)
    if rng.random() < 0.6:
        side, wide = float(rng.choice([-1, 1])), 0.4
        body = b.material(timber(rng))
        b.add(box(wide, h - 0.1, d - 0.08).moved(side * (w / 2 - wide / 2 - 0.06), (h - 0.1) / 2 + 0.05), body)
        _fronts(b, rng, (side * (w / 2 - wide / 2 - 0.06), 0.06, d / 2 - 0.03), size=(wide, h - 0.12), grid=(1, 3))
    return _table(b, rng, (w, h, d), name="desk")


def cabinet(rng: Rng) -> Model:
    """A sideboard or chest of drawers."""
    return _cupboard(rng, (rng.uniform(0.8, 1.8), rng.uniform(0.5, 0.95), rng.uniform(0.38, 0.5)), "cabinet")


def nightstand(rng: Rng) -> Model:
    return _cupboard(rng, (rng.uniform(0.4, 0.55), rng.uniform(0.42, 0.6), rng.uniform(0.35, 0.45)), "nightstand")


def wardrobe(rng: Rng) -> Model:
    return _cupboard(rng, (rng.uniform(0.9, 2.0), rng.uniform(1.9, 2.25), rng.uniform(0.55, 0.65)), "wardrobe")


def counter(rng: Rng) -> Model:
    """A stretch of kitchen units with a worktop, and a hob or a sink at times."""
    b = Builder()
    w, h, d = float(rng.choice([1.2, 1.8, 2.4])), 0.9, 0.62
    body, top = (
        b.material(timber(rng)),
        b.material(
            [timber, lambda r: Material("speckle", *([near(r, (0.4, 0.4, 0.4), 0.4)] * 2), scale=30)][rng.integers(2)](
                rng
            )
        ),
    )
    b.add(box(w, h - 0.14, d - 0.04).moved(y=0.1 + (h - 0.14) / 2), body)
    b.add(box(w - 0.02, 0.1, d - 0.1).moved(y=0.05, z=-0.02), b.material(Material(a=(0.15, 0.15, 0.15))))
    b.add(box(w + 0.01, 0.04, d).moved(y=h - 0.02), top)
    _fronts(b, rng, (0, 0.12, d / 2 - 0.02), size=(w, h - 0.18), grid=(round(w / 0.6), int(rng.integers(1, 3))))
    x = rng.uniform(-0.25, 0.25) * w
    if rng.random() < 0.5:
        b.add(box(0.58, 0.012, 0.5).moved(x, h + 0.004), b.material(Material(a=(0.05, 0.05, 0.06), specular=0.5)))
    else:
        steel = b.material(metal(rng, a=(0.75, 0.75, 0.77)))
        b.add(box(0.5, 0.01, 0.4).moved(x, h + 0.003), steel)
        b.add(bar([[x, h, -0.22], [x, h + 0.25, -0.22]], 0.014, 8), steel)
        b.add(bar([[x, h + 0.24, -0.22], [x, h + 0.22, -0.04]], 0.012, 8), steel)
    return b.model("counter")


def wall_cabinet(rng: Rng) -> Model:
    """A kitchen cupboard that hangs on a wall."""
    return _cupboard(
        rng, (float(rng.choice([0.6, 1.2, 1.8])), rng.uniform(0.55, 0.75), 0.34), "wall_cabinet", legs=False
    )


def fridge(rng: Rng) -> Model:
    b = Builder()
    w, h, d = rng.uniform(0.58, 0.75), rng.uniform(1.6, 1.9), rng.uniform(0.6, 0.68)
    skin = (
        metal(rng, a=(0.7, 0.7, 0.72)) if rng.random() < 0.5 else Material(a=near(rng, (0.9, 0.9, 0.9)), specular=0.2)
    )
    body, dark = b.material(skin), b.material(Material(a=(0.2, 0.2, 0.2)))
    b.add(box(w, h, d - 0.06).moved(y=h / 2, z=-0.03), dark)
    split, handle = h * rng.uniform(0.3, 0.7), b.material(metal(rng))
    for low, high in ((0.04, split), (split, h)):
        b.add(box(w, high - low - 0.012, 0.06, edge=0.012).moved(y=(low + high) / 2, z=d / 2 - 0.03), body)
    b.add(bar([[-0.4 * w, split + 0.08, d / 2 + 0.03], [-0.4 * w, split + 0.4, d / 2 + 0.03]], 0.012, 8), handle)
    b.add(bar([[-0.4 * w, split - 0.35, d / 2 + 0.03], [-0.4 * w, split - 0.06, d / 2 + 0.03]], 0.012, 8), handle)
    return b.model("fridge")


def bookcase(rng: Rng) -> Model:
    """Shelves with rows of books, gaps and a box or two."""
    b = Builder()
    w, h, d = rng.uniform(0.7, 1.6), rng.uniform(1.1, 2.2), rng.uniform(0.26, 0.36)
    board = b.material(timber(rng))
    back = b.material(timber(rng)) if rng.random() < 0.5 else board
    rows, columns = max(2, round(h / 0.36)), 1 if w < 1 else 2
    b.add(box(w, h, 0.012).moved(y=h / 2, z=-d / 2 + 0.006), back)
    for x in np.linspace(-w / 2 + 0.012, w / 2 - 0.012, columns + 1):
        b.add(box(0.024, h, d).moved(x, h / 2), board)
    for y in np.linspace(0.06, h - 0.012, rows + 1):
        b.add(box(w - 0.02, 0.024, d).moved(y=y), board)
    images = tuple(finishes.spines(rng) for _ in range(2))
    books = [b.material(Material("image", (1.0, 1.0, 1.0), layer=i, specular=0.03)) for i in range(2)]
    pitch, wide = (h - 0.072) / rows, (w - 0.024) / columns
    for row in range(rows):
        for column in range(columns):
            left, y = -w / 2 + 0.024 + column * wide, 0.072 + row * pitch
            share = rng.choice([0.0, rng.uniform(0.3, 0.8), 0.95], p=[0.2, 0.4, 0.4])
            length, tall = share * (wide - 0.03), pitch * rng.uniform(0.62, 0.9)
            if share > 0:
                start, depth = rng.random(), rng.uniform(0.6, 0.9) * d
                mesh = sheet(length, tall, repeat=(length / 0.8, 1.0))
                mesh = replace(mesh, local=mesh.local + np.array([start, 0, 0])).moved(
                    left + length / 2, y + tall / 2, depth - d / 2
                )
                which = books[rng.integers(2)]
                b.add(mesh, which)
                b.add(
                    sheet(depth, tall, repeat=(0.02, 1))
                    .turned("y", 90)
                    .moved(left + length, y + tall / 2, -d / 2 + depth / 2),
                    which,
                )
            elif rng.random() < 0.6:
                x, size = left + wide / 2, rng.uniform(0.5, 0.8) * pitch
                b.add(box(size * 1.2, size, d * 0.7, edge=0.01).moved(x, y + size / 2), b.material(fabric(rng)))
    return replace(b.model("bookcase"), images=images)


def bed(rng: Rng) -> Model:
    """Frame, headboard, mattress, duvet, pillows; single or double."""
    b = Builder()
    w, length, low = float(rng.choice([0.95, 1.4, 1.6, 1.8])), rng.uniform(2.0, 2.12), rng.uniform(0.22, 0.36)
    frame = b.material([timber, fabric][rng.integers(2)](rng))
    sheet_, quilt = b.material(Material(a=near(rng, (0.9, 0.89, 0.87)), specular=0.0)), b.material(fabric(rng, 0.6))
    b.add(box(w + 0.06, low - 0.08, length, edge=0.01).moved(y=low / 2 + 0.04), frame)
    for sx in (-1, 1):
        for sz in (-1, 1):
            b.add(box(0.06, 0.1, 0.06).moved(sx * (w / 2 - 0.05), 0.05, sz * (length / 2 - 0.08)), frame)
    b.add(box(w, 0.2, length - 0.05, edge=0.04).moved(y=low + 0.1), sheet_)
    tall = rng.uniform(0.75, 1.25)
    b.add(box(w + 0.08, tall, 0.06, edge=0.015).moved(y=tall / 2, z=-length / 2 - 0.02), frame)
    if rng.random() < 0.3:
        b.add(box(w + 0.08, low + 0.25, 0.05, edge=0.01).moved(y=(low + 0.25) / 2, z=length / 2 + 0.01), frame)
    cover = length * rng.uniform(0.6, 0.75)
    b.add(box(w + 0.07, 0.2, cover, edge=0.06, puff=0.02).moved(y=low + 0.17, z=(length - cover) / 2 - 0.01), quilt)
    if rng.random() < 0.4:
        throw = b.material(fabric(rng))
        b.add(box(w + 0.1, 0.2, rng.uniform(0.35, 0.6), edge=0.06).moved(y=low + 0.19, z=length * 0.28), throw)
    cloth = [sheet_, b.material(fabric(rng)), b.material(fabric(rng))]
    n = 1 if w < 1.2 else 2
    for layer in range(int(rng.integers(1, 3))):
        for i in range(n):
            x, size = (i - (n - 1) / 2) * w / n, (0.62 - 0.15 * layer) * min(1.0, w / n / 0.7)
            pillow = box(size, 0.4 - 0.05 * layer, 0.1, edge=0.05, puff=0.05).turned("x", -55 + rng.uniform(-10, 10))
            b.add(pillow.moved(x, low + 0.34, -length / 2 + 0.22 + 0.2 * layer), cloth[layer + int(rng.integers(2))])
    return b.model("bed")


def screen(rng: Rng) -> Model:
    """A television or monitor on a foot, dark or showing something."""
    b = Builder()
    w = rng.uniform(0.6, 1.3)
    h = w * 0.58
    case = b.material(Material(a=(0.04, 0.04, 0.045), specular=0.4, shininess=80))
    b.add(box(w, h, 0.04, edge=0.008).moved(y=h / 2 + 0.07), case)
    b.add(box(0.4 * w, 0.015, 0.2).moved(y=0.008), case)
    b.add(box(0.08, 0.08, 0.03).moved(y=0.05, z=-0.01), case)
    images: tuple[np.ndarray, ...] = ()
    face = Material(a=(0.02, 0.02, 0.025), specular=0.5, shininess=90)
    if rng.random() < 0.3:
        images, face = (finishes.painting(rng),), Material("image", (0.9, 0.9, 0.9), layer=0, metal=-0.9)
    b.add(sheet(w - 0.04, h - 0.04).moved(y=h / 2 + 0.07, z=0.022), b.material(face))
    return replace(b.model("screen"), images=images)


def picture(rng: Rng) -> Model:
    """A framed painting or print; it hangs by its own height, its back at the wall."""
    b = Builder()
    w, h = rng.uniform(0.3, 1.1), rng.uniform(0.3, 0.9)
    rim, frame = rng.uniform(0.01, 0.05), b.material([timber, metal, paint][rng.integers(3)](rng))
    b.add(box(w, h, 0.025).moved(y=h / 2), frame)
    b.add(sheet(w - 2 * rim, h - 2 * rim).moved(y=h / 2, z=0.014), b.material(Material("image", (1.0,) * 3, layer=0)))  # type: ignore[arg-type]
    return replace(b.model("picture"), images=(finishes.painting(rng),))


def carpet(rng: Rng) -> Model:
    """A rug."""
    b = Builder()
    w, d = rng.uniform(1.4, 2.8), rng.uniform(1.0, 2.0)
    flat = sheet(w, d).turned("x", -90).moved(y=0.012)
    b.add(flat, b.material(Material("image", (1.0, 1.0, 1.0), layer=0, specular=0.0)))
    b.add(box(w, 0.012, d).moved(y=0.005), b.material(Material(a=hue(rng, (0.3, 0.7)))))
    return replace(b.model("carpet"), images=(finishes.rug(rng),))


def _table(b: Builder, rng: Rng, size: tuple[float, float, float], *, name: str) -> Model:
    w, h, d = size
    top, thick = b.material(timber(rng)), rng.uniform(0.02, 0.045)
    leg = b.material([timber, metal][rng.integers(2)](rng)) if rng.random() < 0.5 else top
    b.add(box(w, thick, d, edge=0.006).moved(y=h - thick / 2), top)
    r, x, z = rng.uniform(0.018, 0.04), w / 2 - rng.uniform(0.05, 0.12), d / 2 - rng.uniform(0.05, 0.1)
    if rng.random() < 0.25:
        for s in (-1, 1):
            b.add(box(0.05, h - thick, 2 * z).moved(s * x, (h - thick) / 2), leg)
        b.add(box(2 * x, 0.1, 0.03).moved(y=h * 0.6), leg)
        return b.model(name)
    splay = rng.uniform(0, 0.05)
    for sx in (-1, 1):
        for sz in (-1, 1):
            ends = [[sx * (x + splay), 0, sz * (z + splay)], [sx * x, h - thick, sz * z]]
            b.add(bar(ends, [0.7 * r, r], int(rng.choice([4, 10]))), leg)
    if rng.random() < 0.6:
        for s in (-1, 1):
            b.add(box(2 * x, 0.07, 0.02).moved(y=h - thick - 0.035, z=s * z), leg)
            b.add(box(0.02, 0.07, 2 * z).moved(s * x, h - thick - 0.035), leg)
    return b.model(name)


def _cupboard(rng: Rng, size: tuple[float, float, float], name: str, *, legs: bool = True) -> Model:
    """A box with drawers or doors, on legs or a plinth."""
    b = Builder()
    w, h, d = size
    body = b.material(timber(rng))
    low = float(rng.choice([0.04, rng.uniform(0.1, 0.2)])) if legs and h < 1.2 else 0.04 * legs
    b.add(box(w, h - low, d - 0.02).moved(y=low + (h - low) / 2, z=-0.01), body)
    if low > 0.05:
        for sx in (-1, 1):
            for sz in (-1, 1):
                foot = [sx * (w / 2 - 0.05), 0, sz * (d / 2 - 0.06)]
                b.add(bar([foot, [foot[0], low, foot[2]]], [0.014, 0.022], 6), body)
    elif low > 0:
        b.add(box(w - 0.04, low, d - 0.08).moved(y=low / 2, z=-0.02), body)
    columns = max(1, round(w / rng.uniform(0.42, 0.6)))
    rows = 1 if h > 1.2 or rng.random() < 0.4 else max(1, round((h - low) / rng.uniform(0.18, 0.28)))
    _fronts(b, rng, (0, low + 0.015, d / 2 - 0.02), size=(w - 0.02, h - low - 0.03), grid=(columns, rows))
    return b.model(name)


def _fronts(
    b: Builder, rng: Rng, corner: tuple[float, float, float], *, size: tuple[float, float], grid: tuple[int, int]
) -> None:
    """Doors or drawers in a grid (columns, rows), with handles; `corner` is the middle of the lower edge."""
    (cx, y0, z), (w, h), (columns, rows) = corner, size, grid
    front = timber(rng)
    skin, grip = (
        b.material(front),
        b.material(metal(rng) if rng.random() < 0.7 else paint(rng, a=contrast(rng, front.a))),
    )
    cell_w, cell_h = w / columns, h / rows
    knob, framed = rng.random() < 0.5, rng.random() < 0.35
    for i in range(columns):
        for j in range(rows):
            x, y = cx - w / 2 + (i + 0.5) * cell_w, y0 + (j + 0.5) * cell_h
            b.add(box(cell_w - 0.012, cell_h - 0.012, 0.02).moved(x, y, z + 0.01), skin)
            if framed and cell_h > 0.2:
                b.add(box(cell_w - 0.12, cell_h - 0.12, 0.008).moved(x, y, z + 0.024), skin)
            tall = cell_h > 1.1 * cell_w
            side = (1 if i % 2 == 0 else -1) * (cell_w / 2 - 0.05) if tall else 0.0
            if knob:
                b.add(
                    box(0.028, 0.028, 0.03).moved(x + side, y if not tall or h > 1 else y + 0.3 * cell_h, z + 0.03),
                    grip,
                )
            else:
                length = min(0.16, 0.5 * cell_w)
                across = (0.012, length, 0.02) if tall else (length, 0.012, 0.02)
                b.add(box(*across).moved(x + side, y, z + 0.03), grip)
