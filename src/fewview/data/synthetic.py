"""The training set: procedural objects, rendered from walks around them, on disk in the CO3Dv2 layout.

`python -m fewview.data.synthetic ROOT` builds it; a killed build continues where it stopped, with the same bytes, as
every sequence draws from (seed, category, index) alone.
"""

import hashlib
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import numpy as np
import torch

from fewview.cameras import Cameras
from fewview.checkpoint import write_json
from fewview.data.categories import HELD_OUT, TRAINING
from fewview.data.co3d_writer import write_annotations, write_sequence
from fewview.data.meshes import Model, sample_surface
from fewview.data.primitives import primitives
from fewview.data.rasterise import Light, Rasteriser

GENERATORS = {**TRAINING, **HELD_OUT, "primitives": primitives}


@dataclass(frozen=True)
class BuildConfig:
    """How many instances of which categories; an instance is one sequence, all on one side of the split."""

    train: int = 115  # instances of each training category
    test: int = 15  # held-out instances of each training category, and of each category held out as a whole
    primitives: int = 200  # random piles, for training only
    frames: int = 12
    size: int = 96
    seed: int = 0
    workers: int = 2
    categories: tuple[str, ...] = tuple(TRAINING)
    held_out: tuple[str, ...] = tuple(HELD_OUT)


def tiny_build() -> BuildConfig:
    """Seconds: two categories of two training and one held-out instances."""
    names = dict(categories=("cup",), held_out=("bottle",))
    return BuildConfig(train=2, test=1, primitives=0, frames=12, size=32, workers=1, **names)


@dataclass(frozen=True)
class Sequence:
    """One instance: its category, number, and side of the split."""

    category: str
    index: int
    split: str

    @property
    def name(self) -> str:
        return f"{self.index:03d}_{self.category}"


def planned(config: BuildConfig) -> list[Sequence]:
    """All sequences, interleaved over categories so that a part of the set is a fair sample of it."""
    plan = [Sequence(c, i, "train") for i in range(config.train) for c in config.categories]
    plan += [Sequence(c, config.train + i, "test") for i in range(config.test) for c in config.categories]
    plan += [Sequence(c, i, "test") for i in range(config.test) for c in config.held_out]
    return plan + [Sequence("primitives", i, "train") for i in range(config.primitives)]


def build(root: Path, config: BuildConfig, *, progress: Callable[[int, int], None] | None = None) -> None:
    """Render what is missing, then write annotations, set lists and index.json (source, licence, author, split)."""
    plan = planned(config)
    missing = [s for s in plan if not (root / s.category / s.name / "annotations.json").exists()]
    done = len(plan) - len(missing)
    for _ in _rendered(root, config, missing):
        done += 1
        if progress:
            progress(done, len(plan))
    index = []
    for category in sorted({s.category for s in plan}):
        members = [s for s in plan if s.category == category]
        extra = {s.name: {"seed": config.seed, "split": s.split} for s in members}
        write_annotations(root, category, {s.name: s.split for s in members}, extra)
        index += [{"category": category, "sequence": s.name, **extra[s.name], **ORIGIN} for s in members]
    write_json(root / "index.json", index)


ORIGIN = {"source": "procedural (fewview.data)", "license": "CC0-1.0", "author": "the fewview authors"}


def _rendered(root: Path, config: BuildConfig, missing: list[Sequence]) -> Iterator[None]:
    chunks = [missing[i : i + 8] for i in range(0, len(missing), 8)]
    work = partial(render_sequences, root, config)
    if config.workers <= 1:
        for chunk in chunks:
            yield from work(chunk)
        return
    with ProcessPoolExecutor(config.workers) as pool:
        for results in pool.map(work, chunks):
            yield from results


def render_sequences(root: Path, config: BuildConfig, sequences: list[Sequence]) -> list[None]:
    """Render and write some sequences with one OpenGL context."""
    torch.set_num_threads(1)
    with Rasteriser(config.size) as rasteriser:
        for sequence in sequences:
            rng = generator_of(config.seed, sequence)
            model, cloud = normalised(GENERATORS[sequence.category](rng), rng)
            rasteriser.load(model, random_light(rng))
            radius = float(np.linalg.norm(model.mesh.positions, axis=1).max())
            cameras = walk(rng, config.frames, config.size, radius)
            backdrop = random_backdrop(rng, config.size)
            frames = []
            for i in range(config.frames):
                frame = rasteriser.draw(cameras[i])
                colour = frame.colour + (1 - frame.alpha[..., None]) * backdrop
                frames.append((colour, frame.alpha, frame.depth))
            write_sequence(root, (sequence.category, sequence.name), frames, cameras, cloud)
    return [None] * len(sequences)


