"""Splats to start from: lifted from depth maps of an asset or of stereo, and on the points that an input has."""

from dataclasses import replace

import torch
from jaxtyping import Float, Int
from torch import Tensor
from torch.nn import functional as F

from fewview.cameras import Cameras
from fewview.detail.backdrop import with_backdrop
from fewview.detail.losses import BLACK
from fewview.detail.prior import SOLID
from fewview.detail.stage import sized
from fewview.errors import InputError
from fewview.fitting import neighbours
from fewview.framing import crop_to_object, norm_from_world
from fewview.geometry.quaternions import quaternions_of
from fewview.geometry.transforms import apply, normalise, scale_of
from fewview.paths import look_at_point
from fewview.render.gaussians import Gaussians
from fewview.stereo import stereo
from fewview.views import Render, Views, at_places

THICKNESS = 0.3  # of a lifted splat, in its width
WIDTH = 0.6  # of a lifted splat, in the distance to its neighbours
OPACITY, FAINT = 0.9, 0.5  # of lifted splats, and of those on points (arXiv 2404.09591: 0.5)
TURNED = 0.5  # weight of the direction to the camera in the normals of lifted splats: depth maps are rough
STEREO_SIZE, STEREO_VIEWS = 192, 32  # pixels of the longer side; photos, spread over those that there are
OBJECT = 2.5  # half the depth that is tried around an object, in deviations of its silhouette (radius about 3)
NEAREST, FARTHEST = 0.3, 4.0  # depths that are tried without masks, in distances to what the cameras look at, ...
OUTLIERS, CLOSER, DEEPER = 0.02, 0.7, 2.0  # ... or in the depths of points, of which so many count at neither end
FEWEST, POINTS = 50, 0.25  # points that are a start, or tell depths; share of the first splats that lie on points
FRAMED = 0.25  # of the pixels of the border, at most, that are not black around what stands on black
UNSURE = 0.3  # weight of pixels whose depth no other photo confirms


@torch.no_grad()
def lifted(
    seen: Render,
    cameras: Cameras,
    count: int,
    *,
    weights: Float[Tensor, "n 1 height width"] | None = None,
    generator: torch.Generator,
) -> Gaussians:
    """At most `count` flat splats on the surface of depth maps, drawn by weight and as wide as they lie apart.

    InputError where no pixel has an alpha above one half.
    """
    solid = torch.nonzero(seen.alpha[:, 0] > SOLID)
    if len(solid) == 0:
        raise InputError("No surface is seen from these cameras; look at the scene from where it is opaque.")
    chance = torch.ones(len(solid)) if weights is None else weights[:, 0][tuple(solid.T)].cpu()
    view, row, column = solid[_drawn(chance, count, generator).to(solid.device)].unbind(-1)
    points = cameras.unproject(seen.depth[:, 0])
    normals = _normals(points, cameras)[view, row, column]
    apart = max(1.0, (float((chance / chance.max()).sum()) / count) ** 0.5)  # pixels, between splats of a view
    depth = seen.depth[view, 0, row, column]
    width = WIDTH * apart * depth / cameras.intrinsics[view, 0, 0]
    scales = width[:, None] * width.new_tensor([THICKNESS, 1, 1])
    features = seen.image[view, :, row, column] / seen.alpha[view, :, row, column]
    opacities = torch.full_like(width, OPACITY)
    return Gaussians(points[view, row, column], scales, _facing(normals), opacities, features)


def _drawn(chance: Float[Tensor, " n"], count: int, generator: torch.Generator) -> Int[Tensor, " k"]:
    """Indices drawn without replacement in proportion to chance: the first of exponential clocks."""
    clocks = -torch.rand(len(chance), generator=generator).clamp(min=1e-12).log() / chance.clamp(min=1e-9)
    return clocks.topk(min(count, len(chance)), largest=False).indices.sort().values


def _normals(points: Float[Tensor, "n h w 3"], cameras: Cameras) -> Float[Tensor, "n h w 3"]:
    """Unit normals of depth maps, drawn towards the cameras."""
    across = F.pad(points[:, :, 2:] - points[:, :, :-2], (0, 0, 1, 1))
    down = F.pad(points[:, 2:] - points[:, :-2], (0, 0, 0, 0, 1, 1))
    normals = normalise(torch.linalg.cross(down, across))
    towards = normalise(cameras.centers[:, None, None] - points)
    behind = (normals * towards).sum(-1, keepdim=True) < 0
    return normalise(torch.where(behind, -normals, normals) + TURNED * towards)


def _facing(normals: Float[Tensor, "n 3"]) -> Float[Tensor, "n 4"]:
    """Orientations whose first axis is a unit normal."""
    least = torch.nn.functional.one_hot(normals.abs().argmin(-1), 3).to(normals)
    second = normalise(torch.linalg.cross(normals, least))
    return quaternions_of(torch.stack([normals, second, torch.linalg.cross(normals, second)], dim=-1))


