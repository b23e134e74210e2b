"""Textures for rooms, made of noise and rules: floors, walls, rugs, pictures, book spines, the world outside.

Each function gives a square of RGBA bytes. Floors and walls repeat without seams. Own work, CC0.
"""

from collections.abc import Callable

import numpy as np
from jaxtyping import Float, UInt8

from fewview.data.meshes import Colour, Material
from fewview.synthetic.shapes.palettes import WOODS, contrast, hue, near

Rng = np.random.Generator
SIZE = 256
Texture = UInt8[np.ndarray, "256 256 4"]
Values = Float[np.ndarray, "256 256"]
Y, X = np.meshgrid((np.arange(SIZE) + 0.5) / SIZE, (np.arange(SIZE) + 0.5) / SIZE, indexing="ij")


def clouds(rng: Rng, slope: float = 1.6, stretch: float = 1.0) -> Values:
    """Seamless noise in [0, 1] whose spectrum falls with `slope`; `stretch` draws it out along x."""
    f = np.fft.fftfreq(SIZE) * SIZE
    radius = np.hypot(f[:, None], f[None] * stretch)
    radius[0, 0] = np.inf
    field = np.fft.ifft2(np.fft.fft2(rng.normal(size=(SIZE, SIZE))) * radius**-slope).real
    low, high = np.quantile(field, [0.01, 0.99])
    return np.clip((field - low) / (high - low), 0, 1)


def planks(rng: Rng) -> tuple[Texture, float]:
    """Boards along x with joints, or pairs of boards turned against each other; (texture, metres across)."""
    metres, rows = 2.0, int(rng.choice([8, 10, 12, 16, 20]))
    a, b = (np.asarray(c) for c in WOODS[rng.integers(len(WOODS))])
    if rng.random() < 0.5:  # greyer and paler than furniture
        a, b = a * 0.6 + 0.38, b * 0.7 + 0.22
    across, along = Y * rows, X
    if rng.random() < 0.25:  # basket weave: squares of boards, every other one turned
        cells = rows // 4
        turned = ((np.floor(X * cells * 2) + np.floor(Y * cells * 2)) % 2).astype(bool)
        across, along = np.where(turned, X, Y) * cells * 8, np.where(turned, Y, X)
        board = np.floor(across) + 64 * np.floor(along * cells * 2)
        end = np.minimum(along * cells * 2 % 1, 1 - along * cells * 2 % 1) / (cells * 2)
    else:
        row = np.floor(across).astype(int)
        length = (along + rng.random(64)[row]) * int(rng.choice([1, 2]))
        board = row + 64 * (np.floor(length) % 2)
        end = np.minimum(length % 1, 1 - length % 1)
    tone = rng.random(4096)[board.astype(int) % 4096]
    grain = clouds(rng, 1.2, 0.06)
    shade = np.clip(0.75 * tone * rng.uniform(0.3, 1) + 0.6 * (grain - 0.4), 0, 1)[..., None]
    colour = a * (1 - shade) + b * shade
    gap = (np.minimum(across % 1, 1 - across % 1) < 0.035 * rows / 12) | (end < 0.004)
    return texture(colour * np.where(gap, rng.uniform(0.3, 0.75), 1.0)[..., None]), metres


