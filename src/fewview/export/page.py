"""viewer.html: a scene in one file that opens from disk, with its own small WebGL 2 splat renderer (`viewer_page/`).

Nothing is fetched: scripts, styles, splats and pictures are in the file, and its content security policy forbids more.
"""

import base64
import io
import json
import re
from collections.abc import Iterable
from html import escape
from importlib.resources import files
from pathlib import Path

import torch
from jaxtyping import Float
from torch import Tensor

from fewview.cameras import Cameras
from fewview.checkpoint import atomic_path
from fewview.export.images import picture
from fewview.export.packed_splats import MORE, WORDS, most_visible, pack
from fewview.paths import look_at_point
from fewview.render.asset import GaussianAsset
from fewview.render.extent import core
from fewview.render.gaussians import Gaussians
from fewview.views import shrunk

SCRIPTS = ("decode.js", "sort.js", "view.js", "renderer.js", "main.js")
MAX_BYTES = 24_900_000  # of the file, less than the 25 MB that hosts and mail take
PAGE_BYTES = 2**19  # of them for scripts, cameras and what surrounds the splats
THUMBNAIL = 160  # px, the longest side of a photo in the page
SWAY = 0.15  # radians to either side that a room turns by itself
FARTHEST = 256  # spreads of the splats, whose places the page has in steps of 2^-21 of their box
HOME_SIZE = 512  # px, the picture of the first view where there are no cameras


def write_viewer_html(
    path: Path,
    gaussians: Gaussians | GaussianAsset,
    cameras: Cameras | None,
    up: Float[Tensor, "3"],
    *,
    photos: Iterable[Float[Tensor, "3 _ _"]] | None = None,
    name: str = "scene",
    walk: bool = False,
) -> None:
    """Write a page that shows RGB splats from all sides, first as the first of `cameras` (batch shape (n,)) does.

    Cameras stand around an object, which turns, or, with `walk`, in a room, which sways: behind them there is nothing.

    `up` is a direction in the world; `photos` are what the cameras saw, in [0, 1]. A file stays below 25 MB: harmonics
    that do not fit are left out, and of more splats than fit the most visible are kept; the page says so. ValueError if
    there are no splats or no RGB.
    """
    asset = gaussians if isinstance(gaussians, GaussianAsset) else GaussianAsset(gaussians)
    thumbnails = [None] * (0 if cameras is None else len(cameras)) if photos is None else [_jpeg(p) for p in photos]
    room = MAX_BYTES - PAGE_BYTES - sum(len(text or "") for text in thumbnails)
    kept = _fitting(within_reach(asset.gaussians), max(room, 0) * 3 // 4)
    packed = pack(kept)
    centre = middle(kept) if cameras is None or walk else look_at_point(cameras)
    size = spread(kept).item()
    near = [] if cameras is None else [_camera(cameras[i], photo) for i, photo in enumerate(thumbnails)]
    scene = {
        "name": name,
        "count": len(kept),
        "total": len(asset.gaussians),
        "low": packed.low,
        "high": packed.high,
        "logScale": packed.log_scale,
        "degree": kept.degree,
        "degrees": asset.gaussians.degree,
        "colours": packed.colours,
        "limits": packed.limits,
        "antialiased": asset.antialiased,
        "up": up.tolist(),
        "centre": centre.tolist(),
        "frustum": 0.25 * size,
        "sway": SWAY if walk else 0,
        "home": near[0] if near else _camera(first_view(kept, up), None),
        "cameras": near,
    }
    with atomic_path(path) as temporary:
        temporary.write_text(html(scene, packed.to_bytes(), name), encoding="utf-8")


def _fitting(gaussians: Gaussians, room: int) -> Gaussians:
    """Splats for so many bytes: all, with harmonics of the highest degree that fits, or the most visible without."""
    seen = most_visible(gaussians, len(gaussians))
    for degree in range(gaussians.degree, 0, -1):
        if len(seen) <= room // (4 * (WORDS + MORE * degree)):
            return seen.of_degree(degree)
    return most_visible(seen, room // (4 * WORDS)).of_degree(0)


def html(scene: dict, splats: bytes, title: str) -> str:
    """The page of a scene (what `main.js` reads, as JSON values) and its packed splats."""
    folder = files("fewview.export") / "viewer_page"
    read = lambda name: (folder / name).read_text(encoding="utf-8")
    parts = {
        "title": escape(title),
        "style": read("style.css"),
        "script": "\n".join(read(name) for name in SCRIPTS),
        "scene": json.dumps(scene, allow_nan=False).replace("<", "\\u003c"),  # so that no name ends the script
        "splats": base64.b64encode(splats).decode(),
    }
    return re.sub(r"{{(\w+)}}", lambda match: parts[match[1]], read("page.html"))


def first_view(gaussians: Gaussians, up: Float[Tensor, "3"]) -> Cameras:
    """A camera from which nine tenths of the splats' core are seen, a little from above."""
    centre, radius = middle(gaussians), spread(gaussians)
    up = torch.nn.functional.normalize(up.to(centre), dim=0)
    side = torch.linalg.cross(up, torch.eye(3).to(up)[up.abs().argmin()])
    away = torch.nn.functional.normalize(torch.nn.functional.normalize(side, dim=0) + 0.35 * up, dim=0)
    return Cameras.look_at(
        centre + 3.2 * radius * away, centre, up, focal=1.25 * HOME_SIZE, height=HOME_SIZE, width=HOME_SIZE
    )


def middle(gaussians: Gaussians) -> Float[Tensor, "3"]:
    """The median of the centres along each axis, which stray splats do not move."""
    return gaussians.means[core(gaussians)].median(0).values


def within_reach(gaussians: Gaussians) -> Gaussians:
    """The splats within so many spreads of the middle, beyond which the page's steps are too coarse."""
    near = (gaussians.means - middle(gaussians)).norm(dim=-1) <= FARTHEST * spread(gaussians)
    return gaussians[near] if bool(near.any()) else gaussians


def spread(gaussians: Gaussians) -> Float[Tensor, ""]:
    """The distance from the middle within which nine tenths of the splats' core lie; strays and skies do not count."""
    means = gaussians.means[core(gaussians)]
    distances = (means - means.median(0).values).norm(dim=-1).sort().values
    return distances[round((len(distances) - 1) * 0.9)].clamp(min=1e-9)


def _camera(camera: Cameras, photo: str | None) -> dict:
    k = camera.intrinsics.tolist()
    lens = {"fx": k[0][0], "fy": k[1][1], "cx": k[0][2], "cy": k[1][2], "w": camera.width, "h": camera.height}
    return {"pose": camera.world_from_cam[:3].tolist(), **lens, "photo": photo}


def _jpeg(image: Float[Tensor, "3 height width"]) -> str:
    """A thumbnail as a data: URI."""
    buffer = io.BytesIO()
    picture(shrunk(image, THUMBNAIL)).save(buffer, format="JPEG", quality=85)
    return "data:image/jpeg;base64," + base64.b64encode(buffer.getvalue()).decode()
