"""Our files of splats in programs that others wrote, and theirs in ours: every format, both ways.

    python tests/campaigns/round_trips.py [-o rows.jsonl]

Prints, for each format, judge and way, the largest difference of each part in steps of the format's own quantisation
(float32's where it has none), and ends with 1 where one is more than a step: half a step where a writer rounds, a step
where it cuts off. Needs pip and Node 20 with their registries; it is no part of `make test`.
"""

import argparse
import json
import sys
import tempfile
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from judges import (
    Judge,
    Table,
    gaussforge,
    gsply,
    heading,
    install,
    niantic,
    ply2splat,
    plyfile,
    splat_transform,
    spz_js,
    three,
)

from fewview.export.compressed_ply import write_compressed_ply
from fewview.export.glb import write_splat_glb
from fewview.export.ply import write_ply
from fewview.export.scenes import load_scene
from fewview.export.sog import write_sog
from fewview.export.splat import write_splat
from fewview.export.spz import SpzLayout, write_spz
from fewview.geometry.harmonics import COUNTS, SH_DC
from fewview.render.gaussians import Gaussians

COUNT = 500
THEIRS = "is read by us"
UP = torch.tensor([0.0, -1, 0])
ROOT2 = 2**0.5
BYTE = 1 / 255
TURN = 3  # the component that is left out of a quaternion is off by three times what the others are


@dataclass(frozen=True)
class Format:
    """A format: how we write it, how long its steps are for some splats, and who judges it.

    `steps` are of means, logarithms of scales, rotations (components), opacities, colours and harmonics.
    """

    suffix: str
    write: Callable[[Path, Gaussians], object]
    steps: Callable[[Table], dict[str, float | np.ndarray]]
    degree: int = 3


def splats(degree: int) -> Gaussians:
    draw = torch.Generator().manual_seed(degree)
    normal = lambda *shape: torch.randn(*shape, generator=draw)
    plain = Gaussians(
        normal(COUNT, 3),
        (normal(COUNT, 3) * 0.3 - 4).exp(),
        torch.nn.functional.normalize(normal(COUNT, 4), dim=-1),
        torch.rand(COUNT, generator=draw) * 0.96 + 0.02,
        torch.rand(COUNT, 3, generator=draw) * 0.98 + 0.01,
    )
    if not degree:
        return plain
    return replace(plain, harmonics=(torch.rand(COUNT, COUNTS[degree], 3, generator=draw) - 0.5) * 1.9)


def table(given: Gaussians) -> Table:
    """As a PLY's columns are."""
    wide = {name: tensor.double().numpy() for name, tensor in given.tensors().items()}
    opacity = wide["opacities"][:, None]
    found = {"means": wide["means"], "logs": np.log(wide["scales"]), "turns": wide["quaternions"]}
    found |= {"logits": np.log(opacity / (1 - opacity)), "dc": (wide["features"] - 0.5) / SH_DC}
    return found | {"rest": wide.get("harmonics", np.zeros((len(opacity), 0, 3)))}


def exact(_: Table) -> dict:
    return {"means": 1e-6, "logs": 1e-5, "turns": 1e-6, "opacities": 1e-6, "colours": 1e-6, "rest": 1e-6}


def compressed(made: Table) -> dict:
    wide = np.ptp(made["means"], axis=0) / [2047, 1023, 2047]
    logs = np.ptp(made["logs"], axis=0) / [2047, 1023, 2047]
    colours = np.ptp(made["dc"]) * SH_DC * BYTE
    steps = {"means": wide, "logs": logs, "turns": TURN * ROOT2 / 1023, "opacities": BYTE, "colours": colours}
    return steps | {"rest": 8 / 256}


def spz(bits: int, version: int) -> Callable[[Table], dict]:
    """`bits` after the point; 12 are what other writers use, and all that our files have is finer."""
    steps = {"means": 2.0**-bits, "logs": 1 / 16, "turns": TURN / (511 * ROOT2), "opacities": BYTE}
    steps |= {"colours": SH_DC / 38.25, "rest": 1 / 128}
    return lambda made: steps | ({"turns": of_three(made["turns"])} if version == 2 else {})


def of_three(turns: np.ndarray) -> np.ndarray:
    """Steps where x, y and z are bytes from -1 to 1, and w what is left of a length of 1: coarse where it is small."""
    step = 1 / 127.5
    w, others = np.abs(turns[:, 0]), np.abs(turns[:, 1:])
    off = (2 * others * step + step**2).sum(1)
    last = np.maximum(np.sqrt(w**2 + off) - w, w - np.sqrt((w**2 - off).clip(0)))
    return np.column_stack([last, np.maximum(step, off[:, None] * others)])  # they are scaled to a length of 1


def sog(made: Table) -> dict:
    far = np.log1p(np.abs(made["means"]))
    wide = np.ptp(np.sign(made["means"]) * far, axis=0) / 65535 * np.exp(far)
    steps = {"means": wide, "logs": np.ptp(made["logs"]) * BYTE, "turns": TURN * ROOT2 * BYTE, "opacities": BYTE}
    rest = np.ptp(made["rest"]) * BYTE if made["rest"].size else 1
    return steps | {"colours": np.ptp(made["dc"]) * SH_DC * BYTE, "rest": rest}


def bare(_: Table) -> dict:
    return {"means": 1e-6, "logs": 1e-5, "turns": TURN / 128, "opacities": BYTE, "colours": BYTE, "rest": 1}


