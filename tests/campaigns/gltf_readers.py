"""Our glTF splats in two programs that others wrote: three's GLTFLoader and Babylon's, by npm in a temporary folder.

    python tests/campaigns/gltf_readers.py

Both keep harmonics as bytes, 128 steps a unit. Prints the largest differences from what was written, and ends with 1
where one is more than such a step. Needs Node 20 and npm's registry; it is no part of `make test`.
"""

import json
import subprocess
import sys
import tempfile
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch

from fewview.export.glb import write_splat_glb
from fewview.geometry.harmonics import COUNTS, turned
from fewview.render.gaussians import Gaussians

PACKAGES = ("three@0.187.0", "@babylonjs/core@9.28.0", "@babylonjs/loaders@9.28.0")
COUNT, STEP = 50, 1.01 / 128
THREE = """
import fs from 'fs';
import { GLTFLoader } from 'three/examples/jsm/loaders/GLTFLoader.js';
import { GLTFGaussianSplatLoaderExtension as Splats } from 'three/examples/jsm/loaders/GLTFGaussianSplatLoaderExtension.js';
const file = fs.readFileSync(process.argv[2]);
const bytes = file.buffer.slice(file.byteOffset, file.byteOffset + file.length);
const loader = new GLTFLoader().register((parser) => new Splats(parser));
const found = await loader.parseAsync(bytes, '');
let mesh; found.scene.traverse((each) => { if (each.splatGeometry) mesh = each; });
const told = {};
for (const [name, attribute] of Object.entries(mesh.splatGeometry.attributes)) {
    const array = attribute.array ?? attribute.data?.array;
    told[name] = { size: attribute.itemSize, bytes: Array.from(new Uint8Array(array.buffer, array.byteOffset, array.byteLength)) };
}
console.log(JSON.stringify(told));
"""  # noqa: E501
BABYLON = """
import fs from 'fs';
import { NullEngine } from '@babylonjs/core/Engines/nullEngine.js';
import { Scene } from '@babylonjs/core/scene.js';
import { GaussianSplattingMesh } from '@babylonjs/core/Meshes/GaussianSplatting/gaussianSplattingMesh.js';
import { ImportMeshAsync } from '@babylonjs/core/Loading/sceneLoader.js';
import '@babylonjs/loaders/glTF/index.js';
globalThis.OffscreenCanvas ??= class {};
let kept;
GaussianSplattingMesh.prototype.updateDataAsync = async function (data, harmonics) { kept = { data, harmonics }; };
GaussianSplattingMesh.prototype.updateData = function (data, harmonics) { kept = { data, harmonics }; };
const scene = new Scene(new NullEngine());
const url = 'data:model/gltf-binary;base64,' + fs.readFileSync(process.argv[2]).toString('base64');
await ImportMeshAsync(url, scene, { pluginExtension: '.glb' });
const rows = Array.from(new Uint8Array(kept.data));
const textures = kept.harmonics.map((each) => Array.from(each.slice(0, 16 * Number(process.argv[3]))));
console.log(JSON.stringify({ rows, textures }));
process.exit(0);
"""


def splats() -> Gaussians:
    draw = torch.Generator().manual_seed(0)
    normal = lambda *shape: torch.randn(*shape, generator=draw)
    plain = Gaussians(
        normal(COUNT, 3),
        (normal(COUNT, 3) * 0.3 - 2).exp(),
        torch.nn.functional.normalize(normal(COUNT, 4), dim=-1),
        torch.rand(COUNT, generator=draw) * 0.9 + 0.05,
        torch.rand(COUNT, 3, generator=draw),
    )
    return replace(plain, harmonics=(torch.rand(COUNT, COUNTS[3], 3, generator=draw) - 0.5) * 1.9)


def told(folder: Path, name: str, program: str) -> dict:
    (folder / f"{name}.mjs").write_text(program)
    command = ["node", f"{name}.mjs", "x.glb", str(COUNT)]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    if done.returncode:
        raise SystemExit(f"{name}: {done.stderr[-2000:]}")
    return json.loads(done.stdout.splitlines()[-1])


def of_three(found: dict) -> np.ndarray:
    """Harmonics of degrees 1 to 3, splats x coefficients x channels."""
    bands = []
    for degree in (1, 2, 3):
        name = next(n for n in found if n.lower().endswith((f"sh{degree}", f"harmonics{degree}")))
        rows = np.array(found[name]["bytes"], np.float64).reshape(COUNT, -1)[:, : 3 * (2 * degree + 1)]
        bands.append((rows.reshape(COUNT, -1, 3) - 128) / 128)
    return np.concatenate(bands, axis=1)


def of_babylon(found: dict) -> np.ndarray:
    rows = np.concatenate([np.array(each).reshape(COUNT, 16) for each in found["textures"]], axis=1)
    return (rows[:, : 3 * COUNTS[3]].reshape(COUNT, -1, 3) - 128) / 128


def main() -> int:
    made, wrong = splats(), 0
    flip = torch.diag(torch.tensor([1.0, -1, -1]))  # glTF has y up, the splats y down
    assert made.harmonics is not None
    want = turned(made.harmonics, flip).numpy()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "package.json").write_text("{}")
        subprocess.run(["npm", "install", "--silent", *PACKAGES], cwd=folder, check=True)
        write_splat_glb(folder / "x.glb", made, torch.tensor([0.0, -1, 0]))
        for tool, program, read in (("three", THREE, of_three), ("babylon", BABYLON, of_babylon)):
            found = told(folder, tool, program)
            off = float(np.abs(read(found) - want).max())
            wrong += off > STEP
            print(f"{tool}: harmonics of degree 3 differ by {off:.4f} at most (a step is {1 / 128:.4f})")
            if tool == "babylon":
                places = np.frombuffer(bytes(found["rows"]), "<f4").reshape(COUNT, 8)
                print(
                    f"babylon: places differ by {np.abs(places[:, :3] - made.means.numpy() @ flip.numpy()).max():.1e}"
                )
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
