"""index.html and batch.json: all results of a batch on one page, and the same for programs."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict
from html import escape
from pathlib import Path

from fewview.batch.work import Outcome
from fewview.files import atomic_path, write_json

PAGES, PICTURES = (
    ("report.html", "tables.md", ""),
    ("views/000.png",),
)  # of a folder of results; the first that is there
ORDER = ("failed", "refused", "made", "there")  # of states; a busy job is asked for again
CSS = """
:root { color-scheme: light dark; }
body { font: 15px/1.5 system-ui, sans-serif; max-width: 1000px; margin: 40px auto; padding: 0 20px; }
table { border-collapse: collapse; width: 100%; }
th, td { text-align: left; padding: 6px 12px 6px 0; border-bottom: 1px solid #8884; vertical-align: middle;
  overflow-wrap: anywhere; }
img { display: block; width: 72px; height: 72px; object-fit: cover; border-radius: 6px; background: #000; }
.failed, .refused { color: #c0392b; }
"""


def write_index(out: Path, outcomes: Sequence[Outcome], total: int) -> None:
    """Both files, whole; outcomes that are no success come first."""
    ordered = sorted(outcomes, key=lambda o: (ORDER.index(o.state), o.job.name))
    with atomic_path(out / "index.html") as temporary:
        temporary.write_text(_page(out, ordered, total), encoding="utf-8")
    write_json(out / "batch.json", {"total": total, "outcomes": [asdict(outcome) for outcome in ordered]})


def summary(outcomes: Sequence[Outcome]) -> str:
    """How many of each state: 12 made, 3 there."""
    counts = Counter(outcome.state for outcome in outcomes)
    return ", ".join(f"{counts[state]} {state}" for state in reversed(ORDER) if counts[state]) or "none yet"


def _page(out: Path, outcomes: Sequence[Outcome], total: int) -> str:
    rows = "".join(_row(out, outcome) for outcome in outcomes)
    head = "<tr><th></th><th>result</th><th>input</th><th>state</th><th>seconds</th></tr>"
    title = f"<title>{len(outcomes)} of {total} · fewview</title>"
    meta = '<meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1">'
    words = f"<h1>{len(outcomes)} of {total}</h1><p>{escape(summary(outcomes))}</p>"
    return (
        f'<!doctype html>\n<html lang="en"><head>{meta}{title}<style>{CSS}</style></head>'
        f"<body>{words}<table>{head}{rows}</table></body></html>\n"
    )


def _row(out: Path, outcome: Outcome) -> str:
    folder, name = outcome.folder, escape(outcome.job.name)
    picture = next((p for p in PICTURES if folder and (out / folder / p).is_file()), "")
    image = f'<img src="{escape(folder)}/{picture}" alt="" loading="lazy">' if picture else ""
    page = next((p for p in PAGES if folder and (out / folder / p).exists()), None)
    link = name if page is None else f'<a href="{escape(folder)}/{page}">{name}</a>'
    said = f'<span class="{outcome.state}">{outcome.state}</span> {escape(outcome.sentence)}'
    seconds = f"{outcome.seconds:.1f}" if outcome.state == "made" else ""
    cells = (image, link, escape(outcome.job.source), said, seconds)
    return f"<tr>{''.join(f'<td>{cell}</td>' for cell in cells)}</tr>"
