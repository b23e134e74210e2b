"""A campaign against stopped runs: training, distillation, growth and batches, killed or refused space at any moment.

    python tests/campaigns/faults.py --kills 50 --refusals 24 --truncations 24

Each run is killed (SIGKILL) until it gets through, and must then have the result of an unbroken one, bit for bit, with
no more than one interval between checkpoints done again. Refused space is a limit on the size of files (EFBIG, as the
system says it; ENOSPC and EIO at the call that makes a file appear), and must end in an OSError or one sentence, with
a run that goes on afterwards. Truncated checkpoints must be refused in one sentence. It is no part of `make test`.
"""

import argparse
import errno
import hashlib
import os
import resource
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from random import Random

if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).parents[1]))
os.environ.setdefault("NUMBA_THREADING_LAYER", "workqueue")  # OpenMP ends processes that fork

import torch
from ggs.test_grow import MICRO, QUICK, model_of, task_of
from sparsefusion.test_distill import CONFIG as DISTILL
from sparsefusion.test_distill import Oracle, evidence, seeded
from test_training import CONFIG as TRAIN
from test_training import Line
from torch import Tensor

from fewview import files
from fewview.errors import InputError
from fewview.ggs.grow import grow
from fewview.sparsefusion.distill import distill
from fewview.states import StateFile, StepFolder
from fewview.training import train

Step = Callable[[int], None]


@dataclass(frozen=True)
class Job:
    """What is run in a folder and tells its steps; `interval` steps may be done twice after a kill."""

    run: Callable[[Path, Step], dict[str, Tensor]]
    interval: int


def training(folder: Path, step: Step) -> dict[str, Tensor]:
    config = replace(TRAIN, steps=60, save_every=5, validate_every=30)
    return train(Line(), config, folder / "run", progress=lambda n, _: step(n)).state_dict()


def distilling(folder: Path, step: Step) -> dict[str, Tensor]:
    config = replace(DISTILL, steps=10, bootstrap_steps=2, reuse=3, save_every=2)
    told = lambda n, _: step(n)
    found = distill(Oracle(), photos(), config, generator=seeded(), progress=told, keeper=StepFolder(folder / "run"))
    return found.state_dict()


photos = cache(evidence)  # of all children, which find it made


def growing(folder: Path, step: Step) -> dict[str, Tensor]:
    """A chunk is an interval: three of them, of steps that are told as shares."""
    found = grow(
        model_of(replace(MICRO, scene=True)),
        task_of(),
        replace(QUICK, steps=4),
        progress=lambda _, share: step(round(12 * share)),
        keeper=StateFile(folder / "run" / "grown.safetensors"),
    )
    return {"images": found.images, **found.scene.tensors()}


JOBS = {"train": Job(training, 5), "distil": Job(distilling, 2), "grow": Job(growing, 4)}


def warm() -> None:
    """Kernels are compiled once, for all children."""
    for job in JOBS.values():
        with tempfile.TemporaryDirectory() as folder:
            job.run(Path(folder), lambda step: None)


def digest(tensors: dict[str, Tensor]) -> str:
    whole = hashlib.sha256()
    for name in sorted(tensors):
        whole.update(name.encode() + tensors[name].detach().contiguous().numpy().tobytes())
    return whole.hexdigest()


@dataclass
class Attempt:
    """How a child ended: the digest of its result or what it said instead, and the steps that it told."""

    steps: list[int]
    result: str
    error: str
    seconds: float


def attempt(job: Job, folder: Path, seconds: float = 1e9, before: Callable[[], object] = lambda: None) -> Attempt:
    """A run in a process of its own, which is killed after so many seconds."""
    read, write = os.pipe()
    start = time.monotonic()
    child = os.fork()
    if child == 0:
        os.close(read)
        os.setpgid(0, 0)

        def tell(text: object) -> None:
            os.write(write, f"{text}\n".encode())

        try:
            before()
            tell(f"= {digest(job.run(folder, tell))}")
        except (InputError, OSError) as error:
            tell(f"! {type(error).__name__}: {' '.join(str(error).split())}")
        except BaseException as error:
            tell(f"? {type(error).__name__}: {' '.join(str(error).split())}")
        finally:
            os._exit(0)
    os.close(write)
    os.set_blocking(read, False)
    text = b""
    while True:
        try:
            piece = os.read(read, 2**16)
            if not piece:
                break
            text += piece
        except BlockingIOError:
            time.sleep(0.002)
        if time.monotonic() - start > seconds:
            os.kill(child, signal.SIGKILL)
            seconds = 1e9
    os.close(read)
    os.waitpid(child, 0)
    lines = text.decode().splitlines()
    of = lambda mark: next((line[2:] for line in lines if line.startswith(mark)), "")
    steps = [int(line) for line in lines if line.isdecimal()]
    return Attempt(steps, of("= "), of("! ") or of("? "), time.monotonic() - start)


def killed(name: str, kills: int, draw: Random) -> tuple[int, list[str]]:
    """How many kills there were, and what was wrong."""
    job, done, wrong = JOBS[name], 0, []
    with tempfile.TemporaryDirectory() as folder:
        whole = attempt(job, Path(folder))
    while done < kills:
        with tempfile.TemporaryDirectory() as folder:
            last = 0
            for _ in range(50):
                left = draw.uniform(0.02, 0.6) * whole.seconds if done < kills else 1e9
                found = attempt(job, Path(folder), left)
                if found.steps and found.steps[0] < last - job.interval:
                    wrong.append(f"{name}: step {found.steps[0]} after {last}")
                last = max([last, *found.steps])
                if found.result or found.error:
                    break
                done += 1
            if found.result != whole.result:
                wrong.append(f"{name}: {found.error or 'another result than that of an unbroken run'}")
    return done, wrong


