"""What is made of a reconstructed scene besides itself: splats, a mesh, and cameras to look from."""

from collections.abc import Callable

import torch

from fewview.cameras import Cameras
from fewview.errors import InputError
from fewview.export.mesh import Mesh, MeshConfig, extract_mesh
from fewview.export.paint import paint
from fewview.fitting import GaussianFitConfig, fit_gaussians
from fewview.geometry.transforms import apply
from fewview.paths import CameraPrior
from fewview.render.asset import FieldAsset
from fewview.render.gaussians import GaussianAsset, Gaussians

TILTS = (-0.6, 0.0, 0.7)  # radians towards the axis: rings above, at, and below the height of the inputs
SPLATS, MESH = GaussianFitConfig(), MeshConfig()
MARGIN = 0.15  # of the object's size, around the box of the mesh
Share = Callable[[float], None]
"""(fraction done in [0, 1])."""


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
    asset: FieldAsset | GaussianAsset, cameras: Cameras, *, generator: torch.Generator, progress: Share
) -> Gaussians:
    """Gaussians that look like the asset from all around."""
    if isinstance(asset, GaussianAsset):
        return asset.gaussians
    tell = lambda step, loss: progress(step / SPLATS.steps)
    return fit_gaussians(asset, cameras, SPLATS, generator=generator, progress=tell).gaussians


def mesh(asset: FieldAsset, inside: Gaussians, cameras: Cameras) -> Mesh:
    """The field's surface in a box around the splats that were fitted to it, coloured as the cameras see the field."""
    bound = asset.config.ngp.bound
    points = apply(asset.norm_from_world, inside.means)
    low, high = (points.quantile(q, dim=0) for q in (0.005, 0.995))
    margin = MARGIN * (high - low).max()
    low, high = (low - margin).clamp(min=-bound), (high + margin).clamp(max=bound)
    norm_from_unit = torch.diag(torch.cat([high - low, torch.ones(1).to(low)]))
    norm_from_unit[:3, 3] = low
    surface = extract_mesh(asset, torch.linalg.inv(asset.norm_from_world) @ norm_from_unit, MESH)
    return paint(surface, asset.render(cameras), cameras)


def need_field(asset: FieldAsset | GaussianAsset) -> FieldAsset:
    """InputError for splats, which have no surface."""
    if isinstance(asset, FieldAsset):
        return asset
    raise InputError("A mesh is taken from a field, and this scene consists of splats; export it as .ply instead.")
