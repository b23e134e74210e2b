"""Threads for compiled kernels: as many as torch.set_num_threads asked for."""

from collections import deque
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import lru_cache
from itertools import pairwise

import numba
import torch

PIECES = 4  # a thread; more of them even out work that differs from place to place


def share(kernel: Callable[..., object], count: int, *arguments: object) -> None:
    """Run kernel(start, end, *arguments) over all of range(count), cut into pieces that threads take in turn.

    The kernel releases the GIL and treats each index by itself, so that results do not depend on the cuts. Numba's own
    parallel loops are not used because they bring a second OpenMP, whose idle threads spin against torch's.
    """
    threads = min(torch.get_num_threads(), count)
    if threads <= 1:
        kernel(0, count, *arguments)
        return
    cuts = [count * i // (PIECES * threads) for i in range(PIECES * threads + 1)]
    pieces = deque(pairwise(cuts))

    def work() -> None:
        while pieces:
            try:
                start, end = pieces.popleft()
            except IndexError:  # another thread was faster
                return
            if end > start:
                kernel(start, end, *arguments)

    helpers = [_pool(threads - 1).submit(work) for _ in range(threads - 1)]
    work()
    for helper in helpers:
        if not helper.cancel():
            helper.result()


@lru_cache
def _pool(threads: int) -> ThreadPoolExecutor:
    return ThreadPoolExecutor(threads, thread_name_prefix="fewview-kernel")


def follow_torch_threads() -> None:
    """Let numba's parallel loops use as many threads as torch.set_num_threads asked for."""
    numba.set_num_threads(max(1, min(torch.get_num_threads(), numba.config.NUMBA_NUM_THREADS)))  # pyright: ignore
