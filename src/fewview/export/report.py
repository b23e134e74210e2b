"""One HTML page that says what went in, what came out, how long it took: no network, light and dark."""

import base64
import platform
import re
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from html import escape
from importlib.metadata import PackageNotFoundError, version

import torch
from jaxtyping import Float
from torch import Tensor

from fewview.export.comparison import CSS as COMPARISON_CSS
from fewview.export.comparison import SCRIPT, Comparison, marked
from fewview.export.flame import stage_table
from fewview.export.images import colour_depth, img, straight
from fewview.profiling import Profile
from fewview.views import Render, Views

THUMBNAIL = 320  # px, the longest side of an embedded picture
FILM_BYTES = 6 * 2**20  # longer films are left out of the page
PACKAGES = ("fewview", "torch", "numpy", "numba")


@dataclass(frozen=True, eq=False)
class Report:
    """What the page shows. `orbit` are renderings of the result; `truth` views come with their renderings.

    `fit` compares the photos with the result; `unseen` are the shares in [0, 1] of the orbit's pixels whose surface no
    photo saw; `film` is an MP4, or a WebP that is transparent around the object.
    """

    name: str
    inputs: Views
    orbit: Render
    timings: Mapping[str, float] = field(default_factory=dict)  # seconds
    settings: Mapping[str, object] = field(default_factory=dict)  # JSON values; nested ones are flattened
    facts: Mapping[str, str] = field(default_factory=dict)  # headline numbers, already words
    files: Mapping[str, str] = field(default_factory=dict)  # relative path -> what it is
    truth: tuple[Views, Render] | None = None
    film: bytes | None = None
    fit: Comparison | None = None
    unseen: Float[Tensor, "n 1 height width"] | None = None
    profile: Profile | None = None


def html(report: Report) -> str:
    """The whole page. Every name and value is escaped."""
    fit = report.fit
    parts = [_header(report), _orbit(report)]
    if fit is not None:
        parts.append(_section("The photos and the result", fit.html(), fit.note()))
    parts.append(_inputs(report.inputs))
    if report.truth is not None:
        parts.append(_comparison(*report.truth))
    if report.profile is not None:
        note = "Until this page was written; profile.html has the flame graph."
        parts.append(_section("Where the time went", stage_table(report.profile), note))
    parts.append(f'<div class="columns">{_timings(report.timings)}{_files(report.files)}</div>')
    parts.append(f'<div class="columns">{_settings(report.settings)}{_environment()}</div>')
    title = f"<title>{escape(report.name)} · fewview</title>"
    meta = '<meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1">'
    body = f"<main>{''.join(parts)}</main>"
    return (
        f'<!doctype html>\n<html lang="en"><head>{meta}{title}<style>{CSS}{COMPARISON_CSS}</style></head>'
        f"<body>{body}<script>{SCRIPT}</script></body></html>\n"
    )


def peak_memory() -> float | None:
    """The largest resident size of this process so far in GiB; None where the system does not tell."""
    try:
        import resource
    except ImportError:
        return None
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / (2**30 if sys.platform == "darwin" else 2**20)


def _header(report: Report) -> str:
    chips = "".join(f"<li><b>{escape(v)}</b><span>{escape(k)}</span></li>" for k, v in report.facts.items())
    return (
        f'<header><p class="kicker">fewview reconstruction</p><h1>{escape(report.name)}</h1><ul>{chips}</ul></header>'
    )


def _orbit(report: Report) -> str:
    orbit = report.orbit
    depth = straight(Render(colour_depth(orbit.depth, orbit.alpha), orbit.alpha, orbit.depth))
    rows = {"orbit view": straight(orbit), "its depth": depth}
    note = "Seen along the path of the film: colour, depth (near is yellow, far is violet)"
    if report.unseen is not None:
        rows["what no photo saw of it"] = marked(orbit, report.unseen)
        share = float((report.unseen * (orbit.alpha > 0.5)).sum() / (orbit.alpha > 0.5).sum().clamp(min=1))
        note += f", and what no photo saw, in orange stripes ({100 * share:.0f} % of these pictures)"
    columns = "".join(
        f"<figure>{''.join(img(image, f'{name} {i + 1}', THUMBNAIL) for name, image in zip(rows, images))}</figure>"
        for i, images in enumerate(zip(*rows.values()))
    )
    grid = f'<div class="pairs">{columns}</div>'
    return _section("The result", f'<div class="orbit">{_film(report.film)}{grid}</div>', f"{note}.")


