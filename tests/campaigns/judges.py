"""Programs that others wrote for files of splats, at pinned versions, installed into a folder by pip and npm.

A judge reads a file into a table of splats, or writes one. Tables are as a PLY's columns are: logarithms of scales,
logits of opacities, harmonics of degree 0 as f_dc, those above as splats x coefficients x channels.
"""

import json
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

PYTHON = ("gaussforge==0.6.0", "gsply==0.4.6", "plyfile==1.1.5", "ply2splat==0.6.0")  # numpy is fewview's own
NODE = ("@playcanvas/splat-transform@3.7.0", "@adobe/spz@0.2.3", "spz-js@1.2.5", "three@0.187.0")
ODD_ABOUT_Y = (  # signs of harmonics of degree 1 to 3 where x and z change theirs
    *(1, -1, -1),  # y, z, x
    *(-1, -1, 1, 1, 1),  # xy, yz, 3zz - 1, xz, xx - yy
    *(1, 1, 1, -1, -1, -1, -1),  # y(3xx - yy), xyz, y(5zz - 1), z(5zz - 3), x(5zz - 1), z(xx - yy), x(xx - 3yy)
)
NAMES = {
    "means": ("x", "y", "z"),
    "dc": ("f_dc_0", "f_dc_1", "f_dc_2"),
    "logits": ("opacity",),
    "logs": ("scale_0", "scale_1", "scale_2"),
    "turns": ("rot_0", "rot_1", "rot_2", "rot_3"),
}
Table = dict[str, np.ndarray]
NIANTIC = """
import fs from 'fs';
import load, * as all from '@adobe/spz';
const spz = await load();
const [way, file, kept, version] = process.argv.slice(2);
const names = ['positions', 'scales', 'rotations', 'alphas', 'colors', 'sh'];
if (way === 'read') {
    const cloud = spz.loadSpzFromBuffer(fs.readFileSync(file), { to: spz.CoordinateSystem.RDF });
    const told = { shDegree: cloud.shDegree };
    for (const name of names) told[name] = Array.from(cloud[name]);
    fs.writeFileSync(kept, JSON.stringify(told));
} else {
    const given = JSON.parse(fs.readFileSync(kept));
    const cloud = { numPoints: given.alphas.length, shDegree: given.shDegree, antialiased: false, extensions: [] };
    for (const name of names) cloud[name] = new Float32Array(given[name]);
    const options = { version: Number(version), from: spz.CoordinateSystem.RDF, sh1Bits: 8, shRestBits: 8 };
    fs.writeFileSync(file, spz.saveSpzToBuffer(cloud, options));
}
process.exit(0);
"""
SPZ_JS = """
import fs from 'fs';
import { loadSpz } from 'spz-js';
const cloud = await loadSpz(new Uint8Array(fs.readFileSync(process.argv[3])));
const told = { shDegree: cloud.shDegree };
for (const name of ['positions', 'scales', 'rotations', 'alphas', 'colors', 'sh']) told[name] = Array.from(cloud[name]);
fs.writeFileSync(process.argv[4], JSON.stringify(told));
process.exit(0);
"""
THREE = """
import fs from 'fs';
import { GLTFLoader } from 'three/examples/jsm/loaders/GLTFLoader.js';
const file = fs.readFileSync(process.argv[3]);
const bytes = file.buffer.slice(file.byteOffset, file.byteOffset + file.length);
const told = {};
(await new GLTFLoader().parseAsync(bytes, '')).scene.traverse((each) => {
    if (!each.geometry) return;
    for (const [name, values] of Object.entries(each.geometry.attributes)) told[name] = Array.from(values.array);
});
fs.writeFileSync(process.argv[4], JSON.stringify(told));
process.exit(0);
"""


@dataclass(frozen=True)
class Judge:
    """A program by name, and what it does with a path; None where it does not.

    `rest` is the step of the harmonics that it writes, where that is coarser than the format's, and `axes` are what a
    user has to say of its .spz files (`--spz-axes`), which say nothing themselves.
    """

    name: str
    read: Callable[[Path], Table] | None = None
    write: Callable[[Path, Table], None] | None = None
    rest: float = 0.0
    axes: str | None = None