@torch.no_grad()
def on_points(points: Float[Tensor, "n 3"], photos: Views) -> Gaussians:
    """Round splats on points, as wide as these are apart, coloured as the photos that see them are on average.

    Points that lie outside of the mask in most of the photos are left out. InputError where too few remain.
    """
    places, _, inside = photos.cameras.locate(points[None].expand(len(photos), -1, -1))
    seen = inside.float()
    sample = lambda images: at_places(images, places)
    total = seen.sum(0)
    kept = total > 0
    if photos.masks is not None:
        kept &= (sample(photos.masks)[:, 0] * seen).sum(0) > SOLID * total
    if int(kept.sum()) < FEWEST:
        raise InputError(f"{int(kept.sum())} points lie on the object, too few to start from; leave them out.")
    colours = (sample(photos.images) * seen[:, None]).sum(0).T / total.clamp(min=1)[:, None]
    means = points[kept]
    distances = neighbours(means, 3)[0].mean(-1)
    width = distances.clamp(max=4 * distances.median().item(), min=1e-3 * distances.mean().item())[:, None]
    turns = torch.tensor([1.0, 0, 0, 0]).to(means).expand(len(means), 4).clone()
    return Gaussians(means, WIDTH * width.expand(-1, 3), turns, torch.full_like(distances, FAINT), colours[kept])


@torch.no_grad()
def start(photos: Views, points: Float[Tensor, "n 3"] | None, count: int, *, generator: torch.Generator) -> Gaussians:
    """At most `count` splats where small copies of the photos look alike in each other (`fewview.stereo`).

    Up to a quarter of them lie on the points, of the photos' world. Depths are tried around the object, where masks
    tell it; else around the points, or around what the cameras look at. There, what no other photo confirms is taken
    for background, or for nothing where it is black.
    """
    taken = sorted({round(i) for i in torch.linspace(0, len(photos) - 1, min(STEREO_VIEWS, len(photos))).tolist()})
    views = _masked_by_black(photos[taken])
    if views.masks is None:
        small = sized(views, STEREO_SIZE)
        found = stereo(small, *(_bounds_of(points, views.cameras) or _ahead(views.cameras)))
        alpha = (found.sure | (small.images.amax(1) > BLACK)).to(small.images)[:, None]
        depths = with_backdrop(found, small.cameras)
    else:
        small = crop_to_object(views, STEREO_SIZE).on_black()
        assert small.masks is not None
        found = stereo(small, *_around_object(views))
        alpha, depths = small.masks, found.depth
    weights = torch.where(found.sure, 1.0, UNSURE)[:, None]
    seen = Render(small.images, alpha, depths[:, None])
    drawn = torch.randperm(0 if points is None else len(points), generator=generator)[: round(POINTS * count)]
    splats = lifted(seen, small.cameras, count - len(drawn), weights=weights, generator=generator)
    if points is None or len(drawn) <= FEWEST:
        return splats
    try:
        return Gaussians.cat([splats, on_points(points[drawn].to(photos.images), photos)])
    except InputError:  # they lie beside the object
        return splats


def _masked_by_black(views: Views) -> Views:
    """With masks of what is not black, small gaps closed, where black frames photos without masks."""
    if views.masks is not None:
        return views
    bright = (views.images.amax(1, keepdim=True) > BLACK).float()
    rim = torch.cat([bright[..., 0, :], bright[..., -1, :], bright[..., 0], bright[..., -1]], dim=-1)
    if float(rim.mean()) > FRAMED:
        return views
    side = 2 * (max(bright.shape[-2:]) // 100) + 1
    closed = -F.max_pool2d(-F.max_pool2d(bright, side, 1, side // 2), side, 1, side // 2)
    return replace(views, masks=closed)


def _ahead(cameras: Cameras) -> tuple[float, float]:
    """The least and the largest z-depth of what cameras without masks and points may see."""
    depth = _depths_of(look_at_point(cameras), cameras)
    return NEAREST * float(depth.min()), FARTHEST * float(depth.max())


def _around_object(photos: Views) -> tuple[float, float]:
    """The same of the object that masks tell."""
    frame = norm_from_world(photos)
    depth = _depths_of(apply(torch.linalg.inv(frame), torch.zeros(1, 3).to(frame))[0], photos.cameras)
    radius = OBJECT / scale_of(frame)
    return float((depth.min() - radius).clamp(min=0.1 * depth.min())), float(depth.max() + radius)


def _bounds_of(points: Float[Tensor, "n 3"] | None, cameras: Cameras) -> tuple[float, float] | None:
    """The same of a scene that has points there; None where too few are in view."""
    if points is None:
        return None
    pixels, depth = cameras.project(points.to(cameras.intrinsics).expand(len(cameras), -1, -1))
    where = pixels / pixels.new_tensor([cameras.width, cameras.height])
    depth = depth[(depth > 0) & (where > 0).all(-1) & (where < 1).all(-1)]
    if len(depth) < FEWEST:
        return None
    return CLOSER * float(depth.quantile(OUTLIERS)), DEEPER * float(depth.quantile(1 - OUTLIERS))


def _depths_of(point: Float[Tensor, "3"], cameras: Cameras) -> Float[Tensor, "n 1"]:
    """The z-depth of a point in each camera, above 0."""
    return cameras.project(point.expand(len(cameras), 1, 3))[1].clamp(min=1e-6)
