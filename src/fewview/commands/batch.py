"""`fewview batch`: many captures, each made once, by several workers or a Ray cluster."""

import os
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, ClassVar, Literal

from tyro.conf import Positional, arg

from fewview.commands.console import counted, duration, say
from fewview.commands.targets import check_folder
from fewview.errors import InputError

if TYPE_CHECKING:
    from fewview.batch.jobs import Job
    from fewview.batch.pools import Plan
    from fewview.batch.work import Outcome

INDEX_SECONDS = 10  # between two writings of the page of results


@dataclass(frozen=True)
class Batch:
    """Reconstruct many captures, also evaluate and build data; what is there already is not made again."""

    source: Annotated[Positional[Path], arg(metavar="FOLDER|LIST")]
    """A folder with a folder of photos, or a video, for each capture; or a text file with an input a line, and perhaps
    options after it. A line may also be a whole command: reconstruct, evaluate, data build or data rooms."""
    out: Annotated[Path, arg(aliases=["-o"], metavar="OUT")]
    """Folder for a folder of results of each capture, named by its content and settings, and index.html of all."""
    options: Annotated[str, arg(metavar="'--preset fast'")] = ""
    """Options that every line is given."""
    workers: Annotated[int | None, arg(metavar="N")] = None
    """Captures at a time; one for each core unless given, each with one thread."""
    threads: Annotated[int, arg(metavar="N")] = 1
    """Threads of each worker."""
    backend: Literal["processes", "ray"] = "processes"
    """Worker processes of this machine, or Ray (needs fewview[batch])."""
    address: Annotated[str | None, arg(metavar="ADDRESS")] = None
    """A Ray cluster that is there, `auto` for the one of this machine; its machines must share the files."""
    tries: Annotated[int, arg(metavar="N")] = 3
    """How often a capture is tried whose worker dies."""
    make: Annotated[str, arg(metavar="MODULE:FUNCTION")] = "fewview.cli:run_words"
    """What does a line: a function of its words, the last two of which are -o and a folder that it makes."""

    interrupted: ClassVar[str] = "the same command goes on with the captures that are missing"

    def run(self) -> None:
        from fewview.batch.index import summary, write_index
        from fewview.batch.jobs import jobs_of

        if min(1 if self.workers is None else self.workers, self.threads, self.tries) < 1:
            raise InputError("--workers, --threads and --tries must be at least 1.")
        if self.address is not None and self.backend != "ray":
            raise InputError("--address names a Ray cluster; add --backend ray.")
        check_folder(self.out)
        jobs = jobs_of(self.source, self.options)
        outcomes: list[Outcome] = []
        start = written = time.monotonic()
        with counted("captures", len(jobs)) as tell:
            for outcome in self.outcomes(jobs):
                outcomes.append(outcome)
                if outcome.sentence:
                    say(f"{outcome.job.source}: {outcome.state}. {outcome.sentence}")
                tell(len(outcomes), f"({summary(outcomes)}; {_rate(outcomes, time.monotonic() - start)})")
                if time.monotonic() - written > INDEX_SECONDS:
                    write_index(self.out, outcomes, len(jobs))
                    written = time.monotonic()
        write_index(self.out, outcomes, len(jobs))
        say(f"{len(jobs)} captures: {summary(outcomes)}. Took {duration(time.monotonic() - start)}.")
        say(f"The results are in {self.out}: open {self.out / 'index.html'} first.")
        if any(outcome.state in ("refused", "failed") for outcome in outcomes):
            raise SystemExit(1)

    def outcomes(self, jobs: "list[Job]") -> "Iterator[Outcome]":
        """From the workers, in the order in which they come."""
        from fewview.batch.pools import in_processes, in_ray

        if self.backend == "ray":
            return in_ray(jobs, self.plan(), self.address)
        return in_processes(jobs, self.plan())

    def plan(self) -> "Plan":
        """The options, as the workers need them."""
        from fewview.batch.pools import Plan

        workers = self.workers or max(1, (os.cpu_count() or 1) // self.threads)
        gpu = "--device cuda" in self.options
        return Plan(self.out.resolve(), self.make, workers, self.tries, self.threads, gpu)


def _rate(outcomes: "list[Outcome]", seconds: float) -> str:
    made = sum(outcome.state == "made" for outcome in outcomes)
    return f"{60 * made / max(seconds, 1e-3):.3g} a minute"
