"""Prints the thesis's tables with our numbers beneath, from finished evaluations; never runs a model.

    python papers/sparsefusion/tables.py runs/eval-2-views runs/eval-3-views

Each argument is a folder that `fewview evaluate` wrote. A dash stands where nobody ran a method.
"""

import argparse
import json
import re
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from fewview.errors import InputError
from fewview.evaluation.objects.protocol import RESULTS
from fewview.evaluation.objects.splits import read_plan
from fewview.evaluation.objects.tables import DIGITS, METRICS, TITLES, Table, mean_over_scenes
from fewview.evaluation.rows import Row, read_rows

PUBLISHED = Path(__file__).with_name("published.json")
NOTE = "The thesis ran on CO3Dv2; ours ran on the scenes below. Numbers of different scenes do not compare."
SAME = {"eftfield": "eftingp", "vldmfield": "vldmingp"}  # `fewview evaluate` calls the fitted field so
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
    """A table of the thesis with a row of ours beneath each of its rows."""
    cells = next(iter(published["rows"].values()))
    columns = [(group, metric) for group, values in cells.items() for metric in METRICS if metric in values]
    unit = " views" if published["group"] == "context" else ""
    body = []
    for method, groups in published["rows"].items():
        theirs = (f"{groups[group][metric]:.{_digits(number, metric)}f}" for group, metric in columns)
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


def report(folders: Sequence[Path]) -> str:
    """All five tables as markdown, and where ours come from."""
    data, runs = json.loads(PUBLISHED.read_text()), read_runs(folders)
    tables = [beside(number, table, runs).markdown() for number, table in data["tables"].items()]
    lines = [f"Published: {data['source']}. {data['protocol']}", *tables]
    return "\n\n".join([*lines, "\n".join([NOTE, "", *provenance(runs)])]) + "\n"


def _ours(published: dict[str, Any], runs: Runs, method: str, group: str, metric: Any) -> str:
    by_context = published["group"] == "context"
    rows = [row for row in runs.get(int(group) if by_context else 2, []) if _method(row.method) == _slug(method)]
    if by_context and len({row.category for row in rows}) < published["categories"]:
        rows = []
    if not by_context:
        rows = [row for row in rows if _slug(row.category) == group]
    return mean_over_scenes(rows, metric).text(DIGITS[metric], error=False)


def _digits(number: str, metric: str) -> int:
    return DIGITS[metric] - (number == "5.1")  # Table 5.1 is printed with one digit less


def _method(name: str) -> str:
    return SAME.get(_slug(name), _slug(name))


def _slug(name: str) -> str:
    return re.sub(r"[^a-z0-9]", "", name.lower())


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folders", nargs="*", type=Path, help="folders of finished evaluations")
    try:
        print(report(parser.parse_args().folders), end="")
    except InputError as error:
        print(error, file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
