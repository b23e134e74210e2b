"""Draws docs/architecture.md from the code: layers from pyproject.toml, the tree from the modules' first sentences.

python docs/architecture.py          # writes the page; a test asks that it is fresh
"""

import ast
import re
import textwrap
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parents[1]
PAGE = ROOT / "docs" / "architecture.md"
HEAD = """# Architecture

Drawn from the code by `python docs/architecture.py`: what may import what, and every file in a line.
[design.md](design.md) says why, [conventions.md](conventions.md) what words and frames mean.

## Layers

A module imports only from layers below its own; those of one line do not import each other (`lint-imports` checks it).

"""


def layers() -> list[str]:
    """The lines of the import contract, top first."""
    text = (ROOT / "pyproject.toml").read_text()
    block = re.search(r"layers = \[\n(.*?)\n\]", text, re.S)
    assert block is not None, "pyproject.toml has no layers"
    return re.findall(r'"([^"]+)"', block[1])


def first_sentence(file: Path) -> str:
    """Of a module's docstring; its first line holds one, whatever the next begins with."""
    line = (ast.get_docstring(ast.parse(file.read_text())) or "").split("\n")[0]
    return re.split(r"(?<=[.!?]) (?=[A-Z`])", line)[0]


def tree(folder: Path, depth: int = 0) -> Iterator[str]:
    """A line for each folder, then its modules, in the order of the alphabet."""
    indent = "  " * depth
    yield f"{indent}* **{folder.name}/**: {first_sentence(folder / '__init__.py')}"
    for entry in sorted(folder.iterdir(), key=lambda path: (path.is_dir(), path.name)):
        if entry.is_dir() and (entry / "__init__.py").exists():
            yield from tree(entry, depth + 1)
        elif entry.suffix == ".py" and entry.name != "__init__.py":
            yield f"{indent}  * `{entry.name}`: {first_sentence(entry)}"


def wrapped(line: str) -> str:
    """The line, broken between words, with what follows indented as Markdown's lists want it."""
    lead = " " * (len(line) - len(line.lstrip()))
    whole = {"break_long_words": False, "break_on_hyphens": False}
    return textwrap.fill(line.lstrip(), 120, initial_indent=lead, subsequent_indent=f"{lead}  ", **whole)


def page() -> str:
    """The whole page."""
    stack = "\n".join(f"{i + 1}. `{line}`" for i, line in enumerate(layers()))
    listing = "\n".join(wrapped(line) for line in tree(ROOT / "src" / "fewview"))
    return f"{HEAD}{stack}\n\n## Tree\n\n{listing}\n"


if __name__ == "__main__":
    PAGE.write_text(page())
