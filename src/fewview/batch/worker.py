"""`python -m fewview.batch.worker`: jobs come in as lines of JSON, outcomes go out; ends when the driver is gone."""

import json
import os
import queue
import signal
import sys
import threading
from dataclasses import asdict
from pathlib import Path
from typing import TextIO

from fewview.batch.jobs import Job
from fewview.batch.work import Outcome, work


def main() -> None:
    """Works off what comes, one job at a time."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # a Ctrl-C is the driver's, which then closes our input
    replies = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)  # what libraries print must not look like a reply
    lines: queue.SimpleQueue[str] = queue.SimpleQueue()
    threading.Thread(target=_listen, args=(sys.stdin, lines), daemon=True).start()
    while True:
        task = json.loads(lines.get())
        job = Job(task["name"], tuple(task["words"]))
        outcome = work(job, Path(task["out"]), task["make"], wait=task["wait"])
        replies.write(said(outcome))
        replies.flush()


def asked(job: Job, out: Path, make: str, *, wait: bool) -> str:
    """A job as a line."""
    return json.dumps({**asdict(job), "out": str(out), "make": make, "wait": wait}) + "\n"


def said(outcome: Outcome) -> str:
    """An outcome as a line."""
    return json.dumps(asdict(outcome)) + "\n"


def heard(line: str) -> Outcome:
    """The outcome of a line; ValueError for one that broke off."""
    data = json.loads(line)
    job = data.pop("job")
    return Outcome(Job(job["name"], tuple(job["words"])), **data)


def _listen(stream: TextIO, lines: "queue.SimpleQueue[str]") -> None:
    """Takes jobs in while one is done, and ends the process at once where no more can come."""
    for line in stream:
        lines.put(line)
    os._exit(0)


if __name__ == "__main__":
    main()
