"""Procedural teddy bears and fire hydrants. y is up, z the front. Own work, CC0."""

import numpy as np

from fewview.data.meshes import Material, Model
from fewview.synthetic.shapes.palettes import fabric, hue, metal, near, shift
from fewview.synthetic.shapes.parts import Builder, nut, ring
from fewview.synthetic.shapes.solids import box, ellipsoid, lathe, spline, tube

Rng = np.random.Generator


def teddybear(rng: Rng) -> Model:
    """Sitting or standing, with muzzle, paws, and now and then a bow, a shirt or a patch."""
    b = Builder()
    fur_a = near(
        rng,
        [(0.6, 0.4, 0.22), (0.8, 0.65, 0.45), (0.35, 0.22, 0.14), (0.9, 0.88, 0.84), (0.5, 0.5, 0.52), hue(rng)][
            rng.integers(6)
        ],
        0.2,
    )
    fur = lambda a: Material(
        "fur",
        a,
        near(rng, a, 0.3),
        near(rng, a, 0.6),
        scale=rng.uniform(7, 16),
        bump=rng.uniform(0.3, 0.7),
        specular=0.0,
        offset=shift(rng),
    )
    pale = near(rng, tuple(0.45 + 0.5 * np.asarray(fur_a)), 0.15) if rng.random() < 0.7 else hue(rng)
    coat, light = b.material(fur(fur_a)), b.material(fur(pale))
    dark = b.material(Material(a=near(rng, (0.06, 0.05, 0.05)), specular=0.5, shininess=60))
    body = np.array([rng.uniform(0.26, 0.36), rng.uniform(0.3, 0.4), rng.uniform(0.22, 0.3)])
    b.add(ellipsoid(*body, segments=36), coat)
    if rng.random() < 0.6:
        b.add(ellipsoid(*(body * [0.72, 0.75, 0.5])).moved(y=-0.02, z=body[2] * 0.56), light)
    head, y = rng.uniform(0.22, 0.31), body[1] * 0.88
    y += head * 0.8
    wide = rng.uniform(1.0, 1.2)
    b.add(ellipsoid(head * wide, head, head * 0.95, segments=36).moved(y=y), coat)
    muzzle = head * rng.uniform(0.42, 0.55)
    front = head * 0.78
    b.add(ellipsoid(muzzle * 1.1, muzzle * 0.8, muzzle * 0.9).moved(y=y - head * 0.22, z=front), light)
    b.add(
        ellipsoid(muzzle * 0.34, muzzle * 0.25, muzzle * 0.22, segments=16).moved(
            y=y - head * 0.06, z=front + muzzle * 0.82
        ),
        dark,
    )
    mouth = np.array([[-0.35, -0.45, 0.9], [0, -0.25, 1.0], [0.35, -0.45, 0.9]]) * muzzle * [1, 0.9, 0.93]
    b.add(tube(spline(mouth, 9), muzzle * 0.06, sides=6).moved(y=y - head * 0.25, z=front), dark)
    eye = head * rng.uniform(0.1, 0.15)
    b.mirrored(ellipsoid(eye, eye, eye, segments=16).moved(head * 0.38, y + head * 0.2, head * 0.86), dark)
    ear, ear_x = head * rng.uniform(0.34, 0.5), head * wide * rng.uniform(0.65, 0.8)
    b.mirrored(ellipsoid(ear, ear, ear * 0.5).moved(ear_x, y + head * 0.75), coat)
    b.mirrored(
        ellipsoid(ear * 0.65, ear * 0.65, ear * 0.3, segments=20).moved(ear_x, y + head * 0.75, ear * 0.3), light
    )
    _bear_limbs(b, rng, coat, light=light, body=body)
    _bear_clothes(b, rng, body, y=y, head=head)
    return b.model("teddybear")


