"""Prints the thesis's tables with our numbers beneath, from finished evaluations; never runs a model.

    python papers/sparsefusion/tables.py runs/eval-2-views runs/eval-3-views
    python papers/sparsefusion/tables.py runs/eval-2-views --table 5.4

Each argument is a folder that `fewview evaluate` wrote. Ours have 95 % bootstrap intervals over scenes; a dash stands
where nobody ran a method.
"""

import argparse
import json
import re
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch

from fewview.errors import InputError
from fewview.evaluation.objects.protocol import RESULTS
from fewview.evaluation.objects.splits import read_plan
from fewview.evaluation.objects.tables import DASH, DIGITS, METRICS, TITLES, Table, interval_over_scenes
from fewview.evaluation.rows import Row, read_rows

PUBLISHED = Path(__file__).with_name("published.json")
NOTE = "The thesis ran on CO3Dv2; ours ran on the scenes below. Numbers of different scenes do not compare."
SAME = {"eftfield": "eftingp", "vldmfield": "vldmingp"}  # `fewview evaluate` calls the fitted field so
ALL = {51: 8}  # categories of Table 5.3, and how many `fewview data build` makes: ours are then all that there are
Runs = dict[int, list[Row]]  # by the number of input views


def read_runs(folders: Sequence[Path]) -> Runs:
    """The rows of evaluation folders; InputError where two hold the same row."""
    runs: Runs = {}
    for folder in folders:
        rows = runs.setdefault(read_plan(folder)[0].context, [])
        rows += read_rows(folder / RESULTS)
        if len({row.key for row in rows}) != len(rows):
            raise InputError(f"{folder} repeats rows of another folder with as many input views; name one of them.")
    return runs


def beside(number: str, published: dict[str, Any], runs: Runs) -> Table:
    """A table of the thesis with a row of ours beneath each of its rows; by category, ours follow the thesis'."""
    cells = next(iter(published["rows"].values()))
    columns = [(group, metric) for group, values in cells.items() for metric in METRICS if metric in values]
    if published["group"] == "category":
        more = sorted({_slug(row.category) for row in runs.get(2, [])} - set(cells))
        columns += [(group, metric) for group in more for metric in METRICS if metric in next(iter(cells.values()))]
    unit = " views" if published["group"] == "context" else ""
    body = []
    for method, groups in published["rows"].items():
        theirs = (f"{groups[g][m]:.{_digits(number, m)}f}" if g in groups else DASH for g, m in columns)
        body.append((f"{method}, thesis", *theirs))
        body.append((f"{method}, ours", *(_ours(published, runs, method, *column) for column in columns)))
    header = ("method", *(f"{group}{unit} {TITLES[metric]}" for group, metric in columns))
    return Table(f"Table {number}. {published['title']}", header, tuple(body))


def provenance(runs: Runs) -> list[str]:
    """What ours are means of: methods, scenes and categories of each number of input views."""
    lines = []
    for context, rows in sorted(runs.items()):
        categories = sorted({row.category for row in rows})
        for method in dict.fromkeys(row.method for row in rows):
            scenes = len({row.scene for row in rows if row.method == method})
            lines.append(f"* {context} views, {method}: {scenes} scenes of {', '.join(categories)}")
    return lines


def report(folders: Sequence[Path], only: str | None = None) -> str:
    """All five tables as markdown, or one by its number, and where ours come from."""
    data, runs = json.loads(PUBLISHED.read_text()), read_runs(folders)
    chosen = [number for number in data["tables"] if only in (None, number)]
    if not chosen:
        raise InputError(f"There is no table {only}; choose from {', '.join(data['tables'])}.")
    tables = [beside(number, data["tables"][number], runs).markdown() for number in chosen]
    lines = [f"Published: {data['source']}. {data['protocol']}", *tables]
    return "\n\n".join([*lines, "\n".join([NOTE, "", *provenance(runs)])]) + "\n"


def _ours(published: dict[str, Any], runs: Runs, method: str, group: str, metric: Any) -> str:
    by_context = published["group"] == "context"
    rows = [row for row in runs.get(int(group) if by_context else 2, []) if _method(row.method) == _slug(method)]
    if by_context:
        least = ALL.get(published["categories"], published["categories"])
        rows = rows if len({row.category for row in rows}) >= least else []
    else:
        rows = [row for row in rows if _slug(row.category) == group]
    found = interval_over_scenes(rows, metric, generator=torch.Generator().manual_seed(0))
    return DASH if found is None else f"{found.text(DIGITS[metric], sign='')} n={found.n}"


def _digits(number: str, metric: str) -> int:
    return DIGITS[metric] - (number == "5.1")  # Table 5.1 is printed with one digit less


def _method(name: str) -> str:
    return SAME.get(_slug(name), _slug(name))


def _slug(name: str) -> str:
    return re.sub(r"[^a-z0-9]", "", name.lower())


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folders", nargs="*", type=Path, help="folders of finished evaluations")
    parser.add_argument("--table", help="5.1, 5.2, 5.3, 5.4 or 5.5; all unless given")
    options = parser.parse_args()
    try:
        print(report(options.folders, options.table), end="")
    except InputError as error:
        print(error, file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
