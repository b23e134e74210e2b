"""The baselines by name: what is trained, and what is fitted to each scene anew."""

from pathlib import Path
from typing import cast

from torch import nn

from fewview.baselines.nerformer import NerFormer, NerFormerConfig
from fewview.baselines.pictures import Draws, NetworkImages
from fewview.baselines.pixelnerf import PixelNeRF, PixelNeRFConfig
from fewview.baselines.viewformer import ViewFormer, ViewFormerConfig
from fewview.checkpoint import load_model
from fewview.errors import InputError
from fewview.views import Reconstructor

NETWORKS: dict[str, tuple[type[nn.Module], type]] = {
    "pixelnerf": (PixelNeRF, PixelNeRFConfig),
    "nerformer": (NerFormer, NerFormerConfig),
    "viewformer": (ViewFormer, ViewFormerConfig),
}


def load_network(name: str, folder: Path) -> Draws:
    """A trained network of a model folder; InputError where that holds another."""
    if not folder.is_dir():
        raise InputError(f"{folder} does not exist; train {name} first (`fewview train {name}`), or name its model.")
    return cast(Draws, load_model(folder, *NETWORKS[name]))


def baseline(name: str, weights: Path | None) -> Reconstructor:
    """A method of the evaluation."""
    if weights is None:
        raise InputError(f"Method {name} has no shipped weights; train it, and write {name}=FOLDER with its model.")
    return NetworkImages(load_network(name, weights))