def generator_of(seed: int, sequence: Sequence) -> np.random.Generator:
    """A sequence's own random numbers."""
    word = int.from_bytes(hashlib.sha256(sequence.category.encode()).digest()[:4], "big")
    return np.random.default_rng([seed, word, sequence.index])


def normalised(model: Model, rng: np.random.Generator) -> tuple[Model, torch.Tensor]:
    """CO3D's world frame: surface points centred, with a mean per-axis deviation of one; and 2000 of these points."""
    points, _ = sample_surface(model.mesh, 2000, rng)
    centre, deviation = points.mean(0), points.std(0).mean()
    scale = 1 / deviation
    mesh = model.mesh.moved(*(-centre)).scaled(scale, scale, scale)
    return replace(model, mesh=mesh), torch.from_numpy((points - centre) * scale).float()


def walk(rng: np.random.Generator, frames: int, size: int, radius: float) -> Cameras:
    """A hand-held walk around an object of given radius: most of a circle, uneven height, distance and aim."""
    field_of_view = np.deg2rad(rng.uniform(25, 60))
    distance = radius / np.sin(field_of_view / 2) / rng.uniform(0.8, 1.05)
    span, start = np.deg2rad(rng.uniform(270, 360)), rng.uniform(0, 2 * np.pi)
    steps = (np.arange(frames) + rng.uniform(-0.35, 0.35, frames)) / frames
    azimuth = start + span * steps
    base, swing = rng.uniform(-5, 50), rng.uniform(0, 15)
    elevation = base + swing * np.sin(2 * np.pi * steps + rng.uniform(0, 6)) + rng.normal(0, 3, frames)
    elevation = np.deg2rad(elevation.clip(-15, 70))
    ranges = distance * rng.uniform(0.95, 1.08, frames)
    flat = np.cos(elevation)
    centres = ranges[:, None] * np.stack([flat * np.sin(azimuth), np.sin(elevation), flat * np.cos(azimuth)], -1)
    aims = rng.normal(0, 0.04 * radius, (frames, 3))
    ups = np.array([0.0, 1.0, 0.0]) + rng.normal(0, 0.04, (frames, 3))
    focal = float(size / 2 / np.tan(field_of_view / 2))
    as_tensor = lambda values: torch.from_numpy(values).float()
    return Cameras.look_at(*map(as_tensor, (centres, aims, ups)), focal=focal, height=size, width=size)


def random_light(rng: np.random.Generator) -> Light:
    """A sun from above, warm or cool, a weak fill, and a sky."""
    sun = rng.normal(size=3) + [0.0, 1.5, 0.0]
    fill = rng.normal(size=3)
    warmth = rng.uniform(-0.08, 0.08)
    key = rng.uniform(0.6, 1.3) * np.array([1 + warmth, 1.0, 1 - warmth])
    sky, ground = rng.uniform(0.35, 0.65), rng.uniform(0.15, 0.35)
    unit = lambda v: v / np.linalg.norm(v)
    return Light(unit(sun), key, unit(fill), np.full(3, rng.uniform(0.1, 0.3)), np.full(3, sky), np.full(3, ground))


def random_backdrop(rng: np.random.Generator, size: int) -> np.ndarray:
    """A vertical gradient between two muted colours; the masks tell the object from it."""
    top, bottom = rng.uniform(0.1, 0.9, (2, 3))
    share = np.linspace(0, 1, size)[:, None, None]
    return np.broadcast_to(top * (1 - share) + bottom * share, (size, size, 3))


def main(arguments: list[str]) -> None:
    """Build with a progress bar: ROOT, and --tiny for seconds."""
    from rich.progress import Progress

    config = tiny_build() if "--tiny" in arguments else BuildConfig()
    root = Path(next(a for a in arguments if not a.startswith("--")))
    with Progress() as bar:
        task = bar.add_task("rendering sequences")
        build(root, config, progress=lambda done, total: bar.update(task, completed=done, total=total))


if __name__ == "__main__":
    main(sys.argv[1:])
