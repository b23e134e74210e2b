"""The training set: procedural objects and library models, rendered from all around them, in the CO3Dv2 layout.

`python -m fewview.synthetic.objects.build ROOT [FURNITURE]` builds it; a killed build continues where it stopped, with
the same bytes, as every sequence draws from (seed, category, index) alone. FURNITURE is a folder of Sweet Home 3D
libraries.
"""

import argparse
import hashlib
import os
import sys
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import numpy as np
import torch

from fewview.checkpoint import write_json
from fewview.data.co3d_writer import write_annotations, write_sequence
from fewview.data.meshes import Model
from fewview.errors import InputError
from fewview.synthetic.objects.capture import hand_held, random_backdrop, random_light
from fewview.synthetic.objects.categories import CATEGORIES, HELD_OUT_CATEGORIES
from fewview.synthetic.objects.furniture import Piece, catalogue, load_piece, recoloured
from fewview.synthetic.opengl.rasterise import Rasteriser
from fewview.synthetic.sets import ObjectsConfig, in_processes
from fewview.synthetic.shapes.primitives import primitives
from fewview.synthetic.shapes.solids import sample_surface

GENERATORS = {**CATEGORIES, **HELD_OUT_CATEGORIES, "primitives": primitives}
OURS = {"source": "procedural (fewview.data)", "license": "CC0-1.0", "author": "the fewview authors"}


@dataclass(frozen=True)
class BuildConfig(ObjectsConfig):
    """Of which categories; `test` instances are of each training category and of each that is held out as a whole."""

    primitives: int = 200  # random piles, for training only
    categories: tuple[str, ...] = tuple(CATEGORIES)
    held_out: tuple[str, ...] = tuple(HELD_OUT_CATEGORIES)
    library_frames: int = 12


def tiny_build() -> BuildConfig:
    """Seconds: two categories, of which one is held out, 32 pixels."""
    return BuildConfig(
        train=2, test=1, primitives=0, frames=4, size=32, workers=1, categories=("cup",), held_out=("bottle",)
    )


@dataclass(frozen=True)
class Sequence:
    """One instance: its category, number, side of the split, and the library model that it is a variant of."""

    category: str
    index: int
    split: str
    piece: Piece | None = None
    variant: int = 0

    @property
    def name(self) -> str:
        return f"{self.index:04d}_{self.category}"


def planned(config: BuildConfig) -> list[Sequence]:
    """All sequences, interleaved over categories so that a part of the set is a fair sample of it."""
    plan = [Sequence(c, i, "train") for i in range(config.train) for c in config.categories]
    plan += [Sequence(c, config.train + i, "test") for i in range(config.test) for c in config.categories]
    plan += [Sequence(c, i, "test") for i in range(config.test) for c in config.held_out]
    plan += [Sequence("primitives", i, "train") for i in range(config.primitives)]
    return plan + sorted(_library(config), key=lambda s: (s.split != "test", s.variant))


def _library(config: BuildConfig) -> Iterator[Sequence]:
    """Variants of all library models; the number of each does not depend on how many variants there are."""
    counts: dict[str, int] = {}
    for piece in catalogue(config.furniture) if config.furniture else ():
        split, number = "test" if piece.held_out else "train", counts.get(piece.group, 0)
        counts[piece.group] = number + 1
        for variant in range(1 if piece.held_out else config.variants):
            yield Sequence(piece.group, 10 * number + variant, split, piece, variant)


def build(root: Path, config: BuildConfig, progress: Callable[[int, int], None] | None = None) -> None:
    """Render what is missing, then write annotations, set lists and index.json (source, licence, author, split)."""
    plan = planned(config)
    missing = [s for s in plan if not (root / s.category / s.name / "annotations.json").exists()]
    done = len(plan) - len(missing)
    for count in in_processes(partial(render_sequences, root, config), missing, config.workers):
        done += count
        if progress:
            progress(done, len(plan))
    index = []
    for category in sorted({s.category for s in plan}):
        members = [s for s in plan if s.category == category]
        written = [s for s in members if (root / s.category / s.name / "annotations.json").exists()]
        write_annotations(root, category, {s.name: s.split for s in written})
        index += [index_entry(s, config.seed) for s in written]
    write_json(root / "index.json", index)


