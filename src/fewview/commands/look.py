"""`fewview render` and `fewview export`: pictures, videos and files of a reconstructed scene."""

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from tyro.conf import Positional, arg

from fewview.commands.console import effort, say, stages
from fewview.commands.formats import FORMATS, Job, Opened, choose
from fewview.errors import InputError

if TYPE_CHECKING:
    from torch import Tensor

    from fewview.cameras import Cameras
    from fewview.render.asset import FieldAsset
    from fewview.render.gaussians import GaussianAsset
    from fewview.views import Asset

SceneFile = Annotated[Positional[Path], arg(metavar="SCENE")]
Up = Annotated[str | None, arg(metavar="AXIS")]
AXES = {sign + axis: tuple(s * float(axis == x) for x in "xyz") for sign, s in (("", 1), ("-", -1)) for axis in "xyz"}
FILM_SIZE = 480  # pixels, of scenes without cameras of their own
LISTING = "".join(f"\n  {each.ending or '--as ' + each.name}: {each.about}" for each in FORMATS)


@dataclass(frozen=True)
class Render:
    """Render a scene along a path, as a video or as pictures."""

    scene: SceneFile
    """Results of `fewview reconstruct`, or a .ply, .spz or .splat file."""
    out: Annotated[Path, arg(aliases=["-o"], metavar="OUT")]
    """A .mp4 or .webp file, or a folder for pictures."""
    path: Annotated[str, arg(metavar="orbit|spiral|FILE")] = "orbit"
    """Around the object, in a spiral, or the cameras of a transforms.json; with --frames, a path through them."""
    up: Up = None
    """Axis of the scene, such as z or (--up=-y) -y; what its cameras stand around unless given, -y for splat files."""
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
        refuse_existing(self.out, self.overwrite)
        scene = open_scene(self.scene, self.up)
        cameras = self.cameras(scene.cameras)
        with stages() as report:
            write_film(self.out, scene.asset, cameras, self.fps, lambda done: report("rendering", done))
        say(f"{len(cameras)} pictures of {cameras.width} x {cameras.height} are in {self.out}. Took {effort(start)}.")

    def cameras(self, inputs: "Cameras") -> "Cameras":
        """The path, at the wanted size."""
        from fewview.commands.products import sized
        from fewview.paths import interpolate, orbit, spiral

        if self.path in ("orbit", "spiral"):
            cameras = (orbit if self.path == "orbit" else spiral)(inputs, self.frames or 72)
        else:
            cameras = read_cameras(Path(self.path))
            if self.frames is not None and len(cameras) < 2:
                raise InputError(f"{self.path} has one camera; a path through it needs two, so leave out --frames.")
            cameras = cameras if self.frames is None else interpolate(cameras, self.frames)
        return sized(cameras, self.size or cameras.height)


@dataclass(frozen=True)
class Export:
    """Write a scene in a format that other programs open."""

    scene: SceneFile
    """Results of `fewview reconstruct`, or a .ply, .spz or .splat file."""
    out: Annotated[
        Path, arg(aliases=["-o"], metavar="OUT", help=f"File, whose ending says what it is, or folder:{LISTING}\n")
    ]
    format: Annotated[str | None, arg(name="as", metavar="NAME")] = None
    """Format by name, where the ending does not tell it."""
    up: Up = None
    """Axis of the scene that becomes +y in glTF and .obj, such as z or (--up=-y) -y; unless given, as for render."""
    overwrite: bool = False
    """Replace OUT."""

    def run(self) -> None:
        chosen = choose(self.out, self.format)
        refuse_existing(self.out, self.overwrite)
        scene = open_scene(self.scene, self.up)
        with stages() as report:
            chosen.write(self.out, Job(scene, report))
        say(f"The scene is in {self.out}: {chosen.about}.")


