"""Camera walks through rooms as in RealEstate10K: slow and smooth, forward, sideways, back or turning on the spot."""

from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Bool, Float

from fewview.cameras import Cameras
from fewview.synthetic.rooms.floorplans import Plan

Rng = np.random.Generator
CELL, CLEAR = 0.08, 0.45  # of the map of free floor; distance to walls and furniture, metres
KINDS = ("forward", "forward", "forward", "sideways", "sideways", "turning", "back")


@dataclass(frozen=True, eq=False)
class FreeFloor:
    """Distance to the next wall or piece that stands in the way of a camera, on a grid over the room; 0 outside."""

    plan: Plan
    distance: Float[np.ndarray, "rows columns"]

    def clearance(self, points: Float[np.ndarray, "*n 2"]) -> Float[np.ndarray, "*n"]:
        """Metres of free space about (x, z)."""
        index = np.floor((points - self.plan.low) / CELL).astype(int)
        inside = (index >= 0).all(-1) & (index < np.array(self.distance.shape)).all(-1)
        i, j = (index[..., k].clip(0, self.distance.shape[k] - 1) for k in range(2))
        return np.where(inside, self.distance[i, j], 0.0)

    def view(self, start: Float[np.ndarray, "2"], heading: float) -> float:
        """Free metres from a point along a heading (radians from +z to +x)."""
        steps = np.arange(1, 100) * CELL
        points = start + steps[:, None] * np.array([np.sin(heading), np.cos(heading)])
        stopped = np.flatnonzero(self.clearance(points) <= 0)
        return float(steps[stopped[0]]) if len(stopped) else float(steps[-1])


def free_floor(plan: Plan, boxes: list[np.ndarray], height: float) -> FreeFloor:
    """What a camera at a height above the floor can pass: it clears pieces that end half a metre below it."""
    from scipy.ndimage import distance_transform_edt

    shape = np.ceil((plan.high - plan.low) / CELL).astype(int)
    i, j = np.meshgrid(np.arange(shape[0]), np.arange(shape[1]), indexing="ij")
    points = plan.low + (np.stack([i, j], -1) + 0.5) * CELL
    free: Bool[np.ndarray, "rows columns"] = plan.inside(points)
    for low, high in boxes:
        if high[1] > height - 0.5 and low[1] < height + 0.3:
            free &= ~((points > low[[0, 2]]) & (points < high[[0, 2]])).all(-1)
    padded = np.pad(free, 1)
    return FreeFloor(plan, CELL * np.asarray(distance_transform_edt(padded))[1:-1, 1:-1])