def _bear_limbs(b: Builder, rng: Rng, coat: int, *, light: int, body: np.ndarray) -> None:
    arm, thick = rng.uniform(0.24, 0.34), rng.uniform(0.085, 0.12)
    for s in (-1, 1):
        raise_, out = rng.uniform(-60, 35), rng.uniform(5, 50)
        limb = ellipsoid(thick, arm * 0.75, thick).moved(y=-arm * 0.6)
        paw = ellipsoid(thick * 0.75, thick * 0.75, thick * 0.4, segments=18).moved(y=-arm * 1.15, z=thick * 0.62)
        for mesh, material in ((limb, coat), (paw, light)):
            mesh = mesh.turned("x", raise_).turned("z", s * out)
            b.add(mesh.moved(s * body[0] * 0.75, body[1] * 0.55, body[2] * 0.15), material)
    sitting = rng.random() < 0.65
    leg, thick = rng.uniform(0.26, 0.36), rng.uniform(0.11, 0.15)
    for s in (-1, 1):
        limb = ellipsoid(thick, leg * 0.72, thick).moved(y=-leg * 0.55)
        foot = ellipsoid(thick * 1.1, thick * 0.75, thick * 1.35).moved(y=-leg * 1.12, z=thick * 0.5)
        pad = ellipsoid(thick * 0.8, thick * 0.25, thick * 1.0, segments=20).moved(
            y=-leg * 1.12 - thick * 0.58, z=thick * 0.5
        )
        lift, out = (
            (rng.uniform(-88, -70), rng.uniform(8, 28)) if sitting else (rng.uniform(-12, 8), rng.uniform(2, 12))
        )
        for mesh, material in ((limb, coat), (foot, coat), (pad, light)):
            mesh = mesh.turned("x", lift).turned("y" if sitting else "z", s * out)
            b.add(mesh.moved(s * body[0] * 0.55, -body[1] * 0.68, body[2] * 0.2), material)


def _bear_clothes(b: Builder, rng: Rng, body: np.ndarray, *, y: float, head: float) -> None:
    neck = y - head * 0.82
    kind = rng.choice(["none", "bow", "scarf", "shirt", "hat"])
    cloth = b.material(fabric(rng, 1.8))
    if kind == "bow":
        wing = ellipsoid(0.13, 0.085, 0.04, power=0.8).turned("z", 15).moved(0.11, neck, body[2] * 0.95 + 0.02)
        b.mirrored(wing, cloth)
        b.add(ellipsoid(0.04, 0.045, 0.04, segments=16).moved(y=neck, z=body[2] * 0.95 + 0.04), cloth)
    elif kind == "scarf":
        b.add(ring(body[0] * 0.72, neck, 0.05), cloth)
        b.add(box(0.1, 0.28, 0.03, edge=0.012).turned("x", -8).moved(0.07, neck - 0.15, body[2] + 0.03), cloth)
    elif kind == "shirt":
        t = np.linspace(-1.1, 1.0, 14)
        b.add(lathe(np.stack([np.cos(t) * 1.035, np.sin(t) * 1.035], -1), 36).scaled(*body).textured(), cloth)
    elif kind == "hat":
        brim = lathe(np.array([[0, 0], [0.6, 0.0], [0.62, 0.05], [0.4, 0.06], [0.36, 0.45], [0, 0.5]]), 32)
        b.add(
            brim.scaled(head * 1.4, head, head * 1.4)
            .turned("z", rng.uniform(-15, 15))
            .moved(y=y + head * 0.8)
            .textured(),
            cloth,
        )


