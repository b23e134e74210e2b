"""The folder that a reconstruction leaves: scene, mesh, splats, film, views with their poses, and a report."""

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol, runtime_checkable

import torch
from jaxtyping import Float
from torch import Tensor

from fewview.cameras import Cameras
from fewview.checkpoint import atomic_folder, read_json
from fewview.errors import InputError
from fewview.export.comparison import Comparison
from fewview.export.flame import write_profile
from fewview.export.glb import write_glb
from fewview.export.images import straight, write_png
from fewview.export.mesh import Mesh, TexturedMesh, watertight
from fewview.export.page import write_viewer_html
from fewview.export.ply import write_ply
from fewview.export.report import Report, html, peak_memory
from fewview.export.transforms import write_transforms
from fewview.export.video import render_path, webp, write_video
from fewview.geometry.origin import NO_ORIGIN, Origin
from fewview.paths import CameraPrior, orbit
from fewview.profiling import Profile
from fewview.progress import duration
from fewview.render.gaussians import Gaussians
from fewview.views import Asset, Render, Views

FILES = {
    "report.html": "this page",
    "profile.html": "where the time went: a flame graph",
    "scene": "the scene itself, for fewview",
    "mesh.glb": "mesh with a texture, y up",
    "splats.ply": "Gaussian splats (3DGS layout)",
    "viewer.html": "the splats to turn around, in one file that needs no internet",
    "orbit.mp4": "film of a turn around it, or of a walk through it",
    "views": "renderings along the same path",
    "transforms.json": "their poses (nerfstudio)",
    "inputs": "the photos, with masks and poses",
}
ORBIT, WALK = "orbit", "walk"  # what transforms.json calls the path of the film
REST = "reading, rendering and writing"
INPUT_SIZE = 1024  # pixels, the longest side of the photos that are kept
STILLS = 8  # renderings of the orbit that the report shows
COMPARED, COMPARED_SIZE = 24, 512  # photos that the report compares with the result, and pixels of their longest side


@runtime_checkable
class SavedAsset(Protocol):
    """An Asset that knows how to write itself."""

    def render(self, cameras: Cameras) -> Render: ...

    def save(self, folder: Path) -> None: ...


@dataclass(frozen=True, eq=False)
class Products:
    """What has been made of the asset besides itself; all in the asset's world. `up` defaults to the inputs' axis.

    The film's path is an orbit, or a `walk` through the scene. Pictures are of `shown`, by default the asset itself;
    `unseen` tells of renderings, and the cameras that they are from, which share of each pixel no photo saw. `origin`
    leads from the asset's world to the input's, which transforms.json is written in.
    """

    mesh: Mesh | TexturedMesh | None = None
    splats: Gaussians | None = None
    path: Cameras | None = None
    walk: bool = False
    truth: Views | None = None
    up: Float[Tensor, "3"] | None = None
    shown: Asset | None = None
    unseen: Callable[[Render, Cameras], Float[Tensor, "n 1 height width"]] | None = None
    origin: Origin = NO_ORIGIN


@dataclass(frozen=True)
class Record:
    """How it was made: a name, JSON settings, seconds by stage, and what tells the costs in detail when it is done.

    `started` is when all of it began (time.monotonic); without it the stages are all that is known of the time.
    """

    name: str = "scene"
    settings: Mapping[str, object] = field(default_factory=dict)
    timings: Mapping[str, float] = field(default_factory=dict)
    profile: Callable[[], Profile] | None = None
    started: float | None = None

    def seconds(self) -> dict[str, float]:
        """By stage until now, with what lies between and after the stages, so that they add up to the whole time."""
        known = dict(self.timings)
        rest = 0.0 if self.started is None else time.monotonic() - self.started - sum(known.values())
        return {**known, REST: rest} if rest > 0 else known


