"""Tables of an evaluation on rooms: each setting and kind of frame, by what the references saw, with N and errors."""

from collections.abc import Callable, Iterable, Sequence
from math import isnan, nan
from pathlib import Path
from statistics import median
from typing import TypeVar

import torch

from fewview.errors import InputError
from fewview.evaluation.objects.tables import DASH, Difference, Mean, Table
from fewview.evaluation.rooms.plan import read_plan, unmended
from fewview.evaluation.rooms.regions import RegionScore, decibels
from fewview.evaluation.rooms.rows import RESULTS, SETS, RoomRow, SetRow, ViewScore, common, read_rooms
from fewview.evaluation.rooms.tsed import THRESHOLD, PairSed, agreeing_share, matched_share, median_sed, tsed
from fewview.evaluation.rooms.windows import KINDS, Kind
from fewview.evaluation.rows import grouped, read_lines

CLASSES = ("seen", "occluded", "outside")
CLASS_TITLES = {"seen": "seen", "occluded": "occluded", "outside": "out of frame"}
KIND_TITLES = {"between": "renders between the generated frames", "generated": "renders at the generated frames"}
LONG = 12  # generated frames whose thirds are told apart
LEAST_PIXELS = 64  # a clip with fewer pixels of a class has no say in it
T = TypeVar("T")
Value = Callable[[list[ViewScore]], float | None]
"""A number of one clip from its judged frames; None where the clip has none."""


def pooled(name: str, measure: str) -> Value:
    """PSNR or LPIPS of the pixels of one class, of all frames of a clip together."""

    def value(views: list[ViewScore]) -> float | None:
        scores: list[RegionScore] = [s for s in (getattr(view, name) for view in views) if s is not None]
        pixels = sum(score.pixels for score in scores)
        if pixels < LEAST_PIXELS:
            return None
        if measure == "psnr":
            return decibels(sum(score.pixels * score.squared_error for score in scores) / pixels)
        if any(score.lpips is None for score in scores):
            return None
        return sum(score.pixels * (score.lpips or 0.0) for score in scores) / pixels

    return value


def averaged(get: Callable[[ViewScore], float | None]) -> Value:
    """The mean over the frames that have a number."""

    def value(views: list[ViewScore]) -> float | None:
        found = [x for x in map(get, views) if x is not None]
        return sum(found) / len(found) if found else None

    return value


def share(name: str) -> Value:
    """Percent of the pixels of known depth that are of a class."""

    def value(views: list[ViewScore]) -> float | None:
        counts = {n: sum(s.pixels for s in (getattr(v, n) for v in views) if s is not None) for n in CLASSES}
        total = sum(counts.values())
        return 100 * counts[name] / total if total else None

    return value


METRICS: dict[str, tuple[Value, int]] = {
    "PSNR ↑": (averaged(lambda view: view.psnr), 2),
    "SSIM ↑": (averaged(lambda view: view.ssim), 3),
    "LPIPS ↓": (averaged(lambda view: view.lpips), 3),
    "depth error ↓": (averaged(lambda view: view.depth and view.depth.relative), 3),
    "δ < 1.25 ↑": (averaged(lambda view: view.depth and view.depth.within), 3),
    "covered ↑": (averaged(lambda view: view.depth and view.depth.coverage), 3),
}
BY_CLASS: dict[str, tuple[Value, int]] = {
    f"{CLASS_TITLES[name]} {title}": (pooled(name, measure), digits)
    for measure, title, digits in (("psnr", "PSNR ↑", 2), ("lpips", "LPIPS ↓", 3))
    for name in CLASSES
}


def mean_over_clips(rows: Iterable[RoomRow], kind: Kind, value: Value) -> Mean:
    """Mean and standard error over the clips that have the number."""
    found = [x for x in (value(row.of(kind)) for row in rows) if x is not None]
    return Mean.of(found) if found else Mean(nan, nan, 0)


