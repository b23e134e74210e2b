"""What `fewview export` can write, by the ending of the file or by name."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from fewview.commands.console import Stages
from fewview.errors import InputError

if TYPE_CHECKING:
    from jaxtyping import Float
    from torch import Tensor

    from fewview.cameras import Cameras
    from fewview.export.mesh import TexturedMesh
    from fewview.render.asset import FieldAsset
    from fewview.render.gaussians import GaussianAsset, Gaussians
    from fewview.views import Render

ORBIT, FPS = 72, 24
AROUND = 36  # cameras that splats and textures are made from
FIT_SIZE, FIELD_SIZE, SPLAT_SIZE = 128, 256, 512  # pixels: fitting splats to a field; texturing a field, or splats
TEXTURE = 1024  # texels


@dataclass(frozen=True, eq=False)
class Opened:
    """A scene, cameras that look at it, and the direction up."""

    asset: "FieldAsset | GaussianAsset"
    cameras: "Cameras"
    up: "Float[Tensor, '3']"


class Job:
    """A scene that is being exported; what takes time is made when it is asked for, once."""

    def __init__(self, scene: Opened, report: Stages) -> None:
        self.scene, self.report = scene, report

    @cached_property
    def splats(self) -> "Gaussians":
        """Those of the scene, or some that are fitted to its field."""
        import torch

        from fewview.commands import products

        tell = lambda done: self.report("fitting splats", done)
        cameras = products.around(self.scene.cameras, AROUND, FIT_SIZE)
        made = products.splats(self.scene.asset, cameras, generator=torch.Generator().manual_seed(0), progress=tell)
        if made.features.shape[1] != 3:
            raise InputError("The splats of the scene have latent features instead of colours, which no file holds.")
        return made

    @cached_property
    def mesh(self) -> "TexturedMesh":
        from fewview.commands import products
        from fewview.export.texture import textured
        from fewview.render.asset import FieldAsset

        size = FIELD_SIZE if isinstance(self.scene.asset, FieldAsset) else SPLAT_SIZE
        cameras = products.around(self.scene.cameras, AROUND, size)
        splats = self.splats
        self.report("taking the surface", 0)
        seen = products.renders(self.scene.asset, cameras)
        surface = products.mesh(self.scene.asset, splats, cameras, seen)
        self.report("taking the surface", 1)
        self.report("painting the texture", 0)
        mesh = textured(surface, seen, cameras, size=TEXTURE)
        self.report("painting the texture", 1)
        return mesh

    @cached_property
    def orbit(self) -> "Cameras":
        from fewview.paths import orbit

        return orbit(self.scene.cameras, ORBIT)

    def renders(self) -> "Iterator[Render]":
        """What the cameras of the orbit see."""
        from fewview.export.video import render_path

        for i, seen in enumerate(render_path(self.scene.asset, self.orbit)):
            yield seen
            self.report("rendering", (i + 1) / ORBIT)


@dataclass(frozen=True)
class Format:
    """A name, the ending of its files (none for folders), one line about it, and what writes it."""

    name: str
    ending: str
    about: str
    write: Callable[[Path, Job], None]


def choose(out: Path, name: str | None) -> Format:
    """The format of that name, or else of the file's ending; InputError where they disagree or none fits."""
    if name is not None:
        chosen = next((each for each in FORMATS if each.name == name), None)
        if chosen is None:
            raise InputError(f"--as is '{name}'; it is one of {', '.join(each.name for each in FORMATS)}.")
        if chosen.ending.rpartition(".")[2] != out.suffix.lower()[1:]:
            raise InputError(f"{out} ends in '{out.suffix}'; as {name} name {chosen.ending or 'a folder'}.")
        return chosen
    for each in FORMATS:
        if each.ending and out.name.lower().endswith(each.ending):
            return each
    endings = ", ".join(each.ending for each in FORMATS if each.ending)
    folders = ", ".join(each.name for each in FORMATS if not each.ending)
    raise InputError(f"{out} ends in '{out.suffix}'; name a file in {endings}, or a folder with --as {folders}.")


