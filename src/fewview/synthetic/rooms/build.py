"""The room set: furnished rooms, rendered along walks as in RealEstate10K and written in its format, with depth.

Layout: `<split>/<clip>.txt` (RealEstate10K's poses), `<split>/<clip>/<timestamp>.jpg` and `.depth.png` (millimetres,
16 bits), index.json. A killed build goes on where it stopped, with the same bytes: a room draws from (seed, split,
number) alone.
"""

import hashlib
import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch

from fewview.cameras import Cameras
from fewview.checkpoint import read_json, write_json
from fewview.data.meshes import rotation
from fewview.data.packed_rooms import pack_rooms, save_rooms
from fewview.data.realestate10k import list_clips, open_clip, write_clip
from fewview.errors import InputError
from fewview.synthetic.opengl.room_renderer import Interior, Part, RoomRasteriser, developed
from fewview.synthetic.rooms.floorplans import Plan, random_plan, shell
from fewview.synthetic.rooms.illumination import illuminate
from fewview.synthetic.rooms.interiors import FURNISHERS, Layout, Placed, furnish
from fewview.synthetic.rooms.inventory import Stock
from fewview.synthetic.rooms.walks import room_walk
from fewview.synthetic.sets import RoomsConfig, in_processes

FRAME_SECONDS = 1 / 3  # RealEstate10K at 30 Hz, every tenth frame
NEAREST, TRIES = 0.3, 12  # metres to the next surface in any frame; walks and rooms tried


@dataclass(frozen=True)
class RoomName:
    """A room's side of the split and number."""

    split: str
    number: int

    def clip(self, k: int) -> str:
        """16 hexadecimal digits, as RealEstate10K names clips; the first four say the room, the next the clip."""
        rest = hashlib.sha256(f"{self.split} {self.number} {k}".encode()).hexdigest()[:8]
        return f"{self.number:04x}{k:04x}{rest}"


@dataclass(frozen=True, eq=False)
class Room:
    """A furnished room: what the renderer needs, and what walks must keep clear of."""

    kind: str
    plan: Plan
    placed: tuple[Placed, ...]
    boxes: tuple[np.ndarray, ...]
    interior: Interior


def planned_rooms(config: RoomsConfig) -> list[RoomName]:
    """All rooms, held-out ones spread evenly among the others, so that a part of the set is a fair sample of it."""
    rooms = [RoomName("train", i) for i in range(config.train)] + [RoomName("test", i) for i in range(config.test)]
    share = {"train": max(config.train, 1), "test": max(config.test, 1)}
    return sorted(rooms, key=lambda r: ((r.number + 0.5) / share[r.split], r.split))


def build_rooms(root: Path, config: RoomsConfig, progress: Callable[[int, int], None] | None = None) -> None:
    """Render what is missing, then write index.json (rooms, and source, licence, author of every piece)."""
    plan = planned_rooms(config)
    missing = [room for room in plan if not _record(root, room).exists()]
    done = len(plan) - len(missing)
    for count in _rendered(root, config, missing):
        done += count
        if progress:
            progress(done, len(plan))
    records = [read_json(_record(root, room)) for room in plan]
    write_json(root / "index.json", {"config": _described(config), "rooms": records})


def render_rooms(root: Path, config: RoomsConfig, rooms: list[RoomName]) -> Iterator[RoomName]:
    """Render and write rooms one after the other with one OpenGL context; each as soon as it is complete."""
    os.environ.setdefault("LP_NUM_THREADS", "1")  # llvmpipe: one process a core is faster than threads
    torch.set_num_threads(1)
    cache = root / ".pieces"
    stocks = {s: Stock(s, config.furniture, pieces=config.pieces, cache=cache) for s in {r.split for r in rooms}}
    with RoomRasteriser(config.size) as rasteriser:
        for room in rooms:
            render_room(root, config, room, stock=stocks[room.split], rasteriser=rasteriser)
            yield room


def render_room(root: Path, config: RoomsConfig, name: RoomName, *, stock: Stock, rasteriser: RoomRasteriser) -> None:
    """One room: furnished until there is room to walk, its clips written, then its record."""
    rng = generator_of(config.seed, name)
    for _ in range(TRIES):
        room = furnished(rng, stock)
        rasteriser.load(room.interior)
        clips = [_clip(rng, room, config, rasteriser=rasteriser) for _ in range(config.clips)]
        if all(clip is not None for clip in clips):
            break
    else:
        raise InputError(f"No walk through {name.split} room {name.number} was found; change the seed.")
    brightness, names = float(rng.uniform(0.46, 0.6)), []
    for k, (cameras, radiance, depths) in enumerate(clip for clip in clips if clip is not None):
        pictures = developed(radiance, brightness)
        url = f"fewview:rooms/seed={config.seed}/{name.split}={name.number}/clip={k}"
        write_clip(root / name.split / f"{name.clip(k)}.txt", pictures, cameras, url=url, depths=depths,
                   seconds=FRAME_SECONDS)  # fmt: skip
        names.append(name.clip(k))
    write_json(_record(root, name), _credits(config, name, room, clips=names))


