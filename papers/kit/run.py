"""One command for a machine with a GPU: trains `small` from the shipped weights, tests, and takes times.

    PYTHONPATH=src:kit/objects/site python papers/kit/run.py kit/objects -o OUT --minutes 8 --device cuda

Everything under OUT is of use at any moment: every two minutes the averaged weights, in float16 and shards below
16 MiB, if they are the best on the held-out scenes so far; `log.jsonl`; at the end `tests.txt` and `times.json`.
"""

import argparse
import json
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from packing import unpacked

from fewview.benchmarks.splatting import bench_splat
from fewview.checkpoint import load_model, load_state, load_tensors, save_model
from fewview.data.packed import PackedScenes, save_packed
from fewview.data.packed_rooms import save_rooms
from fewview.ggs.model import GGS, GGSConfig
from fewview.recipes import ggs, sparsefusion
from fewview.recipes.ggs.stages import run_stage as run_ggs
from fewview.recipes.sparsefusion.stages import run_stage as run_sparsefusion
from fewview.sparsefusion.vldm import VLDM, VLDMConfig
from fewview.training import TrainConfig, last_checkpoint

EACH = 120.0  # seconds between two states of OUT


@dataclass(frozen=True)
class Plan:
    """A stage that begins with whole shipped weights, and what of its validation counts (lower is better)."""

    stage: str
    run: Callable[..., Path]
    kind: tuple[type, type]  # model and config
    changes: dict[str, Any]  # of the config, to `small`
    score: Callable[[dict[str, float]], float]
    rate: float
    batch: int


def sparsefusion_score(row: dict[str, float]) -> float:
    """The joint loss on views as photographed."""
    return 10 ** (-row["captured_eft_psnr"] / 10) + row["captured_diffusion"]


PLANS = {
    "sparsefusion": Plan(
        "joint",
        run_sparsefusion,
        (VLDM, VLDMConfig),
        {"size": sparsefusion.small().size},
        sparsefusion_score,
        rate=4e-4,
        batch=24,
    ),
    "ggs": Plan(
        "denoiser",
        run_ggs,
        (GGS, GGSConfig),
        {"height": ggs.small().height, "width": ggs.small().width},
        lambda row: row["val_loss"],
        rate=4e-4,
        batch=4,
    ),
}


def unpack(kit: Path, root: Path) -> str:
    """Sets where the stages look for them; returns the plan's name."""
    name = "ggs"
    for split in ("train", "test"):
        data = unpacked(load_tensors(kit / f"{split}.safetensors"))
        if isinstance(data, PackedScenes):
            save_packed(root / ".packed" / f"{split}-{data.images.shape[-1]}.safetensors", data)
            name = "sparsefusion"
        else:
            save_rooms(root / f"{split}.safetensors", data)
    return name


class Kept:
    """The best averaged weights of a run so far, as a model folder."""

    def __init__(self, plan: Plan, start: Path, run: Path, out: Path):
        self.plan, self.start, self.run, self.out, self.best = plan, start, run, out, float("inf")

    def look(self) -> None:
        """At what the run has just validated and saved."""
        rows = [json.loads(line) for line in (self.run / "log.jsonl").read_text().splitlines()]
        score = self.plan.score(rows[-1])
        shutil.copy(self.run / "log.jsonl", self.out / "log.jsonl")
        print(f"step {rows[-1]['step']}: {score:.5f} (best before: {self.best:.5f})", flush=True)
        if score >= self.best:
            return
        self.best = score
        given = load_model(self.start, *self.plan.kind)
        model = self.plan.kind[0](replace(given.config, **self.plan.changes))
        folder = last_checkpoint(self.run)
        assert folder is not None
        load_state(model, load_tensors(folder / "ema.safetensors"), where=str(folder))
        save_model(self.out / "model", model, model.config, half=True)


def trained(plan: Plan, kit: Path, root: Path, out: Path, *, seconds: float, device: str, batch: int | None) -> None:
    """Trains for so long: a first slice tells how many steps that will be, and with them the rate's cosine."""
    end, runs = time.monotonic() + seconds, root / "runs"
    kept = Kept(plan, kit / "weights", runs / plan.stage, out)
    config = TrainConfig(
        10**6,
        plan.rate,
        warmup=100,
        decay=True,
        ema=0.998,
        log_every=10,
        save_every=10**6,
        validate_every=10**6,
        bfloat16=device == "cuda",
        batch=batch or plan.batch,
    )
    slice_, done = seconds / 20, 0
    while (left := end - time.monotonic()) > slice_ / 2 and done < config.steps:
        training, begun = replace(config, minutes=min(slice_, left) / 60), time.monotonic()
        plan.run(plan.stage, root, runs, size="small", training=training, init=kit / "weights", device=device)
        rows = [json.loads(line) for line in (runs / plan.stage / "log.jsonl").read_text().splitlines()]
        speed = (rows[-1]["step"] - done) / rows[-1]["seconds"]  # without loading and validation
        overhead, done = time.monotonic() - begun - rows[-1]["seconds"], rows[-1]["step"]
        slice_ = EACH
        left = max(end - time.monotonic(), 0)
        config = replace(config, steps=done + int(speed * max(left - overhead * (1 + left / EACH), 1)))
        kept.look()


def times(device: str) -> list[dict[str, Any]]:
    """Milliseconds of splatting."""
    return [asdict(row) for row in bench_splat((10_000, 50_000), (3,), size=512, twin=False, device=device)]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("kit", type=Path, help="a folder of pack.py")
    parser.add_argument("-o", "--out", type=Path, required=True)
    parser.add_argument("--minutes", type=float, default=8.0, help="of training")
    parser.add_argument("--batch", type=int, help="scenes of a step")
    parser.add_argument("--device", default="cuda")
    options = parser.parse_args()
    options.out.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as folder:
        plan = PLANS[unpack(options.kit, Path(folder))]
        limits = {"seconds": 60 * options.minutes, "device": options.device, "batch": options.batch}
        trained(plan, options.kit, Path(folder), options.out, **limits)
    command = [sys.executable, "-m", "pytest", "-q", "-m", "gpu", "tests/render", "tests/ggs"]
    done = subprocess.run(command, capture_output=True, text=True)
    (options.out / "tests.txt").write_text(done.stdout[-4000:] + done.stderr[-2000:])
    (options.out / "times.json").write_text(json.dumps(times(options.device), indent=2))


if __name__ == "__main__":
    main()
