"""Every annotated shape and type of the package is checked while the tests run."""

import os

os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("NUMBA_NUM_THREADS", "1")

import pytest
import torch
from jaxtyping import install_import_hook

torch.set_num_threads(1)
install_import_hook("fewview", "typecheck.checked")

from fewview.allocator import keep_freed_memory  # noqa: E402

keep_freed_memory()


@pytest.fixture
def generator() -> torch.Generator:
    return torch.Generator().manual_seed(0)
