"""How large the world of posed photos is, where nobody knows: estimated cameras have no unit."""

import itertools

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from fewview.cameras import Cameras
from fewview.errors import MissingPackage
from fewview.poses.two_view import keypoints, matched, opencv, sed
from fewview.views import Views

ROOM = 2.7  # metres, median depth in walks through furnished rooms (those of `fewview data rooms`)
MOST_PAIRS, LEAST_POINTS = 8, 12
AGREE, PARALLAX = 1.5, 0.02  # pixels off the epipolar line, and radians between rays, at most and at least


def metres_per_unit(views: Views) -> float | None:
    """Metres in a unit of the photos' world if what they show is as far away as things in a room mostly are.

    Depths are those of points that photos share. None for a single photo, too few common points, or without OpenCV.
    """
    try:
        cv2 = opencv()
    except MissingPackage:
        return None
    found = [keypoints(image, cv2) for image in views.images]
    depths = []
    for i, j in itertools.islice(itertools.combinations(range(len(views)), 2), MOST_PAIRS):
        first, second = matched(found[i], found[j], cv2)
        camera, other = views.cameras[i], views.cameras[j]
        depths += _depths(first, second, camera, other=other)
    return ROOM / float(np.median(depths)) if len(depths) >= LEAST_POINTS else None


def _depths(
    first: Float[Tensor, "n 2"], second: Float[Tensor, "n 2"], camera: Cameras, *, other: Cameras
) -> list[float]:
    """Distances from the first camera of matched points that agree with both cameras, in units of the world."""
    good = sed(first, second, camera, other=other) < AGREE
    rays = [c.to(torch.float64).rays_at(p[good].double()).directions for p, c in ((first, camera), (second, other))]
    between = (other.centers - camera.centers).double()
    cosine = (rays[0] * rays[1]).sum(-1)
    sine2 = (1 - cosine**2).clamp(min=1e-12)
    along = [
        ((rays[0] @ between) - cosine * (rays[1] @ between)) / sine2,  # where the rays are closest to each other
        (cosine * (rays[0] @ between) - (rays[1] @ between)) / sine2,
    ]
    ahead = (sine2.sqrt() > PARALLAX) & (along[0] > 0) & (along[1] > 0)
    return along[0][ahead].tolist()
