"""Procedural chairs, couches and benches. y is up, z the front, sizes in metres. Own work, CC0."""

import numpy as np

from fewview.data.meshes import Model
from fewview.synthetic.shapes.palettes import fabric, metal, paint, wood
from fewview.synthetic.shapes.parts import Builder, bar, dense, turned_radii
from fewview.synthetic.shapes.solids import box, ellipsoid, lathe, spline, tube

Rng = np.random.Generator


def chair(rng: Rng) -> Model:
    """Four legs, a sled, a pedestal or a star base; slatted, ladder, panel, hoop or padded back; arms at times."""
    b = Builder()
    w, d, h = rng.uniform(0.4, 0.56), rng.uniform(0.4, 0.54), rng.uniform(0.38, 0.5)
    if rng.random() < 0.12:
        h = rng.uniform(0.6, 0.75)
    frame = b.material((wood, wood, metal, paint)[rng.integers(4)](rng))
    seat_kind = rng.choice(["board", "cushion", "round"], p=[0.4, 0.4, 0.2])
    seat = b.material(fabric(rng) if seat_kind == "cushion" else [wood, paint, fabric][rng.integers(3)](rng))
    thick = rng.uniform(0.025, 0.05) if seat_kind == "board" else rng.uniform(0.05, 0.11)
    if seat_kind == "round":
        mesh = lathe(spline([[0, 0], [0.46, 0], [0.5, 0.5], [0.46, 1], [0.3, 1.02], [0, 1]], 18), 36)
        b.add(mesh.scaled(w, thick, d).moved(y=h - thick).textured(1.0), seat)
    else:
        taper = rng.uniform(0.0, 0.18)
        warp = lambda v: v * np.stack([1 + taper * v[:, 2] / d, np.ones(len(v)), np.ones(len(v))], -1)
        puff = rng.uniform(0.01, 0.035) if seat_kind == "cushion" else 0.0
        b.add(box(w, thick, d, edge=rng.uniform(0.01, 0.02), puff=puff, warp=warp).moved(y=h - thick / 2), seat)
    _chair_base(b, rng, frame, size=(w, d, h - thick * 0.7))
    if rng.random() < 0.93:
        _chair_back(b, rng, frame, seat=seat, size=(w, d, h))
    if rng.random() < 0.35:
        _chair_arms(b, rng, frame, size=(w, d, h))
    return b.model("chair")


def _chair_base(b: Builder, rng: Rng, frame: int, *, size: tuple[float, float, float]) -> None:
    w, d, h = size
    kind = rng.choice(["legs", "legs", "legs", "turned", "sled", "star", "pedestal"])
    x, z = 0.44 * w, 0.44 * d
    splay = rng.uniform(0, 0.06)
    if kind in ("legs", "turned"):
        thick, thin, sides = rng.uniform(0.014, 0.028), rng.uniform(0.6, 1.0), int(rng.choice([4, 12]))
        for sx in (-1, 1):
            for sz in (-1, 1):
                ends = np.array([[sx * (x + splay), 0, sz * (z + splay)], [sx * x, h, sz * z]])
                radii = [thick * thin, thick] if kind == "legs" else turned_radii(rng, thick)
                b.add(bar(ends, radii, 12 if kind == "turned" else sides), frame)
        if rng.random() < 0.5:
            y = rng.uniform(0.2, 0.5) * h
            k = splay * (1 - y / h)
            for s in (-1, 1):
                b.add(bar([[s * (x + k), y, -z - k], [s * (x + k), y, z + k]], thick * 0.7, sides), frame)
            b.add(bar([[-x - k, y, 0], [x + k, y, 0]], thick * 0.7, sides), frame)
    elif kind == "sled":
        r = rng.uniform(0.010, 0.018)
        for s in (-1, 1):
            path = [[s * x, h, z], [s * x, 0.03, z], [s * x, 0, z - 0.03], [s * x, 0, -z + 0.03]]
            path += [[s * x, 0.03, -z], [s * x, h, -z]] if rng.random() < 0.6 else [[s * x, 0, -z]]
            b.add(tube(dense(path), r, sides=10), frame)
        b.add(bar([[-x, 0, -z], [x, 0, -z]], r, 10), frame)
    else:
        r = rng.uniform(0.02, 0.035)
        b.add(bar([[0, 0.03, 0], [0, h, 0]], r, 16), frame)
        if kind == "star":
            for k in range(5):
                angle = 2 * np.pi * k / 5
                tip = np.array([np.sin(angle), 0, np.cos(angle)]) * 0.55 * w
                b.add(bar([[0, 0.08, 0], tip + np.array([0, 0.045, 0])], [0.022, 0.014], 4), frame)
                b.add(ellipsoid(0.025, 0.025, 0.02, segments=12).moved(*tip).moved(y=0.022), frame)
        else:
            b.add(lathe(spline([[0, 0], [0.5, 0], [0.5, 0.03], [0.15, 0.08], [0, 0.1]], 14)).scaled(w, 1, w), frame)


