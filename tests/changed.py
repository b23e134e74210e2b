"""Prints the tests of what differs from a commit (HEAD unless named): `make quick` runs them.

A changed module `src/fewview/a/b.py` stands for those of tests/a (and tests/test_a.py) that import it and the test
that test_rules.py names for it, a changed test for itself, a helper for the tests that import it.
"""

import re
import subprocess
import sys
from pathlib import Path

from test_rules import TESTED_BY, imports, mirrored

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
    module = ".".join(parts[1:-1] if file.stem == "__init__" else (*parts[1:-1], file.stem))
    named = TESTED_BY.get(module.removeprefix("fewview."))
    near = {test for test in mirrored(module) if module in imports(test)}
    return near | ({TESTS / named} if named else set())


def main() -> None:
    """A path a line; without any change, the rules alone."""
    base = sys.argv[1] if len(sys.argv) > 1 else "HEAD"
    found = {test for file in changed(base) for test in tests_of(file)}
    print(*sorted(str(test) for test in {*found, *(TESTS / name for name in ALWAYS)} if test.exists()), sep="\n")


if __name__ == "__main__":
    main()
