"""The rules of CONTRIBUTING.md that a machine can check; what breaks one is listed here, with the reason."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PACKAGE = ROOT / "src" / "fewview"
LINES, FUNCTION, PARAMETERS = 400, 60, 7
EXCUSED = {  # more lines or parameters than the rule, and why
    "synthetic/shapes/figures.py:hydrant": "part after part of one shape; its bits are those of the training set",
    "synthetic/shapes/seating.py:_chair_back": "part after part of one shape; its bits are those of the training set",
    "recipes/ggs/stages.py:run_stage": "the options of `fewview train`, one for one",
    "recipes/sparsefusion/stages.py:run_stage": "the options of `fewview train`, one for one",
    "ggs/grow.py:sample": "what a sampler takes, and the scene so far",
}
MATH = ("geometry", "diffusion", "nn", "render", "sparsefusion", "ggs", "cameras.py", "views.py", "priors.py")
OF_FILES = {"io", "os", "pickle", "shutil", "tempfile", "zipfile"}  # modules; fewview.checkpoint keeps states
UNSEEN = {  # modules that no test imports: what runs them instead
    "commands/bench.py": "tests/test_commands.py",
    "commands/console.py": "tests/test_cli.py",
    "commands/data.py": "tests/test_commands.py",
    "commands/evaluate.py": "tests/test_commands.py",
    "commands/generate.py": "tests/test_generate.py",
    "commands/inspect.py": "tests/test_inspect.py",
    "commands/look.py": "tests/test_commands.py",
    "commands/methods.py": "tests/test_commands.py",
    "commands/train.py": "tests/test_docs.py",
    "commands/view.py": "tests/viewer/test_server.py",
}


def sources() -> list[Path]:
    return sorted(PACKAGE.rglob("*.py"))


def functions(file: Path) -> Iterator[ast.FunctionDef | ast.AsyncFunctionDef]:
    for node in ast.walk(ast.parse(file.read_text())):
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
            yield node


def compiled(function: ast.FunctionDef | ast.AsyncFunctionDef) -> bool:
    """Kernels of numba: arrays are their parameters, for there is nothing to pack them in."""
    return any("njit" in ast.unparse(decorator) for decorator in function.decorator_list)


def test_files_have_at_most_400_lines():
    files = [file for folder in ("src", "tests", "examples", "papers") for file in (ROOT / folder).rglob("*.py")]
    assert [str(file) for file in files if len(file.read_text().splitlines()) > LINES] == []


def test_functions_have_at_most_60_lines_and_7_parameters():
    over = set()
    for file in sources():
        for f in functions(file):
            names = [
                a.arg for a in (*f.args.posonlyargs, *f.args.args, *f.args.kwonlyargs) if a.arg not in ("self", "cls")
            ]
            long = (f.end_lineno or f.lineno) - f.lineno + 1 > FUNCTION
            if long or (len(names) > PARAMETERS and not compiled(f)):
                over.add(f"{file.relative_to(PACKAGE)}:{f.name}")
    assert over == set(EXCUSED)


@pytest.mark.parametrize("part", MATH)
def test_the_math_opens_no_files(part):
    """What it keeps of a stopped run, and its weights, go through fewview.checkpoint."""
    path = PACKAGE / part
    for file in [path] if path.is_file() else sorted(path.rglob("*.py")):
        for node in ast.walk(ast.parse(file.read_text())):
            if isinstance(node, (ast.Import, ast.ImportFrom)):
                names = {a.name for a in node.names} if isinstance(node, ast.Import) else {node.module}
                assert not names & OF_FILES, f"{file}: {names}"
            called = node.func if isinstance(node, ast.Call) else None
            words = {"open", "read_bytes", "read_text", "write_bytes", "write_text", "unlink", "mkdir"}
            name = (
                called.id if isinstance(called, ast.Name) else called.attr if isinstance(called, ast.Attribute) else ""
            )
            assert name not in words, f"{file}, line {getattr(node, 'lineno', 0)}: {name}"


def imported_by_tests() -> set[str]:
    found = set()
    for file in [*(ROOT / "tests").rglob("*.py"), *(ROOT / "examples").rglob("*.py")]:
        for node in ast.walk(ast.parse(file.read_text())):
            if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("fewview"):
                found |= {node.module or ""} | {f"{node.module}.{alias.name}" for alias in node.names}
            elif isinstance(node, ast.Import):
                found |= {alias.name for alias in node.names}
            elif isinstance(node, ast.Constant) and isinstance(node.value, str) and node.value.startswith("fewview."):
                found |= {node.value.rsplit(".", i)[0] for i in range(3)}  # what monkeypatch names
    return found


def used_within(modules: set[str]) -> set[str]:
    """Modules that those import, and so on: what a test of one runs."""
    todo, seen = list(modules), set()
    while todo:
        name = todo.pop()
        file = PACKAGE.parent / (name.replace(".", "/") + ".py")
        file = file if file.exists() else file.with_suffix("") / "__init__.py"
        if name in seen or not file.exists():
            continue
        seen.add(name)
        for node in ast.walk(ast.parse(file.read_text())):
            if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("fewview"):
                todo += [node.module or "", *(f"{node.module}.{alias.name}" for alias in node.names)]
    return seen


def test_every_module_is_run_by_a_test():
    """Most are imported by one; commands are run by their names, as UNSEEN says."""
    seen = used_within(imported_by_tests())
    named = {file: ".".join(file.relative_to(PACKAGE.parent).with_suffix("").parts) for file in sources()}
    missing = {
        str(file.relative_to(PACKAGE))
        for file, name in named.items()
        if file.stem != "__init__" and name not in seen and f"fewview.{file.parent.name}" != "fewview.data"
    }
    assert missing <= set(UNSEEN)
    assert all((ROOT / test).exists() for test in UNSEEN.values())


def prose() -> list[Path]:
    """What people read, except what tables of results print."""
    found = [ROOT / name for name in ("README.md", "CONTRIBUTING.md", "CHANGELOG.md")]
    return [*found, *(ROOT / "docs").glob("*.md"), *(ROOT / "findings").glob("*"), *PACKAGE.glob("weights/*/README.md")]


def test_no_line_of_prose_is_longer_than_120_characters():
    """Code blocks and tables aside, which do not break."""
    long = []
    for file in prose():
        code = False
        for i, line in enumerate(file.read_text().splitlines(), 1):
            code ^= line.lstrip().startswith("```")
            if len(line) > 120 and not code and not line.startswith("|"):
                long.append(f"{file.relative_to(ROOT)}, line {i}")
    assert long == []