def write_results(
    out: Path,
    asset: SavedAsset,
    views: Views,
    *,
    products: Products | None = None,
    record: Record | None = None,
    fps: int = 24,
) -> None:
    """Write everything to the folder `out`, whole or not at all; a former result there is replaced.

    `views` are the inputs, in the asset's world. InputError if `out` holds anything else than a former result.
    """
    products, record = products or Products(), record or Record()
    check_free(out)
    path = products.path if products.path is not None else orbit(views.cameras, 72)
    with atomic_folder(out) as folder:
        asset.save(folder / "scene")
        renders = list(render_path(products.shown or asset, path))
        write_video(folder / "orbit.mp4", (seen.image for seen in renders), fps=fps)
        names = [f"views/{i:03d}.png" for i in range(len(renders))]
        for name, seen in zip(names, renders):
            write_png(folder / name, seen.image)
        kind, origin = WALK if products.walk else ORBIT, products.origin
        write_transforms(folder / "transforms.json", path, names, origin=origin, camera_path=kind)
        write_inputs(folder / "inputs", views, origin)
        up = products.up if products.up is not None else CameraPrior.fit(views.cameras).circle.normal
        if products.mesh is not None:
            write_glb(folder / "mesh.glb", products.mesh, up, origin=origin)
        if products.splats is not None:
            write_ply(folder / "splats.ply", products.splats, origin=origin)
            photos = views.on_black().images
            write_viewer_html(
                folder / "viewer.html", products.splats, views.cameras, up=up,
                photos=photos, name=record.name, walk=products.walk,
            )  # fmt: skip
        if record.profile is not None:
            write_profile(folder / "profile.html", record.profile(), record.name)
        page = html(_report(folder, views, (renders, path, fps), made=(asset, products, record)))
        (folder / "report.html").write_text(page, encoding="utf-8")


def is_walk(poses: Path) -> bool:
    """Whether a transforms.json of results says that their cameras lead through a room."""
    data = read_json(poses) if poses.is_file() else None
    return isinstance(data, dict) and data.get("camera_path") == WALK


def write_inputs(folder: Path, views: Views, origin: Origin = NO_ORIGIN) -> None:
    """Photos as PNG (their masks as alpha), no larger than INPUT_SIZE, and transforms.json: readable as an input."""
    shrink = min(1.0, INPUT_SIZE / max(views.images.shape[-2:]))
    views = views.resized(*(max(1, round(side * shrink)) for side in views.images.shape[-2:]))
    names = [f"images/{i:03d}.png" for i in range(len(views))]
    pictures = views.images if views.masks is None else torch.cat([views.images, views.masks], dim=1)
    for name, picture in zip(names, pictures):
        write_png(folder / name, picture)
    write_transforms(folder / "transforms.json", views.cameras, names, origin=origin)


def check_free(out: Path) -> None:
    """InputError unless `write_results` may put a folder at `out` without loss of foreign files."""
    if out.exists() and not out.is_dir():
        raise InputError(f"{out} is a file; name a folder for the results.")
    foreign = sorted(entry.name for entry in out.iterdir() if entry.name not in FILES) if out.exists() else []
    if foreign:
        raise InputError(
            f"{out} holds '{foreign[0]}', which is no result of fewview; name a new folder for the results."
        )


@torch.no_grad()
def _report(
    folder: Path, views: Views, film: tuple[list[Render], Cameras, int], *, made: tuple[SavedAsset, Products, Record]
) -> Report:
    (renders, path, fps), (asset, products, record) = film, made
    shown = products.shown or asset
    indices = evenly(len(renders), STILLS)
    stills = Render.stack([renders[i] for i in indices])
    facts = {"input views": str(len(views))}
    seconds = record.seconds()
    if seconds:
        facts["time"] = duration(sum(seconds.values()))
    peak = peak_memory()
    if peak is not None:
        facts["peak memory"] = f"{peak:.1f} GiB"
    if products.splats is not None:
        facts["splats"] = f"{len(products.splats):,}"
    if products.mesh is not None:
        facts["triangles"] = f"{len(products.mesh.faces):,}"
        facts["mesh"] = "watertight" if watertight(products.mesh) else "has holes"
    truth = products.truth
    cameras = path[indices]
    return Report(
        record.name,
        views,
        stills,
        seconds,
        record.settings,
        facts,
        {name: what for name, what in FILES.items() if (folder / name).exists()},
        None if truth is None else (truth, shown.render(truth.cameras)),
        (folder / "orbit.mp4").read_bytes() if products.walk else webp([straight(seen) for seen in renders], fps=fps),
        compared(views, shown),
        None if products.unseen is None else products.unseen(stills, cameras),
        None if record.profile is None else record.profile(),
    )


def compared(views: Views, asset: Asset) -> Comparison:
    """The photos, or COMPARED of them, beside what an asset shows from their cameras."""
    indices = evenly(len(views), COMPARED)
    shrink = min(1.0, COMPARED_SIZE / max(views.images.shape[-2:]))
    small = views[indices].resized(*(max(1, round(side * shrink)) for side in views.images.shape[-2:]))
    return Comparison(small, Render.stack(list(render_path(asset, small.cameras))), tuple(indices), len(views))


def evenly(count: int, most: int) -> list[int]:
    """At most so many of the numbers below `count`, evenly spread, 0 among them."""
    chosen = min(count, most)
    return [i * count // chosen for i in range(chosen)]
