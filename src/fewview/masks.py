"""Masks for photos that have none: a saliency model that the user points to, or GrabCut seeded by all views together.

GrabCut: Rother et al., SIGGRAPH 2004, in OpenCV.
"""

import os
from dataclasses import replace
from importlib import util
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Bool, Float
from torch import Tensor

from fewview.cameras import Cameras
from fewview.errors import InputError, MissingPackage
from fewview.paths import look_at_point
from fewview.views import Views, at_places, resize

VARIABLE = "FEWVIEW_MASK_MODEL"
LONGEST = 512  # px: GrabCut works on photos of this size
CUTS, ROUNDS = 4, 2  # iterations of GrabCut; looks at the hull of all views
GRID = 48  # cells a side of the hull
BOX = 0.45  # half side of the hull's box, in the cameras' mean distance from the object, times their view angle
CENTRE = 0.36  # radius of the first guess, in the photo's height and width
MEAN, SPREAD = 0.5, 1.0  # ISNet's normalisation of colours in [0, 1]
SIDE = 1024  # px: ISNet's input, where the model leaves its size open
MOST_SIDE = 4096  # px: of the input that a model may ask for


def with_masks(views: Views, mode: str = "auto", points: Float[Tensor, "m 3"] | None = None) -> Views:
    """Views with masks, by `auto`, `grabcut`, `none`, or the path of an ONNX model.

    `auto` keeps masks that are there; else it takes the model that FEWVIEW_MASK_MODEL names; else GrabCut. `points` on
    the object or around it (sparse ones of the cameras' estimate) tell GrabCut where to look.
    """
    if mode == "none":
        return views.whole()
    if mode == "auto" and views.masks is not None:
        return views
    model = os.environ.get(VARIABLE) if mode == "auto" else mode if mode.lower().endswith(".onnx") else None
    if model:
        return replace(views, masks=salient(views.images, Path(model)))
    if mode not in ("auto", "grabcut"):
        raise InputError(f"--mask {mode} is not known; write auto, grabcut, none, or name an .onnx file.")
    return replace(views, masks=grabcut(views, points))


def expected_masks() -> str:
    """What `auto` will do for photos without masks, as half a sentence for people."""
    if os.environ.get(VARIABLE):
        return f"`fewview reconstruct` makes some, by the model that {VARIABLE} names."
    if util.find_spec("cv2") is not None:
        return "`fewview reconstruct` makes some by GrabCut (--mask chooses another way)."
    return "the whole photo counts as the object (pip install 'fewview[masks]' for masks)."


def salient(images: Float[Tensor, "n 3 h w"], model: Path) -> Float[Tensor, "n 1 h w"]:
    """Foreground probabilities by an ONNX model with one image in (n, 3, side, side) and a map out (ISNet, U2-Net)."""
    session = onnx_session(model, "a saliency model", "--mask grabcut")
    entry = next(iter(session.get_inputs()), None)
    shape = [] if entry is None else entry.shape
    if entry is None or len(shape) != 4 or (shape[1] not in (3, None) and not isinstance(shape[1], str)):
        raise InputError(f"{model} takes no RGB image (its input has the shape {shape}); name a saliency model.")
    height, width = (side if isinstance(side, int) and side > 0 else SIDE for side in shape[2:])
    if max(height, width) > MOST_SIDE:
        raise InputError(f"{model} asks for photos of {width} x {height} pixels; name a saliency model.")
    masks = []
    for image in images:
        small = (resize(image, height, width) - MEAN) / SPREAD
        try:
            answer = np.asarray(session.run(None, {entry.name: small[None].numpy()})[0], np.float32)
        except Exception as error:  # onnxruntime's own errors have no common type
            raise InputError(f"{model} does not run on a photo ({type(error).__name__}); name another model.") from None
        found = torch.from_numpy(answer)
        if found.ndim != 4 or found.shape[:2] != (1, 1) or not found.numel() or not bool(found.isfinite().all()):
            raise InputError(f"{model} answers {tuple(found.shape)} and not one finite map; name a saliency model.")
        low, high = found.amin(), found.amax()
        found = (found - low) / (high - low).clamp(min=1e-6)  # as ISNet's authors do
        masks.append(resize(found[0], *image.shape[-2:]))
    return torch.stack(masks)


