"""Pictures of docs/conventions.md: `python docs/images/axes.py [FOLDER]`. A test compares FRAMES with the readers."""

import sys
from functools import partial
from pathlib import Path

from PIL import Image, ImageDraw, ImageFont

Point = tuple[float, float, float]
WORDS: dict[str, Point] = {  # in OpenCV's axes: x right, y down, z forward
    "right": (1, 0, 0),
    "left": (-1, 0, 0),
    "down": (0, 1, 0),
    "up": (0, -1, 0),
    "forward": (0, 0, 1),
    "backward": (0, 0, -1),
}
FRAMES = {  # where a camera's x, y and z (or the first, second and third column of its rotation) point
    "OpenCV": ("right", "down", "forward"),
    "OpenGL": ("right", "up", "backward"),
    "PyTorch3D": ("left", "up", "forward"),
    "LLFF": ("down", "right", "backward"),
}
USERS = {
    "OpenCV": "fewview, COLMAP, RealEstate10K",
    "OpenGL": "Nerfstudio, Blender, glTF",
    "PyTorch3D": "CO3D",
    "LLFF": "poses_bounds.npy, by columns",
}
WORLDS = {  # where x, y and z of a world point, for a viewer who looks at the front of the object
    "y up": ("right", "up", "backward", "glTF, OBJ, SPZ;\ncameras found by fewview"),
    "z up": ("right", "forward", "up", "Blender, Nerfstudio;\n--up z"),
    "y down": ("right", "down", "forward", "PLY and .splat by custom;\n--up=-y"),
}
RED, GREEN, BLUE, INK, FAINT, PAPER = "#d03020", "#1f9440", "#2458c8", "#282c34", "#c8ccd4", "#ffffff"
SMOOTH = 3  # drawn so many times larger, then averaged
PANEL, HIGH, ARM = 225, 230, 72  # px


def place(point: Point, origin: tuple[float, float]) -> tuple[float, float]:
    """Pixels of a point (right, down, forward) in a parallel projection from behind, above and the left."""
    x, y, z = point
    return origin[0] + ARM * (0.9 * x + 0.72 * z), origin[1] + ARM * (0.16 * x + y - 0.32 * z)


