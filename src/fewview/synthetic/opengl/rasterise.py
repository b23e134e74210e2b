"""An OpenGL renderer for meshes on any machine: EGL without a window, llvmpipe on a CPU. Needs `fewview[data]`.

World frame: y up. Cameras are `fewview.cameras.Cameras`; a point lands on the pixel that `Cameras.project` says.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeVar

import numpy as np
from jaxtyping import Float

from fewview.cameras import Cameras
from fewview.data.meshes import KINDS, MAPPINGS, Material, Model
from fewview.errors import InputError, MissingPackage
from fewview.synthetic.opengl import shaders

KEY_SIZE, SKY_SIZE, NEAR = 1024, 256, 0.05
ATTRIBUTES = {"in_position": 3, "in_normal": 3, "in_local": 3, "in_material": 1}
UNITS = ("table", "images", "key_shadow", "sky_shadow", "where", "facing", "inside")  # texture units 0, 1, ...
R = TypeVar("R", bound="DeferredRenderer")


@dataclass(frozen=True, eq=False)
class Light:
    """A sun, a weak fill light and a sky that is bright above and dim below. Directions point to the light."""

    key_direction: Float[np.ndarray, "3"]
    key_colour: Float[np.ndarray, "3"]
    fill_direction: Float[np.ndarray, "3"]
    fill_colour: Float[np.ndarray, "3"]
    sky_colour: Float[np.ndarray, "3"]
    ground_colour: Float[np.ndarray, "3"]
    exposure: float = 1.0


@dataclass(frozen=True, eq=False)
class Frame:
    """sRGB colour premultiplied by alpha, soft coverage, and z-depth at pixel centres (0 where nothing is)."""

    colour: Float[np.ndarray, "height width 3"]
    alpha: Float[np.ndarray, "height width"]
    depth: Float[np.ndarray, "height width"]


class DeferredRenderer:
    """One OpenGL context, released at the end of a `with` block, and its square frame buffers: surfaces and colours at
    twice the size, depth at the size itself."""

    def __init__(self, size: int, shade: str, units: Sequence[str], colours: str) -> None:
        """`shade` is the fragment shader of colours, `units` its samplers, `colours` the type of what it writes."""
        self.size, self.units, self.context = size, units, _context()
        context, fine, coarse = self.context, (2 * size, 2 * size), (size, size)
        self.shade = self.program(shaders.SCREEN, shade)
        self.geometry = [context.texture(fine, 4, dtype="f4") for _ in range(3)]
        for texture in self.geometry:
            texture.filter = (context.NEAREST, context.NEAREST)
        fine_depth = context.depth_renderbuffer(fine)
        self.surface_buffer = context.framebuffer(self.geometry, fine_depth)
        self.shade_buffer = context.framebuffer([context.renderbuffer(fine, 4, dtype=colours)], fine_depth)
        self.depth_buffer = context.framebuffer(
            [context.renderbuffer(coarse, 1, dtype="f4")], context.depth_renderbuffer(coarse)
        )
        corners = context.buffer(np.array([-1, -1, 3, -1, -1, 3], np.float32).tobytes())
        self.screen = context.vertex_array(self.shade, [(corners, "2f", "in_corner")])
        self.loaded: list = []
        self.radius = 0.0  # of a ball about the origin that holds what is loaded

    def __enter__(self: R) -> R:
        return self

    def __exit__(self, *_: object) -> None:
        self.context.release()

    def program(self, vertex: str, fragment: str):
        """A program whose samplers read the texture units of their names."""
        program = self.context.program(vertex_shader=vertex, fragment_shader=fragment)
        for unit, name in enumerate(self.units):
            if name in program:
                program[name].value = unit  # type: ignore[union-attr]
        return program

    def replace(self, materials: tuple[Material, ...], images: tuple[np.ndarray, ...]):
        """Lets go of what was loaded, and loads the textures of others: their table and their images."""
        for item in self.loaded:
            item.release()
        rows = material_table(materials)
        table = self.context.texture((6, len(rows)), 4, rows.tobytes(), dtype="f4")
        table.filter = (self.context.NEAREST, self.context.NEAREST)
        self.loaded = [table, _image_array(self.context, images)]
        return self.loaded

    def vertex_array(self, program, rows, faces=None):
        """Rows of ATTRIBUTES, of which a program takes those that it knows, and perhaps triangles of them."""
        parts = [(f"{n}f" if name in program else f"{n}x4", name) for name, n in ATTRIBUTES.items()]
        layout = (rows, " ".join(part for part, _ in parts), *[name for _, name in parts if name in program])
        self.loaded.append(self.context.vertex_array(program, [layout], index_buffer=faces))
        return self.loaded[-1]

    def open_tile(self, target, place: tuple[int, int, int]) -> None:
        """A tile (size, column, row) of a shadow map is drawn to; the first one clears the map."""
        size, column, row = place
        target.use()
        self.context.enable_only(self.context.DEPTH_TEST)
        if column == row == 0:
            target.viewport = (0, 0, *target.size)
            target.clear()
        target.viewport = (column * size, row * size, size, size)

    def clip_of(self, camera: Cameras) -> Float[np.ndarray, "4 4"]:
        """Clip space of a camera that looks at what is loaded; InputError unless it is one, of the renderer's size."""
        if camera.shape or (camera.height, camera.width) != (self.size, self.size):
            raise InputError(f"This renderer draws one camera of {self.size} x {self.size} pixels at a time.")
        return clip_from_world(camera, self.radius)

    def shade_covered(self) -> None:
        """Colours of all samples that surfaces cover."""
        self.shade_buffer.use()
        self.shade_buffer.depth_mask = False
        self.context.clear()
        self.context.depth_func = ">"  # the screen lies at depth 1: only covered samples pass
        self.screen.render(self.context.TRIANGLES, vertices=3)
        self.context.depth_func = "<="

    def depths(self) -> Float[np.ndarray, "size size"]:
        """z-depth at pixel centres, 0 where nothing is."""
        values = np.frombuffer(self.depth_buffer.read(components=1, dtype="f4"), np.float32)
        return values.reshape(self.size, self.size).copy()


