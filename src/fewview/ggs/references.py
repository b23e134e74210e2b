"""References: which photos and generated views a chunk of GGS is conditioned on."""

import math

import torch

from fewview.cameras import Cameras


def chosen_references(candidates: Cameras, targets: Cameras, count: int, *, pace: float, reach: float) -> list[int]:
    """Numbers of at most `count` candidates that leave targets least far from the nearest of them, best first.

    Far means paces between the places plus radians between the axes. Of candidates that bring nothing more
    the earliest is taken, so that a photo goes before a generated view; those more than `reach` paces from any of the
    targets are not taken, because the frame's unit is the widest distance, unless there is no other.
    """
    apart = (targets.centers[:, None] - candidates.centers).norm(dim=-1) / pace
    angle = (targets.forward @ candidates.forward.mT).clamp(-1, 1).acos()
    far = apart + angle
    within = apart.amax(0) <= reach
    within[far.mean(0).argmin()] = True
    nearest = torch.full_like(far[:, :1], math.inf)
    chosen: list[int] = []
    for _ in range(min(count, int(within.sum()))):
        cost = torch.minimum(nearest, far).mean(0).masked_fill(~within, math.inf)
        cost[chosen] = math.inf
        chosen.append(int(cost.argmin()))
        nearest = torch.minimum(nearest, far[:, chosen[-1:]])
    return chosen
