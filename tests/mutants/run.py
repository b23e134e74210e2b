"""Mutants: equations of the package changed one at a time, each of which the test that is named beside it must notice.

    python tests/mutants/run.py [FIRST [END]]

`mutants.json` lists them: a file, the text that is changed (which stands in it once), what it becomes, and the tests.
Each is run on a copy of the sources, in a process of its own that shares torch with this one. Survivors are printed at
the end, and the exit code is their number. On a quiet core the whole list takes some minutes; it is not part of the
suite.
"""

import importlib
import json
import os
import shutil
import sys
import tempfile
import time
from pathlib import Path

import pytest
import torch

BEFORE_THE_FORK = (
    "numba",
    "jaxtyping",
    "einops",
    "safetensors.torch",
    "PIL.Image",
    "cv2",
    "tyro",
    "torch.optim",
    "torch._dynamo",
)

TESTS = Path(__file__).parents[1]
PACKAGE = TESTS.parent / "src" / "fewview"


class Fixtures:
    """What conftest.py of tests and of tests/ggs give, without checks of types, which take longer than the tests."""

    @pytest.fixture
    def generator(self) -> torch.Generator:
        return torch.Generator().manual_seed(0)

    @pytest.fixture
    def model(self):
        from ggs_rooms import MICRO, lively

        from fewview.ggs.model import GGS

        return lively(GGS(MICRO))

    @pytest.fixture
    def clip(self):
        from ggs_rooms import room

        return room()


def copied(root: Path) -> Path:
    """The package in a folder of its own; weights are linked."""
    shutil.copytree(
        PACKAGE, root / "fewview", ignore=lambda folder, names: ["weights"] if folder == str(PACKAGE) else []
    )
    (root / "fewview" / "weights").symlink_to(PACKAGE / "weights")
    return root / "fewview"


def passes(root: Path, tests: list[str]) -> bool:
    """Whether tests pass with the package of `root`, in a child process."""
    child = os.fork()
    if child == 0:
        null = os.open(os.devnull, os.O_WRONLY)
        os.dup2(null, 1)
        os.dup2(null, 2)
        torch.set_num_threads(1)
        sys.path[:0] = [str(root), str(TESTS)]
        nodes = [str(TESTS / test) for test in tests]
        os._exit(pytest.main(["-q", "-x", "--noconftest", "-p", "no:cacheprovider", *nodes], plugins=[Fixtures()]))
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0


def main(first: int, end: int | None) -> int:
    """Number of survivors."""
    for name in BEFORE_THE_FORK:
        importlib.import_module(name)
    mutants, survivors = json.loads((Path(__file__).parent / "mutants.json").read_text())[first:end], []
    with tempfile.TemporaryDirectory() as folder:
        package = copied(Path(folder))
        every = list(dict.fromkeys(test for mutant in mutants for test in mutant["tests"]))
        all_sound = passes(package.parent, every)
        print(f"{len(every)} tests pass without any: {all_sound}", flush=True)
        sound = {tuple(mutant["tests"]): True for mutant in mutants} if all_sound else {}
        for i, mutant in enumerate(mutants, first):
            path, began, tests = package / mutant["file"], time.monotonic(), tuple(mutant["tests"])
            text = path.read_text()
            if text.count(mutant["old"]) != 1:
                raise SystemExit(f"{mutant['file']} does not hold once: {mutant['old']}")
            if tests not in sound:
                sound[tests] = passes(package.parent, list(tests))
            path.write_text(text.replace(mutant["old"], mutant["new"]))
            killed = sound[tests] and not passes(package.parent, list(tests))
            path.write_text(text)
            word = "killed" if killed else "SURVIVED" if sound[tests] else "TEST FAILS ANYWAY"
            print(f"{i} {word} {time.monotonic() - began:.0f} s {mutant['file']}: {mutant['new']}", flush=True)
            if not killed:
                survivors.append(i)
    print(f"{len(mutants) - len(survivors)} of {len(mutants)} mutants killed; survivors: {survivors}")
    return len(survivors)


if __name__ == "__main__":
    bounds = [int(word) for word in sys.argv[1:3]]
    sys.exit(main(bounds[0] if bounds else 0, bounds[1] if len(bounds) > 1 else None))
