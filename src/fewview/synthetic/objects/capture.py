"""Where the cameras of a synthetic capture stand, what light falls on the object, and what lies behind it.

World frame: y up here, though readers must not rely on it; the object is centred at the origin.
"""

import numpy as np
import torch
from jaxtyping import Float

from fewview.cameras import Cameras
from fewview.synthetic.opengl.rasterise import Light


def hand_held(rng: np.random.Generator, frames: int, size: int, *, points: Float[np.ndarray, "n 3"]) -> Cameras:
    """Cameras of a hand-held capture, 240 to 360 degrees around an object given by surface points.

    One focal length (25 to 60 degrees across) a capture; the object's larger extent takes 70 to 98 % of the picture
    where it is largest. Heights, distances, aim and roll vary from frame to frame.
    """
    focal = float(size / 2 / np.tan(np.deg2rad(rng.uniform(25, 60)) / 2))
    span, start = np.deg2rad(rng.uniform(240, 360)), rng.uniform(0, 2 * np.pi)
    steps = (np.arange(frames) + rng.uniform(-0.35, 0.35, frames)) / frames
    azimuth = start + rng.choice([-1, 1]) * span * steps
    base, swing = rng.triangular(-10, 22, 62), rng.uniform(0, 14)
    elevation = base + swing * np.sin(2 * np.pi * (steps + rng.random())) + rng.normal(0, 2.5, frames)
    elevation = np.deg2rad(elevation.clip(-18, 75))
    flat = np.cos(elevation)
    directions = np.stack([flat * np.sin(azimuth), np.sin(elevation), flat * np.cos(azimuth)], -1)
    ranges = rng.uniform(1.0, 1.15, frames)
    radius = float(np.linalg.norm(points, axis=1).max())
    middle = 0.5 * (points.min(0) + points.max(0))
    aims = middle + rng.normal(0, 0.03 * radius, (frames, 3))
    ups = np.array([0.0, 1.0, 0.0]) + rng.normal(0, 0.035, (frames, 3))
    distance, fill = 3 * radius, rng.uniform(0.7, 0.98)
    cameras = _placed(middle + directions * (distance * ranges)[:, None], aims, ups, focal=focal, size=size)
    for _ in range(6):  # the extent shrinks about as 1 / distance
        pixels, depth = cameras.project(torch.from_numpy(points).float())
        widest = float((2 * (pixels - size / 2).abs() / size).amax())
        distance = max(distance * widest / fill, 1.15 * radius) if depth.min() > 0 else 2 * distance
        cameras = _placed(middle + directions * (distance * ranges)[:, None], aims, ups, focal=focal, size=size)
    return cameras


def random_light(rng: np.random.Generator) -> Light:
    """A sun from above, warm or cool, harsh or veiled, a weak fill, and a sky brighter than the ground."""
    unit = lambda v: v / np.linalg.norm(v)
    angle, height = rng.uniform(0, 2 * np.pi), np.deg2rad(rng.uniform(25, 75))
    key = unit(np.array([np.cos(height) * np.sin(angle), np.sin(height), np.cos(height) * np.cos(angle)]))
    fill = unit(rng.normal(size=3) - 0.7 * key)
    warmth, harsh = rng.normal(0, 0.07), rng.uniform(0.35, 1.5)
    sky = rng.uniform(0.3, 0.55) * np.array([1 - 0.5 * warmth, 1.0, 1 + 0.5 * warmth])
    ground = rng.uniform(0.25, 0.6) * sky * rng.uniform(0.85, 1.1, 3)
    exposure = float(rng.uniform(0.85, 1.15) * 1.5 / (0.8 + harsh * 0.75))
    return Light(key, harsh * np.array([1 + warmth, 1.0, 1 - warmth]), fill, np.full(3, 0.12), sky, ground, exposure)


def random_backdrop(rng: np.random.Generator, size: int) -> Float[np.ndarray, "size size 3"]:
    """A gradient between two muted sRGB colours; the masks tell the object from it."""
    low, high = rng.uniform(0.1, 0.9) + rng.normal(0, 0.12, (2, 3))
    angle = rng.uniform(0, 2 * np.pi)
    y, x = np.meshgrid(np.linspace(-0.5, 0.5, size), np.linspace(-0.5, 0.5, size), indexing="ij")
    share = (0.5 + 0.7 * (np.cos(angle) * x + np.sin(angle) * y))[..., None]
    return (low * (1 - share) + high * share).clip(0, 1)


def _placed(centres: np.ndarray, aims: np.ndarray, ups: np.ndarray, *, focal: float, size: int) -> Cameras:
    as_tensor = lambda values: torch.from_numpy(values).float()
    return Cameras.look_at(*map(as_tensor, (centres, aims, ups)), focal=focal, height=size, width=size)