def _film(film: bytes | None) -> str:
    """The film at its own size; nothing where it is too large for a page."""
    if film is None or len(film) > FILM_BYTES:
        return ""
    data = base64.b64encode(film).decode()
    if film[8:12] == b"WEBP":
        return f'<img class="film" src="data:image/webp;base64,{data}" alt="the result, turning">'
    return f'<video src="data:video/mp4;base64,{data}" autoplay loop muted playsinline controls></video>'


def _inputs(views: Views) -> str:
    cells = []
    for i, image in enumerate(views.images):
        mask = "" if views.masks is None else img(views.masks[i], f"mask {i + 1}", THUMBNAIL)
        cells.append(f"<figure>{img(image, f'photo {i + 1}', THUMBNAIL)}{mask}</figure>")
    note = "The photos" if views.masks is None else "The photos, beside the masks of their object"
    return _section("The input", f'<div class="inputs">{"".join(cells)}</div>', f"{note} ({len(views)}).")


def _comparison(truth: Views, seen: Render) -> str:
    cells, scores = [], []
    for want, have in zip(truth.on_black().images, seen.image):
        score = -10 * torch.log10((want - have).square().mean().clamp(min=1e-10)).item()
        scores.append(score)
        shown = {"photograph": want, "rendering": have, "difference": (want - have).abs()}
        pictures = "".join(img(image, name, THUMBNAIL) for name, image in shown.items())
        cells.append(f'<figure class="triple">{pictures}<figcaption>{score:.1f} dB</figcaption></figure>')
    mean = sum(scores) / len(scores)
    note = f"Photographs that were held back, the rendering, and the absolute difference. PSNR {mean:.2f} dB."
    return _section("Against the truth", f'<div class="triples">{"".join(cells)}</div>', note)


def _timings(timings: Mapping[str, float]) -> str:
    total = max(sum(timings.values()), 1e-9)
    rows = ""
    for stage, seconds in timings.items():
        bar = f'<td class="bar"><i style="width:{100 * seconds / total:.1f}%"></i></td>'
        rows += f"<tr><th>{escape(stage)}</th>{bar}<td>{_duration(seconds)}</td></tr>"
    foot = f'<tr class="total"><th>together</th><td class="bar"></td><td>{_duration(total)}</td></tr>'
    return _section("Time", f"<table>{rows}{foot}</table>") if timings else ""


def _files(files: Mapping[str, str]) -> str:
    rows = "".join(
        f'<tr><th class="name"><a href="{escape(path)}">{escape(path)}</a></th><td>{escape(what)}</td></tr>'
        for path, what in files.items()
    )
    return _section("Files", f"<table>{rows}</table>") if files else ""


def _settings(settings: Mapping[str, object]) -> str:
    plain = {name: value for name, value in settings.items() if not isinstance(value, Mapping)}
    nested = {name: value for name, value in settings.items() if isinstance(value, Mapping)}
    more = f"<details><summary>all of them</summary>{_table(_flat(nested))}</details>" if nested else ""
    return _section("Settings", _table(_flat(plain)) + more) if settings else ""


def _table(rows: Mapping[str, object]) -> str:
    cells = (f"<tr><th>{_breakable(name)}</th><td>{_breakable(str(value))}</td></tr>" for name, value in rows.items())
    return f"<table>{''.join(cells)}</table>"


def _breakable(name: str) -> str:
    """Escaped, with leave to go on in a new line behind dots and underscores, so that no word is broken."""
    return re.sub(r"(?<=\w)([._])(?=\w)", r"\1<wbr>", escape(name))


def _environment() -> str:
    facts = {"python": platform.python_version(), "system": f"{platform.system()} {platform.machine()}"}
    for package in PACKAGES:
        try:
            facts[package] = version(package)
        except PackageNotFoundError:
            facts[package] = "not installed"
    facts["threads"] = str(torch.get_num_threads())
    if torch.cuda.is_available():
        facts["GPU"] = torch.cuda.get_device_name()
        facts["peak GPU memory"] = f"{torch.cuda.max_memory_allocated() / 2**30:.2f} GiB"
    peak = peak_memory()
    facts["peak memory"] = "unknown" if peak is None else f"{peak:.2f} GiB"
    return _section("Made with", _table(facts))


def _section(title: str, body: str, note: str = "") -> str:
    line = f'<p class="note">{escape(note)}</p>' if note else ""
    return f"<section><h2>{escape(title)}</h2>{line}{body}</section>"


