"""What a reconstruction can be written as, by the ending of the file or by name."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from fewview.errors import InputError

if TYPE_CHECKING:
    from fewview.export.spz import SpzLayout
    from fewview.geometry.origin import Origin
    from fewview.pipeline.reconstruction import Reconstruction
    from fewview.views import Render

FRAMES, FPS = 72, 24
OF_SPLATS = ("ply", "compressed-ply", "spz", "sog", "splat", "splats", "colmap", "colmap-text")  # have splats made
MESH, POINTS = "a mesh has", "points of a COLMAP model have"
FILMS = ("mp4", "webp")
BACK = "back"  # coordinates are the input's
HEADER, NODE = "which its header says", "which its node is moved by"


@dataclass(frozen=True)
class Format:
    """A name, the ending of its files (none for folders), one line about it, and what writes it.

    `others` are further endings. `far` says how its files lead back to the input's world, where that is far from its
    origin; empty where they do not. `flat` names what has one colour for all directions, where the format cannot hold
    harmonics.
    """

    name: str
    ending: str
    about: str
    write: Callable[[Path, "Reconstruction"], None]
    far: str = ""
    others: tuple[str, ...] = ()
    flat: str = ""

    @property
    def endings(self) -> tuple[str, ...]:
        """All that its files may end in; none for folders."""
        return (self.ending, *self.others) if self.ending else ()

    def losses(self, scene: "Reconstruction") -> Iterator[str]:
        """What of a scene that has been written the format could not hold, a sentence each."""
        from fewview.render.asset import GaussianAsset

        splats = scene.asset.gaussians if isinstance(scene.asset, GaussianAsset) else None
        if self.name in OF_SPLATS:
            splats = scene.splats
        if splats is None or splats.harmonics is None:
            return
        if self.flat:
            yield f"{self.flat} one colour for all directions, so harmonics of degree {splats.degree} are left out."
        elif self.name == "spz" and bool((outside := (splats.harmonics + 1 / 256).abs() > 1).any()):
            yield f"{int(outside.sum())} harmonics beyond -1 and 1, which SPZ does not hold, are clipped."


def choose(out: Path, name: str | None, spz: "SpzLayout | None" = None) -> Format:
    """The format of that name, or else of the file's ending; InputError where they disagree or none fits.

    `spz` says how .spz files are written.
    """
    if name is not None:
        chosen = next((each for each in FORMATS if each.name == name), None)
        if chosen is None:
            raise InputError(f"--as is '{name}'; it is one of {', '.join(each.name for each in FORMATS)}.")
        suffixes = {each.rpartition(".")[2] for each in chosen.endings} or {""}
        if out.suffix.lower()[1:] not in suffixes:
            raise InputError(f"{out} ends in '{out.suffix}'; as {name} name {chosen.ending or 'a folder'}.")
    else:
        chosen = next((each for each in FORMATS if out.name.lower().endswith(each.endings)), None)
    if chosen is None:
        endings = ", ".join(dict.fromkeys(ending for each in FORMATS for ending in each.endings))
        folders = ", ".join(each.name for each in FORMATS if not each.ending)
        raise InputError(f"{out} ends in '{out.suffix}'; name a file in {endings}, or a folder with --as {folders}.")
    if chosen.name == "spz" and spz is not None:
        return replace(chosen, write=lambda out, scene: _spz(out, scene, spz))
    return chosen


def far_note(chosen: Format, origin: "Origin") -> str | None:
    """What a user should know of a file of a world that is far from its origin; None for other worlds, and films."""
    if not any(origin) or chosen.name in FILMS:
        return None
    if chosen.far == BACK:
        return "Its coordinates are those of the input's world, in double precision."
    how = chosen.far or "which its format has no place for"
    from fewview.geometry.origin import written

    return f"Its coordinates are in single precision and count from {written(origin)} of the input's world, {how}."


def _film(scene: "Reconstruction") -> "Iterator[Render]":
    """What the cameras of an orbit, or of the walk, see."""
    from fewview.export.video import render_path

    for i, seen in enumerate(render_path(scene.asset, scene.path(FRAMES))):
        yield seen
        scene.report("rendering", (i + 1) / FRAMES)


def _ply(out: Path, scene: "Reconstruction") -> None:
    from fewview.export.ply import write_ply

    write_ply(out, scene.splats, origin=scene.origin)


def _compressed_ply(out: Path, scene: "Reconstruction") -> None:
    from fewview.export.compressed_ply import write_compressed_ply

    write_compressed_ply(out, scene.splats, origin=scene.origin)


def _spz(out: Path, scene: "Reconstruction", layout: "SpzLayout | None" = None) -> None:
    from fewview.export.spz import write_spz

    write_spz(out, scene.splats, antialiased=scene.splat_asset.antialiased, layout=layout)


def _sog(out: Path, scene: "Reconstruction") -> None:
    from fewview.export.sog import write_sog

    write_sog(out, scene.splats, antialiased=scene.splat_asset.antialiased)


def _splat(out: Path, scene: "Reconstruction") -> None:
    from fewview.export.splat import write_splat

    write_splat(out, scene.splats)


def _splat_glb(out: Path, scene: "Reconstruction") -> None:
    from fewview.export.glb import write_splat_glb

    write_splat_glb(out, scene.splats, scene.up, origin=scene.origin)


def _glb(out: Path, scene: "Reconstruction") -> None:
    from fewview.export.glb import write_glb

    write_glb(out, scene.textured_mesh, scene.up, origin=scene.origin)


def _gltf(out: Path, scene: "Reconstruction") -> None:
    """Splats of a scene that is splats, a mesh of a field."""
    from fewview.render.asset import GaussianAsset

    (_splat_glb if isinstance(scene.asset, GaussianAsset) else _glb)(out, scene)


def _obj(out: Path, scene: "Reconstruction") -> None:
    from fewview.export.obj import write_obj

    write_obj(out, scene.textured_mesh, scene.up, origin=scene.origin)


def _mp4(out: Path, scene: "Reconstruction") -> None:
    from fewview.export.video import write_video

    write_video(out, (seen.image.clamp(0, 1) for seen in _film(scene)), fps=FPS)


def _webp(out: Path, scene: "Reconstruction") -> None:
    from fewview.export.images import straight
    from fewview.export.video import write_webp

    write_webp(out, (straight(seen) for seen in _film(scene)), fps=FPS)


def _posed(folder: Path, scene: "Reconstruction", depths: bool = False) -> list[str]:
    """Renderings of the orbit with alpha in folder/images (and depth maps); their names."""
    from fewview.export.depth import depth_unit, write_depth_png, write_exr
    from fewview.export.images import straight, write_png

    seen = list(_film(scene))
    names = [f"{i:04d}" for i in range(len(seen))]
    unit = depth_unit(max(float(view.depth.max()) for view in seen))
    for name, view in zip(names, seen):
        write_png(folder / "images" / f"{name}.png", straight(view))
        if depths:
            write_depth_png(folder / "depth" / f"{name}.png", view.depth, unit)
            write_exr(folder / "depth" / f"{name}.exr", {"Z": view.depth[0]})
    return [f"{name}.png" for name in names]


def _colmap(out: Path, scene: "Reconstruction", text: bool = False) -> None:
    from fewview.checkpoint import atomic_folder
    from fewview.export.colmap import write_sparse

    how = {"points": scene.splats, "text": text, "origin": scene.origin}
    with atomic_folder(out) as folder:
        write_sparse(folder / "sparse" / "0", scene.path(FRAMES), _posed(folder, scene), **how)


def _nerfstudio(out: Path, scene: "Reconstruction") -> None:
    from fewview.checkpoint import atomic_folder
    from fewview.export.depth import depth_unit_of
    from fewview.export.transforms import write_transforms

    with atomic_folder(out) as folder:
        names = _posed(folder, scene, depths=True)
        images, depths = ([f"{part}/{name}" for name in names] for part in ("images", "depth"))
        unit = depth_unit_of(folder / depths[0])
        more = {"depths": depths, "depth_unit_scale_factor": unit, "origin": scene.origin}
        write_transforms(folder / "transforms.json", scene.path(FRAMES), images, **more)


TEXT = (".gltf",)
FORMATS = (  # the first that fits an ending is taken
    Format("compressed-ply", ".compressed.ply", "SuperSplat's compressed splats of 16 bytes", _compressed_ply, HEADER),
    Format("ply", ".ply", "splats in the layout of 3D Gaussian Splatting", _ply, HEADER),
    Format("spz", ".spz", "splats, compressed to a quarter or less", _spz),
    Format("sog", ".sog", "splats as pictures (SOG), compressed further", _sog),
    Format("splat", ".splat", "splats of 32 bytes each", _splat, flat="splats of a .splat file have"),
    Format("splats", ".gs.glb", "splats in glTF (KHR_gaussian_splatting)", _splat_glb, NODE, (".gs.gltf",)),
    Format("gltf", ".glb", "splats in glTF where the scene is splats, a mesh where it is a field", _gltf, NODE, TEXT),
    Format("mesh", ".glb", "mesh with a texture, in glTF", _glb, NODE, TEXT, MESH),
    Format("obj", ".obj", "the same mesh, with .mtl and .png beside it", _obj, HEADER, flat=MESH),
    Format("mp4", ".mp4", "film of an orbit, or of the walk through a room", _mp4),
    Format("webp", ".webp", "the same as an animated picture, transparent around the object", _webp),
    Format("nerfstudio", "", "folder: renderings of the orbit, depth (PNG, EXR), transforms.json", _nerfstudio, BACK),
    Format(
        "colmap", "", "folder: renderings of the orbit, sparse model (binary) with points", _colmap, BACK, flat=POINTS
    ),
    Format("colmap-text", "", "the same, as text", partial(_colmap, text=True), BACK, flat=POINTS),
)
