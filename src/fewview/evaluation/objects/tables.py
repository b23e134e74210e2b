"""Tables from result rows: means with standard errors over scenes, by category, by viewpoint change, and in pairs."""

from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from math import isnan, nan, sqrt
from pathlib import Path
from typing import Literal

import torch

from fewview.errors import InputError
from fewview.evaluation.objects.protocol import RESULTS, unmended
from fewview.evaluation.objects.splits import read_plan
from fewview.evaluation.rows import Row, grouped, read_rows

Metric = Literal["psnr", "ssim", "lpips", "lpips_alex"]

METRICS: tuple[Metric, ...] = ("psnr", "ssim", "lpips")
SECOND: Metric = "lpips_alex"  # beside them where all rows have it
TITLES = {"psnr": "PSNR ↑", "ssim": "SSIM ↑", "lpips": "LPIPS ↓", "lpips_alex": "LPIPS-Alex ↓"}
DIGITS = {"psnr": 2, "ssim": 3, "lpips": 3, "lpips_alex": 3}
DASH = "-"
ANGLES = (0.0, 15.0, 30.0, 45.0, 60.0, 90.0, 180.0)  # degrees


@dataclass(frozen=True)
class Mean:
    """A mean over `n` scenes with its standard error; NaN where there is none (n = 1, or a metric not taken)."""

    value: float
    error: float
    n: int

    @staticmethod
    def of(values: Sequence[float]) -> "Mean":
        """Of independent values, one a scene."""
        n, mean = len(values), sum(values) / len(values)
        return Mean(mean, sqrt(sum((x - mean) ** 2 for x in values) / (n - 1) / n) if n > 1 else nan, n)

    def text(self, digits: int, *, error: bool = True) -> str:
        if isnan(self.value):
            return DASH
        text = f"{self.value:.{digits}f}"
        return f"{text} ± {self.error:.{digits}f}" if error and not isnan(self.error) else text


@dataclass(frozen=True)
class Difference:
    """Mean of (first - second) over `n` scenes, and the bootstrap interval; NaN bounds where n = 1."""

    value: float
    low: float
    high: float
    n: int

    @staticmethod
    def of(values: Sequence[float], generator: torch.Generator, draws: int = 10_000) -> "Difference":
        """The mean of values, one a scene, with the 95 % percentile bootstrap over them."""
        scenes = torch.tensor(values, dtype=torch.float64)
        if len(scenes) < 2:
            return Difference(float(scenes.mean()), nan, nan, len(scenes))
        picks = torch.randint(len(scenes), (draws, len(scenes)), generator=generator, device=generator.device)
        low, high = scenes[picks.cpu()].mean(1).quantile(torch.tensor([0.025, 0.975], dtype=torch.float64)).tolist()
        return Difference(float(scenes.mean()), low, high, len(scenes))

    def text(self, digits: int) -> str:
        if isnan(self.value):
            return DASH
        text = f"{self.value:+.{digits}f}"
        return text if isnan(self.low) else f"{text} [{self.low:+.{digits}f}, {self.high:+.{digits}f}]"


@dataclass(frozen=True)
class Table:
    """Cells as text; the first column names the row."""

    title: str
    header: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]

    def markdown(self) -> str:
        rule = "|---|" + "---:|" * (len(self.header) - 1)
        lines = ["| " + " | ".join(cells) + " |" for cells in (self.header, *self.rows)]
        return "\n".join([f"**{self.title}**", "", lines[0], rule, *lines[1:]])

    def plain(self) -> str:
        widths = [max(map(len, column)) for column in zip(self.header, *self.rows)]
        lines = []
        for cells in (self.header, *self.rows):
            rest = (cell.rjust(width) for cell, width in zip(cells[1:], widths[1:]))
            lines.append("  ".join([cells[0].ljust(widths[0]), *rest]).rstrip())
        return "\n".join([self.title, lines[0], "-" * sum(widths, 2 * len(widths) - 2), *lines[1:]])


def mean_over_scenes(rows: Iterable[Row], metric: Metric) -> Mean:
    """Mean of the scenes' means: the views of one scene are no independent draws. NaN where a row lacks the metric."""
    by_scene = grouped(rows, lambda row: row.scene)
    if not by_scene or any(getattr(row, metric) is None for scene in by_scene.values() for row in scene):
        return Mean(nan, nan, len(by_scene))
    return Mean.of([sum(getattr(row, metric) for row in scene) / len(scene) for scene in by_scene.values()])


def common(rows: Sequence[Row]) -> list[Row]:
    """The rows of views that every method has: a scene on which one failed would flatter it."""
    methods = {row.method for row in rows}
    have = grouped(rows, lambda row: (row.scene, row.view))
    return [row for row in rows if {other.method for other in have[row.scene, row.view]} == methods]


def metrics_of(rows: Sequence[Row]) -> tuple[Metric, ...]:
    """The metrics that all rows may have."""
    return (*METRICS, SECOND) if rows and all(row.lpips_alex is not None for row in rows) else METRICS


