"""TSED and SED: do neighbouring frames agree with the known cameras? (Yu et al. 2023, arXiv:2304.10700, section 4)

Matched points of two frames have a symmetric epipolar distance (SED): the mean, over both images, of the distance in
pixels from a point to the epipolar line of its partner. A pair is consistent if it has at least 10 matches whose median
SED is below the threshold (2 px); TSED is the share of consistent pairs. It is the product of two shares that mean
different things: of pairs with enough matches (texture), and of those that agree with the cameras (geometry).
Distances and thresholds are in pixels of the images as given.
"""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float
from torch import Tensor

from fewview.cameras import Cameras
from fewview.poses.two_view import keypoints, matched, opencv, sed

MIN_MATCHES, THRESHOLD = 10, 2.0  # of the paper; pixels


@dataclass(frozen=True)
class PairSed:
    """How many points of two frames match, and their median SED in pixels (None where none does)."""

    matches: int
    median: float | None

    def consistent(self, threshold: float = THRESHOLD) -> bool:
        return self.median is not None and self.matches >= MIN_MATCHES and self.median < threshold

    @property
    def few(self) -> bool:
        return self.matches < MIN_MATCHES


def tsed(pairs: list[PairSed], threshold: float = THRESHOLD) -> float:
    """The share of consistent pairs; NaN without pairs."""
    return sum(pair.consistent(threshold) for pair in pairs) / len(pairs) if pairs else float("nan")


def matched_share(pairs: list[PairSed]) -> float:
    """The share of pairs with enough matches to judge by; NaN without pairs."""
    return sum(not pair.few for pair in pairs) / len(pairs) if pairs else float("nan")


def agreeing_share(pairs: list[PairSed], threshold: float = THRESHOLD) -> float:
    """The share of consistent pairs among those with enough matches; NaN where there is none."""
    return tsed([pair for pair in pairs if not pair.few], threshold)


def median_sed(pairs: list[PairSed]) -> float:
    """Median over the pairs with enough matches of their medians, in pixels; NaN where there is none."""
    found = [pair.median for pair in pairs if pair.median is not None and not pair.few]
    return float(np.median(found)) if found else float("nan")


def pair_seds(
    images: Float[Tensor, "batch 3 h w"], cameras: Cameras, pairs: list[tuple[int, int]] | None = None
) -> list[PairSed]:
    """The SED of pairs of frames with images in [0, 1]; of all neighbours unless pairs are named."""
    pairs = [(i, i + 1) for i in range(len(images) - 1)] if pairs is None else pairs
    cv2 = opencv()
    found = {i: keypoints(images[i], cv2) for i in sorted({i for pair in pairs for i in pair})}
    results = []
    for i, j in pairs:
        first, second = matched(found[i], found[j], cv2)
        distances = sed(first, second, cameras[i], other=cameras[j])
        results.append(PairSed(len(first), float(distances.median()) if len(first) else None))
    return results