def _chair_back(b: Builder, rng: Rng, frame: int, *, seat: int, size: tuple[float, float, float]) -> None:
    w, d, h = size
    tall, lean = rng.uniform(0.32, 0.62), rng.uniform(0.02, 0.14)
    x, z, r = 0.43 * w, -0.45 * d, rng.uniform(0.013, 0.024)
    bend = rng.uniform(0.0, 0.05)
    at = lambda t, sx: np.array([sx * x, h + t * tall, z - lean * t - bend * np.sin(np.pi * t)])
    arc = lambda t, depth: np.array([at(t, s) - [0, 0, depth * (1 - s * s)] for s in np.linspace(-1, 1, 9)])
    kind = rng.choice(["slats", "ladder", "panel", "hoop", "padded", "shell"])
    depth = rng.uniform(0.0, 0.06)
    if kind == "hoop":
        t = np.linspace(0, np.pi, 25)
        up = np.sin(t) ** 0.6
        hoop = np.array([at(u, -np.cos(v)) for u, v in zip(up, t)])
        b.add(tube(hoop, r * 0.9), frame)
        n = int(rng.integers(3, 8))
        for s in np.linspace(-0.75, 0.75, n):
            top = (1 - s * s) ** 0.3
            b.add(bar([at(0, s), at(top, s)], r * 0.45, 8), frame)
        return
    if kind in ("padded", "shell"):
        thick = rng.uniform(0.05, 0.1) if kind == "padded" else 0.02
        pad = 0.08 if kind == "padded" else -0.02
        curve = lambda v: (
            v
            + np.stack([0 * v[:, 0], 0 * v[:, 0], -lean * (v[:, 1] / tall + 0.5) + depth * 4 * (v[:, 0] / w) ** 2], -1)
        )
        mesh = box(
            w * rng.uniform(0.85, 1.0),
            tall - pad,
            thick,
            edge=0.012,
            puff=0.02 if kind == "padded" else 0,
            detail=8,
            warp=curve,
        )
        b.add(mesh.moved(y=h + tall / 2 + pad / 2, z=z), seat)
        if pad > 0:
            b.mirrored(bar([at(-0.05, 0.5) - [0, 0, 0.01], at(0.4, 0.5)], r, 8), frame)
        return
    sides = int(rng.choice([4, 12]))
    for s in (-1, 1):
        b.add(tube(np.array([at(t, s) for t in np.linspace(-0.05, 1.0, 9)]), r, sides=sides), frame)
    b.add(tube(arc(0.97, depth), rng.uniform(0.02, 0.05), sides=sides, flat=0.35), frame)
    if kind == "slats":
        b.add(tube(arc(0.12, depth), 0.016, sides=sides), frame)
        n, wide = int(rng.integers(3, 9)), rng.uniform(0.25, 1.0)
        for s in np.linspace(-1, 1, n + 2)[1:-1]:
            bow = np.array([at(t, s) - [0, 0, depth * (1 - s * s)] for t in np.linspace(0.1, 0.97, 7)])
            b.add(tube(bow, 0.45 * wide * 2 * x / (n + 1), sides=4, flat=0.3), frame)
    elif kind == "ladder":
        for t in np.linspace(0.2, 0.78, int(rng.integers(2, 5))):
            b.add(tube(arc(t, depth), rng.uniform(0.02, 0.045), sides=4, flat=0.3), frame)
    else:
        panel = box(
            2 * x,
            tall * 0.7,
            0.02,
            edge=0.006,
            detail=6,
            warp=lambda v: v - np.stack([0 * v[:, 0], 0 * v[:, 0], depth * (1 - (v[:, 0] / x) ** 2)], -1),
        )
        b.add(
            panel.turned("x", -np.rad2deg(np.arctan(lean / tall))).moved(
                y=h + 0.52 * tall, z=z - 0.5 * lean - 0.8 * bend
            ),
            seat,
        )


