"""Random colours and materials for procedural shapes."""

import colorsys

import numpy as np

from fewview.data.meshes import Colour, Material

WOODS = (
    ((0.72, 0.52, 0.33), (0.55, 0.36, 0.2)), ((0.45, 0.28, 0.16), (0.28, 0.16, 0.09)),
    ((0.85, 0.7, 0.5), (0.72, 0.55, 0.36)), ((0.6, 0.32, 0.18), (0.42, 0.2, 0.11)),
    ((0.35, 0.25, 0.2), (0.22, 0.15, 0.12)), ((0.8, 0.76, 0.68), (0.66, 0.6, 0.52)),
)  # fmt: skip
METALS = ((0.75, 0.75, 0.77), (0.45, 0.45, 0.47), (0.83, 0.68, 0.35), (0.72, 0.45, 0.3), (0.25, 0.25, 0.27))
PATTERNS = ("stripes", "speckle", "checks", "marble", "dots", "plaid", "motifs", "gradient")


def hue(rng: np.random.Generator, value: tuple[float, float] = (0.35, 0.95)) -> Colour:
    """A colour of any hue, mostly muted, warm ones more often."""
    saturation = float(rng.beta(1.3, 1.9))
    turn = rng.normal(0.07, 0.08) % 1 if rng.random() < 0.35 else rng.random()
    return colorsys.hsv_to_rgb(float(turn), saturation, float(rng.uniform(*value)))


def near(rng: np.random.Generator, colour: Colour, spread: float = 0.12) -> Colour:
    """A colour close to another."""
    r, g, b = np.clip(
        np.asarray(colour) * rng.uniform(1 - spread, 1 + spread) + rng.normal(0, spread / 3, 3), 0.02, 0.98
    )
    return float(r), float(g), float(b)


def contrast(rng: np.random.Generator, colour: Colour) -> Colour:
    """A colour of clearly different lightness."""
    dark = sum(colour) > 1.35
    return hue(rng, (0.08, 0.4) if dark else (0.75, 1.0))


def wood(rng: np.random.Generator, **changes) -> Material:
    a, b = WOODS[rng.integers(len(WOODS))]
    options = dict(
        kind="wood", a=near(rng, a), b=near(rng, b), scale=rng.uniform(5, 14), p=rng.uniform(0.1, 0.9), q=rng.random(),
        axis=int(rng.integers(3)), specular=rng.uniform(0.02, 0.2), shininess=rng.uniform(10, 60), offset=shift(rng),
    )  # fmt: skip
    return Material(**{**options, **changes})


def metal(rng: np.random.Generator, **changes) -> Material:
    colour = near(rng, METALS[rng.integers(len(METALS))])
    options = dict(a=colour, specular=0.5, shininess=rng.uniform(20, 80), metal=rng.uniform(0.5, 1.0), scale=6.0)
    return Material(**{**options, **changes})


def paint(rng: np.random.Generator, **changes) -> Material:
    options = dict(a=hue(rng), specular=rng.uniform(0.03, 0.3), shininess=rng.uniform(8, 80), scale=rng.uniform(3, 10))
    return Material(**{**options, **changes})


def fabric(rng: np.random.Generator, scale: float = 1.0) -> Material:
    """Cloth or leather: plain, woven, or with a printed pattern."""
    a = hue(rng)
    b = near(rng, a, 0.3) if rng.random() < 0.5 else contrast(rng, a)
    kind = str(rng.choice(["plain", "weave", "stripes", "plaid", "dots", "checks", "marble", "speckle", "motifs"]))
    count = rng.uniform(3, 9) * scale * (3 if kind == "weave" else 1)
    return Material(
        kind=kind, a=a, b=b, c=hue(rng), scale=count, p=rng.uniform(0.2, 0.8), q=rng.random(), mapping="box",
        axis=int(rng.choice([0, 1, 0])), specular=0.02 if rng.random() < 0.7 else 0.2, bump=rng.uniform(0, 0.25),
        offset=shift(rng),
    )  # fmt: skip


def glaze(rng: np.random.Generator, *, mapping: str = "cylinder") -> Material:
    """Ceramic or painted surface with a pattern that runs around the axis."""
    a = hue(rng)
    b = contrast(rng, a) if rng.random() < 0.7 else hue(rng)
    kind = str(rng.choice([*PATTERNS, "plain", "marble", "stripes", "motifs", "gradient", "rust"]))
    turn = mapping == "cylinder" and kind in ("stripes", "checks", "dots", "plaid", "motifs")
    graded, centre = kind == "gradient", (0.0, 0.0, 0.0)
    return Material(
        kind=kind, a=a, b=b, c=hue(rng), scale=rng.uniform(0.4, 0.6) if graded else rng.uniform(1.2, 4.5),
        p=rng.uniform(0.2, 0.8), q=rng.random(), mapping="cylinder" if turn else "solid",
        axis=int(rng.choice([0, 1, 1])) if kind == "stripes" else 1, specular=rng.uniform(0.05, 0.5),
        shininess=rng.uniform(15, 120), offset=centre if graded else shift(rng),
        bump=rng.uniform(0.1, 0.4) if rng.random() < 0.15 else 0.0,
    )  # fmt: skip


def shift(rng: np.random.Generator) -> Colour:
    """An offset that gives each part its own piece of a texture."""
    x, y, z = rng.uniform(0, 20, 3)
    return float(x), float(y), float(z)