class Rasteriser(DeferredRenderer):
    """A renderer of objects. Use as a context manager; `load` a model, then `draw`."""

    def __init__(self, size: int) -> None:
        super().__init__(size, shaders.SHADE, UNITS, "f1")
        context, program = self.context, self.program
        self.opaque = program(shaders.VERTEX, shaders.SURFACE), program(shaders.OPAQUE_VERTEX, shaders.OPAQUE_DEPTH)
        self.cutout = program(shaders.VERTEX, shaders.CUTOUT_SURFACE), program(shaders.VERTEX, shaders.CUTOUT_DEPTH)
        rows = shaders.SKY // shaders.ATLAS_COLUMNS
        self.key_map = shadow_map(context, (KEY_SIZE, KEY_SIZE))
        self.sky_map = shadow_map(context, (SKY_SIZE * shaders.ATLAS_COLUMNS, SKY_SIZE * rows))
        self.key_buffer = context.framebuffer([], self.key_map)
        self.sky_buffer = context.framebuffer([], self.sky_map)

    def load(self, model: Model, light: Light) -> None:
        """Upload a model and render the shadow maps of its light, once for all views."""
        mesh, context = model.mesh, self.context
        table, images = self.replace(model.materials, model.images)
        columns = [mesh.positions, mesh.normals, mesh.local, mesh.material[:, None]]
        buffer = context.buffer(np.concatenate(columns, axis=1, dtype=np.float32).tobytes())
        self.loaded.append(buffer)
        self.surface, self.depth = self.cutout if model.images else self.opaque
        self.vertices = self.vertex_array(self.surface, buffer)
        self.depth_vertices = self.vertex_array(self.depth, buffer) if model.images else self._shape(mesh.positions)
        for unit, texture in enumerate((table, images, self.key_map, self.sky_map, *self.geometry)):
            texture.use(unit)
        self._light(mesh.positions, light)

    def draw(self, camera: Cameras) -> Frame:
        """The model as one camera (no batch axis, the renderer's size) sees it."""
        context, clip = self.context, self.clip_of(camera)
        uniforms(self.surface, {"clip_from_world": clip})
        uniforms(self.depth, {"clip_from_world": clip})
        uniforms(self.shade, {"eye": camera.centers.numpy()})
        for target, vertices in ((self.surface_buffer, self.vertices), (self.depth_buffer, self.depth_vertices)):
            target.use()
            target.clear()
            context.enable_only(context.DEPTH_TEST)
            vertices.render(context.TRIANGLES)
        self.shade_covered()
        size = self.size
        rgba = np.frombuffer(self.shade_buffer.read(components=4), np.uint8).reshape(size, 2, size, 2, 4)
        rgba = rgba.sum((1, 3), dtype=np.float32) / np.float32(4 * 255)
        return Frame(rgba[..., :3], rgba[..., 3], self.depths())

    def _shape(self, positions: np.ndarray):
        """Positions alone, welded: most corners of a soup coincide, and depth does not care for normals."""
        rows = np.ascontiguousarray(positions, dtype=np.float32)
        unique, inverse = np.unique(rows.view(np.dtype((np.void, 12))).reshape(-1), return_inverse=True)
        buffers = [self.context.buffer(item.tobytes()) for item in (unique, inverse.astype(np.int32).reshape(-1))]
        vertices = self.context.vertex_array(self.depth, [(buffers[0], "3f", "in_position")], index_buffer=buffers[1])
        self.loaded += [*buffers, vertices]
        return vertices

    def _light(self, positions: np.ndarray, light: Light) -> None:
        centre = 0.5 * (positions.min(0) + positions.max(0))
        radius = float(np.linalg.norm(positions - centre, axis=1).max()) * 1.02
        self.radius = float(np.linalg.norm(positions, axis=1).max()) + 1e-3
        key = ortho(light.key_direction, centre, radius)
        self._shadow(self.key_buffer, key, (KEY_SIZE, 0, 0))
        directions = sky_directions()
        tiles, columns = [], shaders.ATLAS_COLUMNS
        rows = self.sky_map.height // SKY_SIZE
        for i, direction in enumerate(directions):
            clip = ortho(direction, centre, radius)
            self._shadow(self.sky_buffer, clip, (SKY_SIZE, i % columns, i // columns))
            tiles.append(tile(i, columns, rows) @ clip)
        up = (0.5 + 0.5 * directions[:, 1:2]).clip(0, 1) ** 0.8
        values = {
            "key_from_world": tile(0, 1, 1) @ key, "key_direction": light.key_direction, "key_colour": light.key_colour,
            "fill_direction": light.fill_direction, "fill_colour": light.fill_colour,
            "sky_direction": directions,
            "sky_colour": light.ground_colour + up * (light.sky_colour - light.ground_colour),
            "sky_from_world": np.stack(tiles), "texel": np.float32(2 * radius / SKY_SIZE / 2.5),
            "exposure": np.float32(light.exposure),
        }  # fmt: skip
        uniforms(self.shade, values)

    def _shadow(self, target, clip: np.ndarray, place: tuple[int, int, int]) -> None:
        uniforms(self.depth, {"clip_from_world": clip})
        self.open_tile(target, place)
        self.depth_vertices.render(self.context.TRIANGLES)


def material_table(materials: tuple[Material, ...]) -> Float[np.ndarray, "n 6 4"]:
    """Shader parameters of each material, colours made linear."""
    rows = []
    for m in materials:
        a, b, c = (linear(np.asarray(x, dtype=float)) for x in (m.a, m.b, m.c))
        kind = KINDS.index("plain" if m.kind == "image" else m.kind)
        rows.append([
            [*a, kind], [*b, m.scale], [*c, m.p], [m.q, m.specular, m.shininess, 0.0],
            [m.layer, MAPPINGS.index(m.mapping), m.axis, m.bump], [*m.offset, m.metal],
        ])  # fmt: skip
    return np.asarray(rows, dtype=np.float32)


def clip_from_world(camera: Cameras, radius: float) -> Float[np.ndarray, "4 4"]:
    """OpenGL clip space (row 0 of the buffer = top of the image) for a scene inside a ball about the origin."""
    k, (w, h) = camera.intrinsics.numpy().astype(np.float64), (camera.width, camera.height)
    far = float(camera.centers.norm()) + radius
    near = max(NEAR, 2 * float(camera.centers.norm()) - far)
    projection = np.zeros((4, 4))
    projection[0] = 2 * k[0, 0] / w, 2 * k[0, 1] / w, 2 * k[0, 2] / w - 1, 0
    projection[1] = 0, 2 * k[1, 1] / h, 2 * k[1, 2] / h - 1, 0
    projection[2] = 0, 0, (far + near) / (far - near), -2 * far * near / (far - near)
    projection[3, 2] = 1
    return projection @ np.linalg.inv(camera.world_from_cam.numpy().astype(np.float64))


def linear(srgb: np.ndarray) -> np.ndarray:
    """Linear light of sRGB values in [0, 1] (IEC 61966-2-1)."""
    return np.where(srgb <= 0.04045, srgb / 12.92, ((srgb + 0.055) / 1.055) ** 2.4)


def sky_directions(count: int = shaders.SKY) -> Float[np.ndarray, "{count} 3"]:
    """Directions spread evenly over the sphere (Fibonacci lattice), highest first."""
    i = np.arange(count) + 0.5
    y, turn = 1 - 2 * i / count, np.pi * (1 + 5**0.5) * i
    r = np.sqrt(1 - y * y)
    return np.stack([r * np.cos(turn), y, r * np.sin(turn)], axis=-1)


def _context():
    try:
        import moderngl
    except ImportError:
        raise MissingPackage("Rendering needs moderngl: pip install 'fewview[data]'.") from None
    try:
        return moderngl.create_context(standalone=True, backend="egl", require=330)  # type: ignore[arg-type]
    except Exception as error:
        raise InputError(f"No OpenGL context ({error}); install libegl1 and libgl1-mesa-dri.") from None


def uniforms(program, values: dict[str, np.ndarray | np.floating]) -> None:
    """Uniforms of a program; matrices are given row by row."""
    for name, value in values.items():
        value = np.asarray(value, dtype=np.float32)
        matrix = value.ndim >= 2 and value.shape[-2:] == (4, 4)
        program[name].write(np.ascontiguousarray(np.swapaxes(value, -1, -2) if matrix else value).tobytes())


def shadow_map(context, size: tuple[int, int]):
    texture = context.depth_texture(size)
    texture.compare_func, texture.filter = "<=", (context.LINEAR, context.LINEAR)
    texture.repeat_x = texture.repeat_y = False
    return texture


def _image_array(context, images: tuple[np.ndarray, ...]):
    """RGBA textures as an array with mipmaps; without any, one white texel."""
    stack = np.stack(images) if images else np.full((1, 1, 1, 4), 255, np.uint8)
    n, height, width, _ = stack.shape
    texture = context.texture_array((width, height, n), 4, np.ascontiguousarray(stack).tobytes())
    texture.build_mipmaps()
    texture.filter = (context.LINEAR_MIPMAP_LINEAR, context.LINEAR)
    texture.repeat_x = texture.repeat_y = True
    return texture


def ortho(direction: np.ndarray, centre: np.ndarray, radius: float) -> np.ndarray:
    """Clip space of parallel light from `direction` on a ball."""
    matrix = np.eye(4)
    matrix[:3, :3] = facing(-np.asarray(direction, dtype=float)) / radius
    matrix[:3, 3] = -matrix[:3, :3] @ centre
    return matrix


def facing(direction: np.ndarray) -> Float[np.ndarray, "3 3"]:
    """Rows: right, down and forward of a light that looks in a direction."""
    forward = np.asarray(direction, dtype=float) / np.linalg.norm(direction)
    right = np.cross(forward, np.eye(3)[np.argmin(np.abs(forward))])
    right /= np.linalg.norm(right)
    return np.stack([right, np.cross(forward, right), forward])


def tile(i: int, columns: int, rows: int) -> Float[np.ndarray, "4 4"]:
    """From clip space to texture coordinates and depth of one tile of an atlas."""
    matrix = np.diag([0.5 / columns, 0.5 / rows, 0.5, 1.0])
    matrix[:3, 3] = (i % columns + 0.5) / columns, (i // columns + 0.5) / rows, 0.5
    return matrix