def killed_batches(kills: int, draw: Random) -> tuple[int, list[str]]:
    """Drivers of `fewview batch` killed; every capture is made in the end, and none by halves."""
    here, done, wrong = Path(__file__).parents[1] / "batch", 0, []
    more = {"PYTHONPATH": os.pathsep.join([str(here), *filter(None, sys.path)]), "STUB_SECONDS": "0.05"}
    while done < kills:
        with tempfile.TemporaryDirectory() as name:
            root, out = Path(name) / "in", Path(name) / "out"
            for i in range(60):
                (root / f"{i:02d}").mkdir(parents=True)
                (root / f"{i:02d}" / "number.txt").write_text(str(i))
            words = [sys.executable, "-m", "fewview", "batch", str(root), "-o", str(out), "--make", "stub:make"]
            for _ in range(40):
                driver = subprocess.Popen(
                    [*words, "--workers", "2", "--tries", "99"],
                    env=os.environ | more, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True,
                )  # fmt: skip
                try:
                    driver.wait(draw.uniform(0.3, 4) if done < kills else None)
                    break
                except subprocess.TimeoutExpired:
                    os.killpg(driver.pid, signal.SIGKILL)
                    driver.wait()
                    done += 1
            squares = sorted(int(path.read_text()) for path in out.glob("*/square.txt"))
            if squares != [i * i for i in range(60)]:
                wrong.append(f"batch: {len(squares)} of 60 captures made")
    return done, wrong


def refusing(code: int, after: int) -> Callable[[], object]:
    """Before a run: from the file number `after` on, the system refuses to make files appear, or to let them grow."""

    def limit() -> None:
        if code == errno.EFBIG:
            signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
            resource.setrlimit(resource.RLIMIT_FSIZE, (after * 64, resource.RLIM_INFINITY))
            return
        count, replace_ = [0], os.replace

        def refuse(*places: object, **more: object) -> None:
            count[0] += 1
            if count[0] > after:
                raise OSError(code, os.strerror(code), str(places[0]))
            replace_(*places, **more)  # type: ignore[arg-type]

        files.os.replace = refuse

    return limit


def refused(name: str, refusals: int, draw: Random) -> tuple[int, list[str]]:
    """A run that the system refuses space ends in a sentence, and goes on to the result of an unbroken one."""
    job, wrong = JOBS[name], []
    with tempfile.TemporaryDirectory() as folder:
        whole = attempt(job, Path(folder))
    for i in range(refusals):
        with tempfile.TemporaryDirectory() as folder:
            code = (errno.ENOSPC, errno.EIO, errno.EFBIG)[i % 3]
            found = attempt(job, Path(folder), before=refusing(code, draw.randrange(9)))
            if not found.result and not found.error.startswith(("OSError", "InputError")):
                wrong.append(f"{name}, {errno.errorcode[code]}: {found.error or 'ended without a word'}")
            left = [path.name for path in Path(folder).rglob("*") if path.name.endswith((".tmp", ".part"))]
            again = attempt(job, Path(folder))
            if again.result != whole.result:
                wrong.append(f"{name}, {errno.errorcode[code]}: then {again.error or 'another result'}; left {left}")
    return refusals, wrong


def truncated(name: str, times: int, draw: Random) -> tuple[int, list[str]]:
    """A run whose last state is cut somewhere is refused in a sentence, or gets the result of an unbroken one."""
    job, wrong = JOBS[name], []
    with tempfile.TemporaryDirectory() as folder:
        whole = attempt(job, Path(folder))
    for _ in range(times):
        with tempfile.TemporaryDirectory() as folder:
            attempt(job, Path(folder), 0.5 * whole.seconds)
            found = [path for path in sorted(Path(folder).rglob("*")) if path.is_file() and path.stat().st_size]
            kept = [path for path in found if path.suffix in (".safetensors", ".json")]
            if not kept:
                continue
            path = draw.choice(kept)
            path.write_bytes(path.read_bytes()[: draw.randrange(path.stat().st_size)])
            again = attempt(job, Path(folder))
            if again.result != whole.result and not again.error.startswith("InputError"):
                wrong.append(f"{name}: {path.name} cut: {again.error or 'another result'}")
    return times, wrong


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--kills", type=int, default=50, help="of all four together")
    parser.add_argument("--refusals", type=int, default=24, help="of the three that keep states")
    parser.add_argument("--truncations", type=int, default=24, help="of the same")
    parser.add_argument("--seed", type=int, default=0)
    given = parser.parse_args()
    torch.set_num_threads(1)
    warm()
    draw, wrong = Random(given.seed), []
    shares = [given.kills // 4 + (i < given.kills % 4) for i in range(4)]
    for what, number, run in (
        *((f"kills of {n}", share, lambda k, n=n: killed(n, k, draw)) for n, share in zip(JOBS, shares)),
        ("kills of batch", shares[3], lambda k: killed_batches(k, draw)),
        *((f"refusals of {n}", given.refusals // 3, lambda k, n=n: refused(n, k, draw)) for n in JOBS),
        *((f"truncations of {n}", given.truncations // 3, lambda k, n=n: truncated(n, k, draw)) for n in JOBS),
    ):
        start = time.monotonic()
        done, found = run(number)
        print(f"{what}: {done}, {len(found)} wrong, {time.monotonic() - start:.0f} s", *found, sep="\n  ", flush=True)
        wrong += found
    print(f"{len(wrong)} wrong")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
