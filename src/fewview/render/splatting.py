"""EWA splatting: Gaussians projected to ellipses, blended front to back.

The conventions are gsplat's (arXiv 2409.06765; Zwicker et al. 2001 for the projection): footprints are widened by 0.3
square pixels, alpha is at most 0.999, contributions below 1/255 are skipped, and a pixel is closed before its
transmittance would reach 1e-4. `backend="numba"` (CPU), `"gsplat"` (CUDA) and `"torch"` (anywhere, slow, the reference)
compute the same thing.
"""

import importlib.util
from dataclasses import dataclass, replace
from typing import Literal

import torch
from jaxtyping import Float, Int
from torch import Tensor

from fewview.cameras import Cameras, pixel_centres
from fewview.geometry.harmonics import directional
from fewview.geometry.quaternions import rotations
from fewview.geometry.transforms import normalise
from fewview.render.gaussians import Gaussians
from fewview.views import Render

Backend = Literal["torch", "numba", "gsplat"]

NEAR = 0.01  # world units
DILATION = 0.3  # square pixels
ALPHA_MIN, ALPHA_MAX = 1 / 255, 0.999
TRANSMITTANCE_MIN = 1e-4
TILE = 16


@dataclass(frozen=True, eq=False)
class Footprints:
    """What one camera sees of the Gaussians, near to far. Pixels; a conic is (a, b, c) of a x^2 + 2 b x y + c y^2."""

    indices: Int[Tensor, " m"]
    centres: Float[Tensor, "m 2"]
    conics: Float[Tensor, "m 3"]
    opacities: Float[Tensor, " m"]
    depths: Float[Tensor, " m"]
    reach: Float[Tensor, "m 2"]
    """Half-sizes of the boxes outside which alpha is below 1/255."""


def splat(
    gaussians: Gaussians, cameras: Cameras, *, antialiased: bool = False, backend: Backend | None = None
) -> Render:
    """Render any number of channels on black, differentiable in all fields of `gaussians`.

    Harmonics are seen from the cameras' centres, and means get gradients through the directions too.

    `antialiased` keeps a footprint's total weight when it is widened (Mip-Splatting's 2D filter, arXiv 2311.16493).
    """
    backend = backend or default_backend(gaussians.means.device)
    flat = cameras.reshape(-1)
    if backend == "gsplat":
        image, alpha, depth = _gsplat(gaussians, flat, antialiased)
    else:
        parts = [_splat_one(gaussians, flat[i], antialiased, backend=backend) for i in range(len(flat))]
        image, alpha, depth = (torch.stack(tensors) for tensors in zip(*parts))
    shape = (*cameras.shape, -1, cameras.height, cameras.width)
    return Render(image.reshape(shape), alpha.reshape(shape), depth.reshape(shape))


def default_backend(device: torch.device) -> Backend:
    """The fastest backend that is installed for a device."""
    if device.type == "cuda" and importlib.util.find_spec("gsplat"):
        return "gsplat"
    if device.type == "cpu" and importlib.util.find_spec("numba"):
        return "numba"
    return "torch"


def _splat_one(
    gaussians: Gaussians, camera: Cameras, antialiased: bool, *, backend: Backend
) -> tuple[Tensor, Tensor, Tensor]:
    if backend == "numba":
        return _splat_compiled(gaussians, camera, antialiased)
    seen = project(gaussians, camera, antialiased=antialiased)
    channels = torch.cat([shown(gaussians, camera, seen.indices), seen.depths[:, None]], dim=-1)
    blended, alpha = blend(seen, channels, camera.height, width=camera.width)
    image, depth = blended[:-1], blended[-1:]
    return image, alpha, torch.where(alpha > 0, depth / alpha.clamp(min=1e-10), torch.zeros_like(depth))


def _splat_compiled(gaussians: Gaussians, camera: Cameras, antialiased: bool) -> tuple[Tensor, Tensor, Tensor]:
    from fewview.render import splatting_numba as compiled  # numba takes a second to import

    size = camera.height, camera.width
    if not (camera.world_from_cam.requires_grad or camera.intrinsics.requires_grad):
        return compiled.blend(compiled.project(gaussians, camera, antialiased=antialiased), size)
    seen = project(gaussians, camera, antialiased=antialiased)  # which has gradients of cameras too
    colours = shown(gaussians, camera, seen.indices)
    columns = seen.centres, seen.conics, seen.opacities[:, None], colours, seen.depths[:, None]
    return compiled.blend(torch.cat(columns, dim=-1), size)


