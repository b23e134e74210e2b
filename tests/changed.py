"""Prints the tests of what differs from a commit (HEAD unless named): `make quick` runs them.

A changed module `src/fewview/a/b.py` stands for tests/a (or tests/test_a.py) and the test that test_rules.py
names for it, a changed test for itself, a helper for the tests that import it.
"""

import re
import subprocess
import sys
from pathlib import Path

from test_rules import TESTED_BY

TESTS = Path(__file__).parent
ALWAYS = ("test_architecture.py", "test_rules.py")


def changed(base: str) -> list[Path]:
    """Files that git says differ, and new ones."""
    run = lambda *words: subprocess.run(["git", *words], capture_output=True, text=True, check=True).stdout.splitlines()
    return [Path(line) for line in (*run("diff", "--name-only", base), *run("ls-files", "-o", "--exclude-standard"))]


def helped(file: Path) -> set[Path]:
    """Tests that import a changed helper; of tests/worlds.py, most."""
    word = re.compile(rf"^\s*(import|from)\b.*\b{file.stem}\b", re.M)
    return {test for test in TESTS.rglob("test_*.py") if word.search(test.read_text())}


def tests_of(file: Path) -> set[Path]:
    """Tests that stand for a file; none for what no test is about."""
    parts = file.parts
    if parts[0] == "tests":
        return {TESTS.parent / file} if file.name.startswith("test_") else helped(file)
    if parts[0] in ("docs", "examples", "papers") or file.suffix == ".md":
        return {TESTS / f"test_{'examples' if parts[0] == 'examples' else 'docs'}.py"}
    if parts[:2] != ("src", "fewview"):
        return set()
    folders = {"commands": ["test_cli.py", "test_commands.py"], "pipeline": ["test_pipeline.py", "test_formats.py"]}
    names = folders.get(parts[2], [parts[2], f"test_{Path(parts[2]).stem}.py"])
    named = TESTED_BY.get(".".join(file.with_suffix("").parts[2:]).removesuffix(".__init__"))
    return {TESTS / name for name in [*names, *([named] if named else [])]}


def main() -> None:
    """A path a line; without any change, the rules alone."""
    base = sys.argv[1] if len(sys.argv) > 1 else "HEAD"
    found = {test for file in changed(base) for test in tests_of(file)}
    print(*sorted(str(test) for test in {*found, *(TESTS / name for name in ALWAYS)} if test.exists()), sep="\n")


if __name__ == "__main__":
    main()