def difference(rows: list[RoomRow], first: str, second: str, *, kind: Kind, value: Value) -> Difference:
    """Mean of first - second over the clips that both have, with the 95 % percentile bootstrap over clips."""
    own = {(row.clip, row.setting, row.method): value(row.of(kind)) for row in rows}
    keys = dict.fromkeys((row.clip, row.setting) for row in rows)
    pairs = [(own.get((*key, first)), own.get((*key, second))) for key in keys]
    found = [a - b for a, b in pairs if a is not None and b is not None]
    return Difference.of(found, torch.Generator().manual_seed(0))


def scores(rows: list[RoomRow], kind: Kind, title: str) -> Table:
    """Every metric of every method, mean ± standard error over clips."""
    body = []
    for method, own in by_method(rows).items():
        means = [(mean_over_clips(own, kind, value), digits) for value, digits in METRICS.values()]
        seconds = sum(row.seconds for row in own) / len(own)
        counts = [row.splats for row in own if row.splats is not None]
        splats = f"{median(counts):,.0f}" if counts else DASH
        cells = (mean.text(digits) for mean, digits in means)
        body.append((method, *cells, splats, f"{seconds:.1f}", str(len(own))))
    return Table(title, ("method", *METRICS, "splats", "seconds", "clips"), tuple(body))


def classes(rows: list[RoomRow], kind: Kind, title: str) -> Table:
    """PSNR and LPIPS of seen, occluded and out-of-frame pixels, and how many there are."""
    body = []
    for method, own in by_method(rows).items():
        means = [(mean_over_clips(own, kind, value), digits) for value, digits in BY_CLASS.values()]
        body.append((method, *(mean.text(digits) for mean, digits in means)))
    any_method = next(iter(by_method(rows).values()))
    shares = [mean_over_clips(any_method, kind, share(name)) for name in CLASSES]
    clips = [mean_over_clips(any_method, kind, pooled(name, "psnr")).n for name in CLASSES]
    texts = [f"{mean.text(1, error=False)} % of pixels, {n} clips" for mean, n in zip(shares, clips)]
    return Table(title, ("method", *BY_CLASS), (*body, ("share", *texts, "", "", "")))


def sets(rows: list[RoomRow], found: list[SetRow], kind: Kind, *, title: str, size: int) -> Table:
    """KID (in thousandths), FID, and TSED with its two parts; small images get a threshold too that is 2 px of 256.

    A method whose frames were kept has a second line: of these themselves, before a scene was made of them.
    """
    trunks = list(dict.fromkeys(row.trunk for row in found))
    strict = THRESHOLD * size / 256
    names = [f"{name}-{trunk} ↓" for trunk in trunks for name in ("10³ KID", "FID")]
    timed = ["TSED 2 px ↑", *([f"TSED {strict:g} px ↑"] if strict < THRESHOLD else [])]
    header = ("method", *names, "N", *timed, "enough matches ↑", "of these consistent ↑", "median SED (px) ↓", "pairs")
    body = []
    for method, own in by_method(rows).items():
        mine = {row.trunk: row for row in found if row.method == method}
        cells = [cell for trunk in trunks for cell in _fidelity(mine.get(trunk))]
        pairs = [pair for row in own for pair in row.pairs(kind)]
        n = str(next(iter(mine.values())).n) if mine else DASH
        body.append((method, *cells, n, *_consistency(pairs, strict)))
        frames = [pair for row in own for pair in row.frame_pairs or ()]
        if kind == "generated" and frames:
            body.append((f"{method}, its frames", *(DASH for _ in names), DASH, *_consistency(frames, strict)))
    return Table(title, header, tuple(body))


def _consistency(pairs: list[PairSed], strict: float) -> tuple[str, ...]:
    """TSED at both thresholds, its two parts at 2 px, the median SED, and the number of pairs."""
    limits = (THRESHOLD, strict) if strict < THRESHOLD else (THRESHOLD,)
    values = [*(tsed(pairs, limit) for limit in limits), matched_share(pairs), agreeing_share(pairs), median_sed(pairs)]
    return (*(_text(value, 3) for value in values), str(len(pairs)))


