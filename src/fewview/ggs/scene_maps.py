"""The splat-conditional variant: what target views see of the scene so far, and scenes from images of known depth."""

from collections.abc import Sequence

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional as F

from fewview.cameras import Cameras
from fewview.ggs.frame import depth_at_cells, points_at
from fewview.ggs.splats import SplatConfig, place_of
from fewview.priors import Codec
from fewview.render.gaussians import Gaussians
from fewview.render.splatting import splat
from fewview.views import Render, Views, resize


def scene_maps(
    scenes: Sequence[Gaussians],
    targets: Cameras,
    codec: Codec,
    *,
    unit: Float[Tensor, " b"],
    config: SplatConfig,
) -> Float[Tensor, "b l y h w"]:
    """Latents of renders of the scenes from targets "b l", coverage, and the place s of the depth where covered.

    Scenes and targets are in the world, `unit` is the normalised frame's in the world's. Holes are grey, so that black
    is a colour; a scene without any splat says zero everywhere, as no scene does.
    """
    with torch.autocast(unit.device.type, enabled=False):
        renders = [splat(scene, targets[i]) for i, scene in enumerate(scenes)]
    maps = [encode(render, codec, unit[i], config=config) for i, render in enumerate(renders)]
    return torch.stack([m * (len(scene) > 0) for m, scene in zip(maps, scenes)])


def encode(render: Render, codec: Codec, unit: Float[Tensor, ""], *, config: SplatConfig) -> Float[Tensor, "l y h w"]:
    """What `scene_maps` says of one scene."""
    latents = codec.encode((render.image + 0.5 * (1 - render.alpha)).clamp(0, 1)).float()
    h, w = latents.shape[-2:]
    alpha = resize(render.alpha, h, w)
    depth = depth_at_cells((render.depth / unit)[:, 0], h, w)
    place = torch.where(alpha[:, 0] > 0.5, place_of(depth, config), torch.zeros_like(depth))
    return torch.cat([latents, alpha, place[:, None]], dim=1)


def splats_of_depth(
    views: Views, depths: Float[Tensor, "m height width"], *, stride: int = 1, size: float = 0.5
) -> Gaussians:
    """One opaque round splat a pixel with known z-depth (> 0), `size` pixels in standard deviation, in the world."""
    h, w = depths.shape[-2] // stride, depths.shape[-1] // stride
    depths = depth_at_cells(depths, h, w)
    means = points_at(views.cameras, depths)
    colours = F.interpolate(views.images, (h, w), mode="area").movedim(1, -1)
    focal = views.cameras.resized(h, w).intrinsics[:, [0, 1], [0, 1]].mean(-1)[:, None, None]
    known = depths > 0
    scales = (size * depths / focal)[known][:, None].expand(-1, 3)
    upright = torch.tensor([1.0, 0, 0, 0]).to(depths).expand(len(scales), 4)
    return Gaussians(means[known], scales, upright, scales.new_full((len(scales),), 0.95), colours[known])