def shown(gaussians: Gaussians, camera: Cameras, indices: Int[Tensor, " m"]) -> Float[Tensor, "m channels"]:
    """What the Gaussians of some indices show a camera (batch shape ()): features, with their harmonics."""
    if gaussians.harmonics is None:
        return gaussians.features[indices]
    eye = camera.world_from_cam[:3, 3].to(gaussians.means)
    directions = normalise(gaussians.means[indices] - eye)
    return directional(gaussians.features[indices], gaussians.harmonics[indices], directions)


def project(gaussians: Gaussians, camera: Cameras, *, antialiased: bool = False) -> Footprints:
    """The Gaussians in front of one camera that touch its image, sorted by z-depth."""
    world_from_cam = camera.world_from_cam.to(gaussians.means)
    in_cam = (gaussians.means - world_from_cam[:3, 3]) @ world_from_cam[:3, :3]
    front = torch.nonzero((in_cam[:, 2] > NEAR) & (gaussians.opacities >= ALPHA_MIN))[:, 0]
    in_cam, opacities = in_cam[front], gaussians.opacities[front]
    depths = in_cam[:, 2]
    pinhole = camera.intrinsics.to(gaussians.means)
    centres = (in_cam[:, :2] / depths[:, None]) @ pinhole[:2, :2].T + pinhole[:2, 2]

    axes = rotations(gaussians.quaternions[front]) * gaussians.scales[front][:, None, :]
    flat_axes = _jacobian(in_cam, camera, pinhole) @ (world_from_cam[:3, :3].T @ axes)
    (xx, xy), (_, yy) = (row.unbind(-1) for row in (flat_axes @ flat_axes.mT).unbind(-2))
    wide_xx, wide_yy = xx + DILATION, yy + DILATION
    determinant = wide_xx * wide_yy - xy * xy
    if antialiased:
        opacities = opacities * ((xx * yy - xy * xy) / determinant).clamp(min=1e-12).sqrt()
    conics = torch.stack([wide_yy, -xy, wide_xx], dim=-1) / determinant[:, None]

    with torch.no_grad():
        cut = (2 * (opacities.double() / ALPHA_MIN).log()).clamp(min=0)[:, None]
        reach = (cut * torch.stack([wide_xx, wide_yy], dim=-1)).sqrt().to(centres)
        size = centres.new_tensor([camera.width, camera.height])
        touches = ((centres + reach > 0) & (centres - reach < size)).all(-1) & (opacities >= ALPHA_MIN)
        keep = torch.nonzero(touches)[:, 0]
        keep = keep[torch.argsort(depths[keep], stable=True)]
    return Footprints(front[keep], centres[keep], conics[keep], opacities[keep], depths[keep], reach[keep])


@torch.no_grad()
def without_antialiasing(gaussians: Gaussians, cameras: Cameras) -> Gaussians:
    """Splats that plain renderers show as antialiased ones show these from cameras (batch shape (n,)) like the given.

    The share of opacity that antialiasing takes, averaged over the cameras by the area of the footprint, is taken now:
    files and viewers mostly know no antialiasing. Nearer by, they look the thinner for it.
    """
    opaque = replace(gaussians, opacities=torch.ones_like(gaussians.opacities))
    total, kept = (torch.zeros_like(gaussians.opacities) for _ in range(2))
    for i in range(len(cameras)):
        seen = project(opaque, cameras[i], antialiased=True)
        a, b, c = seen.conics.unbind(-1)
        area = (a * c - b * b).clamp(min=1e-12).rsqrt()
        total.index_add_(0, seen.indices, area)
        kept.index_add_(0, seen.indices, area * seen.opacities)
    share = torch.where(total > 0, kept / total.clamp(min=1e-12), torch.ones_like(total))
    return replace(gaussians, opacities=gaussians.opacities * share)


