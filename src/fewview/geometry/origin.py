"""Worlds that are far from their own origin: they are kept near zero, and `origin` leads back to the input's world.

Map coordinates (UTM, ECEF: millions of metres) leave no digits of float32 for what lies between cameras. So coordinates
count from an `Origin`: those of the input's world are ours plus the origin, in float64.
"""

import math

import torch
from jaxtyping import Float, Float64
from torch import Tensor

Origin = tuple[float, float, float]
"""What is added to coordinates to get those of the input's world, which has them in float64."""

NO_ORIGIN: Origin = (0.0, 0.0, 0.0)
MOST_SORTED = 100_000  # that a quantile between two points is taken of; of more it makes no difference
FAR_OFF = 100.0  # times the spread of the points: farther from the origin, float32 loses what is between them


def origin_of(points: Float[Tensor, "n 3"]) -> Origin:
    """Zero for points (float64) that float32 holds; else about their middle, a number of powers of two near the spread.

    So float64 adds and subtracts it without rounding. Middle and spread are medians: a point that was left at zero, or
    flew off, does not decide where the others are.
    """
    if not len(points):
        return NO_ORIGIN
    middle = points.quantile(0.5, dim=0) if len(points) <= MOST_SORTED else points.median(0).values
    distances = (points - middle).norm(dim=-1)
    spread, away = float(distances.median()), float(middle.norm())
    spread = spread if spread > 0 else float(distances.max())
    if not away > FAR_OFF * spread > 0:
        return NO_ORIGIN
    step = 2.0 ** math.floor(math.log2(spread))
    x, y, z = ((middle / step).round() * step).tolist()
    return x, y, z


def points_in_input(points: Float[Tensor, "*n 3"], origin: Origin) -> Float64[Tensor, "*n 3"]:
    """Points in the input's world."""
    return points.detach().double().cpu() + torch.tensor(origin, dtype=torch.float64)


def poses_in_input(world_from_cam: Float[Tensor, "*n 4 4"], origin: Origin) -> Float64[Tensor, "*n 4 4"]:
    """Poses in the input's world, with the nearest rotations that float64 holds.

    Rotations of float32 are off by 1e-7, which the inverse of a pose multiplies by the distance to the origin.
    """
    poses = world_from_cam.detach().double().cpu().clone()
    u, _, v = torch.linalg.svd(poses[..., :3, :3])
    poses[..., :3, :3] = u @ v
    poses[..., :3, 3] = points_in_input(poses[..., :3, 3], origin)
    return poses


def between(old: Origin, new: Origin) -> Float[Tensor, "4 4"]:
    """new_from_old of worlds that count from two origins."""
    matrix = torch.eye(4)
    matrix[:3, 3] = torch.tensor([a - b for a, b in zip(old, new)], dtype=torch.float64).float()
    return matrix


def written(origin: Origin) -> str:
    """The numbers as a sentence has them."""
    return f"({', '.join(f'{x:.10g}' for x in origin)})"