def open_scene(path: Path, up: str | None = None) -> Opened:
    """A results folder with its cameras, or a file of splats with cameras all around it."""
    import torch

    from fewview.commands.products import surrounding
    from fewview.export.scenes import load_scene as load_file
    from fewview.paths import CameraPrior

    if up is not None and up not in AXES:
        raise InputError(f"--up is '{up}'; it is one of {', '.join(AXES)} (--up=-y, for example).")
    if path.is_dir():
        asset, folder = load_scene(path)
        cameras = read_cameras(folder / "transforms.json")
        axis = CameraPrior.fit(cameras).circle.normal if up is None else torch.tensor(AXES[up])
        return Opened(asset, cameras, axis)
    if not path.exists():
        raise InputError(f"{path} does not exist; name results of `fewview reconstruct` or a file of splats.")
    asset, axis = load_file(path), torch.tensor(AXES[up or "-y"])
    return Opened(asset, surrounding(asset.gaussians, axis, FILM_SIZE), axis)


def write_film(out: Path, asset: "Asset", cameras: "Cameras", fps: int, progress: Callable[[float], None]) -> None:
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
        if out.suffix.lower() not in films:
            raise InputError(f"{out} ends in '{out.suffix}'; name a .mp4 or .webp file, or a folder for pictures.")
        films[out.suffix.lower()](out, images(), fps=fps)
        return
    with atomic_folder(out) as folder:
        for i, image in enumerate(images()):
            write_png(folder / f"{i:04d}.png", image)


def load_scene(folder: Path) -> "tuple[FieldAsset | GaussianAsset, Path]":
    """The asset of a result folder, or of the scene folder in it, and the result folder."""
    from fewview.checkpoint import read_json
    from fewview.render.asset import FieldAsset
    from fewview.render.gaussians import GaussianAsset

    scene = folder / "scene" if (folder / "scene").is_dir() else folder
    header = scene / "config.json"
    if not header.exists():
        raise InputError(f"{folder} holds no scene (scene/config.json); name the results of `fewview reconstruct`.")
    kinds = {"FieldAsset": FieldAsset, "GaussianAsset": GaussianAsset}
    data = read_json(header)
    kind = data.get("class") if isinstance(data, dict) else None
    if kind not in kinds:
        raise InputError(f"{header} does not describe a scene; name the results of `fewview reconstruct`.")
    return kinds[kind].load(scene), scene.parent


def read_cameras(path: Path) -> "Cameras":
    """Cameras of a transforms.json, whose images need not exist; all get the size of the first."""
    import numpy as np

    from fewview.cameras import Cameras
    from fewview.checkpoint import read_json
    from fewview.data.fields import array, field
    from fewview.data.photos import pinhole, rigid

    data = read_json(path)
    cameras = []
    for i, frame in enumerate(field(data, "frames", list, where=str(path))):
        where = f"{path}: frame {i}"
        entry = {**data, **frame} if isinstance(frame, dict) else frame
        fx, cx, cy, w, h = (field(entry, key, float, where=where) for key in ("fl_x", "cx", "cy", "w", "h"))
        fy = field(entry, "fl_y", float, where=where) if "fl_y" in entry else fx
        if min(fx, fy, w, h) <= 0:
            raise InputError(f"{where}: focal lengths and image size must be positive.")
        pose = rigid(array(entry, "transform_matrix", (4, 4), where=where), where=f"{where}: 'transform_matrix'")
        opencv = pose * np.array([1.0, -1.0, -1.0, 1.0])  # from OpenGL's axes: y up, z backward
        cameras.append(pinhole(opencv, np.array([fx, fy]), np.array([cx, cy]), (int(h), int(w))))
    if not cameras:
        raise InputError(f"{path} has no frames; list at least one camera.")
    return Cameras.stack([camera.resized(cameras[0].height, cameras[0].width) for camera in cameras])


def refuse_existing(out: Path, overwrite: bool) -> None:
    """A file that is there is replaced only when asked, and a folder with something in it never."""
    if out.is_dir() and any(out.iterdir()):
        raise InputError(f"{out} is a folder with something in it; name an empty or a new one.")
    if out.is_file() and not overwrite:
        raise InputError(f"{out} exists already; name another file, or replace it with --overwrite.")
