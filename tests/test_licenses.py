"""`fewview licenses` names everything that is installed or shipped, with the licence that it states itself."""

import json
import re
from importlib.metadata import distribution
from pathlib import Path

import pytest

from fewview import cli
from fewview.commands import licenses
from fewview.commands.licenses import BUNDLED, card_licence, carried, extras, packages, stated, terms

ROOT = Path(__file__).parents[1]


@pytest.fixture(scope="module")
def listed() -> dict[str, licenses.Entry]:
    return {entry.name.lower(): entry for entry in packages(distribution("fewview"))}


@pytest.fixture
def install(tmp_path, monkeypatch):
    """Makes a package with the given metadata lines and files, found as if it had been installed."""
    monkeypatch.syspath_prepend(str(tmp_path))

    def make(name: str, *lines: str, files: tuple[str, ...] = ()):
        folder = tmp_path / f"{name}-1.dist-info"
        folder.mkdir()
        folder.joinpath("METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 1\n" + "\n".join(lines))
        folder.joinpath("RECORD").write_text("".join(f"{file},,\n" for file in files))
        return distribution(name)

    return make


def required_names() -> set[str]:
    """Of dependencies and of every extra, read from pyproject.toml as text (tomllib is newer than Python 3.10)."""
    text = (ROOT / "pyproject.toml").read_text()
    lists = text[text.index("dependencies = [") : text.index("[project.scripts]")]
    return {re.match(r"[\w.-]+", word)[0].lower() for word in re.findall(r'"([^"]+)"', lists)}  # type: ignore[index]


def test_every_requirement_of_the_project_is_listed(listed):
    assert {"torch", "numba", "viser", "ruff"} <= required_names()
    assert required_names() - set(listed) == set()


def test_what_requirements_require_is_listed_with_who_asks_for_it(listed):
    assert listed["llvmlite"].purpose == "for numba"
    assert "core" in listed["torch"].purpose and listed["ruff"].purpose == "extra dev"
    assert listed["fewview"].licence == "Apache-2.0"


def test_a_package_without_a_licence_says_so(install):
    assert stated(install("bare")) == stated(install("unknown", "License: UNKNOWN")) == "not stated"


@pytest.mark.parametrize(
    ("lines", "expected"),
    [
        (["License-Expression: MIT", "License: BSD"], "MIT"),
        (["License: BSD-2-Clause", "Classifier: License :: OSI Approved :: BSD License"], "BSD-2-Clause"),
        (["Classifier: License :: OSI Approved", "Classifier: License :: OSI Approved :: MIT License"], "MIT License"),
        (
            ["License: The Long Licence\n        " + "of many words " * 30, "Classifier: Topic :: Games"],
            "The Long Licence",
        ),
    ],
)
def test_the_shortest_name_that_a_package_gives_its_licence_is_taken(install, lines, expected):
    assert stated(install("named", *lines)).startswith(expected)
    assert len(stated(distribution("named"))) <= licenses.CUT


def test_extras_follow_markers_and_chains_end(install):
    install("leaf", "Requires-Dist: root", "Provides-Extra: more", 'Requires-Dist: nowhere; extra == "more"')
    root = install(
        "root",
        "Requires-Dist: leaf[more]",
        'Requires-Dist: elsewhere; sys_platform == "amiga"',
        "Provides-Extra: art",
        'Requires-Dist: absent>=2; extra == "art"',
    )
    found = {entry.name: entry for entry in packages(root)}
    assert set(found) == {"root", "leaf", "absent", "nowhere"}
    assert found["absent"].version == found["nowhere"].version == "not installed"
    assert (found["absent"].purpose, found["nowhere"].purpose) == ("extra art", "for leaf")
    assert extras(root) == {"art": ["absent"]}


@pytest.mark.parametrize(
    ("licence", "note"),
    [
        ("MIT AND BSD-3-Clause", ""),
        ("GNU General Public License v3 or later (GPLv3+)", "copyleft (GPL)"),
        ("GNU Lesser General Public License v3 (LGPLv3)", "weak copyleft (LGPL)"),
        ("GNU Affero General Public License v3", "copyleft (AGPL)"),
        ("MIT OR GPL-2.0-only", ""),
        ("BSD-3-Clause AND GPL-3.0-or-later WITH GCC-exception-3.1", ""),
        ("MPL-2.0 AND MIT", "weak copyleft (MPL)"),
        ("CC BY-NC 4.0", "non-commercial"),
        ("CC-BY-4.0", "name the author"),
        ("CC0 1.0", ""),
    ],
)
def test_licences_that_ask_for_more_are_flagged(licence, note):
    assert terms(licence) == note


def test_copyleft_libraries_in_a_wheel_are_found_by_their_files(install):
    files = ("codec.libs/libx264-d6533a8d.so.165", "codec.libs/libavcodec.62.dylib", "codec/x265.py", "codec/libx.so")
    assert carried(install("codec", "License: BSD", files=files)) == ["x264", "avcodec"]
    assert all(terms(licence) for licence in BUNDLED.values())


def test_shipped_weights_have_the_licence_of_their_cards():
    entries = licenses.weights()
    assert [entry.name for entry in entries] == sorted(
        path.parent.name for path in licenses.WEIGHTS.glob("*/config.json")
    )
    for entry in entries:
        assert f"\nlicense: {entry.licence}\n" in (licenses.WEIGHTS / entry.name / "README.md").read_text()


def test_every_folder_of_bundled_photos_states_a_licence():
    assert {entry.licence for entry in licenses.bundled_data()} == {"CC0 1.0"}


@pytest.mark.parametrize(
    ("card", "expected"),
    [
        ("---\nname: a\nlicense: cc-by-4.0\n---\n# A\nLicence: MIT.\n", "cc-by-4.0"),
        ("# A\n\n* **Licence**: Apache-2.0, as the code.\n", "Apache-2.0"),
        ("# A\n\nMade by us. Licence: CC0 1.0 (public domain).\n", "CC0 1.0"),
        ("# A\n\nNothing about it.\n", "not stated"),
    ],
)
def test_cards_are_read_by_front_matter_or_by_their_words(tmp_path, card, expected):
    (tmp_path / "README.md").write_text(card)
    assert card_licence(tmp_path / "README.md") == expected
    assert card_licence(tmp_path / "none.md") == "not stated"


def test_the_command_prints_a_table_and_json(capsys, monkeypatch):
    monkeypatch.setattr(licenses, "extras", lambda root: {"viewer": ["viser"], "data": []})
    assert cli.main(["licenses"]) == 0
    text = capsys.readouterr().out
    assert re.search(r"^sparsefusion-tiny +- +apache-2\.0 ", text, re.MULTILINE)
    assert "Extra 'viewer' is not installed, or not whole: without viser." in text and "'data'" not in text
    assert cli.main(["licenses", "--json"]) == 0
    data = json.loads(capsys.readouterr().out)
    assert data["missing_extras"] == {"viewer": ["viser"]}
    assert {entry["kind"] for entry in data["entries"]} == {"package", "weights", "data", "optional"}
    assert all(entry["name"] and entry["licence"] for entry in data["entries"])
