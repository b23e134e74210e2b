"""What is made of a reconstructed scene besides itself: splats, a mesh, and cameras to look from."""

import math
from collections.abc import Callable

import torch
from jaxtyping import Float
from torch import Tensor

from fewview.cameras import Cameras
from fewview.detail.prior import SOLID, pseudo_views
from fewview.detail.stage import DetailConfig, detail, splats_for
from fewview.detail.starts import lifted
from fewview.errors import InputError
from fewview.export.fusion import SURFACE, DepthFusion
from fewview.export.mesh import Mesh, MeshConfig, extract_mesh
from fewview.export.video import render_path
from fewview.fitting import GaussianFitConfig, fit_gaussians
from fewview.framing import crop_to_object
from fewview.geometry.transforms import apply, axis_angle, normalise
from fewview.paths import CameraPrior
from fewview.progress import Progress, steps_of
from fewview.render.asset import FieldAsset, GaussianAsset
from fewview.render.extent import ball, box, core, solid
from fewview.render.gaussians import Gaussians
from fewview.views import Asset, Render, Views

TILTS = (-0.6, 0.0, 0.7)  # radians towards the axis: rings above, at, and below the height of the inputs
SPLATS, MESH = GaussianFitConfig(), MeshConfig()
FUSED = MeshConfig(resolution=192, density=SURFACE, smoothing=0.4)  # of splats: leaves and wires stay
MARGIN = 0.15  # of the object's size, around the box of the mesh
BAND = 2  # cells, in which depth maps are fused to a surface
STRAY, ROOM = 0.01, 1.2  # share of splats outside of the mesh's box; how much is seen around a ball of splats
LIFT_SIZE = 256  # pixels of the cropped photos whose surface is lifted to splats ...
LIFTED = 24  # ... and how many of the photos, spread evenly, if there are more
FIRST, TURNED = 0.7, 8000  # share of the splats that are lifted at first, and how many of these at most from around
SEEN_SIZE, GRAZED = 256, 0.05  # pixels of depth that tells what photos saw; a cosine between two looks at a point
VIEW_ANGLE, ELEVATION, RING = 0.7, 0.3, 12  # radians, radians, cameras


