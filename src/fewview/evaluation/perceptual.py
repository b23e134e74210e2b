"""LPIPS with its published weights, where they are found."""

from pathlib import Path

import torch

from fewview.checkpoint import load_state
from fewview.evaluation.weights import find_weights
from fewview.nn.lpips import Lpips, Net

ALEX_LEAST = 31  # pixels a side; of smaller pictures AlexNet's deeper layers have no cells


def find_lpips(net: Net = "vgg", *, layers: int = 5, path: Path | None = None) -> Lpips | None:
    """LPIPS with its published weights (see `find_weights` for the places), or None where there are none.

    A caller that gets None says `weights.HELP` and goes on without LPIPS.
    """
    state = find_weights(net, path)
    if state is None:
        return None
    with torch.device("meta"):  # no random initialisation, which would draw from the global generator
        model = Lpips(net, layers)
    model = model.to_empty(device="cpu")
    wanted = {key: value for key, value in state.items() if key in model.state_dict()}
    load_state(model, wanted, where=str(path or f"LPIPS-{net}"))
    return model.to(memory_format=torch.channels_last).eval()  # type: ignore[call-overload]  # 20 % faster on CPU