def _ply(out: Path, job: Job) -> None:
    from fewview.export.ply import write_ply

    write_ply(out, job.splats)


def _spz(out: Path, job: Job) -> None:
    from fewview.export.spz import write_spz

    write_spz(out, job.splats, antialiased=getattr(job.scene.asset, "antialiased", False))


def _splat(out: Path, job: Job) -> None:
    from fewview.export.splat import write_splat

    write_splat(out, job.splats)


def _splat_glb(out: Path, job: Job) -> None:
    from fewview.export.glb import write_splat_glb

    write_splat_glb(out, job.splats, job.scene.up)


def _glb(out: Path, job: Job) -> None:
    from fewview.export.glb import write_glb

    write_glb(out, job.mesh, job.scene.up)


def _obj(out: Path, job: Job) -> None:
    from fewview.export.obj import write_obj

    write_obj(out, job.mesh, job.scene.up)


def _mp4(out: Path, job: Job) -> None:
    from fewview.export.video import write_video

    write_video(out, (seen.image.clamp(0, 1) for seen in job.renders()), fps=FPS)


def _webp(out: Path, job: Job) -> None:
    from fewview.export.images import straight
    from fewview.export.video import write_webp

    write_webp(out, (straight(seen) for seen in job.renders()), fps=FPS)


def _posed(folder: Path, job: Job, depths: bool = False) -> list[str]:
    """Renderings of the orbit with alpha in folder/images (and depth maps); their names."""
    from fewview.export.depth import depth_unit, write_depth_png, write_exr
    from fewview.export.images import straight, write_png

    seen = list(job.renders())
    names = [f"{i:04d}" for i in range(len(seen))]
    unit = depth_unit(max(float(view.depth.max()) for view in seen))
    for name, view in zip(names, seen):
        write_png(folder / "images" / f"{name}.png", straight(view))
        if depths:
            write_depth_png(folder / "depth" / f"{name}.png", view.depth, unit)
            write_exr(folder / "depth" / f"{name}.exr", {"Z": view.depth[0]})
    return [f"{name}.png" for name in names]


def _colmap(out: Path, job: Job, text: bool = False) -> None:
    from fewview.checkpoint import atomic_folder
    from fewview.export.colmap import write_sparse

    splats = job.splats
    with atomic_folder(out) as folder:
        write_sparse(folder / "sparse" / "0", job.orbit, _posed(folder, job), splats, text=text)


def _nerfstudio(out: Path, job: Job) -> None:
    from fewview.checkpoint import atomic_folder
    from fewview.export.depth import depth_unit_of
    from fewview.export.transforms import write_transforms

    with atomic_folder(out) as folder:
        names = _posed(folder, job, depths=True)
        images, depths = ([f"{part}/{name}" for name in names] for part in ("images", "depth"))
        unit = depth_unit_of(folder / depths[0])
        write_transforms(folder / "transforms.json", job.orbit, images, depths=depths, depth_unit_scale_factor=unit)


FORMATS = (
    Format("ply", ".ply", "splats in the layout of 3D Gaussian Splatting", _ply),
    Format("spz", ".spz", "splats, compressed to a quarter or less", _spz),
    Format("splat", ".splat", "splats of 32 bytes each", _splat),
    Format("splats", ".gs.glb", "splats in glTF (KHR_gaussian_splatting)", _splat_glb),
    Format("mesh", ".glb", "mesh with a texture, in glTF", _glb),
    Format("obj", ".obj", "the same mesh, with .mtl and .png beside it", _obj),
    Format("mp4", ".mp4", "film of an orbit", _mp4),
    Format("webp", ".webp", "the same as an animated picture, transparent around the object", _webp),
    Format("nerfstudio", "", "folder: renderings of the orbit, depth (PNG, EXR), transforms.json", _nerfstudio),
    Format("colmap", "", "folder: renderings of the orbit, sparse model (binary) with points", _colmap),
    Format("colmap-text", "", "the same, as text", lambda out, job: _colmap(out, job, text=True)),
)