def install(folder: Path) -> None:
    """All of them, in `folder`, which Python then searches first."""
    pip = [sys.executable, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--no-deps"]
    subprocess.run([*pip, "--target", str(folder / "python"), *PYTHON], check=True)
    (folder / "package.json").write_text('{"private": true}')
    subprocess.run(["npm", "install", "--silent", "--no-audit", "--no-fund", *NODE], cwd=folder, check=True)
    sys.path.insert(0, str(folder / "python"))


def node(folder: Path, program: str, *words: object) -> None:
    (folder / "program.mjs").write_text(program)
    command = ["node", "program.mjs", *map(str, words)]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    if done.returncode:
        raise RuntimeError(f"{words}: {done.stderr[-2000:]}")


def of_cloud(told: dict) -> Table:
    """A table of what SPZ's own libraries call a cloud: rotations are (x, y, z, w)."""
    count = len(told["alphas"])
    part = lambda name, width: np.array(told[name], np.float64).reshape(count, width)
    found = {"means": part("positions", 3), "logs": part("scales", 3), "dc": part("colors", 3)}
    found |= {"turns": np.roll(part("rotations", 4), 1, axis=1), "logits": part("alphas", 1)}
    return found | {"rest": np.array(told["sh"], np.float64).reshape(count, -1, 3)}


def niantic(folder: Path, version: int) -> Judge:
    """SPZ's own library, compiled for JavaScript; asked for a PLY's axes both ways."""

    def read(path: Path) -> Table:
        node(folder, NIANTIC, "read", path, folder / "cloud.json")
        return of_cloud(json.loads((folder / "cloud.json").read_text()))

    def write(path: Path, table: Table) -> None:
        given = {"positions": table["means"], "scales": table["logs"], "colors": table["dc"], "sh": table["rest"]}
        given |= {"rotations": np.roll(table["turns"], -1, axis=1), "alphas": table["logits"]}
        cloud = {name: values.ravel().tolist() for name, values in given.items()}
        degree = {0: 0, 3: 1, 8: 2, 15: 3}[table["rest"].shape[1]]
        (folder / "cloud.json").write_text(json.dumps(cloud | {"shDegree": degree}))
        node(folder, NIANTIC, "write", path, folder / "cloud.json", version)

    return Judge("@adobe/spz 0.2.3", read, write, axes="RUB" if version == 4 else None)


def spz_js(folder: Path) -> Judge:
    """It leaves a file's axes as they are: y and z of versions without a statement are turned over here."""

    def read(path: Path) -> Table:
        node(folder, SPZ_JS, "read", path, folder / "cloud.json")
        found = of_cloud(json.loads((folder / "cloud.json").read_text()))
        found["means"], found["turns"] = found["means"] * [1, -1, -1], found["turns"] * [1, 1, -1, -1]
        return {name: values for name, values in found.items() if name != "rest"}

    return Judge("spz-js 1.2.5", read)


def three(folder: Path) -> Judge:
    """A glTF reader that hands on each attribute as it is; y is up there."""

    def read(path: Path) -> Table:
        node(folder, THREE, "read", path, folder / "told.json")
        told = {name.split(":")[-1]: values for name, values in json.loads((folder / "told.json").read_text()).items()}
        part = lambda name, width: np.array(told[name], np.float64).reshape(-1, width)
        turns = np.roll(part("rotation", 4), 1, axis=1)
        opacity = part("opacity", 1).clip(1e-9, 1 - 1e-9)
        found = {"means": part("position", 3) * [1, -1, -1], "turns": turn_about_x(turns)}
        found |= {"logs": np.log(part("scale", 3)), "logits": np.log(opacity / (1 - opacity))}
        return found | {"dc": part("sh_degree_0_coef_0", 3)}

    return Judge("three 0.187.0", read)


def turn_about_x(turns: np.ndarray) -> np.ndarray:
    """Half a turn about x before: i (w + xi + yj + zk) = -x + wi - zj + yk."""
    w, x, y, z = turns.T
    return np.stack([-x, w, -z, y], axis=1)


def by_ply(name: str, convert: Callable[[Path, Path], None], folder: Path, *, ways: str = "rw") -> Judge:
    """What converts files to PLY and back."""

    def read(path: Path) -> Table:
        convert(path, folder / "told.ply")
        return read_ply(folder / "told.ply")

    def write(path: Path, table: Table) -> None:
        write_ply(folder / "given.ply", table)
        convert(folder / "given.ply", path)

    return Judge(name, read if "r" in ways else None, write if "w" in ways else None)


def splat_transform(folder: Path, *, ways: str = "rw", rest: float = 0.0) -> Judge:
    tool = folder / "node_modules" / "@playcanvas" / "splat-transform" / "bin" / "cli.mjs"

    def convert(source: Path, out: Path) -> None:
        subprocess.run(["node", str(tool), "-q", "-w", "-g", "cpu", str(source), str(out)], check=True)

    return replace(by_ply("splat-transform 3.7.0", convert, folder, ways=ways), rest=rest)


def heading(judge: Judge) -> Judge:
    """For what turns a PLY about z to have y up in glTF, where we turn it about x: the front is the back.

    Splats are turned by half a turn about y before, which takes x and z, and harmonics that are odd in one of them.
    """
    assert judge.write is not None
    write = judge.write

    def turned(path: Path, table: Table) -> None:
        w, x, y, z = table["turns"].T
        odd = np.array(ODD_ABOUT_Y[: table["rest"].shape[1]])[:, None]
        other = {"means": table["means"] * [-1, 1, -1], "turns": np.stack([-y, z, w, -x], axis=1)}
        write(path, {**table, **other, "rest": table["rest"] * odd})

    return replace(judge, write=turned)


def gaussforge(folder: Path, *, ways: str = "rw") -> Judge:
    def convert(source: Path, out: Path) -> None:
        import gaussforge  # pyright: ignore[reportMissingImports]

        kinds = ["compressed.ply" if ".compressed" in path.name else path.suffix[1:] for path in (source, out)]
        made = gaussforge.GaussForge().convert(source.read_bytes(), *kinds)
        if "error" in made:
            raise RuntimeError(made["error"])
        out.write_bytes(bytes(made["data"]))

    return by_ply("gaussforge 0.6.0", convert, folder, ways=ways)


def ply2splat(folder: Path) -> Judge:
    def convert(source: Path, out: Path) -> None:
        import ply2splat  # pyright: ignore[reportMissingImports]

        ply2splat.convert(str(source), str(out), sort=False)

    return by_ply("ply2splat 0.6.0", convert, folder, ways="w")


def gsply() -> Judge:
    def read(path: Path) -> Table:
        import gsply  # pyright: ignore[reportMissingImports]

        data = gsply.plyread(str(path))
        found = {"means": data.means, "logs": data.scales, "turns": data.quats, "logits": data.opacities}
        found |= {"dc": data.sh0, "rest": data.shN}
        return {name: np.asarray(values, np.float64) for name, values in shaped(found).items()}

    def write(path: Path, table: Table) -> None:
        import gsply  # pyright: ignore[reportMissingImports]

        write_ply(path.with_name("given.ply"), table)
        gsply.plywrite(str(path), gsply.plyread(str(path.with_name("given.ply"))))

    return Judge("gsply 0.4.6", read, write)


def shaped(table: Table) -> Table:
    count = len(table["means"])
    return {name: np.asarray(v).reshape(count, *((-1, 3) if name == "rest" else (-1,))) for name, v in table.items()}


def read_ply(path: Path) -> Table:
    """By plyfile."""
    from plyfile import PlyData  # pyright: ignore[reportMissingImports]

    rows = PlyData.read(str(path))["vertex"].data
    found = {part: np.stack([rows[name] for name in names], -1).astype(np.float64) for part, names in NAMES.items()}
    rest = [name for name in rows.dtype.names if name.startswith("f_rest_")]
    values = np.stack([rows[f"f_rest_{i}"] for i in range(len(rest))], -1) if rest else np.zeros((len(rows), 0))
    return found | {"rest": values.reshape(len(rows), 3, -1).swapaxes(1, 2).astype(np.float64)}


def write_ply(path: Path, table: Table) -> None:
    """By plyfile."""
    from plyfile import PlyData, PlyElement  # pyright: ignore[reportMissingImports]

    columns = {name: table[part][:, i] for part, names in NAMES.items() for i, name in enumerate(names)}
    rest = table["rest"].swapaxes(1, 2).reshape(len(table["means"]), -1)
    columns |= {f"f_rest_{i}": rest[:, i] for i in range(rest.shape[1])}
    rows = np.empty(len(table["means"]), [(name, "<f4") for name in columns])
    for name, values in columns.items():
        rows[name] = values
    PlyData([PlyElement.describe(rows, "vertex")]).write(str(path))


def plyfile() -> Judge:
    return Judge("plyfile 1.1.5", read_ply, write_ply)
