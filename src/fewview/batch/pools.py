"""Who does the jobs: worker processes of this machine, or a Ray cluster. A worker that dies takes no job with it."""

import logging
import os
import selectors
import subprocess
import sys
from collections import deque
from collections.abc import Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from fewview.batch.jobs import Job
from fewview.batch.work import Outcome, work
from fewview.batch.worker import asked, heard
from fewview.errors import InputError, MissingPackage

AHEAD = 2  # jobs for each worker of a cluster that are handed in early
THREADS = ("OMP_NUM_THREADS", "NUMBA_NUM_THREADS")


@dataclass(frozen=True)
class Plan:
    """Where results go, what makes them (module:function), by how many workers, and how often a job may kill one."""

    out: Path
    make: str
    workers: int = 1
    tries: int = 3
    threads: int = 1  # of each worker
    gpu: bool = False


@dataclass(frozen=True)
class _Asked:
    """A job, and whether to wait for another batch that is at it."""

    job: Job
    wait: bool = False


def lost(job: Job, tries: int) -> Outcome:
    """The outcome of a job whose worker died each time."""
    return Outcome(job, "failed", sentence=f"Its worker died {tries} times, for want of memory perhaps.")


def in_processes(jobs: Iterable[Job], plan: Plan) -> Iterator[Outcome]:
    """Outcomes as they come, from processes of this machine, which end when this one does."""
    left, deaths = deque(_Asked(job) for job in jobs), {}
    with selectors.DefaultSelector() as ready:
        try:
            for _ in range(min(plan.workers, len(left))):
                _hire(ready, plan, left.popleft())
            while ready.get_map():
                for chosen, _ in ready.select():
                    process, job = chosen.data
                    outcome = _reply(process)
                    if outcome is None:
                        deaths[job] = deaths.get(job, 0) + 1
                        if deaths[job] < plan.tries:
                            left.appendleft(job)
                        else:
                            outcome = lost(job.job, plan.tries)
                    elif outcome.state == "busy":  # another batch makes it; we come back when nothing else is left
                        left.append(replace(job, wait=True))
                        outcome = None
                    _next(ready, chosen, plan, left=left)
                    if outcome is not None:
                        yield outcome
        finally:
            for chosen in list(ready.get_map().values()):
                _dismiss(chosen.data[0])


def _hire(ready: selectors.BaseSelector, plan: Plan, job: _Asked) -> None:
    """Starts a worker on a job."""
    environment = {**os.environ, **dict.fromkeys(THREADS, str(plan.threads))}
    process = subprocess.Popen(
        [sys.executable, "-m", "fewview.batch.worker"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env=environment,
    )
    assert process.stdout is not None
    _ask(process, plan, job)
    ready.register(process.stdout, selectors.EVENT_READ, (process, job))


def _next(ready: selectors.BaseSelector, chosen: selectors.SelectorKey, plan: Plan, *, left: deque[_Asked]) -> None:
    """Another job for a worker that is free, or for one in place of a dead one; nothing once there is none."""
    process = chosen.data[0]
    ready.unregister(chosen.fileobj)
    if process.poll() is not None or not left:
        _dismiss(process)
        if left:
            _hire(ready, plan, left.popleft())
        return
    job = left.popleft()
    _ask(process, plan, job)
    ready.register(chosen.fileobj, selectors.EVENT_READ, (process, job))


def _ask(process: "subprocess.Popen[str]", plan: Plan, job: _Asked) -> None:
    assert process.stdin is not None
    with suppress(BrokenPipeError):  # it died; its output, which has ended, tells
        process.stdin.write(asked(job.job, plan.out, plan.make, wait=job.wait))
        process.stdin.flush()


def _reply(process: "subprocess.Popen[str]") -> Outcome | None:
    """What a worker says; None where it died before the end of the line."""
    assert process.stdout is not None
    try:
        return heard(process.stdout.readline())
    except ValueError:
        process.kill()
        process.wait()
        return None


def _dismiss(process: "subprocess.Popen[str]") -> None:
    """Ends a worker: its input does."""
    assert process.stdin is not None and process.stdout is not None
    with suppress(BrokenPipeError):
        process.stdin.close()
    process.kill()
    process.wait()
    process.stdout.close()


def in_ray(jobs: Iterable[Job], plan: Plan, address: str | None = None) -> Iterator[Outcome]:
    """Outcomes as they come, from a cluster that is there, or from one of this machine that ends with this process.

    All machines must see the same inputs and `plan.out`. Ray tries a job again whose worker died.
    """
    try:
        import ray
        from ray.exceptions import RayError
    except ImportError:
        raise MissingPackage("Ray is not installed: pip install 'fewview[batch]', or --backend processes.") from None
    local: dict[str, Any] = {"num_cpus": plan.workers, "include_dashboard": False} if address is None else {}
    try:
        ray.init(address=address, log_to_driver=False, logging_level=logging.ERROR, **local)
    except Exception as error:  # it raises that very class where it does not start in time
        reason = " ".join(str(error).split())[:200]
        raise InputError(f"Ray did not start ({reason}); mend --address, or leave out --backend ray.") from None
    count = plan.workers if address is None else int(ray.cluster_resources().get("CPU", 1))
    wants: dict[str, Any] = {"num_cpus": 1, "num_gpus": int(plan.gpu), "max_retries": plan.tries - 1}
    remote = ray.remote(**wants)(work)
    left, running = deque(jobs), {}
    try:
        while left or running:
            while left and len(running) < AHEAD * count:
                job = left.popleft()
                running[remote.remote(job, plan.out, plan.make)] = job
            (done,), _ = ray.wait(list(running))
            job = running.pop(done)
            try:
                yield ray.get(done)
            except RayError:
                yield lost(job, plan.tries)
    finally:
        ray.shutdown()