def gltf(path: Path, given: Gaussians) -> None:
    write_splat_glb(path, given, UP)


def in_spz(version: int) -> Callable[[Path, Gaussians], object]:
    return lambda path, given: write_spz(path, given, layout=SpzLayout(version))


FORMATS = {
    "PLY": Format(".ply", write_ply, exact),
    "compressed PLY": Format(".compressed.ply", write_compressed_ply, compressed),
    "SPZ 2": Format(".spz", in_spz(2), spz(12, 2)),
    "SPZ 3": Format(".spz", in_spz(3), spz(12, 3)),
    "SPZ 4": Format(".spz", in_spz(4), spz(12, 4)),
    "SOG": Format(".sog", write_sog, sog, 0),
    "SOG with harmonics": Format(".sog", write_sog, sog),
    ".splat": Format(".splat", write_splat, bare, 0),
    "glTF": Format(".glb", gltf, exact),
}


def judges(folder: Path) -> dict[str, tuple[Judge, ...]]:
    """Who judges what."""
    both, reads = splat_transform(folder), splat_transform(folder, ways="r")
    return {
        "PLY": (plyfile(), gsply(), both, gaussforge(folder)),
        "compressed PLY": (both, gaussforge(folder, ways="r")),  # findings/gaussforge-compressed-harmonics.sh
        "SPZ 2": (niantic(folder, 2), spz_js(folder)),
        "SPZ 3": (niantic(folder, 3),),
        "SPZ 4": (niantic(folder, 4), splat_transform(folder, rest=16 / 128)),
        "SOG": (both, gaussforge(folder)),
        "SOG with harmonics": (reads, gaussforge(folder)),
        ".splat": (reads, gaussforge(folder), ply2splat(folder)),
        "glTF": (three(folder), heading(splat_transform(folder, ways="w"))),
    }


def apart(found: Table, made: Table, steps: dict) -> dict[str, float]:
    """Largest difference of each part, in steps; splats are told by their places, which are all apart."""
    nearest = np.linalg.norm(found["means"][:, None] - made["means"], axis=-1).argmin(1)
    if len(set(nearest.tolist())) != len(made["means"]) or len(found["means"]) != len(made["means"]):
        raise RuntimeError(f"{len(set(nearest.tolist()))} of {len(made['means'])} splats are there")
    want = {name: values[nearest] for name, values in made.items()}
    steps = {name: step[nearest] if np.shape(step)[:1] == (COUNT,) else step for name, step in steps.items()}
    share = lambda logits: 1 / (1 + np.exp(-logits))
    unit = found["turns"] / np.linalg.norm(found["turns"], axis=1, keepdims=True)
    unit *= np.sign((unit * want["turns"]).sum(1, keepdims=True))
    off: dict[str, np.ndarray] = {
        "means": found["means"] - want["means"],
        "logs": found["logs"] - want["logs"],
        "turns": unit - want["turns"],
        "opacities": share(found["logits"]) - share(want["logits"]),
        "colours": (found["dc"] - want["dc"]) * SH_DC,
    }
    if "rest" in found and made["rest"].size:
        off["rest"] = found["rest"] - want["rest"]
    return {name: float((np.abs(values) / steps[name]).max()) for name, values in off.items()}


def tried(name: str, judge: Judge, folder: Path) -> list[dict]:
    """Rows of one judge: ours read by it, and its read by us."""
    kind, rows = FORMATS[name], []
    made = splats(kind.degree)
    want = table(made)
    ways: dict[str, Callable[[], Table]] = {}
    if judge.read is not None:
        ours = folder / f"ours{kind.suffix}"
        kind.write(ours, made)
        ways["reads ours"] = lambda: judge.read(ours)
    if judge.write is not None:
        theirs = folder / f"theirs{kind.suffix}"
        ways[THEIRS] = lambda: judge.write(theirs, want) or table(load_scene(theirs, judge.axes).gaussians)
    for way, found in ways.items():
        steps = kind.steps(want)
        if way == THEIRS:
            steps["rest"] = max(steps["rest"], judge.rest)
        off = apart(found(), want, steps)
        rows.append(
            {"format": name, "judge": judge.name, "way": way, "steps": {k: round(v, 3) for k, v in off.items()}}
        )
        print(f"{name}: {judge.name} {way}: {', '.join(f'{k} {v:.2f}' for k, v in off.items())}", flush=True)
    return rows


def worst(rows: list[dict], kind: str) -> list[float]:
    return [max(row["steps"].values()) for row in rows if row["format"] == kind]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("-o", "--out", type=Path, help="rows as JSON lines")
    given, wrong, rows = parser.parse_args(), 0, []
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        install(folder)
        for kind, all_of_it in judges(folder).items():
            for judge in all_of_it:
                try:
                    rows += tried(kind, judge, folder)
                except (RuntimeError, KeyError, ValueError) as error:
                    print(f"{kind}: {judge.name}: {error}", flush=True)
                    wrong += 1
    print(", ".join(f"{kind}: {max(worst(rows, kind)):.2f} of a step" for kind in FORMATS if worst(rows, kind)))
    wrong += sum(max(row["steps"].values()) > 1 for row in rows)
    if given.out is not None:
        given.out.write_text("".join(json.dumps(row) + "\n" for row in rows))
    print(f"{len(rows)} ways, {wrong} wrong")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