def around(cameras: Cameras, count: int, size: int) -> Cameras:
    """Three rings of `count` cameras altogether around what the given cameras look at, `size` pixels high."""
    prior = CameraPrior.fit(sized(cameras, size))
    each = max(1, count // len(TILTS))
    angles = torch.arange(each) * (2 * torch.pi / each)
    rings = [prior.at(angles + i / each, torch.full((each,), tilt)) for i, tilt in enumerate(TILTS)]
    return Cameras.cat(rings)


def sized(cameras: Cameras, height: int) -> Cameras:
    """The same cameras, `height` pixels high; both sides are even, as video wants them."""
    even = 2 * max(1, round(height / 2))
    return cameras.resized(even, 2 * max(1, round(even * cameras.width / cameras.height / 2)))


def splats(
    asset: FieldAsset | GaussianAsset, cameras: Cameras, *, generator: torch.Generator, progress: Progress
) -> Gaussians:
    """Gaussians that look like the asset from all around."""
    if isinstance(asset, GaussianAsset):
        return asset.gaussians
    tell = steps_of(progress, "fitting splats", SPLATS.steps)
    return fit_gaussians(asset, cameras, SPLATS, generator=generator, progress=tell).gaussians


def detailed(
    asset: FieldAsset,
    views: Views,
    around: tuple[Render, Cameras],
    *,
    config: DetailConfig,
    generator: torch.Generator,
    progress: Progress,
) -> GaussianAsset:
    """Splats as sharp as the photos `views`, and from elsewhere like the asset, which cameras `around` it see so."""
    seen, cameras = around
    some = torch.linspace(0, len(views) - 1, min(len(views), LIFTED)).round().long()
    close = crop_to_object(views[some], LIFT_SIZE).on_black()
    by_photos = renders(asset, close.cameras)
    prior = pseudo_views(seen, cameras, by_photos, photos=close.cameras)
    count = max(2, round(FIRST * splats_for(views, config)))
    turned = min(TURNED, count // 2)
    inside = by_photos.alpha if close.masks is None else by_photos.alpha * (close.masks > SOLID)
    shown = Render(close.images * inside, inside, by_photos.depth)
    draw = lambda what, where, most, weights=None: (
        [lifted(what, where, most, weights=weights, generator=generator)] if bool((what.alpha > SOLID).any()) else []
    )
    parts = [*draw(shown, close.cameras, count - turned), *draw(seen, cameras, turned, prior.weights)]
    if not parts:
        raise InputError("The asset shows no surface from these cameras; look at it from where it is opaque.")
    tell = steps_of(progress, "fitting splats", config.steps)
    return detail(Gaussians.cat(parts), views, config, prior=prior, generator=generator, progress=tell)


def surface(asset: FieldAsset | GaussianAsset, inside: Gaussians, cameras: Cameras, *, seen: Render) -> Mesh:
    """The surface in a box around splats that look like the asset: of a field a level of its density, of splats fused
    from their depth in the cameras, which see `seen`.
    """
    is_field = isinstance(asset, FieldAsset)
    norm_from_world = asset.norm_from_world if is_field else torch.eye(4).to(inside.means)
    dense = solid(inside)
    low, high = box(apply(norm_from_world, dense.means[core(dense)]), STRAY / 2)
    margin = MARGIN * (high - low).max()
    low, high = low - margin, high + margin
    if is_field:
        bound = asset.config.ngp.bound
        low, high = low.clamp(min=-bound), high.clamp(max=bound)
    norm_from_unit = torch.diag(torch.cat([high - low, torch.ones(1).to(low)]))
    norm_from_unit[:3, 3] = low
    box_from_unit = torch.linalg.inv(norm_from_world) @ norm_from_unit
    if is_field:
        return extract_mesh(asset, box_from_unit, MESH)
    band = BAND * float((high - low).max()) / FUSED.resolution
    return extract_mesh(DepthFusion(seen, cameras, band), box_from_unit, FUSED)


def unseen_by(photos: Views, asset: Asset) -> Callable[[Render, Cameras], Float[Tensor, "n 1 height width"]]:
    """What tells, of renderings of the asset and their cameras, which pixels' surface none of the photos saw: 1, or 0.

    Surface that photos see at a grazing angle only, of a cosine below GRAZED, counts as unseen.
    """
    small = sized(photos.cameras, min(SEEN_SIZE, photos.cameras.height))

    def unseen(seen: Render, cameras: Cameras) -> Float[Tensor, "n 1 height width"]:
        known = 1 - pseudo_views(seen, cameras, renders(asset, small), photos=small, floor=0.0).weights
        return ((known < GRAZED) & (seen.alpha > SOLID)).to(seen.alpha)

    return unseen


@torch.no_grad()
def renders(asset: Asset, cameras: Cameras) -> Render:
    """What cameras (batch shape (n,)) see, rendered one after the other, which takes less memory."""
    return Render.stack(list(render_path(asset, cameras)))


def surrounding(gaussians: Gaussians, up: Float[Tensor, "3"], size: int) -> Cameras:
    """A ring of cameras, `size` pixels high and wide, around splats of which nothing is known but where up is."""
    centre, radius = ball(gaussians)
    distance = ROOM * radius / math.sin(VIEW_ANGLE / 2)
    across = torch.linalg.cross(up, torch.eye(3).to(up)[up.abs().argmin()])
    start = math.cos(ELEVATION) * normalise(across)
    angles = torch.arange(RING) * (2 * math.pi / RING)
    arms = (axis_angle(up.expand(RING, 3), angles.to(up)) @ start) + math.sin(ELEVATION) * up
    focal = size / 2 / math.tan(VIEW_ANGLE / 2)
    return Cameras.look_at(centre + distance * arms, centre, up, focal=focal, height=size, width=size)
