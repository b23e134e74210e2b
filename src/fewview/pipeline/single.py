"""One photo without a camera as WildFusion takes it: cut around the object, and put before the fixed camera."""

import math
from pathlib import Path

import torch
from jaxtyping import Float
from torch import Tensor

from fewview.cameras import Cameras
from fewview.data import UnposedPhotos, open_scene
from fewview.data.images import PHOTO_SUFFIXES, read_image, read_mask
from fewview.data.photos import find_mask
from fewview.errors import InputError
from fewview.framing import crop_to_object
from fewview.masks import with_masks
from fewview.monodepth import Answer, relative_depth
from fewview.pipeline.photos import Tell, masked
from fewview.views import Views
from fewview.wildfusion.frame import DISTANCE, MARGIN, canonical_relative, input_cameras

LARGEST = 512  # pixels of the cut-out
FEWEST = 64  # pixels of a photo that the object must cover


def read_single(
    source: Path, number: int | None = None, *, mask: str = "auto", tell: Tell = lambda sentence: None
) -> Views:
    """One whole photo with its mask, of a picture file or of what `open_scene` opens; its camera means nothing.

    InputError where there are several photos and no number is given, and where the mask is empty.
    """
    if source.is_file() and source.suffix.lower() in PHOTO_SUFFIXES:
        image, own = read_image(source, upright=True)
        beside = find_mask(source.parent, source.name)
        own = own if beside is None else read_mask(beside, (image.shape[1], image.shape[2]))
    else:
        image, own = _of_scene(source, number)
    views = Views(image[None], _any_camera(*image.shape[-2:]), None if own is None else own[None])
    views = masked(views, mask, tell=tell) if mask == "auto" else with_masks(views, mask)
    if views.masks is not None and float(views.masks.sum()) < FEWEST:
        raise InputError(f"{source} shows no object inside its mask; give another mask, or --mask none.")
    return views


def _of_scene(source: Path, number: int | None) -> tuple[Tensor, Tensor | None]:
    scene = open_scene(source)
    if number is None and len(scene) > 1:
        raise InputError(f"{source} has {len(scene)} photos; choose one by --views, or name its file.")
    number = number or 0
    if not 0 <= number < len(scene):
        raise InputError(f"Photo {number} is asked for (--views), but there are {len(scene)}, numbered from 0.")
    if isinstance(scene, UnposedPhotos):
        return scene.image(number)
    views = scene.read([number])
    return views.images[0], None if views.masks is None else views.masks[0]


def _any_camera(height: int, width: int) -> Cameras:
    """A camera for what asks for one."""
    centre, up = torch.tensor([[0.0, 0.0, -DISTANCE]]), torch.tensor([0.0, -1.0, 0.0])
    return Cameras.look_at(
        centre, torch.zeros(3), up, focal=max(height, width) * DISTANCE / 2, height=height, width=width
    )


def in_view_space(views: Views) -> Views:
    """A masked photo cut around the object, on black, seen by P0 (batch shape (1,))."""
    side = min(LARGEST, math.ceil(max(views.images.shape[-2:])))
    cut = crop_to_object(views, side, context=MARGIN).on_black()
    masks = cut.masks if cut.masks is not None else torch.ones_like(cut.images[:, :1])
    return Views(cut.images, input_cameras(1, side), masks)


def depth_in_view_space(
    views: Views, size: int, model: Path, *, answer: Answer = "disparity"
) -> Float[Tensor, "1 1 {size} {size}"]:
    """Depth of the same cut-out by a monocular model, as z in view space."""
    depth = relative_depth(views.images[0], model, answer)
    beside = Views(depth[None].expand(1, 3, -1, -1), views.cameras, views.masks)
    cut = crop_to_object(beside, size, context=MARGIN)
    masks = cut.masks if cut.masks is not None else torch.ones_like(cut.images[:, :1])
    return canonical_relative(cut.images[0, :1], masks[0])[None]
