"""A surface moved until the photos agree on it: a plane sweep (Collins 1996) along the normals of a mesh.

For each corner a few shifts are tried; the best is the one at which the photos that see it show the same there. A
corner alone says little, so costs are averaged over rings of neighbours, and shifts are smoothed.
"""

from dataclasses import dataclass, replace

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from fewview.export.contours import fitted_to_masks
from fewview.export.mesh import Mesh
from fewview.export.projection import Projection
from fewview.export.smoothing import neighbours, smooth_normals, smoothed
from fewview.views import Views

BUMPS = 15  # rounds of smoothing, of the steps of the grid that the surface is from


@dataclass(frozen=True)
class Sweep:
    """Lengths are shares of the mesh's diagonal."""

    reach: float = 0.025  # the largest shift
    shifts: int = 13
    rounds: int = 3  # each with half the reach of the one before
    rings: int = 6  # of neighbours that costs are averaged over, at first; half of them in each further round
    even: int = 20  # sweeps that smooth the shifts
    stay: float = 0.002  # squared colour, the cost of the largest shift
    floor: float = 1e-4  # squared colour, by which a cost must differ to count


def fitted(mesh: Mesh, photos: Views) -> Mesh:
    """The mesh, smoothed, where the photos (batch shape (n,)) agree, and with the outlines of their masks."""
    rough = fitted_to_masks(smoothed(mesh, BUMPS), photos)
    return fitted_to_masks(fitted_to_photos(rough, photos), photos)


def fitted_to_photos(mesh: Mesh, photos: Views, sweep: Sweep | None = None) -> Mesh:
    """The mesh where the photos (batch shape (n,)) agree best; corners that fewer than two see follow the others."""
    sweep = sweep or Sweep()
    if len(photos) < 2:
        return mesh
    average = neighbours(mesh.faces, len(mesh.vertices))
    places = torch.from_numpy(mesh.vertices).float()
    reach = sweep.reach * float((places.amax(0) - places.amin(0)).norm())
    for i in range(sweep.rounds):
        outward = smooth_normals(places, mesh.faces, sweep.rings)
        offsets = torch.linspace(-1, 1, sweep.shifts) * reach / 2**i
        costs, weight = costs_of(Projection(photos, places, mesh.faces), (places, outward), offsets)
        for _ in range(max(1, sweep.rings >> i)):
            costs, weight = average @ costs, average @ weight
        means = costs / np.maximum(weight, 1e-6)[:, None] + sweep.stay * np.linspace(-1, 1, sweep.shifts) ** 2
        best = offsets.numpy()[means.argmin(1)]
        gain = (means.mean(1) - means.min(1)) * (weight > 0.05)
        sure = gain / (gain + sweep.floor)
        moved = np.zeros_like(best)
        for _ in range(sweep.even):
            moved = sure * best + (1 - sure) * (average @ moved)
        for _ in range(max(1, sweep.rings >> i)):
            moved = average @ moved
        places = places + torch.from_numpy(moved.astype(np.float32))[:, None] * outward
    return replace(mesh, vertices=places.numpy())


def costs_of(
    laid: Projection, surface: tuple[Float[Tensor, "v 3"], Float[Tensor, "v 3"]], offsets: Float[Tensor, " s"]
) -> tuple[Float[np.ndarray, "v s"], Float[np.ndarray, " v"]]:
    """Variance of the photos' colours at each corner and shift, times how far two of them see it; and that."""
    places, outward = surface
    weights = torch.cat([laid.weight(i, places, outward) for i in range(len(laid.photos))], dim=-1)
    weights = weights / weights.amax(-1, keepdim=True).clamp(min=1e-9)
    total = weights.sum(-1, keepdim=True)
    both = (total - 1).clamp(0, 1)[:, 0]
    shares = weights / total.clamp(min=1e-9)
    costs = []
    for offset in offsets:
        shifted = places + offset * outward
        colours = torch.stack([laid.image(i, shifted) for i in range(len(laid.photos))], dim=1)
        mean = (shares[..., None] * colours).sum(1, keepdim=True)
        costs.append((shares[..., None] * (colours - mean).square()).sum((1, 2)) * both)
    return torch.stack(costs, dim=-1).numpy(), both.numpy()
