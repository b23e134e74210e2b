"""One command for a machine with a GPU: trains a family for some minutes, runs the tests for GPUs, and takes times.

    PYTHONPATH=src:kit/sparsefusion/site python papers/kit/run.py kit/sparsefusion -o OUT --minutes 8 --device cuda

`sparsefusion` and `ggs` train `small` from the shipped weights, `wildfusion` its autoencoder at `tiny` from none. OUT
is of use at any moment: every two minutes it gets `log.jsonl` and the averaged weights, in float16 and shards below
16 MiB, if they are the best so far on held-out pictures; at the end `tests.txt` and `times.json`.
"""

import argparse
import json
import math
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

from packing import unpacked

from fewview.benchmarks.splatting import bench_splat
from fewview.checkpoint import load_model, load_tensors, read_json, save_model, save_tensors
from fewview.data.packed import PackedScenes, save_packed
from fewview.data.packed_rooms import RoomClips, save_rooms
from fewview.ggs.model import GGS, GGSConfig
from fewview.recipes.ggs.stages import run_stage as run_ggs
from fewview.recipes.runs import Size, StageOptions
from fewview.recipes.sparsefusion.stages import run_stage as run_sparsefusion
from fewview.recipes.wildfusion.stages import PHOTOS
from fewview.recipes.wildfusion.stages import run_stage as run_wildfusion
from fewview.sparsefusion.vldm import VLDM, VLDMConfig
from fewview.training import TrainConfig
from fewview.wildfusion.whole import WholeConfig, WildFusion

EACH = 120.0  # seconds between two states of OUT


@dataclass(frozen=True)
class Plan:
    """A stage, the model that it leaves, and what of its validation counts (lower is better)."""

    run: Callable[..., Path]  # of (data, runs, options=...)
    kind: tuple[type, type]  # model and config
    score: Callable[[dict[str, float]], float]
    batch: int
    training: TrainConfig
    size: Size = "small"


def photographed(row: dict[str, float]) -> float:
    """The joint loss on views as photographed."""
    return 10 ** (-row["captured_eft_psnr"] / 10) + row["captured_diffusion"]


STEPS = TrainConfig(
    10**6, 4e-4, warmup=100, decay=True, ema=0.998, log_every=10, save_every=10**6, validate_every=10**6
)
GAME = replace(STEPS, learning_rate=5e-4, clip=5.0, betas=(0.5, 0.95))
PLANS = {
    "sparsefusion": Plan(partial(run_sparsefusion, "joint"), (VLDM, VLDMConfig), photographed, 24, STEPS),
    "wildfusion": Plan(
        partial(run_wildfusion, "wildfusion-autoencoder"),
        (WildFusion, WholeConfig),
        lambda row: -row["step"],  # a game has no loss: the last is the best
        32,
        GAME,
        "tiny",
    ),
    "ggs": Plan(partial(run_ggs, "denoiser"), (GGS, GGSConfig), lambda row: row["val_loss"], 4, STEPS),
}


def unpack(kit: Path, root: Path, runs: Path) -> None:
    """The pictures, where the stages look for them."""
    for split in ("train", "test"):
        named = kit / f"{split}.json"
        classes = tuple(read_json(named)["classes"]) if named.exists() else ()
        data = unpacked(load_tensors(kit / f"{split}.safetensors"), classes)
        size = data.images.shape[-1]
        if isinstance(data, PackedScenes):
            save_packed(root / ".packed" / f"{split}-{size}.safetensors", data)
        elif isinstance(data, RoomClips):
            save_rooms(root / f"{split}.safetensors", data)
        else:
            target = runs / PHOTOS / f"{split}-{size}.safetensors"
            cameras = {"world_from_cam": data.cameras.world_from_cam, "intrinsics": data.cameras.intrinsics}
            names = "images", "depth", "labels", "scenes", "view_from_world"
            save_tensors(target, cameras | {name: getattr(data, name) for name in names})
            shutil.copy(named, target.with_suffix(".json"))


def rows_of(run: Path) -> list[dict[str, float]]:
    return [json.loads(line) for line in (run / "log.jsonl").read_text().splitlines()]


def trained(plan: Plan, kit: Path, root: Path, out: Path, *, seconds: float, device: str, batch: int | None) -> None:
    """Trains for so long: a first slice tells how many steps that will be, and with them the rate's cosine."""
    end, runs = time.monotonic() + seconds, root / "runs"
    config = replace(plan.training, batch=batch or plan.batch, bfloat16=device == "cuda")
    init = kit / "weights" if (kit / "weights").exists() else None
    options = StageOptions(plan.size, init=init, device=device)
    slice_, done, best = min(seconds / 4, 25.0), 0, math.inf
    while (left := end - time.monotonic()) > slice_ / 4 and done < config.steps:
        training, begun = replace(config, minutes=min(slice_, left) / 60), time.monotonic()
        run = plan.run(root, runs, options=replace(options, training=training))
        row, kept = rows_of(run)[-1], plan.score(rows_of(run)[-1])
        shutil.copy(run / "log.jsonl", out / "log.jsonl")
        speed, overhead = (row["step"] - done) / row["seconds"], time.monotonic() - begun - row["seconds"]
        if kept < best:
            best, model = kept, load_model(run / "model", *plan.kind)
            save_model(out / "model", model, model.config, half=True)
        done, slice_ = int(row["step"]), EACH
        left = max(end - time.monotonic(), 0.0)
        more = speed * max(left - overhead * math.ceil(left / EACH), 0.0)
        config = replace(config, steps=done + int(more))
        print(f"step {done} of {config.steps}, {speed:.2f} a second: score {kept:.5f}, best {best:.5f}", flush=True)


def times(device: str) -> list[dict[str, Any]]:
    """Milliseconds of splatting."""
    return [asdict(row) for row in bench_splat((10_000, 50_000), (3,), size=512, twin=False, device=device)]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("kit", type=Path, help="a folder of pack.py, whose name is that of the family")
    parser.add_argument("-o", "--out", type=Path, required=True)
    parser.add_argument("--minutes", type=float, default=8.0, help="of training")
    parser.add_argument("--batch", type=int, help="scenes or photos of a step")
    parser.add_argument("--device", default="cuda")
    options = parser.parse_args()
    options.out.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        unpack(options.kit, root, root / "runs")
        limits = {"seconds": 60 * options.minutes, "device": options.device, "batch": options.batch}
        trained(PLANS[options.kit.name], options.kit, root, options.out, **limits)
    command = [sys.executable, "-m", "pytest", "-q", "-m", "gpu", "tests/render", "tests/ggs"]
    done = subprocess.run(command, capture_output=True, text=True)
    (options.out / "tests.txt").write_text(done.stdout[-4000:] + done.stderr[-2000:])
    (options.out / "times.json").write_text(json.dumps(times(options.device), indent=2))


if __name__ == "__main__":
    main()
