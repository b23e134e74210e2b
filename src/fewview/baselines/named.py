"""The baselines by name: what is trained, and what is fitted to each scene anew."""

from collections.abc import Callable
from pathlib import Path
from typing import cast

from torch import nn

from fewview.baselines.gpnr import GPNR, GPNRConfig
from fewview.baselines.ibrnet import IBRNet, IBRNetConfig
from fewview.baselines.lfn import LFN, LFNConfig
from fewview.baselines.nerformer import NerFormer, NerFormerConfig
from fewview.baselines.ners import NeRS
from fewview.baselines.pictures import Draws, NetworkImages
from fewview.baselines.pixelnerf import PixelNeRF, PixelNeRFConfig
from fewview.baselines.regnerf import RegNeRF
from fewview.baselines.srt import SRT, SRTConfig
from fewview.baselines.viewformer import ViewFormer, ViewFormerConfig
from fewview.baselines.volsdf import VolSDF
from fewview.checkpoint import load_model
from fewview.errors import InputError
from fewview.views import Reconstructor

NETWORKS: dict[str, tuple[type[nn.Module], type]] = {
    "pixelnerf": (PixelNeRF, PixelNeRFConfig),
    "nerformer": (NerFormer, NerFormerConfig),
    "viewformer": (ViewFormer, ViewFormerConfig),
    "ibrnet": (IBRNet, IBRNetConfig),
    "gpnr": (GPNR, GPNRConfig),
    "lfn": (LFN, LFNConfig),
    "srt": (SRT, SRTConfig),
}
FITTED: dict[str, Callable[[], Reconstructor]] = {"regnerf": RegNeRF, "volsdf": VolSDF, "ners": NeRS}
BASELINES = (*NETWORKS, *FITTED)


def load_network(name: str, folder: Path) -> Draws:
    """A trained network of a model folder; InputError where that holds another."""
    if not folder.is_dir():
        raise InputError(f"{folder} does not exist; train {name} first (`fewview train {name}`), or name its model.")
    return cast(Draws, load_model(folder, *NETWORKS[name]))


def baseline(name: str, weights: Path | None) -> Reconstructor:
    """A method of the evaluation; InputError where it has no weights and needs some, or has some and needs none."""
    if name in FITTED:
        if weights is not None:
            raise InputError(f"Method {name} is fitted to each scene anew; write it without a folder.")
        return FITTED[name]()
    if weights is None:
        raise InputError(f"Method {name} has no shipped weights; train it, and write {name}=FOLDER with its model.")
    return NetworkImages(load_network(name, weights))
