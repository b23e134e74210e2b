"""The normalised scene frame that networks and fields see, found from the input views alone.

CO3D's worlds are centred on the object and scaled so that its points have a standard deviation of one per axis
(co3d#28). Here the same frame is estimated from silhouettes: the origin is the point nearest to the rays through the
mask centroids, the unit is the mean standard deviation of the silhouettes at the origin's depth.
"""

import torch
from jaxtyping import Float
from torch import Tensor

from fewview.cameras import Cameras
from fewview.geometry.transforms import apply
from fewview.views import Views

DISTANCE_WITHOUT_MASKS = 6.0  # in silhouette deviations: a CO3D-like camera sees the whole object from about here


def nearest_point(
    origins: Float[Tensor, "*batch n 3"], directions: Float[Tensor, "*batch n 3"]
) -> Float[Tensor, "*batch 3"]:
    """The point nearest to lines with unit directions (least squares); a weak pull settles parallel ones."""
    eye = torch.eye(3, dtype=origins.dtype, device=origins.device)
    across = eye - directions[..., :, None] * directions[..., None, :]
    pull = 1e-6 * eye
    target = origins.mean(-2)
    left = across.sum(-3) + pull
    right = (across @ origins[..., None]).sum(-3) + (pull @ target[..., None])
    return torch.linalg.solve(left, right)[..., 0]


def silhouette(masks: Float[Tensor, "*batch 1 h w"]) -> tuple[Float[Tensor, "*batch 2"], Float[Tensor, "*batch"]]:
    """Centroid (pixels) and per-axis standard deviation (pixels) of foreground probability."""
    weights = masks[..., 0, :, :]
    total = weights.sum((-2, -1)).clamp(min=1e-6)
    x = torch.arange(weights.shape[-1], device=masks.device) + 0.5
    y = torch.arange(weights.shape[-2], device=masks.device) + 0.5
    along_x, along_y = weights.sum(-2) / total[..., None], weights.sum(-1) / total[..., None]
    mean_x, mean_y = (along_x * x).sum(-1), (along_y * y).sum(-1)
    var_x = (along_x * (x - mean_x[..., None]) ** 2).sum(-1)
    var_y = (along_y * (y - mean_y[..., None]) ** 2).sum(-1)
    return torch.stack([mean_x, mean_y], dim=-1), ((var_x + var_y) / 2).sqrt()


def frame_from_silhouettes(
    cameras: Cameras, centroids: Float[Tensor, "*batch 2"], deviations: Float[Tensor, "*batch"]
) -> Float[Tensor, "*scenes 4 4"]:
    """norm_from_world (a similarity) of each scene; the last batch axis counts the views of one scene."""
    rays = cameras.rays_at(centroids[..., None, :])
    centre = nearest_point(rays.origins[..., 0, :], rays.directions[..., 0, :])
    depth = apply(cameras.cam_from_world, centre[..., None, None, :])[..., 0, 2].abs()
    focal = (cameras.intrinsics[..., 0, 0] + cameras.intrinsics[..., 1, 1]) / 2
    unit = (deviations / focal * depth).mean(-1).clamp(min=1e-8)
    matrix = torch.eye(4, dtype=centre.dtype, device=centre.device).repeat(*unit.shape, 1, 1)
    matrix[..., :3, :3] /= unit[..., None, None]
    matrix[..., :3, 3] = -centre / unit[..., None]
    return matrix


def norm_from_world(views: Views) -> Float[Tensor, "4 4"]:
    """The normalised frame of one set of input views; without masks, optical axes and camera distances stand in."""
    if views.masks is not None:
        return frame_from_silhouettes(views.cameras, *silhouette(views.masks))
    cameras = views.cameras
    centre = nearest_point(cameras.centers, cameras.forward)
    unit = (cameras.centers - centre).norm(dim=-1).mean() / DISTANCE_WITHOUT_MASKS
    matrix = torch.eye(4).to(centre)
    matrix[:3, :3] /= unit
    matrix[:3, 3] = -centre / unit
    return matrix


def crop_to_object(views: Views, size: int, *, context: float = 0.3, threshold: float = 0.4) -> Views:
    """Square windows around the masks, resized to `size`; black outside of the photo.

    The box holds mask > `threshold` and grows by `context` of its side (release: 0.4 and 0.3). Views without masks
    are cropped to their central square.
    """
    cut = []
    for i in range(len(views)):
        left, top, side = _window(views[i], context, threshold)
        cut.append(views[i].cropped(left, top, side, side).resized(size, size))
    return Views.stack(cut)


def _window(view: Views, context: float, threshold: float) -> tuple[int, int, int]:
    height, width = view.images.shape[-2:]
    if view.masks is None:
        side = min(height, width)
        return (width - side) // 2, (height - side) // 2, side
    inside = (view.masks[0] > threshold).nonzero()
    if len(inside) == 0:
        return 0, 0, max(height, width)
    top, left = (int(v) for v in inside.amin(0))
    bottom, right = (int(v) + 1 for v in inside.amax(0))
    side = max(8, round(max(bottom - top, right - left) * (1 + context)))
    return round((left + right - side) / 2), round((top + bottom - side) / 2), side