def _flat(settings: Mapping[str, object], prefix: str = "") -> dict[str, object]:
    """Nested settings under dotted names."""
    flat: dict[str, object] = {}
    for name, value in settings.items():
        if isinstance(value, Mapping):
            flat.update(_flat(value, f"{prefix}{name}."))
        else:
            is_list = isinstance(value, Sequence) and not isinstance(value, str)
            flat[prefix + name] = ", ".join(map(str, value)) if is_list else value  # type: ignore[arg-type]
    return flat


def _duration(seconds: float) -> str:
    if seconds < 60:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes} min {rest:02d} s" if minutes < 60 else f"{minutes // 60} h {minutes % 60:02d} min"


CSS = """
:root { color-scheme: light dark; --paper: #fbfaf8; --card: #fff; --ink: #1d1c1a; --soft: #6d6a64; --line: #e5e2dc;
  --accent: #b4532a; }
@media (prefers-color-scheme: dark) { :root { --paper: #161617; --card: #1f1f21; --ink: #eceae6; --soft: #9c9890;
  --line: #333236; --accent: #f0986b; } }
* { box-sizing: border-box; margin: 0; }
body { background: var(--paper); color: var(--ink); font: 15px/1.5 system-ui, -apple-system, "Segoe UI", Roboto,
  "Helvetica Neue", Arial, sans-serif; }
main { max-width: 1120px; margin: 0 auto; padding: 48px 24px 72px; }
.kicker { color: var(--accent); font-size: 13px; font-weight: 600; letter-spacing: .04em; }
h1 { font-size: 34px; line-height: 1.2; letter-spacing: -.02em; overflow-wrap: anywhere; }
header ul { display: flex; flex-wrap: wrap; gap: 12px 36px; list-style: none; padding: 20px 0 0; }
header li b { display: block; font-size: 20px; font-variant-numeric: tabular-nums; }
header li span, .note, figcaption { color: var(--soft); font-size: 13px; }
section { margin-top: 44px; min-width: 0; }
h2 { font-size: 19px; letter-spacing: -.01em; }
.note { margin-bottom: 14px; }
h2 + table { margin-top: 8px; }
.orbit { display: flex; flex-wrap: wrap; align-items: flex-start; gap: 10px; }
.orbit video, .orbit .film { flex: none; width: auto; max-width: 100%; border-radius: 10px; }
.pairs { flex: 1 1 420px; min-width: min(100%, 300px); display: grid; grid-template-columns: repeat(2, 1fr);
  gap: 10px; }
@media (min-width: 640px) { .pairs { grid-template-columns: repeat(4, 1fr); } }
.inputs { display: grid; grid-template-columns: repeat(auto-fill, minmax(min(100%, 300px), 1fr)); gap: 10px; }
.inputs figure { display: flex; }
.inputs img { flex: 1; min-width: 0; }
figure { border-radius: 10px; overflow: hidden; }
img { display: block; width: 100%; height: auto; }
.triples { display: grid; grid-template-columns: repeat(auto-fill, minmax(min(100%, 330px), 1fr)); gap: 12px; }
.triple { display: grid; grid-template-columns: repeat(3, 1fr); }
.triple figcaption { grid-column: 1 / -1; padding: 4px 10px; background: var(--card); text-align: right;
  font-variant-numeric: tabular-nums; }
.columns { display: flex; flex-wrap: wrap; gap: 0 48px; }
.columns section { flex: 1 1 380px; min-width: 0; overflow-x: auto; }
table { width: 100%; border-collapse: collapse; font-size: 14px; }
th, td { padding: 6px 0; border-bottom: 1px solid var(--line); text-align: left; vertical-align: top;
  font-weight: 400; overflow-wrap: break-word; }
.name { white-space: nowrap; }
th { color: var(--soft); padding-right: 16px; }
td:last-child { text-align: right; font-variant-numeric: tabular-nums; }
.bar { width: 45%; padding-right: 16px; vertical-align: middle; }
.bar + td { white-space: nowrap; }
.bar i { display: block; height: 8px; min-width: 2px; border-radius: 4px; background: var(--accent); }
.total th, .total td { color: var(--ink); font-weight: 600; border-bottom: 0; }
summary { padding: 8px 0; color: var(--accent); cursor: pointer; font-size: 14px; }
a { color: var(--accent); text-decoration: none; }
a:hover { text-decoration: underline; }
"""