def along(rows: list[RoomRow], title: str, *, size: int) -> Table:
    """PSNR, LPIPS and TSED of the first, the middle and the last third of the generated frames."""
    limits = dict.fromkeys((THRESHOLD, min(THRESHOLD, THRESHOLD * size / 256)))
    header = ["PSNR ↑", "LPIPS ↓", *(f"TSED {limit:g} px ↑" for limit in limits)]
    body = []
    for method, own in by_method(rows).items():
        cells = []
        for name in ("PSNR ↑", "LPIPS ↓"):
            whole, digits = METRICS[name]
            means = (mean_over_clips(own, "generated", of_third(whole, i)) for i in range(3))
            cells.append(", ".join(mean.text(digits, error=False) for mean in means))
        for limit in limits:
            shares = (tsed([p for row in own for p in third(row.generated_pairs, i)], limit) for i in range(3))
            cells.append(", ".join(_text(share, 3) for share in shares))
        body.append((method, *cells))
    return Table(title, ("method", *header), tuple(body))


def of_third(value: Value, i: int) -> Value:
    """The number of a clip's i-th third alone."""
    return lambda views: value(third(views, i))


def third(items: Sequence[T], i: int) -> list[T]:
    """The i-th of three parts in order, as even as can be."""
    return list(items[i * len(items) // 3 : (i + 1) * len(items) // 3])


def differences(rows: list[RoomRow], method: str, kind: Kind, *, title: str) -> Table:
    """`method` minus every other method, with 95 % bootstrap intervals over clips."""
    wanted = {name: METRICS[name] for name in ("PSNR ↑", "LPIPS ↓")} | BY_CLASS
    body = []
    for other in by_method(rows):
        if other != method:
            found = (
                difference(rows, method, other, kind=kind, value=value).text(digits)
                for value, digits in wanted.values()
            )
            body.append((other, *found))
    return Table(title, (f"{method} minus", *wanted), tuple(body))


def summary(out: Path) -> str:
    """Markdown of an evaluation's folder, over the clips that all methods have, and what failed."""
    everything = read_rooms(out / RESULTS)
    if not everything:
        raise InputError(f"{out / RESULTS} has no rows; run the evaluation first.")
    protocol, _ = read_plan(out)
    rows, found = common(everything), read_lines(out / SETS, SetRow)
    stride = "the longest" if protocol.stride is None else str(protocol.stride)
    lines = [
        f"{protocol.references} reference(s) of {protocol.frames} frames, {stride} stride, {protocol.size} px, "
        f"seed {protocol.seed}. Interpolation and extrapolation judge the same windows."
    ]
    for setting in protocol.settings:
        own = [row for row in rows if row.setting == setting]
        present: list[Kind] = [kind for kind in reversed(KINDS) if any(row.of(kind) for row in own)]
        for kind in present:
            title = f"{setting.capitalize()}, {KIND_TITLES[kind]}"
            measured = [row for row in found if (row.setting, row.kind) == (setting, kind)]
            lines += [
                scores(own, kind, title).markdown(),
                classes(own, kind, f"{title}: pixels that the references saw, and did not").markdown(),
                sets(own, measured, kind, title=f"{title}: fidelity and consistency", size=protocol.size).markdown(),
            ]
            if kind == "between" and len(by_method(own)) > 1:
                first = own[0].method
                lines.append(differences(own, first, kind, title=f"{title}: paired differences").markdown())
            if kind == "generated" and all(len(row.of(kind)) >= LONG for row in own):
                lines.append(along(own, f"{title}: along the walk", size=protocol.size).markdown())
    left_out = len({(r.clip, r.setting) for r in everything}) - len({(r.clip, r.setting) for r in rows})
    if left_out:
        lines.append(f"{left_out} clips and settings are left out: some method has no result there.")
    lines += [f"Failed: {f.method} on {f.scene}, {f.error}" for f in unmended(out)]
    return "\n\n".join(lines) + "\n"


def by_method(rows: Iterable[RoomRow]) -> dict[str, list[RoomRow]]:
    return grouped(rows, lambda row: row.method)


def _fidelity(row: SetRow | None) -> tuple[str, str]:
    if row is None:
        return DASH, DASH
    return f"{1000 * row.kid:.2f} ± {1000 * row.kid_error:.2f}", f"{row.fid:.2f}"


def _text(value: float, digits: int) -> str:
    return DASH if isnan(value) else f"{value:.{digits}f}"