def onnx_session(model: Path, what: str, instead: str) -> Any:
    """An ONNX file, opened; InputError, which says `what` it should be and what serves `instead`, where it is none."""
    if not model.is_file():
        raise InputError(f"{model} does not exist; name the .onnx file of {what}, or {instead}.")
    try:
        import onnxruntime
    except ImportError:
        raise MissingPackage(f"{model} needs onnxruntime; pip install 'fewview[masks]', or {instead}.") from None
    try:
        options = onnxruntime.SessionOptions()
        options.log_severity_level = 4
        return onnxruntime.InferenceSession(str(model), options, providers=["CPUExecutionProvider"])
    except Exception as error:  # onnxruntime's own errors have no common type
        raise InputError(f"{model} is not a readable ONNX model ({type(error).__name__}); download it again.") from None


def grabcut(views: Views, points: Float[Tensor, "m 3"] | None = None) -> Float[Tensor, "n 1 h w"]:
    """Masks by GrabCut, first within what all views see around the common middle, then within their hull so far."""
    cv2 = _cv2()
    height, width = views.images.shape[-2:]
    scale = min(1.0, LONGEST / max(height, width))
    small = views.resized(round(height * scale), round(width * scale))
    centre = look_at_point(views.cameras)
    guesses = _first_guess(small, centre, points)
    masks = torch.stack([_cut(cv2, image, *guess) for image, guess in zip(small.images, guesses)])
    for _ in range(ROUNDS - 1):
        hull = shared_hull(small.cameras, masks, centre)
        if hull is None:
            break
        new = []
        for image, mask, near in zip(small.images, masks, hull):
            allowed = near.numpy()
            likely = (mask[0] > 0.5).numpy() & allowed
            sure = _shrunk(cv2, likely)
            new.append(_cut(cv2, image, allowed, likely, sure) if sure.any() else mask)
        masks = torch.stack(new)
    return resize(masks, height, width)


def _first_guess(
    views: Views, centre: Float[Tensor, "3"], points: Float[Tensor, "m 3"] | None
) -> list[tuple[Bool[np.ndarray, "h w"], ...]]:
    """What may be, likely is and surely is the object in each view: ellipses about the middle, or about the points."""
    height, width = views.images.shape[-2:]
    pixels, _ = views.cameras.project(centre.expand(len(views), 1, 3))
    radii = torch.tensor([width, height]) * CENTRE
    y, x = np.mgrid[:height, :width] + 0.5
    guesses = []
    for i, middle in enumerate(pixels[:, 0]):
        inside = bool((middle > 0).all() and middle[0] < width and middle[1] < height)
        at, radius = (middle if inside else torch.tensor([width / 2, height / 2])), radii
        if points is not None and len(near := _near(points, centre, views.cameras)) >= 20:
            drawn, depth = views.cameras[i : i + 1].project(near[None])
            drawn = drawn[0][depth[0] > 0]
            low, high = (drawn.quantile(q, dim=0) for q in (0.03, 0.97))
            at, radius = (low + high) / 2, ((high - low) * 0.75).clamp(min=0.15 * height, max=0.55 * max(height, width))
        distance = np.hypot((x - float(at[0])) / float(radius[0]), (y - float(at[1])) / float(radius[1]))
        guesses.append((distance < 1.4, distance < 0.8, distance < 0.25))
    return guesses


def _near(points: Float[Tensor, "m 3"], centre: Float[Tensor, "3"], cameras: Cameras) -> Float[Tensor, "k 3"]:
    """Points that every camera sees and that lie within a third of the cameras' distance of the middle."""
    pixels, depth = cameras.project(points.expand(len(cameras), -1, -1))
    inside = (depth > 0) & (pixels > 0).all(-1) & (pixels < pixels.new_tensor([cameras.width, cameras.height])).all(-1)
    distance = (cameras.centers - centre).norm(dim=-1).mean()
    return points[inside.all(0) & ((points - centre).norm(dim=-1) < distance / 3)]


