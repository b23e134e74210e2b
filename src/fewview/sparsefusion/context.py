"""Which of many photos a prior is shown when it imagines one view: it was trained on few."""

import torch
from jaxtyping import Int
from torch import Tensor

from fewview.cameras import Cameras
from fewview.geometry.transforms import normalise
from fewview.views import Views


def suited(context: Views, camera: Cameras, most: int) -> Views:
    """At most `most` of the context views (batch shape (m,)), in their order, for a camera (batch shape ()).

    All are in the normalised frame, whose origin is the object. Half of them, rounded up, are those that see it from
    the most similar directions; each of the others is the one that is farthest from all that are chosen.
    """
    if len(context) <= most:
        return context
    return context[nearest_and_spread(normalise(context.cameras.centers), normalise(camera.centers), most)]


def nearest_and_spread(directions: Tensor, towards: Tensor, count: int) -> Int[Tensor, " {count}"]:
    """Ascending numbers of unit `directions` "m 3": those nearest to a unit vector "3", and the farthest from those."""
    cosines = directions @ towards
    chosen = cosines.topk((count + 1) // 2).indices
    while len(chosen) < count:
        nearest = (directions @ directions[chosen].mT).amax(-1)
        nearest[chosen] = torch.inf
        chosen = torch.cat([chosen, nearest.argmin()[None]])
    return chosen.sort().values
