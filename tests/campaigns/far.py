"""Cameras 1e7 m from the origin, 0.05 m apart: what is left of their relative poses in every format of float64.

    python tests/campaigns/far.py [-o rows.jsonl]

Of every kind of cameras that is read (float64 in the file) and every format that keeps float64, or states an offset in
it, the way from reading to export is gone, and what was written is read by other means (json, struct, plain text, and
trimesh). Prints the largest error of a relative position, in shares of the baseline, and ends with 1 where one is more
than 1e-6. Splats and meshes are float32 about an origin that is float64: their points are compared with that.
"""

import argparse
import json
import struct
import sys
import tempfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch

sys.path.insert(0, str(Path(__file__).parents[1]))

import trimesh
from data.test_far_worlds import FAR, WRITERS, centres, opened, photos
from export.test_far import in_colmap, in_text, in_transforms
from viewer.scenes import ball

from fewview.cameras import Cameras
from fewview.export.glb import write_glb, write_splat_glb
from fewview.export.mesh import Mesh
from fewview.export.ply import write_ply
from fewview.render.gaussians import Gaussians

BASELINE, LIMIT = 0.05, 1e-6
CAMERAS = {"transforms.json": in_transforms, "COLMAP, binary": in_colmap, "COLMAP, text": in_text}
UP = torch.tensor([0.0, 1, 0])  # glTF's own, so that nothing is turned


def camera_error(kind: str, name: str, folder: Path) -> float:
    """Of cameras that are read from one kind and written as another, in the axes of the first."""
    places = centres(BASELINE, FAR)
    scene = opened(folder / kind)
    found, turns = CAMERAS[name](folder, Cameras.stack(scene.cameras), scene.origin)
    here = (found - found[0]) @ turns[0]
    want = (places - places[0]) @ turns[0]
    return float(np.linalg.norm(here - want, axis=1).max() / BASELINE)


def in_ply(path: Path, points: torch.Tensor, origin: tuple) -> np.ndarray:
    write_ply(path, splats_at(points), origin=origin)
    head, _, body = path.read_bytes().partition(b"end_header\n")
    lines = [line.split() for line in head.decode().splitlines()]
    names = [words[2] for words in lines if words[0] == "property"]
    stated = next(words[2:] for words in lines if words[:2] == ["comment", "origin"])
    rows = np.frombuffer(body, "<f4").reshape(len(points), len(names)).astype(np.float64)
    return rows[:, [names.index(axis) for axis in "xyz"]] + np.array(stated, np.float64)


def in_glb(path: Path, points: torch.Tensor, origin: tuple) -> np.ndarray:
    write_glb(path, surface(points), UP, origin=origin)
    return np.asarray(trimesh.load(path, process=False).to_geometry().vertices)


def in_splat_glb(path: Path, points: torch.Tensor, origin: tuple) -> np.ndarray:
    write_splat_glb(path, splats_at(points), UP, origin=origin)
    data = path.read_bytes()
    (size,) = struct.unpack_from("<I", data, 12)
    tree = json.loads(data[20 : 20 + size])
    accessor = tree["accessors"][tree["meshes"][0]["primitives"][0]["attributes"]["POSITION"]]
    start = 28 + size + tree["bufferViews"][accessor["bufferView"]].get("byteOffset", 0)
    rows = np.frombuffer(data, "<f4", 3 * len(points), start).reshape(-1, 3).astype(np.float64)
    return rows + np.array(tree["nodes"][0]["translation"])


def splats_at(points: torch.Tensor) -> Gaussians:
    return replace(ball(len(points)), means=points)


def surface(points: torch.Tensor) -> Mesh:
    faces = np.array([[0, 1, 2], [1, 2, 3]])
    return Mesh(points.numpy(), faces, np.zeros((len(points), 3), np.uint8))


POINTS: dict[str, Callable[[Path, torch.Tensor, tuple], np.ndarray]] = {
    "PLY (origin in its header)": in_ply,
    "glTF, mesh (translation of its node)": in_glb,
    "glTF, splats (translation of their node)": in_splat_glb,
}


def point_error(kind: str, name: str, folder: Path) -> float:
    """Of points that stand where the cameras do, written as another kind."""
    places = centres(BASELINE, FAR)
    scene = opened(folder / kind)
    suffix = ".ply" if "PLY" in name else ".glb"
    found = POINTS[name](folder / f"x{suffix}", Cameras.stack(scene.cameras).centers, scene.origin)
    return float(np.linalg.norm((found - found[0]) - (places - places[0]), axis=1).max() / BASELINE)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("-o", "--out", type=Path, help="rows as JSON lines")
    given, rows = parser.parse_args(), []
    with tempfile.TemporaryDirectory() as name:
        for kind, write in WRITERS.items():
            photos(Path(name) / kind)
            write(Path(name) / kind, centres(BASELINE, FAR))
        for format_, error in [(f, camera_error) for f in CAMERAS] + [(f, point_error) for f in POINTS]:
            off = {kind: error(kind, format_, Path(name)) for kind in WRITERS}
            rows.append({"format": format_, "read from": off, "worst": max(off.values())})
            print(f"{format_}: {max(off.values()):.1e} of the baseline, of {len(off)} kinds of cameras", flush=True)
    if given.out is not None:
        given.out.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return int(max(row["worst"] for row in rows) > LIMIT)


if __name__ == "__main__":
    sys.exit(main())
