"""Seconds of the processor that splatting takes, forward and backward, beside another checkout, in turns.

    python tests/campaigns/splatting.py BEFORE/src src [--rounds 5]

50,000 splats, 512 pixels, 3 channels, one thread, harmonics of degree 3 and of none; the loss is not timed. BEFORE is
another checkout, such as `git worktree add BEFORE dd4a082` makes.
"""

import argparse
import json
import statistics
import subprocess
import sys

ALONE = {"OMP_NUM_THREADS": "1", "NUMBA_NUM_THREADS": "1", "PATH": "/usr/bin:/bin"}
COUNTS = {0: 0, 3: 15}  # harmonics above the first, by degree
TIMED = """
import json, sys, time
from dataclasses import replace
import torch
from fewview.benchmarks.splatting import shell
from fewview.cameras import Cameras
from fewview.render.gaussians import Gaussians
from fewview.render.splatting import splat
torch.set_num_threads(1)
harmonics, size = int(sys.argv[1]), 512
generator = torch.Generator().manual_seed(0)
splats = shell(50_000, 3, generator=generator)
if harmonics:
    splats = replace(splats, harmonics=0.1 * torch.randn(len(splats), harmonics, 3, generator=generator))
eye, up = torch.tensor([[0.0, 0.5, -3.0]]), torch.tensor([0.0, 1, 0])
camera = Cameras.look_at(eye, torch.zeros(3), up, focal=1.2 * size, height=size, width=size)
weights, times = torch.rand(1, 3, size, size, generator=generator), []
for _ in range(8):
    leaves = {name: tensor.clone().requires_grad_() for name, tensor in splats.tensors().items()}
    start = time.process_time()
    render = splat(Gaussians(**leaves), camera, backend="numba")
    torch.autograd.backward([render.image, render.alpha], [weights, torch.ones_like(render.alpha)])
    times.append(time.process_time() - start)
print(json.dumps(sorted(times[2:])[3]))
"""


def milliseconds(source: str, degree: int) -> float:
    """Of one process, the median after two rounds to warm up."""
    command = [sys.executable, "-c", TIMED, str(COUNTS[degree])]
    done = subprocess.run(command, env=ALONE | {"PYTHONPATH": source}, capture_output=True, text=True, check=True)
    return 1000 * json.loads(done.stdout)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("before")
    parser.add_argument("after")
    parser.add_argument("--rounds", type=int, default=5)
    options = parser.parse_args()
    for degree in COUNTS:
        rounds = [[milliseconds(s, degree) for s in (options.before, options.after)] for _ in range(options.rounds)]
        before, after = (statistics.median(column) for column in zip(*rounds))
        print(f"degree {degree}: {before:.0f} ms before, {after:.0f} ms after, ratio {before / after:.2f}", flush=True)


if __name__ == "__main__":
    main()