def tiles(rng: Rng) -> tuple[Texture, float]:
    """Square or brick-laid tiles with grout, plain, veined, speckled or chequered."""
    n = int(rng.choice([2, 3, 4, 6]))
    tall = n * int(rng.choice([1, 1, 2]))
    row = np.floor(Y * tall)
    shifted = X * n + (0.5 * (row % 2) if tall % 2 == 0 and rng.random() < 0.4 else 0)
    column = np.floor(shifted) % n
    base = np.asarray(near(rng, [(0.85, 0.83, 0.79), (0.6, 0.55, 0.5), (0.75, 0.7, 0.62), hue(rng, (0.5, 0.95)),
                                 (0.35, 0.35, 0.37)][rng.integers(5)]))  # fmt: skip
    other = np.asarray(contrast(rng, tuple(base))) if rng.random() < 0.2 and n % 2 == 0 else base
    odd = ((column + row) % 2)[..., None]
    colour = base * (1 - odd) + other * odd
    tone = 1 + 0.12 * (rng.random((64, 64))[row.astype(int), column.astype(int)] - 0.5)
    veins = clouds(rng, rng.uniform(0.8, 2.0)) - 0.5
    colour = colour * (tone + rng.uniform(0.05, 0.3) * veins)[..., None]
    u, v = shifted % 1, Y * tall % 1
    grout = (np.minimum(u, 1 - u) / n < 0.0035) | (np.minimum(v, 1 - v) / tall < 0.0035)
    return texture(np.where(grout[..., None], near(rng, (0.55, 0.53, 0.5)), colour)), n * rng.uniform(0.25, 0.55)


def carpet(rng: Rng) -> tuple[Texture, float]:
    """Short pile in one colour, mottled."""
    base = np.asarray(near(rng, [(0.6, 0.56, 0.5), (0.45, 0.45, 0.48), hue(rng, (0.3, 0.75))][rng.integers(3)]))
    pile = 0.6 * clouds(rng, 0.3) + 0.4 * clouds(rng, 1.5)
    return texture(base * (0.8 + 0.4 * pile)[..., None]), 2.5


def stone(rng: Rng) -> tuple[Texture, float]:
    """Concrete, plaster or polished stone without joints."""
    a = np.asarray(near(rng, [(0.6, 0.6, 0.58), (0.75, 0.72, 0.68), (0.5, 0.47, 0.44)][rng.integers(3)], 0.04))
    cloud = clouds(rng, rng.uniform(1.2, 1.9))
    return texture(a * (0.82 + 0.3 * cloud + 0.08 * (clouds(rng, 0.4) - 0.5))[..., None]), 3.0


def bricks(rng: Rng) -> tuple[Texture, float]:
    """A running bond of bricks, red, white or dark."""
    rows, columns = 16, 5
    row = np.floor(Y * rows).astype(int)
    shifted = X * columns + 0.5 * (row % 2)
    column = np.floor(shifted).astype(int) % columns
    base = np.asarray([(0.55, 0.3, 0.22), (0.85, 0.83, 0.8), (0.35, 0.3, 0.28), (0.7, 0.5, 0.36)][rng.integers(4)])
    tone = rng.uniform(0.75, 1.15, (rows, columns))[row, column] * (0.85 + 0.3 * clouds(rng, 1.0))
    u, v = shifted % 1, Y * rows % 1
    joint = (np.minimum(u, 1 - u) < 0.03) | (np.minimum(v, 1 - v) < 0.08)
    return texture(np.where(joint[..., None], 0.68, base * tone[..., None])), 1.2


def panels(rng: Rng) -> tuple[Texture, float]:
    """Upright boards or grooved panels."""
    n = int(rng.choice([8, 12, 16]))
    a, b = (np.asarray(c) for c in WOODS[rng.integers(len(WOODS))])
    if rng.random() < 0.5:
        a, b = np.asarray(near(rng, (0.85, 0.85, 0.82))), np.asarray(near(rng, (0.78, 0.78, 0.76)))
    board = np.floor(X * n).astype(int)
    shade = np.clip(0.5 * rng.random(n)[board] + 0.7 * (clouds(rng, 1.2, 14.0) - 0.4), 0, 1)[..., None]
    gap = np.minimum(X * n % 1, 1 - X * n % 1) < 0.06
    return texture((a * (1 - shade) + b * shade) * np.where(gap, 0.6, 1.0)[..., None]), 1.6