def _cut(
    cv2: Any,
    image: Float[Tensor, "3 h w"],
    allowed: Bool[np.ndarray, "h w"],
    likely: Bool[np.ndarray, "h w"],
    sure: Bool[np.ndarray, "h w"],
) -> Float[Tensor, "1 h w"]:
    """GrabCut of one photo: background outside of `allowed`, foreground at `sure`; the parts that touch `sure`."""
    pixels = np.ascontiguousarray((image * 255).round().byte().movedim(0, -1).numpy()[..., ::-1])
    labels = np.where(allowed, np.where(likely, cv2.GC_PR_FGD, cv2.GC_PR_BGD), cv2.GC_BGD).astype(np.uint8)
    labels[sure & allowed] = cv2.GC_FGD
    if allowed.all():  # GrabCut needs some background
        labels[[0, -1]] = labels[:, [0, -1]] = cv2.GC_BGD
    cv2.setRNGSeed(0)
    cv2.grabCut(pixels, labels, None, np.zeros((1, 65)), np.zeros((1, 65)), CUTS, cv2.GC_INIT_WITH_MASK)
    found = ((labels == cv2.GC_FGD) | (labels == cv2.GC_PR_FGD)).astype(np.uint8)
    found = cv2.morphologyEx(found, cv2.MORPH_OPEN, np.ones((3, 3), np.uint8))
    _, parts = cv2.connectedComponents(found)
    kept = np.unique(parts[sure & (found > 0)])
    return torch.from_numpy(np.isin(parts, kept[kept > 0]).astype(np.float32))[None]


def shared_hull(
    cameras: Cameras, masks: Float[Tensor, "n 1 h w"], centre: Float[Tensor, "3"], *, agree: float = 0.7
) -> Bool[Tensor, "n h w"] | None:
    """Pixels at which each view may see the object: cells about the middle that most views' masks hold, drawn.

    None where there are no such cells: then the views do not agree on any object.
    """
    distance = (cameras.centers - centre).norm(dim=-1).mean()
    angle = max(cameras.width, cameras.height) / cameras.intrinsics[:, 0, 0].mean()
    axis = (torch.arange(GRID) + 0.5) / GRID * 2 - 1
    cells = torch.stack(torch.meshgrid(axis, axis, axis, indexing="ij"), -1).reshape(-1, 3)
    cells = centre + cells * (BOX * distance * angle)
    cells = cells.expand(len(cameras), -1, -1)
    places, _, seen = cameras.locate(cells)
    held = at_places(masks, places, "nearest")[:, 0]
    votes = ((held > 0.5) & seen).sum(0) / seen.sum(0).clamp(min=1)
    solid = (votes >= agree) & (seen.sum(0) >= 2)
    if not bool(solid.any()):
        return None
    drawn = torch.zeros(len(cameras), 1, cameras.height, cameras.width)
    for i in range(len(cameras)):
        column, row = cameras[i].project(cells[i, solid & seen[i]])[0].long().unbind(-1)
        drawn[i, 0, row, column] = 1
    cell = 2 * BOX * max(cameras.width, cameras.height) / GRID  # px, where a cell stands at the middle
    margin = round(cell * 2.5)
    return torch.nn.functional.max_pool2d(drawn, 2 * margin + 1, stride=1, padding=margin)[:, 0] > 0


def _shrunk(cv2: Any, mask: Bool[np.ndarray, "h w"]) -> Bool[np.ndarray, "h w"]:
    """The inner part of a mask, at least a tenth of the way in."""
    depth = cv2.distanceTransform(mask.astype(np.uint8), cv2.DIST_L2, 3)
    return depth > 0.35 * depth.max() if mask.any() else mask


def _cv2() -> Any:
    try:
        import cv2
    except ImportError:
        raise MissingPackage(
            "--mask grabcut needs OpenCV; pip install 'fewview[masks]' (or opencv-python-headless), "
            "put masks in masks/, or take --mask none."
        ) from None
    cv2.setNumThreads(1)
    return cv2
