"""The picture of `fewview inspect`: cameras from above and from the side, and the photos as a contact sheet."""

import colorsys
import math
from collections.abc import Callable, Sequence
from functools import lru_cache

import torch
from jaxtyping import Float
from PIL import Image, ImageDraw, ImageFont
from torch import Tensor

from fewview.cameras import Cameras
from fewview.geometry.transforms import normalise
from fewview.pipeline.coverage import Coverage, Glance, level

WIDTH, PANEL, GAP, LINE = 1280, 620, 12, 20  # px
TILE = 157  # px, of a photo with its border
MOST_TILES = 64
SMOOTH = 2  # drawn so many times larger, then averaged
FRUSTUM = 0.1  # length of a camera's pyramid, in sides of the panel
CROWD = 40  # cameras; more are drawn smaller
PAPER, INK, FAINT = (255, 255, 255), (40, 44, 52), (214, 218, 226)
INPUT, TARGET, OBJECT, MISSING = (36, 99, 201), (226, 122, 26), (240, 226, 196), (252, 232, 230)

Colour = tuple[int, int, int]
Place = Callable[[Tensor], list[tuple[float, float]]]  # points on the panel's axes (n x 2) to pixels


def overview(
    title: str,
    glances: Sequence[Glance],
    *,
    cameras: Cameras | None = None,
    coverage: Coverage | None = None,
    targets: Sequence[int] = (),
) -> Image.Image:
    """All that `fewview inspect` draws; without cameras, the photos alone. `targets` get a colour of their own."""
    count, judged = len(glances), set(targets)
    colours = [TARGET if i in judged else INPUT if judged else _hue(i, count) for i in range(count)]
    sheet = _contact_sheet(glances, colours)
    top = 2 * LINE + (PANEL + GAP if coverage is not None else 0)
    picture = Image.new("RGB", (WIDTH, top + sheet.height + GAP), PAPER)
    draw = ImageDraw.Draw(picture)
    draw.text((GAP, LINE // 2), _fitting(title, WIDTH - 2 * GAP, _font(16)), fill=INK, font=_font(16))
    if coverage is not None and cameras is not None:
        for i, above in enumerate((True, False)):
            panel = _panel(cameras, coverage, colours, above=above)
            picture.paste(panel, (GAP + i * (PANEL + GAP), 2 * LINE))
    picture.paste(sheet, (GAP, top))
    return picture


def _panel(cameras: Cameras, coverage: Coverage, colours: Sequence[Colour], *, above: bool) -> Image.Image:
    """Cameras in orthographic projection along `up`, or along a level axis."""
    arms = cameras.centers - coverage.target
    first, second, turn = _spread(arms, *level(coverage.up, normalise(arms)))
    axes = torch.stack([first, second if above else coverage.up])
    flat = arms @ axes.mT
    shown = torch.cat([flat, flat.new_zeros(1, 2)])
    middle = (shown.amax(0) + shown.amin(0)) / 2
    reach = max((shown - middle).abs().max().item(), coverage.radius or 0.0, 1e-9)
    side = PANEL * SMOOTH
    scale = side * (0.5 - FRUSTUM) / reach

    def place(points: Float[Tensor, "n 2"]) -> list[tuple[float, float]]:
        at = (points - middle) * scale
        return [(side / 2 + x, side / 2 - y) for x, y in at.tolist()]

    panel = Image.new("RGB", (side, side), PAPER)
    draw = ImageDraw.Draw(panel, "RGBA")
    _ground(draw, coverage, place, turn=turn if above else None)
    length = FRUSTUM * side / scale * min(1.0, (CROWD / len(cameras)) ** 0.5)
    corners = _pyramids(cameras, length) - coverage.target
    depth = arms @ (coverage.up if above else torch.linalg.cross(first, coverage.up))
    for i in depth.argsort().tolist():
        ends = place(corners[i] @ axes.mT)
        apex = place(flat[i : i + 1])[0]
        draw.polygon(ends, fill=(*colours[i], 60))
        for j, end in enumerate(ends):
            draw.line([apex, end], fill=colours[i], width=SMOOTH)
            draw.line([end, ends[(j + 1) % 4]], fill=colours[i], width=SMOOTH)
    for i, (x, y) in enumerate(place(flat)):
        draw.ellipse([x - 3 * SMOOTH, y - 3 * SMOOTH, x + 3 * SMOOTH, y + 3 * SMOOTH], fill=colours[i])
        draw.text((x + 5 * SMOOTH, y - 16 * SMOOTH), str(i), fill=INK, font=_font(12 * SMOOTH))
    panel = panel.resize((PANEL, PANEL), Image.Resampling.LANCZOS)
    draw = ImageDraw.Draw(panel)
    draw.rectangle([0, 0, PANEL - 1, PANEL - 1], outline=FAINT)
    draw.text((GAP, GAP // 2), "from above" if above else "from the side", fill=INK, font=_font(14))
    return panel


def _ground(draw: ImageDraw.ImageDraw, coverage: Coverage, place: Place, *, turn: float | None) -> None:
    """What the cameras look at; from above, their distance and the widest gap between them (`turn` of the axes)."""
    origin = place(torch.zeros(1, 2))[0]
    unit_px = place(torch.tensor([[1.0, 0.0]]))[0][0] - origin[0]  # px
    ring = lambda radius: [origin[0] - radius, origin[1] - radius, origin[0] + radius, origin[1] + radius]
    far = (coverage.distances * coverage.elevations.deg2rad().cos()).median().item() * unit_px
    if turn is not None and coverage.arrangement == "around an object":
        start, gap = coverage.gap()
        draw.pieslice(ring(far * 1.1), turn - start - gap, turn - start, fill=MISSING)  # PIL's angles are clockwise
        draw.ellipse(ring(far), outline=FAINT, width=SMOOTH)
    elif turn is None:
        draw.line([(0, origin[1]), (PANEL * SMOOTH, origin[1])], fill=FAINT, width=SMOOTH)
    if coverage.radius is not None:
        draw.ellipse(ring(coverage.radius * unit_px), fill=OBJECT)
    for dx, dy in ((8, 0), (0, 8)):
        ends = [(origin[0] - dx * SMOOTH, origin[1] - dy * SMOOTH), (origin[0] + dx * SMOOTH, origin[1] + dy * SMOOTH)]
        draw.line(ends, fill=INK, width=SMOOTH)


def _pyramids(cameras: Cameras, length: float) -> Float[Tensor, "n 4 3"]:
    """World points of the image corners, at depth `length`."""
    w, h = float(cameras.width), float(cameras.height)
    pixels = torch.tensor([[0.0, 0.0], [w, 0.0], [w, h], [0.0, h]]).expand(len(cameras), 4, 2)
    rays = cameras.rays_at(pixels)
    along = (rays.directions * cameras.forward[:, None]).sum(-1, keepdim=True)
    return rays.origins + rays.directions * (length / along)


def _spread(
    arms: Float[Tensor, "n 3"], first: Float[Tensor, "3"], second: Float[Tensor, "3"]
) -> tuple[Float[Tensor, "3"], Float[Tensor, "3"], float]:
    """The level axes turned (by how many degrees) so that the cameras spread along the first."""
    flat = torch.stack([arms @ first, arms @ second], dim=-1)
    flat = flat - flat.mean(0)
    c, s = torch.linalg.eigh(flat.mT @ flat).eigenvectors[:, 1].tolist()
    return c * first + s * second, c * second - s * first, math.degrees(math.atan2(s, c))


def _contact_sheet(glances: Sequence[Glance], colours: Sequence[Colour]) -> Image.Image:
    """Small photos with their numbers; what lies outside of a mask is pale."""
    count = min(len(glances), MOST_TILES)
    chosen = [i * len(glances) // count for i in range(count)]
    tiles = [_thumbnail(glances[i]) for i in chosen]
    columns, row = (WIDTH - 2 * GAP) // TILE, max(tile.height for tile in tiles) + LINE + GAP // 2
    sheet = Image.new("RGB", (columns * TILE, math.ceil(count / columns) * row), PAPER)
    draw = ImageDraw.Draw(sheet)
    for place, (i, tile) in enumerate(zip(chosen, tiles)):
        left, top = place % columns * TILE, place // columns * row
        sheet.paste(tile, (left, top))
        draw.rectangle([left, top, left + tile.width - 1, top + tile.height - 1], outline=colours[i], width=2)
        label = _fitting(f"{i}  {glances[i].name}", TILE - 8, _font(12))
        draw.text((left, top + tile.height + 2), label, fill=INK, font=_font(12))
    return sheet


def _thumbnail(glance: Glance) -> Image.Image:
    image = glance.image
    if glance.mask is not None:
        image = image * glance.mask + (0.75 + 0.25 * image) * (1 - glance.mask)
    pixels = (image.clamp(0, 1) * 255).round().byte().permute(1, 2, 0).contiguous().numpy()
    tile = Image.fromarray(pixels)
    tile.thumbnail((TILE - 8, TILE - 8), Image.Resampling.LANCZOS)
    return tile


def _hue(i: int, count: int) -> Colour:
    """From blue for the first to orange for the last."""
    r, g, b = colorsys.hsv_to_rgb(0.6 - 0.53 * i / max(count - 1, 1), 0.85, 0.8)
    return round(255 * r), round(255 * g), round(255 * b)


@lru_cache(maxsize=8)
def _font(size: int) -> ImageFont.ImageFont | ImageFont.FreeTypeFont:
    return ImageFont.load_default(size)


def _fitting(text: str, width: int, font: ImageFont.ImageFont | ImageFont.FreeTypeFont) -> str:
    """The text, cut to a width in pixels."""
    if font.getlength(text) <= width:
        return text
    while text and font.getlength(text + "...") > width:
        text = text[:-1]
    return text + "..."