def wallpaper(rng: Rng) -> tuple[Texture, float]:
    """Stripes, damask-like ornaments, leaves or a geometric print in two tones."""
    a = muted(hue(rng, (0.65, 0.95)), rng.uniform(0.2, 0.7))
    b = np.clip(a * rng.uniform(0.72, 0.92, 3) + rng.uniform(-0.05, 0.05), 0, 1)
    if rng.random() < 0.3:
        b = muted(hue(rng, (0.4, 0.9)), 0.5)
    kind, n = rng.integers(4), int(rng.integers(3, 9))
    if kind == 0:
        share = (np.sin(2 * np.pi * X * n * 2) > rng.uniform(-0.6, 0.6)).astype(float)
    elif kind == 1:
        u, v = X * n % 1 - 0.5, (Y * n + 0.5 * (np.floor(X * n) % 2)) % 1 - 0.5
        angle, r = np.arctan2(v, u), np.hypot(u, v * rng.uniform(0.6, 1))
        share = np.clip(12 * (0.25 + 0.14 * np.cos(int(rng.integers(3, 8)) * angle) - r), 0, 1)
    elif kind == 2:
        phase = 2 * np.pi * n
        share = np.clip(4 * (np.sin(phase * X + 1.5 * np.sin(phase * Y)) * np.cos(phase * Y / 2 * 2) - 0.2), 0, 1)
    else:
        share = ((np.abs((X * n) % 1 - 0.5) + np.abs((Y * n) % 1 - 0.5)) > 0.5).astype(float)
    share = (share * rng.uniform(0.4, 1))[..., None]
    return texture((a * (1 - share) + b * share) * (0.97 + 0.06 * clouds(rng, 0.5))[..., None]), rng.uniform(0.8, 1.8)


def rug(rng: Rng) -> Texture:
    """A rug with borders and a field of bands, diamonds, checks or noise, symmetric as woven ones are."""
    u, v = np.abs(X - 0.5) * 2, np.abs(Y - 0.5) * 2
    edge = np.maximum(u, v)
    colours = [muted(hue(rng, (0.25, 0.9)), 0.6) for _ in range(4)]
    n = rng.integers(2, 8)
    patterns = (
        lambda: np.floor(u * n * 1.5) % 2,
        lambda: np.floor((u + v) * n) % 2,
        lambda: (np.floor(u * n) + np.floor(v * n)) % 2,
        lambda: (clouds(rng, 1.6) > 0.5).astype(float),
        lambda: np.clip(np.sin(n * np.pi * np.hypot(u, v) * 2) * 3, 0, 1),
        lambda: np.zeros_like(u),
    )
    field = patterns[rng.integers(len(patterns))]()[..., None]
    picture = colours[0] * (1 - field) + colours[1] * field
    for _ in range(int(rng.integers(0, 4))):
        at = rng.uniform(0.6, 0.97)
        picture = np.where(((edge > at) & (edge < at + rng.uniform(0.02, 0.1)))[..., None], colours[2], picture)
    picture = np.where((edge > 0.95)[..., None], colours[3], picture)
    return texture(picture * (0.85 + 0.3 * clouds(rng, 0.3))[..., None])


def painting(rng: Rng) -> Texture:
    """What hangs on walls: a landscape, an abstract, a print, or a photograph of clouds; at times with a mount."""
    kinds = (_landscape, _blocks, _circles, _leaves)
    picture = kinds[rng.integers(len(kinds))](rng)
    if rng.random() < 0.15:
        picture = np.repeat(picture.mean(-1, keepdims=True), 3, axis=-1)
    if rng.random() < 0.5:
        margin = rng.uniform(0.06, 0.2)
        mount = (np.minimum(X, 1 - X) < margin) | (np.minimum(Y, 1 - Y) < margin)
        picture = np.where(mount[..., None], near(rng, (0.93, 0.92, 0.88), 0.03), picture)
    return texture(picture)