def index_entry(sequence: Sequence, seed: int) -> dict[str, str | int]:
    """Where a sequence comes from, under which licence, and on which side of the split it is."""
    entry = {"category": sequence.category, "sequence": sequence.name, "seed": seed, "split": sequence.split}
    piece = sequence.piece
    if piece is None:
        return {**entry, **OURS, "base": sequence.name}
    base = f"{piece.library}/{piece.number}"
    return {**entry, **piece.credit, "base": base, "model": piece.name, "variant": sequence.variant}


def render_sequences(root: Path, config: BuildConfig, sequences: list[Sequence]) -> int:
    """Render and write some sequences with one OpenGL context; their number."""
    os.environ.setdefault("LP_NUM_THREADS", "1")  # llvmpipe: one process a core is faster than threads
    torch.set_num_threads(1)
    with Rasteriser(config.size) as rasteriser:
        for sequence in sequences:
            with suppress(InputError):  # a library model that is malformed or too large is left out of the set
                render_sequence(root, config, sequence, rasteriser=rasteriser)
    return len(sequences)


def render_sequence(root: Path, config: BuildConfig, sequence: Sequence, *, rasteriser: Rasteriser) -> None:
    """One walk around one instance, written to disk."""
    rng = generator_of(config.seed, sequence.category, sequence.index)
    model, cloud, colours = normalised(instance(sequence, rng), rng)
    rasteriser.load(model, random_light(rng))
    cameras = hand_held(rng, config.library_frames if sequence.piece else config.frames, config.size, points=cloud)
    backdrop = random_backdrop(rng, config.size)
    frames = []
    for i in range(len(cameras)):
        frame = rasteriser.draw(cameras[i])
        frames.append((frame.colour + (1 - frame.alpha[..., None]) * backdrop, frame.alpha, frame.depth))
    write_sequence(root, (sequence.category, sequence.name), frames, cameras=cameras, cloud=(cloud, colours))


def instance(sequence: Sequence, rng: np.random.Generator) -> Model:
    """The object of a sequence in its own frame."""
    if sequence.piece is None:
        return GENERATORS[sequence.category](rng)
    return recoloured(load_piece(sequence.piece), rng, strength=0.0 if sequence.variant == 0 else 1.0)


def generator_of(seed: int, category: str, index: int) -> np.random.Generator:
    """A sequence's own random numbers."""
    word = int.from_bytes(hashlib.sha256(category.encode()).digest()[:4], "big")
    return np.random.default_rng([seed, word, index])


def normalised(model: Model, rng: np.random.Generator, n: int = 2000) -> tuple[Model, np.ndarray, np.ndarray]:
    """CO3D's world frame: surface points centred, with a mean per-axis deviation of one; these points, their sRGB."""
    points, material = sample_surface(model.mesh, n, rng)
    centre, scale = points.mean(0), 1 / points.std(0).mean()
    mesh = model.mesh.moved(*(-centre)).scaled(scale, scale, scale)
    return replace(model, mesh=mesh), (points - centre) * scale, np.array([m.a for m in model.materials])[material]


def main(arguments: list[str]) -> None:
    """ROOT, then a folder of furniture libraries if there is one; --tiny for seconds. Exits with 2 for others."""
    from rich.progress import Progress

    parser = argparse.ArgumentParser("fewview.synthetic.objects.build", description="Render the set of objects.")
    parser.add_argument("root", type=Path, help="folder for the set")
    parser.add_argument("furniture", nargs="?", type=Path, help="folder of Sweet Home 3D libraries (*.sh3f)")
    parser.add_argument("--tiny", action="store_true", help="a set of seconds")
    given = parser.parse_args(arguments)
    config = tiny_build() if given.tiny else BuildConfig(furniture=given.furniture)
    with Progress() as bar:
        task = bar.add_task("rendering sequences")
        build(given.root, config, lambda done, total: bar.update(task, completed=done, total=total))


if __name__ == "__main__":
    main(sys.argv[1:])
