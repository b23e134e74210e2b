"""The page of the tree is drawn from the code, and every module says what it is."""

import importlib.util
import runpy
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
MOVED = [
    ("fewview.data.demo", "fewview.synthetic.objects.demo"),
    ("fewview.data.synthetic", "fewview.synthetic.objects.build"),
]


def drawn():
    spec = importlib.util.spec_from_file_location("architecture", ROOT / "docs" / "architecture.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_every_module_says_in_a_sentence_what_it_is():
    module = drawn()
    said = {file: module.first_sentence(file) for file in (ROOT / "src").rglob("*.py")}
    assert [file for file, sentence in said.items() if not sentence] == []
    assert [file for file, sentence in said.items() if not sentence.endswith((".", "?", ")"))] == [], "on one line"


def test_the_page_is_what_the_code_draws():
    module = drawn()
    assert module.PAGE.read_text() == module.page(), "run: python docs/architecture.py"


def test_the_layers_name_every_module():
    named = {name.strip() for line in drawn().layers() for name in line.split("|")}
    package = ROOT / "src" / "fewview"
    found = {path.stem for path in package.glob("*.py")} | {path.parent.name for path in package.glob("*/__init__.py")}
    assert named == found - {"__init__"}


@pytest.mark.parametrize("old, new", MOVED)
def test_modules_that_moved_still_run_under_their_old_names(old, new, monkeypatch):
    told = []
    monkeypatch.setattr(f"{new}.main", told.append)
    monkeypatch.setattr("sys.argv", ["moved", "folder", "--tiny"])
    runpy.run_module(old, run_name="__main__")
    assert told == [["folder", "--tiny"]]
