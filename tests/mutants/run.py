"""Mutants: equations of the package changed one at a time, each of which the test that is named beside it must notice.

    python tests/mutants/run.py [FIRST [END]]

`mutants.json` lists them: a file, the text that is changed (which stands in it once), what it becomes, and the tests.
All of these are run once as things are, which also loads what they need. Then each mutant gets a process of its own,
forked from this one, in which the functions of the file have the changed code; no file is touched. Survivors are told
at the end, and the exit code is their number. The list takes some minutes of one core, and is not part of the suite.
"""

import importlib
import json
import os
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from types import FunctionType, ModuleType
from typing import Any

import pytest
import torch

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


def passes(tests: list[str]) -> bool:
    """Whether tests pass, in this process."""
    nodes = [str(TESTS / test) for test in tests]
    return pytest.main(["-q", "-x", "--noconftest", "-p", "no:cacheprovider", *nodes], plugins=[Fixtures()]) == 0


def module_of(file: str) -> ModuleType:
    """The module of a file of the package."""
    return importlib.import_module("fewview." + file.removesuffix(".py").replace("/", ".").removesuffix(".__init__"))


def functions(names: dict[str, Any], module: str) -> Iterator[tuple[str, FunctionType]]:
    """The functions of a module and of its classes by their qualified names, whatever they are wrapped in."""
    for value in list(names.values()):
        members = list(vars(value).values()) if isinstance(value, type) and value.__module__ == module else [value]
        for member in members:
            member = getattr(member, "__func__", getattr(member, "fget", member))
            while hasattr(member, "__wrapped__"):
                member = member.__wrapped__
            if isinstance(member, FunctionType) and member.__module__ == module:
                yield member.__qualname__, member


def mutate(mutant: dict[str, Any]) -> None:
    """Functions of the file get the changed code in place, so that whoever imported them has it; constants too."""
    module = module_of(mutant["file"])
    assert module.__file__ is not None
    text = Path(module.__file__).read_text().replace(mutant["old"], mutant["new"])
    changed: dict[str, Any] = {
        "__name__": module.__name__,
        "__file__": module.__file__,
        "__package__": module.__package__,
    }
    exec(compile(text, module.__file__, "exec"), changed)
    ours = dict(functions(vars(module), module.__name__))
    for name, function in functions(changed, module.__name__):
        if name in ours and ours[name].__code__.co_freevars == function.__code__.co_freevars:
            ours[name].__code__ = function.__code__
            ours[name].__defaults__, ours[name].__kwdefaults__ = function.__defaults__, function.__kwdefaults__
    for name, value in changed.items():
        if isinstance(value, (int, float, str, tuple)) and not name.startswith("__"):
            setattr(module, name, value)


def killed(mutant: dict[str, Any]) -> bool:
    """Whether a mutant's tests fail in a child process."""
    sys.stdout.flush()
    child = os.fork()
    if child == 0:
        null = os.open(os.devnull, os.O_WRONLY)
        os.dup2(null, 1)
        os.dup2(null, 2)
        try:
            mutate(mutant)
        except BaseException:
            os._exit(3)  # a mutant that is no program proves nothing
        os._exit(0 if passes(mutant["tests"]) else 1)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 1


def main(first: int, end: int | None) -> int:
    """Number of survivors."""
    torch.set_num_threads(1)
    sys.path[:0] = [str(PACKAGE.parent), str(TESTS)]
    mutants = json.loads((Path(__file__).parent / "mutants.json").read_text())[first:end]
    for mutant in mutants:
        count = (PACKAGE / mutant["file"]).read_text().count(mutant["old"])
        if count != 1:
            raise SystemExit(f"{mutant['file']} holds {count} times, not once: {mutant['old']}")
    if not passes(list(dict.fromkeys(test for mutant in mutants for test in mutant["tests"]))):
        raise SystemExit("The tests fail without any mutant.")
    survivors = []
    for i, mutant in enumerate(mutants, first):
        began = time.monotonic()
        dead = killed(mutant)
        survivors += [] if dead else [i]
        word = "killed" if dead else "SURVIVED"
        print(f"{i} {word} {time.monotonic() - began:.1f} s {mutant['file']}: {mutant['new']}", flush=True)
    print(f"{len(mutants) - len(survivors)} of {len(mutants)} mutants killed; survivors: {survivors}")
    return len(survivors)


if __name__ == "__main__":
    bounds = [int(word) for word in sys.argv[1:3]]
    sys.exit(main(bounds[0] if bounds else 0, bounds[1] if len(bounds) > 1 else None))