def _chair_arms(b: Builder, rng: Rng, frame: int, *, size: tuple[float, float, float]) -> None:
    w, d, h = size
    y, x, r = h + rng.uniform(0.16, 0.26), 0.47 * w, rng.uniform(0.012, 0.02)
    path = spline(
        [[x, h - 0.02, 0.3 * d], [x * 1.04, y - 0.04, 0.38 * d], [x * 1.04, y, 0.32 * d], [x * 0.95, y, -0.5 * d]], 20
    )
    b.mirrored(tube(path, r), frame)
    if rng.random() < 0.5:
        b.mirrored(box(0.05, 0.025, 0.7 * d, edge=0.01).moved(x * 1.03, y + 0.012, -0.05 * d), frame)


def couch(rng: Rng) -> Model:
    """Base, arms, one to four seats, back cushions, legs, pillows; sometimes L-shaped or tufted."""
    b = Builder()
    seats = int(rng.choice([1, 2, 2, 3, 3, 4]))
    cloth = fabric(rng, 0.9)
    body, cushion = b.material(cloth), b.material(cloth if rng.random() < 0.6 else fabric(rng))
    leg = b.material([wood, metal, paint][rng.integers(3)](rng))
    seat_w, depth = rng.uniform(0.55, 0.75), rng.uniform(0.75, 0.95)
    low, base, pad = rng.uniform(0.04, 0.16), rng.uniform(0.14, 0.24), rng.uniform(0.1, 0.18)
    arm_w, arm_h, tall = rng.uniform(0.1, 0.26), rng.uniform(0.12, 0.3), rng.uniform(0.3, 0.55)
    inner = seats * seat_w
    width, edge = inner + 2 * arm_w, rng.uniform(0.015, 0.05)
    top = low + base
    b.add(box(width, base, depth, edge=edge * 0.7).moved(y=low + base / 2), body)
    thick = rng.uniform(0.14, 0.24)
    lean = rng.uniform(0, 10)
    b.add(
        box(width - 0.02, tall + pad, thick, edge=edge, puff=0.015)
        .turned("x", -lean / 2)
        .moved(y=top + (tall + pad) / 2 - 0.01, z=-depth / 2 + thick / 2),
        body,
    )
    _couch_arms(b, rng, body, size=(inner, arm_w, top, arm_h + pad, depth, edge))
    gap, puff = rng.uniform(0.0, 0.012), rng.uniform(0.01, 0.04)
    for i in range(seats):
        x = (i - (seats - 1) / 2) * seat_w
        size = (seat_w - gap, pad, depth - thick)
        b.add(box(*size, edge=edge, puff=puff).moved(x, top + pad / 2, thick / 2 + 0.01), cushion)
        if rng.random() < 0.85 or i == 0:
            back = box(seat_w - gap, tall * 0.9, 0.16, edge=0.05, puff=puff * 1.5).turned("x", -12)
            b.add(back.moved(x, top + pad + tall * 0.42, -depth / 2 + thick + 0.07), cushion)
    if rng.random() < 0.2 and seats > 1:
        side = float(rng.choice([-1, 1]))
        x = side * (inner - seat_w) / 2
        b.add(box(seat_w, base, 0.6, edge=edge * 0.7).moved(x, low + base / 2, depth / 2 + 0.29), body)
        b.add(box(seat_w - gap, pad, 0.62, edge=edge, puff=puff).moved(x, top + pad / 2, depth / 2 + 0.3), cushion)
    for sx in (-1, 1):
        for sz in (-1, 1):
            b.add(
                bar(
                    [
                        [sx * (width / 2 - 0.07), 0, sz * (depth / 2 - 0.07)],
                        [sx * (width / 2 - 0.09), low + 0.02, sz * (depth / 2 - 0.09)],
                    ],
                    [0.02, 0.035],
                    int(rng.choice([4, 12])),
                ),
                leg,
            )
    for _ in range(int(rng.choice([0, 0, 1, 2, 3]))):
        pillow = b.material(fabric(rng, 1.5))
        size = rng.uniform(0.3, 0.42)
        mesh = (
            box(size, size, 0.06, edge=0.03, puff=0.06)
            .turned("z", rng.uniform(-25, 25))
            .turned("x", -25)
            .turned("y", rng.uniform(-25, 25))
        )
        b.add(mesh.moved(rng.uniform(-0.45, 0.45) * inner, top + pad + 0.5 * size, -depth / 2 + thick + 0.24), pillow)
    return b.model("couch")