def by_method(rows: Sequence[Row]) -> Table:
    """Every metric of every method, mean ± standard error over scenes (as thesis Table 5.2), and its time."""
    body, metrics = [], metrics_of(rows)
    for method, own in grouped(rows, lambda row: row.method).items():
        means = [mean_over_scenes(own, metric) for metric in metrics]
        seconds = sum({row.scene: row.seconds for row in own}.values()) / means[0].n
        cells = (mean.text(DIGITS[metric]) for metric, mean in zip(metrics, means))
        body.append((method, *cells, str(means[0].n), f"{seconds:.1f}"))
    header = ("method", *(TITLES[metric] for metric in metrics), "scenes", "seconds")
    return Table("Held-out views, mean ± standard error over scenes", header, tuple(body))


def by_category(rows: Sequence[Row], metrics: Sequence[Metric] = ("psnr", "lpips")) -> Table:
    """A row for each method, the metrics of each category beside each other (as thesis Table 5.1)."""
    categories = list(grouped(rows, lambda row: row.category))
    return _across(rows, categories, lambda row: row.category, metrics=metrics, title="Held-out views by category")


def by_angle(
    rows: Sequence[Row], metrics: Sequence[Metric] = ("psnr", "lpips"), edges: Sequence[float] = ANGLES
) -> Table:
    """The metrics binned by the angle to the nearest context view, in degrees (as thesis Figure 5.3)."""
    bins = [f"{low:g}-{high:g}°" for low, high in pairwise(edges)]

    def bin_of(row: Row) -> str | None:
        angle = row.angle_to_nearest_context_deg
        inside = [name for name, (low, high) in zip(bins, pairwise(edges)) if low <= angle < high]
        return inside[0] if inside else bins[-1] if angle == edges[-1] else None

    used = [name for name in bins if name in set(map(bin_of, rows))]
    return _across(rows, used, bin_of, metrics=metrics, title="Held-out views by the angle to the nearest input view")


def paired(
    rows: Sequence[Row], first: str, second: str, *, metric: Metric, generator: torch.Generator, draws: int = 10_000
) -> Difference:
    """first - second over the views that both have, with the 95 % percentile bootstrap over scenes."""
    own = grouped((row for row in rows if row.method in (first, second)), lambda row: (row.scene, row.view))
    by_scene: dict[str, list[float]] = defaultdict(list)
    for (scene, _), pair in own.items():
        values = {row.method: getattr(row, metric) for row in pair}
        if values.get(first) is not None and values.get(second) is not None:
            by_scene[scene].append(values[first] - values[second])
    if not by_scene:
        raise InputError(f"{first} and {second} share no held-out view with {metric.upper()}; evaluate both first.")
    return Difference.of([sum(values) / len(values) for values in by_scene.values()], generator, draws)


def differences(rows: Sequence[Row], method: str, *, generator: torch.Generator) -> Table:
    """`method` minus every other method, with 95 % intervals."""
    body, metrics = [], metrics_of(rows)
    for other in grouped(rows, lambda row: row.method):
        if other != method:
            body.append(
                (other, *(_difference(rows, method, other, metric=metric, generator=generator) for metric in metrics))
            )
    header = (f"{method} minus", *(TITLES[metric] for metric in metrics))
    return Table("Paired differences with 95 % bootstrap intervals over scenes", header, tuple(body))


def summary(out: Path) -> str:
    """Markdown of an evaluation's folder: the tables over the views that all methods have, and what failed."""
    rows = read_rows(out / RESULTS)
    if not rows:
        raise InputError(f"{out / RESULTS} has no rows; run the evaluation first.")
    protocol, _ = read_plan(out)
    shared = common(rows)
    lines = [f"{protocol.context} input views, {protocol.size} px, seed {protocol.seed}."]
    if shared:
        methods = list(grouped(shared, lambda row: row.method))
        tables = [by_method(shared), by_category(shared), by_angle(shared)]
        if len(methods) > 1:
            tables.append(differences(shared, methods[-1], generator=torch.Generator().manual_seed(0)))
        lines += [table.markdown() for table in tables]
    left_out = len({row.scene for row in rows}) - len({row.scene for row in shared})
    if left_out:
        lines.append(f"{left_out} scenes are left out: some method has no result there.")
    lines += [f"Failed: {f.method} on {f.scene}, {f.error}" for f in unmended(out)]
    return "\n\n".join(lines) + "\n"


def _across(
    rows: Sequence[Row],
    groups: Sequence[str],
    key: Callable[[Row], str | None],
    *,
    metrics: Sequence[Metric],
    title: str,
) -> Table:
    header = ("method", *(f"{group} {TITLES[metric]}" for group in groups for metric in metrics))
    body = []
    for method, own in grouped(rows, lambda row: row.method).items():
        inside = grouped(own, key)
        means = [(metric, mean_over_scenes(inside.get(group, []), metric)) for group in groups for metric in metrics]
        body.append((method, *(mean.text(DIGITS[metric], error=False) for metric, mean in means)))
    scenes = [str(len({row.scene for row in rows if key(row) == group})) for group in groups]
    counts = tuple(count if i == 0 else "" for count in scenes for i in range(len(metrics)))
    return Table(title, header, (*body, ("scenes", *counts)))


def _difference(rows: Sequence[Row], first: str, second: str, *, metric: Metric, generator: torch.Generator) -> str:
    try:
        return paired(rows, first, second, metric=metric, generator=generator).text(DIGITS[metric])
    except InputError:
        return DASH
