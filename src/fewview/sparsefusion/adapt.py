"""Test-time training: EFT learns a scene's own photos, each from the others, before it imagines what none shows."""

from copy import deepcopy
from dataclasses import dataclass

import torch
from torch import nn

from fewview.progress import Steps
from fewview.sparsefusion.context import suited
from fewview.sparsefusion.vldm import VLDM, colour_loss
from fewview.views import Views

FEWEST = 3  # photos: one is left out, and two are what EFT was trained to begin with


@dataclass(frozen=True)
class AdaptConfig:
    """How far EFT follows one scene."""

    steps: int = 0  # one photo left out at each; 0 leaves the network as it is
    rate: float = 4e-3  # of Adam, falling linearly to 0
    rays: int = 128  # of the photo that is left out
    most: int = 6  # photos, at most, that predict it


def adapted(
    model: VLDM,
    photos: Views,
    config: AdaptConfig,
    *,
    generator: torch.Generator,
    progress: Steps | None = None,
) -> VLDM:
    """A copy of the model whose EFT predicts each photo (batch shape (m,), on black, normalised) from the others.

    Only biases and the gains of norms learn (as in BitFit, 2106.10199), too few numbers to learn the photos by heart.
    ValueError for fewer than FEWEST photos.
    """
    if len(photos) < FEWEST:
        raise ValueError(f"{FEWEST} photos or more predict each other, not {len(photos)}")
    copy = deepcopy(model).eval().requires_grad_(False)
    learned = small_parameters(copy.eft)
    optimiser = torch.optim.Adam([p.requires_grad_() for p in learned], lr=config.rate)
    for step in range(config.steps):
        left = step % len(photos)
        query = photos[left : left + 1]
        others = photos[[i for i in range(len(photos)) if i != left]]
        context = suited(others, query.cameras[0], config.most)
        with torch.enable_grad():
            loss = colour_loss(copy.eft, context[None], query[None], rays=config.rays, generator=generator)
            optimiser.zero_grad()
            loss.backward()
        optimiser.param_groups[0]["lr"] = config.rate * (1 - step / config.steps)
        optimiser.step()
        if progress is not None:
            progress(step + 1, {"loss": float(loss.detach())})
    return copy.requires_grad_(False)


def small_parameters(network: nn.Module) -> list[nn.Parameter]:
    """Biases of all layers, and what norms multiply by."""
    norms = (nn.LayerNorm, nn.BatchNorm2d, nn.GroupNorm)
    modules = list(network.modules())
    gains = [m.weight for m in modules if isinstance(m, norms)]
    biases = [p for m in modules for name, p in m.named_parameters(recurse=False) if name == "bias"]
    return [*gains, *biases]