def furnished(rng: np.random.Generator, stock: Stock) -> Room:
    """A random room with furniture, light and finishes."""
    kind = str(rng.choice(list(FURNISHERS), p=[0.28, 0.2, 0.14, 0.12, 0.14, 0.12]))
    layout = Layout(random_plan(rng, kind), stock, rng)
    furnish(layout, kind)
    plan, placed = layout.plan, tuple(layout.placed)
    seed = int(rng.integers(2**32))
    base = shell(plan, np.random.default_rng(seed), kind, daylight=1.0)
    light, outside = illuminate(plan, placed, rng, colours=base.colours, first_part=len(base.parts))
    materials, images = (
        [replace(m, metal=-outside) if m.metal == -1.0 else m for m in base.materials],
        list(base.images),
    )
    parts = list(base.parts)
    for piece in placed:
        prop = piece.prop
        matrix = rotation("y", piece.turn).T
        vertices = prop.vertices.copy()
        vertices[:, :3] = piece.points
        vertices[:, 3:6] = vertices[:, 3:6] @ matrix
        vertices[:, 9] += len(materials)
        parts.append(Part(vertices, prop.faces, cutout=prop.cutout))
        materials += [replace(m, layer=m.layer + len(images)) if m.layer >= 0 else m for m in prop.materials]
        images += prop.images
    return Room(kind, plan, placed, tuple(layout.boxes), Interior(tuple(parts), tuple(materials), tuple(images), light))


def generator_of(seed: int, name: RoomName) -> np.random.Generator:
    """A room's own random numbers."""
    return np.random.default_rng([seed, int(name.split == "test"), name.number])


def pack_splits(root: Path, size: int) -> list[Path]:
    """`<split>.safetensors` beside the clips of each split, for `packed_rooms.load_rooms`."""
    written = []
    for split in ("train", "test"):
        if (root / split).is_dir():
            clips = [open_clip(path) for path in list_clips(root, split)]
            save_rooms(root / f"{split}.safetensors", pack_rooms(clips, size))
            written.append(root / f"{split}.safetensors")
    return written


def _clip(
    rng: np.random.Generator, room: Room, config: RoomsConfig, *, rasteriser: RoomRasteriser
) -> tuple[Cameras, list[np.ndarray], list[np.ndarray]] | None:
    """Cameras, radiance and depth of a walk that comes close to nothing; None after a few tries."""
    for _ in range(3):
        cameras = room_walk(rng, room.plan, list(room.boxes), frames=config.frames, size=config.size)
        if cameras is None:
            return None
        frames = []
        for i in range(len(cameras)):
            radiance, depth = rasteriser.draw(cameras[i])
            if depth.min() < NEAREST or np.median(depth) < 1.0:
                break
            frames.append((radiance, depth))
        else:
            return cameras, [r for r, _ in frames], [d for _, d in frames]
    return None


def _credits(config: RoomsConfig, name: RoomName, room: Room, *, clips: list[str]) -> dict[str, Any]:
    pieces = {piece.prop.name: {"role": piece.prop.role, **piece.prop.credit} for piece in room.placed}
    size = [round(float(x), 3) for x in (*(room.plan.high - room.plan.low), room.plan.height)]
    return {"split": name.split, "room": name.number, "kind": room.kind, "seed": config.seed, "metres": size,
            "clips": clips, "pieces": pieces}  # fmt: skip


def _described(config: RoomsConfig) -> dict[str, Any]:
    kept = ("train", "test", "clips", "frames", "size", "seed", "pieces")
    return {**{k: getattr(config, k) for k in kept}, "library": bool(config.furniture)}


def _record(root: Path, name: RoomName) -> Path:
    return root / "rooms" / name.split / f"{name.number:04d}.json"


def _rendered(root: Path, config: RoomsConfig, missing: list[RoomName]) -> Iterator[int]:
    """How many rooms became complete, time and again."""
    if config.workers <= 1 or len(missing) < 2:
        for _ in render_rooms(root, config, missing):
            yield 1
        return
    yield from in_processes(partial(_render_chunk, root, config), missing, config.workers)


def _render_chunk(root: Path, config: RoomsConfig, rooms: list[RoomName]) -> int:
    return sum(1 for _ in render_rooms(root, config, rooms))
