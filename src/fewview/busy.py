"""A machine that others use too: threads that wait without spinning, and no more of them than cores are free."""

import os
from pathlib import Path

WAIT = {
    "OMP_WAIT_POLICY": "PASSIVE",
    "GOMP_SPINCOUNT": "0",
    "KMP_BLOCKTIME": "0",
}  # OpenMP, GNU, LLVM
THREADS = ("OMP_NUM_THREADS", "NUMBA_NUM_THREADS")


def share_the_machine() -> int:
    """Sets how OpenMP and numba will use threads, before they are loaded; returns how many.

    What the user has set stays.
    A thread that spins while it waits takes a core from the very thread that it waits for, once there are more threads
    than free cores; teams then take many times as long. Process-wide, so for programs to call, not for the library: the
    `fewview` command does.
    """
    for name, value in WAIT.items():
        os.environ.setdefault(name, value)
    if "OMP_NUM_THREADS" not in os.environ:
        threads = str(free_threads(cores(), others()))
        for name in THREADS:
            os.environ.setdefault(name, threads)
    given = os.environ["OMP_NUM_THREADS"].partition(",")[0]
    return int(given) if given.isdecimal() else cores()


def free_threads(cores: int, others: float) -> int:
    """As many as cores that nobody else keeps busy, and at least one."""
    return min(cores, max(1, round(cores - others)))


def cores() -> int:
    """Those that this process may run on."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def others(loadavg: Path = Path("/proc/loadavg")) -> float:
    """Threads of others that compute: now, and on average over the last minute, whichever is less. 0 where unknown.

    The average alone would count what this user's last command did, the moment alone what only flickers.
    """
    try:
        average, _, _, now, *_ = loadavg.read_text().split()
        return max(0.0, min(float(average), float(now.partition("/")[0]) - 1))
    except (OSError, ValueError):
        return 0.0
