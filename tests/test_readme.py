"""The README's first screen is short and its program runs; test_docs.py looks at all pages."""

import re
from pathlib import Path

import trimesh
import worlds

from fewview.pipeline import methods

ROOT = Path(__file__).parents[1]
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").glob("*.md"))]


def blocks(page: Path, language: str) -> list[str]:
    """Fenced blocks of a page; a closing fence is never taken for an opening one."""
    found = re.findall(r"^( *)```(\w*)\n(.*?)^ *```$", page.read_text(), re.MULTILINE | re.DOTALL)
    return [re.sub(rf"^{indent}", "", text, flags=re.MULTILINE) for indent, name, text in found if name == language]


def test_the_first_screen_is_short():
    text = (ROOT / "README.md").read_text()
    (program,) = blocks(ROOT / "README.md", "python")
    assert len([line for line in program.splitlines() if line]) <= 6
    assert text.index(program) < 1200


def test_the_program_runs(tmp_path, monkeypatch):
    folder = tmp_path / "examples" / "demo_input"
    cameras = worlds.photograph(worlds.ring(3, size=16))
    worlds.write_transforms(folder, cameras)
    made = methods.SparseFusion(worlds.smallest_model(), worlds.quick())
    monkeypatch.setattr(methods.SparseFusion, "from_pretrained", classmethod(lambda cls, source: made))
    worlds.quick_exports(monkeypatch)
    monkeypatch.chdir(tmp_path)
    (program,) = blocks(ROOT / "README.md", "python")
    names: dict = {}
    exec(program, names)
    assert names["images"].shape[:2] == (24, 3)
    assert trimesh.load(tmp_path / "out" / "cup.glb").geometry  # type: ignore[union-attr]


def test_make_targets_of_the_pages_exist():
    makefile = (ROOT / "Makefile").read_text()
    named = {target for page in PAGES for target in re.findall(r"`?\bmake ([a-z-]+)\b", page.read_text())}
    targets = set(re.findall(r"^([a-z-]+):", makefile, re.MULTILINE)) | {"install"}
    prose = {"a", "package", "has", "with", "the", "it", "two", "rooms"}
    assert {"demo", "test"} <= named and named - prose <= targets
