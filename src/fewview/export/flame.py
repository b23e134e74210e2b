"""profile.html: a table of stages and a flame graph, in one file; a click on a bar widens it."""

import zlib
from dataclasses import dataclass, field
from html import escape
from pathlib import Path

from fewview.files import atomic_path
from fewview.profiling import Profile, table

LEAST = 1e-3  # of all time: thinner bars are left out


@dataclass
class Bar:
    """A function where it was called, its seconds, and what it called."""

    name: str
    seconds: float = 0.0
    below: dict[str, "Bar"] = field(default_factory=dict)


def tree(profile: Profile) -> Bar:
    """All samples as one bar over the bars of the stages."""
    root = Bar("all")
    for stack, seconds in profile.samples.items():
        bar = root
        bar.seconds += seconds
        for name in stack:
            bar = bar.below.setdefault(name, Bar(name))
            bar.seconds += seconds
    return root


def write_profile(path: Path, profile: Profile, title: str) -> None:
    """The page, written whole."""
    with atomic_path(path) as temporary:
        temporary.write_text(page(profile, title), encoding="utf-8")


def page(profile: Profile, title: str) -> str:
    """The HTML. Widths are wall time; below each stage stands what ran in it, outermost first."""
    root = tree(profile)
    head = f'<meta charset="utf-8"><title>{escape(title)} · profile</title><style>{CSS}</style>'
    note = "Wall time, sampled. Bars hang below what called them; a click widens one, a click on the top bar all."
    graph = f'<div id="flame">{_bar(root, root.seconds, root.seconds)}</div>'
    body = f"<h1>{escape(title)}</h1>{stage_table(profile)}<p>{note}</p>{graph}<script>{JS}</script>"
    return f'<!doctype html>\n<html lang="en"><head>{head}</head><body>{body}</body></html>\n'


def stage_table(profile: Profile) -> str:
    """The table of stages as HTML."""
    head, *rows = table(profile)
    cells = lambda row, tag: "".join(f"<{tag}>{escape(cell)}</{tag}>" for cell in row)
    lines = "".join(f"<tr>{cells(row, 'td')}</tr>" for row in rows)
    return f"<table><tr>{cells(head, 'th')}</tr>{lines}</table>"


def _bar(bar: Bar, parent: float, total: float) -> str:
    """A bar as wide as its share of the one above, and those below it."""
    share = 100 * bar.seconds / max(parent, 1e-9)
    hue = zlib.crc32(bar.name.rsplit(".", 1)[0].encode()) % 360
    words = f"{bar.name} · {bar.seconds:.2f} s · {100 * bar.seconds / max(total, 1e-9):.1f} %"
    shown = (child for child in bar.below.values() if child.seconds >= LEAST * total)
    below = "".join(_bar(child, bar.seconds, total) for child in shown)
    label = f'<span style="background:hsl({hue} 60% 75%)" title="{escape(words)}">{escape(words)}</span>'
    return f'<div class="bar" style="width:{share:.3f}%">{label}<div class="row">{below}</div></div>'


CSS = """
body { font: 14px/1.5 system-ui, sans-serif; margin: 32px; background: #fff; color: #1d1c1a; }
table { border-collapse: collapse; }
th, td { text-align: left; padding: 3px 18px 3px 0; border-bottom: 1px solid #ddd; }
#flame { font: 11px/17px ui-monospace, monospace; cursor: pointer; }
.bar { min-width: 0; flex: none; } .row { display: flex; }
.bar > span { display: block; overflow: hidden; white-space: nowrap; text-overflow: ellipsis; height: 17px;
  padding: 0 3px; margin: 0 1px 1px 0; border-radius: 2px; color: #222; }
.wide { width: 100% !important; } .away { display: none; }
"""
JS = """
document.getElementById("flame").onclick = event => {
  const chosen = event.target.closest(".bar");
  if (!chosen) return;
  document.querySelectorAll(".bar").forEach(bar => bar.classList.remove("wide", "away"));
  for (let bar = chosen; bar && bar.classList.contains("bar"); bar = bar.parentElement.parentElement) {
    bar.classList.add("wide");
    for (const other of bar.parentElement.children) if (other !== bar) other.classList.add("away");
  }
};
"""