class Sheet:
    """A picture in pixels of its final size."""

    def __init__(self, width: int, height: int):
        self.image = Image.new("RGB", (width * SMOOTH, height * SMOOTH), PAPER)
        self.draw = ImageDraw.Draw(self.image)

    def line(self, *points: tuple[float, float], colour: str = INK, width: float = 1.2) -> None:
        scaled = [(x * SMOOTH, y * SMOOTH) for x, y in points]
        self.draw.line(scaled, fill=colour, width=round(width * SMOOTH), joint="curve")

    def shape(self, points: list[tuple[float, float]], fill: str) -> None:
        self.draw.polygon([(x * SMOOTH, y * SMOOTH) for x, y in points], fill=fill)

    def dot(self, at: tuple[float, float], radius: float, colour: str = INK) -> None:
        box = [
            (at[0] - radius) * SMOOTH,
            (at[1] - radius) * SMOOTH,
            (at[0] + radius) * SMOOTH,
            (at[1] + radius) * SMOOTH,
        ]
        self.draw.ellipse(box, fill=colour)

    def text(
        self, at: tuple[float, float], words: str, *, size: int = 13, colour: str = INK, anchor: str = "mm"
    ) -> None:
        font = ImageFont.load_default(size * SMOOTH)
        centre = {"anchor": anchor} if "\n" not in words else {"anchor": "ma", "align": "center"}
        self.draw.text((at[0] * SMOOTH, at[1] * SMOOTH), words, fill=colour, font=font, **centre)

    def arrow(self, start: Point, end: Point, origin: tuple[float, float], *, colour: str, name: str) -> None:
        (x, y), (u, v) = place(start, origin), place(end, origin)
        length = ((u - x) ** 2 + (v - y) ** 2) ** 0.5
        a, b = (u - x) / length, (v - y) / length
        self.line((x, y), (u - 6 * a, v - 6 * b), colour=colour, width=3)
        self.shape([(u, v), (u - 11 * a - 5 * b, v - 11 * b + 5 * a), (u - 11 * a + 5 * b, v - 11 * b - 5 * a)], colour)
        self.text((u + 11 * a, v + 11 * b), name, size=15, colour=colour)

    def axes(self, directions: tuple[str, ...], origin: tuple[float, float], names: str = "xyz") -> None:
        """Three arrows, the farthest first."""
        arms = sorted(zip(directions, names, (RED, GREEN, BLUE)), key=lambda arm: -WORDS[arm[0]][2])
        for word, name, colour in arms:
            x, y, z = WORDS[word]
            reach = 0.8 if z < 0 else 1.0  # backward comes towards the reader and would leave the panel
            self.arrow((0, 0, 0), (x * reach, y * reach, z * reach), origin, colour=colour, name=name)

    def save(self, path: Path) -> None:
        size = (self.image.width // SMOOTH, self.image.height // SMOOTH)
        small = self.image.resize(size, Image.Resampling.LANCZOS)
        small.quantize(64, dither=Image.Dither.NONE).save(path, optimize=True)


def cameras() -> Sheet:
    """The same camera, which looks forward, with the axes that each format gives it."""
    sheet = Sheet(PANEL * len(FRAMES), HIGH)
    for i, (name, words) in enumerate(FRAMES.items()):
        origin = (PANEL * (i + 0.46), 118.0)
        w, h, far = 0.62, 0.46, 1.1
        corners = [place(p, origin) for p in ((-w, -h, far), (w, -h, far), (w, h, far), (-w, h, far))]
        roof = [place(p, origin) for p in ((-w / 2, -h * 1.1, far), (w / 2, -h * 1.1, far), (0, -h * 1.6, far))]
        sheet.shape(corners, "#eef0f4")
        sheet.line(*corners, corners[0], colour=FAINT, width=2)
        sheet.shape(roof, FAINT)
        for corner in corners:
            sheet.line(place((0, 0, 0), origin), corner, colour=FAINT, width=1.5)
        sheet.axes(words, origin, "123" if name == "LLFF" else "xyz")
        sheet.dot(origin, 4)
        sheet.text((PANEL * (i + 0.5), 14), name, size=16)
        sheet.text((PANEL * (i + 0.5), HIGH - 12), USERS[name], size=12)
    return sheet


def _corner(origin: tuple[float, float], x: float, y: float, z: float) -> tuple[float, float]:
    return place((x * 0.5, y * 0.45, z * 0.6), origin)


def worlds() -> Sheet:
    """The same house, whose door is in front, in worlds with other ideas of up."""
    sheet = Sheet(PANEL * len(WORLDS), HIGH + 36)
    for i, (name, (*words, users)) in enumerate(WORLDS.items()):
        origin = (PANEL * (i + 0.5), 128.0)
        box = partial(_corner, origin)
        ground = [
            place(p, origin) for p in ((-0.9, 0.45, -0.8), (0.9, 0.45, -0.8), (0.9, 0.45, 0.8), (-0.9, 0.45, 0.8))
        ]
        sheet.shape(ground, "#f1f4ec")
        front = [box(-1, 1, -1), box(1, 1, -1), box(1, -0.2, -1), box(0, -1, -1), box(-1, -0.2, -1)]
        back = [box(1, 1, 1), box(1, -0.2, 1), box(0, -1, 1), box(-1, -0.2, 1)]
        sheet.shape([front[1], back[0], back[1], front[2]], "#dfe3ea")
        sheet.shape([front[2], back[1], back[2], front[3]], "#cfd5df")
        sheet.shape([front[3], back[2], back[3], front[4]], "#e4e8ee")
        sheet.shape(front, "#eef0f4")
        sheet.line(*front, front[0], colour=FAINT)
        sheet.shape([box(-0.25, 1, -1), box(0.25, 1, -1), box(0.25, 0.2, -1), box(-0.25, 0.2, -1)], FAINT)
        sheet.axes(tuple(words), origin)
        sheet.dot(origin, 4)
        sheet.text((PANEL * (i + 0.5), 14), name, size=16)
        sheet.text((PANEL * (i + 0.5), HIGH), users, size=12)
    return sheet


def pixels() -> Sheet:
    """An image of 4 x 3 pixels, and where its points are."""
    sheet, side, left, top = Sheet(540, 280), 52, 160, 42
    at = lambda u, v: (left + u * side, top + v * side)
    sheet.shape([at(0, 0), at(1, 0), at(1, 1), at(0, 1)], "#fbe3df")
    sheet.shape([at(2, 1), at(3, 1), at(3, 2), at(2, 2)], "#dfe8fb")
    for u in range(5):
        sheet.line(at(u, 0), at(u, 3), colour=FAINT)
    for v in range(4):
        sheet.line(at(0, v), at(4, v), colour=FAINT)
    for u in range(4):
        for v in range(3):
            sheet.dot(at(u + 0.5, v + 0.5), 2, FAINT)
    for u, v, colour in ((0.5, 0.5, RED), (2.5, 1.5, BLUE), (0, 0, INK), (4, 3, INK)):
        sheet.dot(at(u, v), 4, colour)
    sheet.text((left - 10, top - 2), "corner (0, 0)", anchor="rm")
    sheet.text((left - 10, top + side / 2), "pixel [0, 0]: (0.5, 0.5)", colour=RED, anchor="rm")
    sheet.text(
        (left + 4 * side + 10, top + 1.5 * side),
        "pixel [1, 2]: (2.5, 1.5)",
        colour=BLUE,
        anchor="lm",
    )
    sheet.text((left + 4 * side + 10, top + 3 * side), "(width, height) = (4, 3)", anchor="lm")
    for (x, y), (a, b), name, colour in ((at(0, -0.42), (1, 0), "u, x", RED), (at(0, 3.2), (0, 1), "v, y", GREEN)):
        sheet.line((x, y), (x + 52 * a, y + 52 * b), colour=colour, width=2.5)
        u, v = x + 60 * a, y + 60 * b
        sheet.shape([(u, v), (u - 9 * a - 4 * b, v - 9 * b + 4 * a), (u - 9 * a + 4 * b, v - 9 * b - 4 * a)], colour)
        sheet.text((u + 8, v), name, colour=colour, anchor="lm")
    return sheet


def main(folder: Path) -> None:
    cameras().save(folder / "axes-cameras.png")
    worlds().save(folder / "axes-worlds.png")
    pixels().save(folder / "axes-pixels.png")


if __name__ == "__main__":
    main(Path(sys.argv[1]) if len(sys.argv) > 1 else Path(__file__).parent)
