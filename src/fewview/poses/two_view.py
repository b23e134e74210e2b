"""Two views of one scene: matched SIFT points, and how far they are from what the cameras say.

SIFT finds next to nothing in small images, so they are enlarged by a whole factor to 256 px or more first. Points are
brought back at once: distances are in pixels of the images as given.
"""

from types import ModuleType

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from fewview.cameras import Cameras
from fewview.errors import MissingPackage

RATIO = 0.8  # Lowe 2004, section 7.1: of the distances to the best and the second best descriptor
LARGE = 256  # px, least side that SIFT is given


def sed(
    first: Float[Tensor, "n 2"], second: Float[Tensor, "n 2"], camera: Cameras, *, other: Cameras
) -> Float[Tensor, " n"]:
    """Symmetric epipolar distances of matched image points; of cameras in one place, distances of the points."""
    fundamental, turn = two_view(camera, other)
    p, q = (torch.cat([x.double(), torch.ones_like(x[:, :1]).double()], dim=-1) for x in (first, second))
    if fundamental is None:
        return (_moved(p, turn, q) + _moved(q, torch.linalg.inv(turn), p)) / 2
    return (_to_lines(q, p @ fundamental.mT) + _to_lines(p, q @ fundamental)) / 2


def two_view(camera: Cameras, other: Cameras) -> tuple[Float[Tensor, "3 3"] | None, Float[Tensor, "3 3"]]:
    """F with q' F p = 0 for points p of the first and q of the second camera (None without a baseline), and the
    homography of points at infinity."""
    camera, other = camera.to(torch.float64), other.to(torch.float64)
    motion = other.cam_from_world @ camera.world_from_cam
    rotation, shift = motion[:3, :3], motion[:3, 3]
    infinite = other.intrinsics @ rotation @ camera.cam_from_pixel
    if shift.norm() < 1e-6 * (1 + camera.centers.norm()):
        return None, infinite
    x, y, z = (shift / shift.norm()).tolist()
    cross = shift.new_tensor([[0, -z, y], [z, 0, -x], [-y, x, 0]])
    return other.cam_from_pixel.mT @ cross @ rotation @ camera.cam_from_pixel, infinite


def keypoints(image: Float[Tensor, "3 h w"], cv2: ModuleType) -> tuple[np.ndarray, np.ndarray]:
    """SIFT points "n 2" in pixels of the image, centres at half-integers, and descriptors "n 128".

    OpenCV counts from pixel centres, so 0.5 is added; that is true of its precise upscaling alone, without which its
    points lie a quarter of a pixel off (findings/sift-quarter-pixel.sh).
    """
    pixels = (image.detach().clamp(0, 1) * 255).round().to(torch.uint8).permute(1, 2, 0).cpu().numpy()
    grey = cv2.cvtColor(np.ascontiguousarray(pixels), cv2.COLOR_RGB2GRAY)
    factor = max(1, -(-LARGE // min(grey.shape)))
    if factor > 1:
        grey = cv2.resize(grey, None, fx=factor, fy=factor, interpolation=cv2.INTER_CUBIC)
    points, descriptors = cv2.SIFT_create(enable_precise_upscale=True).detectAndCompute(grey, None)
    if descriptors is None:
        return np.zeros((0, 2)), np.zeros((0, 128), np.float32)
    return (np.array([point.pt for point in points]) + 0.5) / factor, descriptors


def matched(
    first: tuple[np.ndarray, np.ndarray], second: tuple[np.ndarray, np.ndarray], cv2: ModuleType
) -> tuple[Float[Tensor, "n 2"], Float[Tensor, "n 2"]]:
    """Points that are each other's best match and pass the ratio test."""
    forward, backward = _best(first[1], second[1], cv2), _best(second[1], first[1], cv2)
    pairs = [(i, j) for i, j in forward.items() if backward.get(j) == i]
    i, j = np.array(pairs, dtype=int).reshape(-1, 2).T
    return torch.from_numpy(first[0][i]), torch.from_numpy(second[0][j])


def _best(query: np.ndarray, others: np.ndarray, cv2: ModuleType) -> dict[int, int]:
    if len(query) == 0 or len(others) < 2:
        return {}
    found = cv2.BFMatcher(cv2.NORM_L2).knnMatch(query, others, k=2)
    return {a.queryIdx: a.trainIdx for a, b in found if a.distance < RATIO * b.distance}


def _to_lines(points: Float[Tensor, "n 3"], lines: Float[Tensor, "n 3"]) -> Float[Tensor, " n"]:
    return (points * lines).sum(-1).abs() / lines[:, :2].norm(dim=-1).clamp(min=1e-12)


def _moved(points: Float[Tensor, "n 3"], matrix: Float[Tensor, "3 3"], to: Float[Tensor, "n 3"]) -> Float[Tensor, " n"]:
    there = points @ matrix.mT
    return (there[:, :2] / there[:, 2:] - to[:, :2]).norm(dim=-1)


def opencv() -> ModuleType:
    """The module cv2; InputError with the mend where it is missing."""
    try:
        import cv2
    except ImportError:
        raise MissingPackage("Matching points needs OpenCV's SIFT: pip install opencv-python-headless.") from None
    return cv2
