"""`fewview render` and `fewview export`: pictures, videos and files of a reconstructed scene."""

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from tyro.conf import Positional, arg

from fewview.commands.console import effort, say, stages
from fewview.commands.targets import check_new
from fewview.errors import InputError
from fewview.pipeline.formats import FORMATS, choose, far_note

if TYPE_CHECKING:
    from torch import Tensor

    from fewview.cameras import Cameras
    from fewview.pipeline.reconstruction import Reconstruction
    from fewview.views import Asset

SceneFile = Annotated[Positional[Path], arg(metavar="SCENE")]
Up = Annotated[str | None, arg(metavar="AXIS")]
SpzAxes = Annotated[str | None, arg(metavar="RDF|RUB|...")]
BY_ENDING = {each.ending: each for each in reversed(FORMATS)}
LISTING = "".join(
    f"\n  {each.ending}{'' if each.ending and BY_ENDING[each.ending] is each else ' --as ' + each.name}: {each.about}"
    for each in FORMATS
)


@dataclass(frozen=True)
class Render:
    """Render a scene along a path, as a video or as pictures."""

    scene: SceneFile
    """Results of `fewview reconstruct`, or a file of splats (.ply, .spz, .sog, .splat, .glb)."""
    out: Annotated[Path, arg(aliases=["-o"], metavar="OUT")]
    """A .mp4 or .webp file, or a folder for pictures."""
    path: Annotated[str, arg(metavar="orbit|spiral|FILE")] = "orbit"
    """Around the object (along the walk, in a room), in a spiral, or the cameras of a transforms.json; with --frames, a
    path through them."""
    up: Up = None
    """Axis of the scene, such as z or (--up=-y) -y; what its cameras stand around unless given, -y for splat files."""
    spz_axes: SpzAxes = None
    """Where x, y and z of a .spz file point to (right, left, up, down, front, back), whatever it says."""
    size: Annotated[int | None, arg(metavar="PIXELS")] = None
    """Height of the pictures; that of the path's cameras unless given."""
    frames: Annotated[int | None, arg(metavar="N")] = None
    """Pictures along the path: 72, or one for each camera of a FILE, unless given."""
    fps: int = 24
    """Pictures a second of a video."""
    overwrite: bool = False
    """Replace OUT."""

    def run(self) -> None:
        start = time.monotonic()
        if min(self.frames or 1, self.fps, self.size or 1) < 1:
            raise InputError("--frames, --fps and --size must be at least 1.")
        check_film(self.out)
        check_new(self.out, self.overwrite)
        from fewview.pipeline.reconstruction import Reconstruction

        check_spz(self.spz_axes)
        scene = Reconstruction.open(self.scene, self.up, spz_axes=self.spz_axes)
        say_notes(scene)
        cameras = self.cameras(scene)
        with stages() as report:
            write_film(self.out, scene.asset, cameras, fps=self.fps, progress=lambda done: report("rendering", done))
        say(f"{len(cameras)} pictures of {cameras.width} x {cameras.height} are in {self.out}. Took {effort(start)}.")

    def cameras(self, scene: "Reconstruction") -> "Cameras":
        """The path, at the wanted size."""
        from fewview.data.camera_file import read_cameras
        from fewview.paths import interpolate, spiral
        from fewview.pipeline.products import sized

        if self.path in ("orbit", "spiral"):
            frames = self.frames or 72
            cameras = scene.path(frames) if self.path == "orbit" else spiral(scene.cameras, frames)
        else:
            shape = (scene.cameras.height, scene.cameras.width)
            cameras = read_cameras(Path(self.path), origin=scene.origin if any(scene.origin) else None, size=shape)
            if self.frames is not None and len(cameras) < 2:
                raise InputError(f"{self.path} has one camera; a path through it needs two, so leave out --frames.")
            cameras = cameras if self.frames is None else interpolate(cameras, self.frames)
        return sized(cameras, self.size or cameras.height)


@dataclass(frozen=True)
class Export:
    """Write a scene in a format that other programs open."""

    scene: SceneFile
    """Results of `fewview reconstruct`, or a file of splats (.ply, .spz, .sog, .splat, .glb)."""
    out: Annotated[
        Path, arg(aliases=["-o"], metavar="OUT", help=f"File, whose ending says what it is, or folder:{LISTING}\n")
    ]
    format: Annotated[str | None, arg(name="as", metavar="NAME")] = None
    """Format by name, where the ending does not tell it."""
    up: Up = None
    """Axis of the scene that becomes +y in glTF and .obj, such as z or (--up=-y) -y; unless given, as for render."""
    spz_version: Annotated[int, arg(metavar="2|3|4")] = 4
    """Version of a .spz file that is written."""
    spz_axes: SpzAxes = None
    """Where x, y and z of .spz files point to, read or written (right, left, up, down, front, back)."""
    overwrite: bool = False
    """Replace OUT."""

    def run(self) -> None:
        from fewview.export.spz import SpzLayout

        chosen = choose(self.out, self.format, SpzLayout(self.spz_version, self.spz_axes))
        check_new(self.out, self.overwrite)
        from fewview.pipeline.reconstruction import Reconstruction

        with stages() as report:
            scene = Reconstruction.open(self.scene, self.up, spz_axes=self.spz_axes, progress=report)
            chosen.write(self.out, scene)
        say_notes(scene)
        for loss in chosen.losses(scene):
            say(f"{self.out}: {loss}")
        say(f"The scene is in {self.out}: {chosen.about}.")
        note = far_note(chosen, scene.origin)
        if note is not None:
            say(note)


def check_spz(axes: str | None) -> None:
    """InputError for axes that there are not."""
    from fewview.export.spz import SpzLayout

    SpzLayout(axes=axes)


def say_notes(scene: "Reconstruction") -> None:
    """How the scene's file was read, where there is more to it than the file's name."""
    for note in scene.notes:
        say(f"{scene.name}: {note}.")


def check_film(out: Path) -> None:
    """InputError for a file of another kind than `write_film` writes."""
    if out.suffix.lower() not in ("", ".mp4", ".webp"):
        raise InputError(f"{out} ends in '{out.suffix}'; name a .mp4 or .webp file, or a folder for pictures.")


def write_film(out: Path, asset: "Asset", cameras: "Cameras", *, fps: int, progress: Callable[[float], None]) -> None:
    """Renderings as a .mp4 or .webp file, or as numbered pictures in a folder, written whole."""
    from fewview.checkpoint import atomic_folder
    from fewview.export.images import write_png
    from fewview.export.video import render_path, write_video, write_webp

    def images() -> "Iterator[Tensor]":
        for i, seen in enumerate(render_path(asset, cameras)):
            yield seen.image.clamp(0, 1)
            progress((i + 1) / len(cameras))

    films = {".mp4": write_video, ".webp": write_webp}
    if out.suffix:
        films[out.suffix.lower()](out, images(), fps=fps)
        return
    with atomic_folder(out) as folder:
        for i, image in enumerate(images()):
            write_png(folder / f"{i:04d}.png", image)
