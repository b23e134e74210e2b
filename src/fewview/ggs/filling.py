"""How a scene is put together: what photos show first, then view by view what fills its holes. Ours."""

from collections.abc import Sequence

import torch
from torch import Tensor

from fewview.cameras import Cameras
from fewview.ggs.splats import PixelSplats
from fewview.render.gaussians import Gaussians
from fewview.render.splatting import splat

COVERED = 0.97  # where a scene's alpha is less, it has a hole


def filled(scene: Gaussians, new: Gaussians, cameras: Cameras, *, added: Sequence[int], covered: float) -> Gaussians:
    """The scene and those splats of the views `added` whose pixels see less than `covered` of it.

    `new` are the splats of all views "m" in order, as many of each.
    """
    if not added:
        return scene
    of_view = torch.arange(len(new)).reshape(len(cameras), -1)[list(added)].to(new.means.device)
    if not len(scene):
        return new[of_view.flatten()]
    shrink = round((cameras.height * cameras.width / of_view.shape[1]) ** 0.5)
    seen = cameras[list(added)].resized(cameras.height // shrink, cameras.width // shrink)
    with torch.no_grad(), torch.autocast(new.means.device.type, enabled=False):
        holes = splat(scene, seen).alpha.flatten(1) < covered
    return Gaussians.cat([scene, new[of_view[holes]]])


def composed(splats: PixelSplats, photos: int, cameras: Cameras, *, covered: float = COVERED) -> list[Gaussians]:
    """The scene of each batch element: the splats of the first views, then of the others where there are holes."""
    scenes = []
    for i in range(len(cameras)):
        new = splats.scene(i)
        scene = new[:0]
        for added in (range(photos), *([j] for j in range(photos, cameras.shape[1]))):
            scene = filled(scene, new, cameras[i], added=added, covered=covered)
        scenes.append(scene)
    return scenes


def empty_scene(like: Tensor) -> Gaussians:
    """No splats at all, of colours."""
    return Gaussians(*(like.new_zeros(0, *tail) for tail in ((3,), (3,), (4,), (), (3,))))