def outside(rng: Rng) -> Texture:
    """Sky, horizon and what stands before it: hills, trees, houses. The horizon lies at the middle row."""
    top, low = np.asarray([(0.35, 0.55, 0.9), (0.6, 0.7, 0.82), (0.75, 0.78, 0.82)][rng.integers(3)]), 0.93
    height = np.clip(Y / 0.5, 0, 1)[..., None]
    picture = top * (1 - height) + low * height
    cloud = np.clip(clouds(rng, 1.9, 0.5) * 2 - rng.uniform(0.4, 1.4), 0, 1)[..., None]
    picture = picture * (1 - 0.8 * cloud) + 0.97 * 0.8 * cloud
    green = np.asarray(near(rng, (0.3, 0.37, 0.22), 0.12))
    far = 0.5 - 0.1 * rng.random() * clouds(rng, 1.8)[0]
    picture = np.where((far[None] < Y)[..., None], green * 0.5 + 0.32, picture)
    if rng.random() < 0.55:
        picture = _houses(rng, picture)
    foliage = clouds(rng, 1.1)
    trees = 0.53 - rng.uniform(0.05, 0.3) * np.clip(clouds(rng, 1.5)[3] * 2 - 0.7, 0, 1) + 0.05 * (foliage - 0.5)
    picture = np.where((trees < Y)[..., None], green * (0.45 + 0.9 * foliage[..., None]), picture)
    lawn = np.asarray(near(rng, [(0.4, 0.5, 0.25), (0.6, 0.58, 0.54)][rng.integers(2)]))
    picture = np.where((Y > 0.54)[..., None], lawn * (0.8 + 0.4 * clouds(rng, 1.0, 0.3)[..., None]), picture)
    return texture(picture)


def spines(rng: Rng) -> Texture:
    """A row of book spines."""
    widths = rng.uniform(0.6, 1.6, 24)
    edges = np.cumsum(widths) / widths.sum()
    book = np.searchsorted(edges[:-1], X[0])
    colours = np.array([hue(rng, (0.15, 0.85)) for _ in range(24)])
    colours = 0.6 * colours + 0.4 * colours.mean(-1, keepdims=True)
    picture = np.broadcast_to(colours[book][None], (SIZE, SIZE, 3)).copy()
    left = np.concatenate([[0], edges[:-1]])[book]
    inner = (X[0] - left) / np.diff(np.concatenate([[0], edges]))[book]
    picture *= (0.75 + 0.3 * np.sin(np.pi * inner))[None, :, None]
    for k in range(24):
        at, tall = rng.uniform(0.1, 0.8), rng.uniform(0.02, 0.15)
        band = (np.abs(Y - at) < tall) & (book == k)[None] & (np.abs(inner - 0.5) < 0.4)[None]
        picture[band] = 0.3 * picture[band] + 0.7 * np.asarray(contrast(rng, tuple(colours[k])))
    top = rng.uniform(0.0, 0.35, 24)[book]
    picture[top[None] > Y] = 0.06
    return texture(picture)


FLOORS: tuple[Callable[[Rng], tuple[Texture, float]], ...] = (planks, planks, planks, tiles, carpet, carpet, stone)
WALLS: tuple[Callable[[Rng], tuple[Texture, float]], ...] = (wallpaper, wallpaper, wallpaper, bricks, panels)


def wall_paint(rng: Rng) -> Material:
    """White most often, else a pale or, now and then, a strong colour."""
    share = rng.random()
    colour = (
        near(rng, (0.9, 0.89, 0.86), 0.04) if share < 0.5 else hue(rng, (0.75, 0.95) if share < 0.85 else (0.3, 0.7))
    )
    r, g, b = muted(colour, 0.35 if share >= 0.5 else 1.0).tolist()
    return Material(a=(r, g, b), specular=0.02, scale=0.8)


def muted(colour: Colour, share: float) -> Float[np.ndarray, "3"]:
    """A colour with a share of its saturation."""
    return share * np.asarray(colour) + (1 - share) * float(np.mean(colour))


def texture(colour: np.ndarray) -> Texture:
    """Bytes of sRGB in [0, 1], opaque."""
    rgb = (np.broadcast_to(colour, (SIZE, SIZE, 3)).clip(0, 1) * 255).round().astype(np.uint8)
    return np.concatenate([rgb, np.full((SIZE, SIZE, 1), 255, np.uint8)], axis=-1)