def _jacobian(in_cam: Float[Tensor, "m 3"], camera: Cameras, pinhole: Float[Tensor, "3 3"]) -> Float[Tensor, "m 2 3"]:
    """Derivative of the image point, taken at a point drawn back to 15 % around the image (gsplat's guard)."""
    size = pinhole.new_tensor([camera.width, camera.height])
    focal, middle = pinhole.diagonal()[:2], pinhole[:2, 2]
    margin = 0.15 * size / focal
    inverse_depth = 1 / in_cam[:, 2]
    slope = in_cam[:, :2] * inverse_depth[:, None]
    slope = torch.minimum(torch.maximum(slope, -middle / focal - margin), (size - middle) / focal + margin)
    top = torch.stack([inverse_depth, torch.zeros_like(inverse_depth), -slope[:, 0] * inverse_depth], dim=-1)
    bottom = torch.stack([torch.zeros_like(inverse_depth), inverse_depth, -slope[:, 1] * inverse_depth], dim=-1)
    return pinhole[:2, :2] @ torch.stack([top, bottom], dim=-2)


def blend(
    seen: Footprints, channels: Float[Tensor, "m channels"], height: int, *, width: int, tile: int = TILE
) -> tuple[Float[Tensor, "channels {height} {width}"], Float[Tensor, "1 {height} {width}"]]:
    """The slow twin: all footprints that touch a tile against all of its pixels."""
    pixels = pixel_centres(height, width).to(seen.centres)
    low, high = seen.centres - seen.reach, seen.centres + seen.reach
    rows = []
    for top in range(0, height, tile):
        row = []
        for left in range(0, width, tile):
            corner = pixels.new_tensor([left, top])
            hit = torch.nonzero(((high > corner) & (low < corner + tile)).all(-1))[:, 0]
            row.append(_blend_pixels(seen, channels, hit, pixels=pixels[top : top + tile, left : left + tile]))
        rows.append(torch.cat(row, dim=1))
    blended = torch.cat(rows).permute(2, 0, 1)
    return blended[:-1], blended[-1:]


def _blend_pixels(
    seen: Footprints, channels: Float[Tensor, "m channels"], hit: Int[Tensor, " k"], *, pixels: Float[Tensor, "h w 2"]
) -> Float[Tensor, "h w channels+1"]:
    dx, dy = (pixels[:, :, None] - seen.centres[hit]).unbind(-1)
    a, b, c = seen.conics[hit].unbind(-1)
    alpha = seen.opacities[hit] * torch.exp(-0.5 * (a * dx * dx + c * dy * dy) - b * dx * dy)
    alpha = torch.where(alpha >= ALPHA_MIN, alpha.clamp(max=ALPHA_MAX), torch.zeros_like(alpha))
    after = torch.cumprod(1 - alpha, dim=-1)
    before = torch.cat([torch.ones_like(after[..., :1]), after[..., :-1]], dim=-1)[..., : len(hit)]
    weights = torch.where(after > TRANSMITTANCE_MIN, before * alpha, torch.zeros_like(alpha))
    return torch.cat([weights @ channels[hit], weights.sum(-1, keepdim=True)], dim=-1)


def _gsplat(gaussians: Gaussians, cameras: Cameras, antialiased: bool) -> tuple[Tensor, Tensor, Tensor]:
    from gsplat import rasterization  # type: ignore[import-not-found]

    colours = gaussians.features  # with harmonics, so many for each camera
    if gaussians.harmonics is not None:
        every = torch.arange(len(gaussians), device=colours.device)
        colours = torch.stack([shown(gaussians, cameras[i], every) for i in range(len(cameras))])
    blended, alpha, _ = rasterization(
        gaussians.means,
        gaussians.quaternions,
        gaussians.scales,
        gaussians.opacities,
        colours,
        cameras.cam_from_world,
        cameras.intrinsics,
        cameras.width,
        cameras.height,
        near_plane=NEAR,
        eps2d=DILATION,
        render_mode="RGB+ED",
        rasterize_mode="antialiased" if antialiased else "classic",
    )
    blended, alpha = blended.permute(0, 3, 1, 2), alpha.permute(0, 3, 1, 2)
    return blended[:, :-1], alpha, blended[:, -1:]
