"""One switch for the number of threads: torch's."""

import numba
import torch


def follow_torch_threads() -> None:
    """Let numba's parallel loops use as many threads as torch.set_num_threads asked for."""
    numba.set_num_threads(max(1, min(torch.get_num_threads(), numba.config.NUMBA_NUM_THREADS)))
