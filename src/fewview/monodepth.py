"""Depth of single photos by a monocular model that the user has: ONNX, torch.export or a transformers folder.

Such models (MiDaS, DPT, Depth Anything) know depth up to an unknown scale and shift, and most answer disparity, which
is larger where things are nearer. Over one object, far away compared with its size, disparity falls about in a straight
line with depth.
"""

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from fewview.errors import InputError, MissingPackage
from fewview.views import resize

VARIABLE = "FEWVIEW_DEPTH_MODEL"
Answer = Literal["disparity", "depth"]
MEAN, DEVIATION = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)  # of ImageNet, which all of these models expect
SIDE = 518  # pixels, where a model leaves its size open: 37 patches of 14
MOST_SIDE = 4096


def model_of(choice: str) -> Path | None:
    """The model that `auto` (FEWVIEW_DEPTH_MODEL, if set), `none` or a path stands for."""
    named = os.environ.get(VARIABLE) if choice == "auto" else None if choice == "none" else choice
    return None if not named else Path(named)


def relative_depth(
    image: Float[Tensor, "3 height width"], model: Path, answer: Answer = "disparity"
) -> Float[Tensor, "1 height width"]:
    """Depth in [0, 1], larger is farther, up to scale and shift; InputError where the model gives none."""
    if model.is_dir():
        found = _by_transformers(image, model)
    elif model.suffix.lower() == ".onnx":
        found = _by_onnx(image, model)
    elif model.suffix.lower() == ".pt2":
        found = _by_program(image, model)
    elif model.is_file():
        raise InputError(f"{model} is no depth model; name an .onnx file, a .pt2 program or a transformers folder.")
    else:
        raise InputError(f"{model} does not exist; name a depth model, or leave --depth out.")
    found = found.float().squeeze()
    if found.ndim != 2 or not found.numel() or not bool(found.isfinite().all()):
        raise InputError(f"{model} answers {tuple(found.shape)} and not one finite map; name a depth model.")
    low, high = found.amin(), found.amax()
    unit = (found - low) / (high - low).clamp(min=1e-6)
    return resize((1 - unit if answer == "disparity" else unit)[None], *image.shape[-2:])


def _entry(image: Float[Tensor, "3 h w"], height: int, width: int) -> Float[Tensor, "1 3 height width"]:
    mean, deviation = (torch.tensor(values)[:, None, None] for values in (MEAN, DEVIATION))
    return ((resize(image, height, width) - mean) / deviation)[None]


def _ran(model: Path, run: Callable[[], Any]) -> Tensor:
    """What a model answers, as a tensor; InputError for any of its errors, which have no common type."""
    try:
        answer = run()
    except Exception as error:
        raise InputError(f"{model} does not run on a photo ({type(error).__name__}); name another model.") from None
    answer = answer[0] if isinstance(answer, (tuple, list)) else answer
    return torch.as_tensor(np.asarray(answer)) if not isinstance(answer, Tensor) else answer.detach()


def _by_onnx(image: Tensor, model: Path) -> Tensor:
    from fewview.masks import onnx_session

    session = onnx_session(model, "a depth model", "leave --depth out")
    entry = next(iter(session.get_inputs()), None)
    shape = [] if entry is None else entry.shape
    if entry is None or len(shape) != 4 or (isinstance(shape[1], int) and shape[1] != 3):
        raise InputError(f"{model} takes no RGB image (its input has the shape {shape}); name a depth model.")
    height, width = (side if isinstance(side, int) and side > 0 else SIDE for side in shape[2:])
    if max(height, width) > MOST_SIDE:
        raise InputError(f"{model} asks for photos of {width} x {height} pixels; name a depth model.")
    return _ran(model, lambda: session.run(None, {entry.name: _entry(image, height, width).numpy()}))


def _by_program(image: Tensor, model: Path) -> Tensor:
    """A program of torch.export; its example input tells the size."""
    try:
        program = torch.export.load(str(model))
        shape = next(iter(program.example_inputs[0])).shape if program.example_inputs else ()
    except Exception as error:
        raise InputError(f"{model} is not a readable program ({type(error).__name__}); export it again.") from None
    if len(shape) != 4 or shape[1] != 3:
        raise InputError(f"{model} takes no RGB image (its input has the shape {tuple(shape)}); name a depth model.")
    with torch.no_grad():
        return _ran(model, lambda: program.module()(_entry(image, *shape[2:])))


def _by_transformers(image: Tensor, model: Path) -> Tensor:
    try:
        from transformers import AutoModelForDepthEstimation  # pyright: ignore[reportMissingImports]
    except ImportError:
        raise MissingPackage(f"{model} needs transformers; pip install transformers, or name an .onnx file.") from None
    with torch.no_grad():
        network = _loaded(model, lambda: AutoModelForDepthEstimation.from_pretrained(model, local_files_only=True))
        return _ran(model, lambda: network.eval()(pixel_values=_entry(image, SIDE, SIDE)).predicted_depth)


def _loaded(model: Path, load: Callable[[], Any]) -> Any:
    try:
        return load()
    except Exception as error:
        raise InputError(f"{model} holds no depth model ({type(error).__name__}); name its folder.") from None
