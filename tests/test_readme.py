"""The README's program runs, its commands and files exist."""

import re
import shlex
from pathlib import Path

import pytest
import trimesh
import worlds

from fewview import cli
from fewview.pipeline import methods

ROOT = Path(__file__).parents[1]
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").glob("*.md"))]


def blocks(page: Path, language: str) -> list[str]:
    """Fenced blocks of a page."""
    return re.findall(rf"^```{language}\n(.*?)^```", page.read_text(), re.MULTILINE | re.DOTALL)


def commands() -> list[list[str]]:
    """The words of every line that starts with fewview, in all pages."""
    lines = [line for page in PAGES for block in blocks(page, "") for line in block.splitlines()]
    return [shlex.split(line, comments=True)[1:] for line in lines if line.startswith("fewview ")]


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


@pytest.mark.parametrize("words", commands(), ids=" ".join)
def test_commands_of_the_pages_are_understood(words):
    if words[0] == "train" and ":" in words[1]:
        return
    assert cli.parse(words) is not None


def test_make_targets_of_the_pages_exist():
    makefile = (ROOT / "Makefile").read_text()
    named = {target for page in PAGES for target in re.findall(r"`?\bmake ([a-z-]+)\b", page.read_text())}
    targets = set(re.findall(r"^([a-z-]+):", makefile, re.MULTILINE)) | {"install"}
    prose = {"a", "has", "with", "the", "it", "two"}
    assert {"demo", "test"} <= named and named - prose <= targets


def test_links_to_files_lead_somewhere():
    for page in PAGES:
        for target in re.findall(r"\]\(([^)#:]+)\)", page.read_text()):
            assert (page.parent / target).exists(), f"{page.name} links to {target}"
