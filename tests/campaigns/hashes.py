"""Hashes of all that one build makes with fixed seeds, to lay beside another's: a refactoring leaves every bit.

    python tests/campaigns/hashes.py -o out/before                         # before the change
    python tests/campaigns/hashes.py -o out/after --against out/before     # after it; exit code 1 where they differ
    python tests/campaigns/hashes.py -o out/old --src ../old/src           # of another checkout

Each step is a command of `fewview`, or a module of it, run in OUT by one thread with the package in --src. A step that
fails (an older build lacks its options, or the machine a package) is told, and nothing of it is compared. What tells of
time, machine and versions is left out: those keys of JSON, and pages and tables that print them; so are films, which
x264 does not always encode to the same bytes (the pictures of their cameras are hashed in `views/`).
"""

import argparse
import hashlib
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[2]
PHOTOS = str(ROOT / "examples" / "demo_input")
STEPS = {
    "objects": "fewview.data.synthetic objects --tiny",
    "rooms": "data rooms rooms --train 1 --test 1 --frames 24 --size 64 --pieces 2 --pack",
    "scene-sparsefusion": f"reconstruct {PHOTOS} -o scene-sparsefusion --method sparsefusion --preset fast --seed 3",
    "scene-no-prior": f"reconstruct {PHOTOS} -o scene-no-prior --method no-prior --preset fast --seed 3",
    "scene-splats": f"reconstruct {PHOTOS} -o scene-splats --method splats --preset fast --seed 3",
    "scene-ggs": "reconstruct {clip} -o scene-ggs --method ggs --preset fast --views 0,12 --frames 10 --seed 3",
    "evaluation-objects": f"evaluate {PHOTOS}_truth -o evaluation-objects --frames 4 --preset fast"
    " --methods eft,vldm,no-prior",
    "evaluation-rooms": "evaluate rooms/test.safetensors -o evaluation-rooms --preset fast"
    " --methods ggs-d3d,regressor-d3d",
    "runs/codec": "train codec --data rooms -o runs --steps 2",
    "runs/denoiser": "train denoiser --data rooms -o runs --steps 2",
    "runs/decoder": "train decoder --data rooms -o runs --steps 1",
}  # by the folder that each makes; later ones read what earlier ones made
TOLD = {"seconds", "time", "times", "versions", "wall", "commit", "threads", "memory", "peak", "stages"}
UNHASHED = {"report.html", "profile.html", "tables.md", "orbit.mp4"}


def scrubbed(data: Any) -> Any:
    """JSON values without what tells of time, machine and versions."""
    if isinstance(data, dict):
        return {key: scrubbed(value) for key, value in data.items() if key not in TOLD}
    return [scrubbed(item) for item in data] if isinstance(data, list) else data


def digest(path: Path) -> str:
    """Of a file's bytes; of JSON, of what is left of its values."""
    data = path.read_bytes()
    if path.suffix in (".json", ".jsonl"):
        lines = data.decode().splitlines() if path.suffix == ".jsonl" else [data.decode()]
        data = json.dumps([scrubbed(json.loads(line)) for line in lines if line], sort_keys=True).encode()
    return hashlib.sha256(data).hexdigest()


def digests(folder: Path) -> dict[str, str]:
    """Of all files in a folder, by their path in it."""
    files = sorted(path for path in folder.rglob("*") if path.is_file() and path.name not in UNHASHED)
    return {str(path.relative_to(folder)): digest(path) for path in files}


def run(command: str, out: Path, src: Path) -> str | None:
    """A command of the package in `src`, in `out`; its last line where it fails."""
    words = command.format(clip=next(iter(sorted(out.glob("rooms/test/*.txt"))), "no-clip")).split()
    environment = {**os.environ, "PYTHONPATH": str(src), "OMP_NUM_THREADS": "1", "NUMBA_NUM_THREADS": "1"}
    module = [] if words[0].startswith("fewview.") else ["fewview.cli"]
    done = subprocess.run(
        [sys.executable, "-m", *module, *words], cwd=out, env=environment, capture_output=True, text=True
    )
    return None if done.returncode == 0 else ((done.stdout + done.stderr).strip().splitlines() or ["no word"])[-1]


def made(out: Path, src: Path, steps: list[str]) -> dict[str, dict[str, str]]:
    """Digests of what each step makes in an empty folder, and keeps there; {} of a step that fails."""
    found = {}
    for name in steps:
        failed = run(STEPS[name], out, src)
        found[name] = {} if failed else digests(out / name)
        print(f"{name}: {failed or f'{len(found[name])} files'}", flush=True)
        (out / "hashes.json").write_text(json.dumps(found, indent=1))
    return found


def differences(a: dict[str, dict[str, str]], b: dict[str, dict[str, str]]) -> tuple[int, list[str]]:
    """How many files are equal in those steps that both have, and which are not, or stand in one alone."""
    equal, other = 0, []
    for name in a:
        if not a[name] or not b.get(name):
            continue
        same = {path for path in a[name] if a[name][path] == b[name].get(path)}
        equal += len(same)
        other += [f"{name}/{path}" for path in sorted((a[name].keys() | b[name].keys()) - same)]
    return equal, other


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("-o", "--out", type=Path, required=True, help="an empty folder; hashes.json is the result")
    parser.add_argument("--src", type=Path, default=ROOT / "src", help="where the package is")
    parser.add_argument("--against", type=Path, help="the folder of an earlier call")
    parser.add_argument("--steps", nargs="+", choices=STEPS, default=list(STEPS), metavar="STEP")
    options = parser.parse_args()
    options.out.mkdir(parents=True, exist_ok=True)
    if any(options.out.iterdir()):
        parser.error(f"{options.out} is not empty")
    found = made(options.out.resolve(), options.src.resolve(), options.steps)
    if options.against is None:
        return 0
    before = json.loads((options.against / "hashes.json").read_text())
    equal, other = differences(before, found)
    for name in before:
        if not before[name] or not found.get(name):
            print(f"{name} cannot be compared: it was not made both times")
    print(f"{equal} files are equal, {len(other)} are not", *other, sep="\n  ")
    return 1 if other else 0


if __name__ == "__main__":
    sys.exit(main())