def hydrant(rng: Rng) -> Model:
    """A flanged barrel with bonnet and nut, two or three capped nozzles with bolts, and now and then chains."""
    b = Builder()
    colour = [(0.75, 0.1, 0.08), (0.9, 0.7, 0.1), hue(rng), (0.8, 0.8, 0.8), (0.15, 0.3, 0.6), hue(rng)][
        rng.integers(6)
    ]
    worn = lambda c: Material(
        "rust",
        near(rng, c),
        near(rng, (0.4, 0.22, 0.12)),
        near(rng, c, 0.5),
        scale=rng.uniform(3, 8),
        p=rng.uniform(0.2, 0.9),
        q=rng.random(),
        specular=rng.uniform(0.05, 0.3),
        bump=rng.uniform(0, 0.35),
        offset=shift(rng),
    )
    body = b.material(worn(colour))
    cap = body if rng.random() < 0.4 else b.material(worn(hue(rng)))
    bolt = b.material(metal(rng) if rng.random() < 0.4 else worn(colour))
    r, h = rng.uniform(0.15, 0.21), rng.uniform(0.6, 0.85)
    flare, flange = r * rng.uniform(1.0, 1.25), r * rng.uniform(1.35, 1.6)
    low = rng.uniform(0.05, 0.14)
    barrel = [
        [0, 0],
        [flange, 0],
        [flange, 0.04],
        [r, 0.045],
        [r, low],
        [flange * 0.95, low + 0.005],
        [flange * 0.95, low + 0.04],
        [r, low + 0.05],
    ]
    barrel += [
        [r, h * 0.55],
        [flare, h * 0.62],
        [flare, h * 0.95],
        [flange, h * 0.96],
        [flange, h + 0.03],
        [0, h + 0.03],
    ]
    flutes = rng.random() < 0.25
    b.add(lathe(np.array(barrel), 48), body)
    for y, n in ((0.04, int(rng.integers(4, 9))), (low + 0.04, 0), (h + 0.03, int(rng.integers(4, 9)))):
        for k in range(n):
            angle = 2 * np.pi * (k + 0.5) / n
            b.add(nut(0.022, 0.03).moved(np.sin(angle) * flange * 0.87, y, np.cos(angle) * flange * 0.87), bolt)
    dome, steep = rng.uniform(0.12, 0.24), rng.uniform(0.6, 1.1)
    t = np.linspace(0, np.pi / 2, 12)
    bonnet = np.stack([flare * np.cos(t) ** steep, h + 0.03 + dome * np.sin(t)], -1)
    bonnet[-1, 0] = 0
    ripple = (lambda a, y: 1 + 0.04 * np.cos(8 * a)) if flutes else None
    b.add(lathe(bonnet, 64 if flutes else 40, ripple=ripple), cap)
    top = h + 0.03 + dome
    b.add(lathe(np.array([[0, -0.03], [0.07, -0.03], [0.06, 0.03], [0, 0.03]]), 24).moved(y=top), cap)
    b.add(
        nut(rng.uniform(0.03, 0.05), rng.uniform(0.05, 0.09), int(rng.choice([4, 5, 6]))).moved(y=top + 0.03),
        bolt if rng.random() < 0.5 else cap,
    )
    _hydrant_nozzles(b, rng, (body, cap, bolt), size=(flare, h))
    return b.model("hydrant")


def _hydrant_nozzles(b: Builder, rng: Rng, paints: tuple[int, int, int], *, size: tuple[float, float]) -> None:
    body, cap, bolt = paints
    flare, h = size
    y, small = h * rng.uniform(0.74, 0.82), rng.uniform(0.065, 0.09)
    nozzles = [(90, small), (-90, small)] + ([(0, small * rng.uniform(1.1, 1.5))] if rng.random() < 0.75 else [])
    for turn, r in nozzles:
        out = flare + rng.uniform(0.05, 0.09)
        pipe = np.array([[0, 0], [r, 0], [r, out - 0.03], [r * 1.2, out - 0.03], [r * 1.2, out], [0, out]])
        lid = np.array([[0, 0], [r * 1.25, 0], [r * 1.25, 0.05], [r * 0.9, 0.075], [0, 0.085]])
        knob = nut(r * 0.4, 0.05, int(rng.choice([4, 5, 6]))).moved(y=out + 0.08)
        for mesh, material in (
            (lathe(pipe, 28), body),
            (lathe(lid, 28, ripple=lambda a, v: 1 + 0.03 * np.cos(6 * a)).moved(y=out), cap),
            (knob, bolt),
        ):
            b.add(mesh.turned("x", 90).turned("y", turn).moved(y=y), material)
    if rng.random() < 0.5:
        for s in (-1, 1):
            path = spline(
                [
                    [s * (flare + 0.1), y - 0.09, 0.03],
                    [s * (flare * 0.9 + 0.04), y - 0.26, 0.1],
                    [s * flare * 0.5, y - 0.16, flare * 0.95],
                ],
                16,
            )
            b.add(tube(path, 0.011, sides=6), bolt)