def mean_colour(image: Texture) -> Colour:
    r, g, b = (image[..., :3].mean((0, 1)) / 255).tolist()
    return r, g, b


def _landscape(rng: Rng) -> np.ndarray:
    low, high = np.asarray(hue(rng, (0.7, 1))), np.asarray(hue(rng, (0.5, 0.95)))
    picture = high * (1 - Y[..., None]) + low * Y[..., None]
    sun = np.hypot(X - rng.uniform(0.2, 0.8), Y - rng.uniform(0.15, 0.45)) < rng.uniform(0.04, 0.12)
    picture = np.where(sun[..., None] & (rng.random() < 0.6), (0.98, 0.9, 0.7), picture)
    for depth in np.sort(rng.uniform(0.35, 0.95, int(rng.integers(2, 6)))):
        line = depth + 0.25 * (clouds(rng, 1.7)[0] - 0.5)
        colour = np.asarray(hue(rng, (0.2, 0.8))) * (0.7 + 0.5 * clouds(rng, 1.0)[..., None])
        picture = np.where((line[None] < Y)[..., None], colour, picture)
    return picture


def _blocks(rng: Rng) -> np.ndarray:
    picture = np.ones((SIZE, SIZE, 3)) * np.asarray(hue(rng, (0.6, 1)))
    for _ in range(int(rng.integers(4, 16))):
        x, y, w, h = rng.uniform(-0.1, 0.9), rng.uniform(-0.1, 0.9), *rng.uniform(0.05, 0.5, 2)
        inside = (x < X) & (x + w > X) & (y < Y) & (y + h > Y)
        picture[inside] = np.asarray(hue(rng, (0.1, 1)))
    return picture


def _circles(rng: Rng) -> np.ndarray:
    picture = np.ones((SIZE, SIZE, 3)) * np.asarray(hue(rng, (0.5, 1)))
    for _ in range(int(rng.integers(3, 14))):
        r, rim = np.hypot(X - rng.random(), Y - rng.random()), rng.uniform(0.05, 0.35)
        picture[(r < rim) & (r > rim * rng.choice([0, 0, 0.7]))] = np.asarray(hue(rng, (0.1, 1)))
    return picture


def _leaves(rng: Rng) -> np.ndarray:
    picture = np.ones((SIZE, SIZE, 3)) * np.asarray(near(rng, (0.92, 0.9, 0.85), 0.1))
    colour = np.asarray(hue(rng, (0.15, 0.6)))
    for angle in np.linspace(-1.2, 1.2, int(rng.integers(3, 9))) + rng.normal(0, 0.1):
        u = (X - 0.5) * np.cos(angle) + (Y - 0.9) * np.sin(angle)
        v = -(X - 0.5) * np.sin(angle) + (Y - 0.9) * np.cos(angle)
        length = rng.uniform(0.5, 0.8)
        leaf = (np.abs(u) < 0.09 * np.sin(np.pi * np.clip(-v / length, 0, 1))) & (v < 0) & (-v < length)
        picture[leaf] = colour * rng.uniform(0.7, 1.3)
    return picture


def _houses(rng: Rng, picture: np.ndarray) -> np.ndarray:
    for _ in range(int(rng.integers(2, 8))):
        x, w, tall = rng.random(), rng.uniform(0.05, 0.16), rng.uniform(0.06, 0.4)
        u, v = (X - x) % 1 / w, (Y - 0.54 + tall) / tall
        body = (u < 1) & (v > 0)
        panes = body & (u * 4 % 1 > 0.35) & (v * tall * 22 % 1 > 0.45)
        picture = np.where(body[..., None], np.asarray(near(rng, hue(rng, (0.5, 0.9)))), picture)
        picture = np.where(panes[..., None], 0.25, picture)
    return picture
