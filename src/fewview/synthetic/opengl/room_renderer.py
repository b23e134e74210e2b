"""An OpenGL renderer for the inside of rooms: windows, sun and lamps with shadows. Needs `fewview[data]`.

World frame: y up, metres, the floor at y = 0. Cameras are `fewview.cameras.Cameras`.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Int

from fewview.cameras import Cameras
from fewview.data.meshes import Material
from fewview.errors import InputError
from fewview.synthetic.opengl import room_shaders, shaders
from fewview.synthetic.opengl.rasterise import (
    DeferredRenderer,
    facing,
    ortho,
    shadow_map,
    sky_directions,
    tile,
    uniforms,
)

SUN_SIZE, SKY_SIZE, LAMP_SIZE = 2048, 256, 384
BALANCE = 0.55
SPREAD = 75.0  # half the opening of a lamp's shadow map, degrees
UNITS = ("table", "images", "sun_shadow", "sky_shadow", "lamp_shadow", "where", "facing", "inside")
SHELL, OUTSIDE, CONTENT = "shell", "outside", "content"


@dataclass(frozen=True, eq=False)
class Part:
    """Indexed triangles that are culled and shadowed as one. Rows: position, normal, local, material."""

    vertices: Float[np.ndarray, "v 10"]
    faces: Int[np.ndarray, "f 3"]
    layer: str = CONTENT
    cutout: bool = False  # textures with holes


@dataclass(frozen=True, eq=False)
class Lamp:
    """A window (`wide`, of some area, shining into the half space of `aim`) or a lamp that shines all around.

    `owner` is the part that does not shadow it, -1 for none."""

    place: Float[np.ndarray, "3"]
    aim: Float[np.ndarray, "3"]
    colour: Float[np.ndarray, "3"]
    area: float
    wide: bool
    owner: int = -1


@dataclass(frozen=True, eq=False)
class RoomLight:
    """Sun, lamps, and the radiance of floor, walls and ceiling by direction; walls are (x, z) segments, inside left."""

    sun_direction: Float[np.ndarray, "3"]
    sun_colour: Float[np.ndarray, "3"]
    lamps: tuple[Lamp, ...]
    bounce: Float[np.ndarray, "n 3"]  # one for each of `sky_directions(room_shaders.SKY)`
    walls: Float[np.ndarray, "w 4"]
    ceiling: float


@dataclass(frozen=True, eq=False)
class Interior:
    """Everything that a camera in the room can see."""

    parts: tuple[Part, ...]
    materials: tuple[Material, ...]
    images: tuple[np.ndarray, ...]
    light: RoomLight


class RoomRasteriser(DeferredRenderer):
    """A renderer of rooms. Use as a context manager; `load` a room, then `draw`."""

    def __init__(self, size: int) -> None:
        super().__init__(size, room_shaders.SHADE, UNITS, "f2")
        context, program = self.context, self.program
        self.surface = program(shaders.VERTEX, room_shaders.SURFACE), program(shaders.VERTEX, room_shaders.CUTOUT)
        self.depth = (
            program(shaders.OPAQUE_VERTEX, shaders.OPAQUE_DEPTH),
            program(shaders.VERTEX, shaders.CUTOUT_DEPTH),
        )
        rows, columns = room_shaders.SKY // room_shaders.SKY_COLUMNS, room_shaders.LAMP_COLUMNS
        self.maps = [
            shadow_map(context, (SUN_SIZE, SUN_SIZE)),
            shadow_map(context, (SKY_SIZE * room_shaders.SKY_COLUMNS, SKY_SIZE * rows)),
            shadow_map(context, (LAMP_SIZE * columns, LAMP_SIZE * (room_shaders.LAMPS // columns))),
        ]
        self.map_buffers = [context.framebuffer([], texture) for texture in self.maps]

    def load(self, interior: Interior) -> None:
        """Upload a room and render its shadow maps, once for all views."""
        context, parts = self.context, interior.parts
        table, images = self.replace(interior.materials, interior.images)
        starts = np.cumsum([0, *(len(part.vertices) for part in parts)])
        vertices = context.buffer(np.concatenate([part.vertices for part in parts], dtype=np.float32).tobytes())
        index = np.concatenate([part.faces + start for part, start in zip(parts, starts)])
        faces = context.buffer(index.astype(np.int32).tobytes())
        self.loaded += [vertices, faces]
        self.surface_vertices = [self.vertex_array(program, vertices, faces) for program in self.surface]
        self.depth_vertices = [self.vertex_array(program, vertices, faces) for program in self.depth]
        counts = np.array([part.faces.size for part in parts])
        self.ranges = list(zip(parts, np.cumsum(counts) - counts, counts))
        self.low = np.array([part.vertices[:, :3].min(0) for part in parts], dtype=np.float64)
        self.high = np.array([part.vertices[:, :3].max(0) for part in parts], dtype=np.float64)
        self.radius = float(np.linalg.norm(np.maximum(abs(self.low), abs(self.high)), axis=1).max())
        for unit, texture in enumerate((table, images, *self.maps, *self.geometry)):
            texture.use(unit)
        self._light(interior.light)

    def draw(self, camera: Cameras) -> tuple[Float[np.ndarray, "fine fine 3"], Float[np.ndarray, "size size"]]:
        """Linear radiance of 2 x 2 samples a pixel, and z-depth in metres at pixel centres."""
        clip = self.clip_of(camera)
        visible = self._visible(clip)
        for program in (*self.surface, *self.depth):
            uniforms(program, {"clip_from_world": clip})
        uniforms(self.shade, {"eye": camera.centers.numpy()})
        self._fill(self.surface_buffer, self.surface_vertices, visible)
        self._fill(self.depth_buffer, self.depth_vertices, visible)
        self.shade_covered()
        fine = 2 * self.size
        radiance = np.frombuffer(self.shade_buffer.read(components=3, dtype="f2"), np.float16).reshape(fine, fine, 3)
        return np.nan_to_num(radiance.astype(np.float32), posinf=6e4), self.depths()

    def _fill(self, target, arrays, chosen: Sequence[int]) -> None:
        target.use()
        target.clear()
        self.context.enable_only(self.context.DEPTH_TEST)
        self._render(arrays, chosen)

    def _render(self, arrays, chosen: Sequence[int]) -> None:
        for i in chosen:
            part, first, count = self.ranges[i]
            arrays[part.cutout].render(self.context.TRIANGLES, vertices=int(count), first=int(first))

    def _visible(self, clip: np.ndarray) -> list[int]:
        """Parts whose boxes are not wholly beyond one side of the view."""
        pick = np.array([[i >> k & 1 for k in range(3)] for i in range(8)], dtype=bool)
        corners = np.where(pick[None], self.high[:, None], self.low[:, None])
        q = corners @ clip[:, :3].T + clip[:, 3]
        beyond = np.stack([q[..., 0] > q[..., 3], q[..., 0] < -q[..., 3], q[..., 1] > q[..., 3],
                           q[..., 1] < -q[..., 3], q[..., 3] < 0], -1)  # fmt: skip
        return np.flatnonzero(~beyond.all(1).any(-1)).tolist()

    def _chosen(self, *layers: str, but: int = -1) -> list[int]:
        return [i for i, (part, _, _) in enumerate(self.ranges) if part.layer in layers and i != but]

    def _shadow(self, unit: int, clip: np.ndarray, place: tuple[int, int, int], *, chosen: Sequence[int]) -> None:
        """One tile (size, column, row) of a shadow map."""
        for program in self.depth:
            uniforms(program, {"clip_from_world": clip})
        self.open_tile(self.map_buffers[unit], place)
        self._render(self.depth_vertices, chosen)

    def _light(self, light: RoomLight) -> None:
        if len(light.lamps) > room_shaders.LAMPS or len(light.walls) > room_shaders.WALLS:
            raise InputError(f"A room has at most {room_shaders.LAMPS} lamps and {room_shaders.WALLS} walls.")
        inside = self._chosen(SHELL, CONTENT)
        low, high = self.low[inside].min(0), self.high[inside].max(0)
        centre, radius = (low + high) / 2, float(np.linalg.norm(high - low)) / 2 * 1.02
        sun = ortho(light.sun_direction, centre, radius)
        self._shadow(0, sun, (SUN_SIZE, 0, 0), chosen=inside if light.sun_colour.max() > 0 else [])
        directions, content = sky_directions(room_shaders.SKY), self._chosen(CONTENT)
        columns, rows = room_shaders.SKY_COLUMNS, room_shaders.SKY // room_shaders.SKY_COLUMNS
        sky = []
        for i, direction in enumerate(directions):
            clip = ortho(direction, centre, radius)
            self._shadow(1, clip, (SKY_SIZE, i % columns, i // columns), chosen=content)
            sky.append(tile(i, columns, rows) @ clip)
        columns, rows = room_shaders.LAMP_COLUMNS, room_shaders.LAMPS // room_shaders.LAMP_COLUMNS
        place = np.zeros((room_shaders.LAMPS, 4))
        aim, colour = np.zeros_like(place), np.zeros((room_shaders.LAMPS, 3))
        matrices = np.tile(np.eye(4), (room_shaders.LAMPS, 1, 1))
        for i, lamp in enumerate(light.lamps):
            clip = _perspective(lamp.place, lamp.aim)
            own = self._chosen(SHELL, CONTENT, but=lamp.owner)
            self._shadow(2, clip, (LAMP_SIZE, i % columns, i // columns), chosen=own)
            matrices[i] = tile(i, columns, rows) @ clip
            place[i], aim[i], colour[i] = (*lamp.place, lamp.area), (*lamp.aim, float(not lamp.wide)), lamp.colour
        walls = np.zeros((room_shaders.WALLS, 4))
        walls[: len(light.walls)] = light.walls
        uniforms(self.shade, {
            "sun_from_world": tile(0, 1, 1) @ sun, "sun_direction": light.sun_direction,
            "sun_colour": light.sun_colour, "lamp_place": place, "lamp_aim": aim, "lamp_colour": colour,
            "lamp_from_world": matrices, "sky_from_world": np.stack(sky), "sky_direction": directions,
            "sky_colour": light.bounce, "texel": np.float32(2 * radius / SKY_SIZE), "wall": walls,
            "ceiling": np.float32(light.ceiling),
        })  # fmt: skip
        for name, count in (("lamps", len(light.lamps)), ("walls", len(light.walls))):
            self.shade[name].value = count  # type: ignore[union-attr]


def developed(
    radiance: Sequence[Float[np.ndarray, "fine fine 3"]], brightness: float
) -> list[Float[np.ndarray, "size size 3"]]:
    """sRGB pictures of a clip in one exposure, whose mean is near `brightness`; bright parts roll off softly.

    The white balance goes BALANCE of the way to a grey mean."""
    sample = np.concatenate([r[::4, ::4].reshape(-1, 3) for r in radiance])
    mean = np.maximum(np.minimum(sample, 4 * np.median(sample) + 1e-4).mean(0), 1e-4)
    balance = ((mean.mean() / mean) ** BALANCE).astype(np.float32)
    sample = sample * balance
    exposure = 0.2 / max(float(np.median(sample)), 1e-4)
    for _ in range(6):
        exposure *= (brightness / float(np.clip(_curve(sample * exposure), 0.02, 1).mean())) ** 1.8
    steps = np.linspace(0, 1, 4096, dtype=np.float32)
    table = _curve(8.0 * steps**2).astype(np.float32)
    pictures = []
    for r in radiance:
        index = np.sqrt(np.minimum(r * (balance * np.float32(exposure / 8.0)), 1.0)) * np.float32(4095)
        picture = table[(index + np.float32(0.5)).astype(np.int32)]
        size = len(picture) // 2
        pictures.append(picture.reshape(size, 2, size, 2, 3).mean((1, 3)))
    return pictures


def _curve(c: np.ndarray) -> np.ndarray:
    """sRGB of linear light with a shoulder above 0.6, as cameras have it."""
    c = np.where(c > 0.6, 0.6 + 0.4 * (1 - np.exp(-(c - 0.6) / 0.55)), c)
    return np.where(c <= 0.0031308, 12.92 * c, 1.055 * np.maximum(c, 1e-6) ** (1 / 2.4) - 0.055)


def _perspective(place: np.ndarray, aim: np.ndarray) -> np.ndarray:
    """Clip space of a lamp's square shadow map."""
    view = np.eye(4)
    view[:3, :3] = facing(aim)
    view[:3, 3] = -view[:3, :3] @ place
    near, far, scale = room_shaders.LAMP_NEAR, room_shaders.LAMP_FAR, 1 / np.tan(np.deg2rad(SPREAD))
    projection = np.diag([scale, scale, (far + near) / (far - near), 0.0])
    projection[2, 3], projection[3, 2] = -2 * far * near / (far - near), 1.0
    return projection @ view