def _couch_arms(b: Builder, rng: Rng, body: int, *, size: tuple[float, float, float, float, float, float]) -> None:
    inner, wide, top, tall, depth, edge = size
    kind = rng.choice(["box", "round", "slant"])
    x = inner / 2 + wide / 2
    if kind == "slant":
        warp = lambda v: (
            v * np.array([1, 1, 1]) + np.stack([0.25 * v[:, 1], -0.3 * v[:, 2] * (v[:, 1] > 0), 0 * v[:, 0]], -1)
        )
        b.mirrored(box(wide, tall, depth, edge=edge, detail=2, warp=warp).moved(x, top + tall / 2), body)
        return
    b.mirrored(box(wide, tall, depth - 0.01, edge=edge, puff=0.01).moved(x, top + tall / 2), body)
    if kind == "round":
        roll = lathe(np.array([[0, -0.5], [0.9, -0.5], [1, -0.48], [1, 0.48], [0.9, 0.5], [0, 0.5]]), 28)
        mesh = roll.scaled(wide * 0.62, depth + 0.02, wide * 0.62).turned("x", 90).textured()
        b.mirrored(mesh.moved(x + 0.02, top + tall), body)


def bench(rng: Rng) -> Model:
    """Garden benches: slats or a board on wooden legs, iron sides or blocks, with or without a back. Held out."""
    b = Builder()
    plank, iron = (
        b.material(wood(rng, axis=0) if rng.random() < 0.7 else paint(rng)),
        b.material([metal, paint, wood][rng.integers(3)](rng)),
    )
    w, d, h, n = rng.uniform(1.1, 1.9), rng.uniform(0.36, 0.52), rng.uniform(0.38, 0.48), int(rng.integers(1, 7))
    pitch = d / n
    for k in range(n):
        slat = box(w, rng.uniform(0.03, 0.04), pitch * (0.82 if n > 1 else 1.0), edge=0.008)
        b.add(slat.moved(y=h, z=-d / 2 + (k + 0.5) * pitch), plank)
    x, back = w / 2 - rng.uniform(0.06, 0.2), rng.random() < 0.7
    tall, lean = rng.uniform(0.34, 0.5), rng.uniform(0.05, 0.14)
    kind = rng.choice(["legs", "iron", "block"])
    for s in (-1, 1):
        if kind == "block":
            b.add(box(rng.uniform(0.08, 0.2), h - 0.02, d * 0.9, edge=0.01).moved(s * x, (h - 0.02) / 2), iron)
        else:
            sides, r = (4, 0.035) if kind == "legs" else (12, 0.02)
            front = (
                [[s * x, 0, d * 0.45], [s * x, h, d * 0.42]]
                if kind == "legs"
                else spline([[s * x, 0, d * 0.5], [s * x, h * 0.5, d * 0.3], [s * x, h, d * 0.45]], 14)
            )
            rear = [[s * x, 0, -d * 0.5], [s * x, h, -d * 0.45]]
            b.add(tube(dense(front), r, sides=sides), iron)
            b.add(tube(dense(rear), r, sides=sides), iron)
            b.add(bar([[s * x, h - 0.04, -d * 0.45], [s * x, h - 0.04, d * 0.42]], r * 0.8, sides), iron)
        if back:
            b.add(bar([[s * x, h - 0.02, -d * 0.47], [s * x, h + tall, -d * 0.47 - lean]], 0.025, 4), iron)
            if rng.random() < 0.5 and kind != "block":
                arm = spline([[s * x, h, d * 0.4], [s * x, h + 0.22, d * 0.42], [s * x, h + 0.25, -d * 0.55]], 16)
                b.add(tube(arm, 0.02), iron)
    if back:
        for t in np.linspace(0.3, 0.95, int(rng.integers(1, 5))):
            b.add(
                box(w, 0.09, 0.025, edge=0.008).turned("x", -15).moved(y=h + t * tall, z=-d * 0.47 - t * lean + 0.03),
                plank,
            )
    return b.model("bench")