def room_walk(rng: Rng, plan: Plan, boxes: list[np.ndarray], *, frames: int, size: int) -> Cameras | None:
    """The best of many random walks that keep clear of everything; None where there is no room to walk.

    One field of view (50 to 75 degrees) and one height (1.2 to 1.8 m) a walk. Good walks look far and see furniture."""
    height = min(float(rng.uniform(1.2, 1.8)), plan.height - 0.5)
    floor = free_floor(plan, boxes, height)
    fov = np.deg2rad(rng.uniform(50, 75))
    best, chosen = 0.0, None
    for _ in range(60):
        spots, headings = _candidate(rng, floor, frames)
        clear = floor.clearance(spots)
        if clear.min() < CLEAR:
            continue
        views = [floor.view(spots[k], headings[k]) for k in (0, frames // 2, frames - 1)]
        score = min(min(views), 3.0) + min(float(np.mean(views)), 4.5) + _interest(boxes, spots, headings, fov=fov)
        score *= rng.uniform(0.7, 1.0)
        if min(views) > 1.1 and score > best:
            best, chosen = score, (spots, headings)
    if chosen is None:
        return None
    return _cameras(rng, *chosen, height=height, focal=float(size / 2 / np.tan(fov / 2)), size=size)


def _candidate(rng: Rng, floor: FreeFloor, frames: int) -> tuple[np.ndarray, np.ndarray]:
    """Places (n 2) and headings (n) of a random walk, which may run into something."""
    t = _pace(rng, frames)
    start = rng.uniform(floor.plan.low, floor.plan.high)
    look, kind = rng.uniform(0, 2 * np.pi), KINDS[rng.integers(len(KINDS))]
    length = {"forward": rng.uniform(0.9, 2.8), "sideways": rng.uniform(0.7, 1.8), "turning": rng.uniform(0.25, 1.0),
              "back": rng.uniform(0.7, 1.8)}[kind]  # fmt: skip
    side = rng.choice([-1, 1])
    course = look + {"forward": rng.normal(0, 0.3), "sideways": side * np.pi / 2 + rng.normal(0, 0.3),
                     "turning": rng.uniform(0, 2 * np.pi), "back": np.pi + rng.normal(0, 0.3)}[kind]  # fmt: skip
    bend = rng.normal(0, 0.5)
    direction = course + bend * (t - 0.5)
    step = np.stack([np.sin(direction), np.cos(direction)], -1) * length
    spots = start + np.concatenate([[[0, 0]], np.cumsum(0.5 * (step[1:] + step[:-1]) * np.diff(t)[:, None], 0)])
    turn = np.deg2rad(rng.uniform(35, 95)) * rng.choice([-1, 1]) if kind == "turning" else rng.normal(0, 0.3)
    swing = rng.normal(0, 0.05) * np.sin(2 * np.pi * (t * rng.uniform(0.5, 1.2) + rng.random()))
    return spots, look + turn * (t - 0.5) + swing + (0.5 * bend * (t - 0.5) if kind == "forward" else 0)


def _pace(rng: Rng, frames: int) -> np.ndarray:
    """Progress from 0 to 1, not quite even."""
    speed = 1 + 0.3 * np.sin(2 * np.pi * (np.linspace(0, 1, frames - 1) * rng.uniform(0.4, 1) + rng.random()))
    t = np.concatenate([[0.0], np.cumsum(speed)])
    return t / t[-1]


def _interest(boxes: list[np.ndarray], spots: np.ndarray, headings: np.ndarray, *, fov: float) -> float:
    """How much furniture is in view, at most 4."""
    seen = 0.0
    for low, high in boxes:
        middle, extent = (low + high)[[0, 2]] / 2, float(np.linalg.norm(high - low))
        for k in (0, len(spots) // 2, len(spots) - 1):
            to = middle - spots[k]
            distance = float(np.linalg.norm(to))
            off = abs((np.arctan2(to[0], to[1]) - headings[k] + np.pi) % (2 * np.pi) - np.pi)
            if off < 0.5 * fov and 1.0 < distance < 6:
                seen += min(extent, 2.0) / 9
    return min(seen, 4.0)


def _cameras(rng: Rng, spots: np.ndarray, headings: np.ndarray, *, height: float, focal: float, size: int) -> Cameras:
    n = len(spots)
    t = np.linspace(0, 1, n)
    wave = lambda scale: scale * np.sin(2 * np.pi * (t * rng.uniform(0.3, 1.5) + rng.random()))
    y = height + wave(rng.uniform(0, 0.05)) + rng.normal(0, 0.08) * (t - 0.5)
    pitch = np.deg2rad(rng.normal(-7, 4)) + np.deg2rad(wave(rng.uniform(0, 2.5)))
    roll = np.deg2rad(rng.normal(0, 0.7)) + np.deg2rad(wave(rng.uniform(0, 0.5)))
    centres = np.stack([spots[:, 0], y, spots[:, 1]], -1)
    flat = np.cos(pitch)
    forward = np.stack([flat * np.sin(headings), np.sin(pitch), flat * np.cos(headings)], -1)
    ups = np.stack([np.sin(roll) * np.cos(headings), np.cos(roll), -np.sin(roll) * np.sin(headings)], -1)
    tensor = lambda a: torch.from_numpy(np.ascontiguousarray(a)).float()
    return Cameras.look_at(
        tensor(centres), tensor(centres + forward), tensor(ups), focal=focal, height=size, width=size
    )
