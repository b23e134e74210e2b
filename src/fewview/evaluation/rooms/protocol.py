"""Any methods on any walks through rooms, judged between the generated frames and by what the references saw."""

import time
import traceback
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol, runtime_checkable

import torch
from jaxtyping import Float, UInt8
from torch import Tensor

from fewview.cameras import Cameras
from fewview.evaluation.fidelity import Trunk
from fewview.evaluation.metrics import psnr, ssim
from fewview.evaluation.objects.splits import file_name
from fewview.evaluation.rooms.fidelity import measure_sets
from fewview.evaluation.rooms.pictures import draw_sheet, load_strip, save_strip
from fewview.evaluation.rooms.plan import TRUTH, plan, strip_path
from fewview.evaluation.rooms.regions import depth_score, lpips_map, region_score
from fewview.evaluation.rooms.rows import FAILURES, RESULTS, Key, RoomRow, ViewScore, read_rooms
from fewview.evaluation.rooms.tsed import PairSed, pair_seds
from fewview.evaluation.rooms.visibility import Region, classify, mask_of
from fewview.evaluation.rooms.windows import KINDS, Kind, RoomProtocol, Setting, Walk, Window
from fewview.evaluation.rows import Failure, append_lines, write_lines
from fewview.nn.lpips import Lpips
from fewview.views import Asset, Render, Views


@runtime_checkable
class Reconstructor(Protocol):
    """Anything that turns posed images, and perhaps the cameras of frames to generate, into an asset."""

    def reconstruct(
        self, views: Views, *, path: Cameras | None = None, generator: torch.Generator | None = None
    ) -> Asset: ...


def evaluate_rooms(
    methods: Mapping[str, Reconstructor],
    walks: Sequence[Walk],
    protocol: RoomProtocol,
    out: Path,
    *,
    lpips: Lpips | None = None,
    trunk: Trunk | None = None,
    progress: Callable[[str], None] | None = None,
) -> list[Failure]:
    """Writes rooms.jsonl, sets.jsonl, renders/, pictures/ and failures.jsonl to `out`; returns this run's failures.

    A failure ends one method on one clip and setting. Rows that exist are not made again, except those without LPIPS
    where it is given. Fidelity is of the clips that all methods in the folder have.
    """
    plan(walks, protocol, out)
    rows = read_rooms(out / RESULTS)
    if lpips is not None and any(view.lpips is None for row in rows for view in row.views):
        rows = [row for row in rows if all(view.lpips is not None for view in row.views)]
        write_lines(out / RESULTS, rows)
    run = _Run(methods, protocol, out, lpips, {row.key for row in rows})
    failures: list[Failure] = []
    fresh: set[str] = set()
    for index, walk in enumerate(walks):
        for outcome in run.walk(walk, index):
            if isinstance(outcome, Failure):
                append_lines(out / FAILURES, [outcome])
                failures.append(outcome)
            else:
                fresh.add(outcome.method)
            if progress is not None:
                progress(_sentence(outcome))
    if trunk is not None:
        measure_sets(out, trunk, fresh=fresh, progress=progress)
    return failures


@dataclass(frozen=True, eq=False)
class _Shown:
    """What all methods share on one clip and setting."""

    window: Window
    references: Views
    truth: Views  # judged frames, in order
    depth: Float[Tensor, "n size size"]
    regions: UInt8[Tensor, "n size size"]
    path: Cameras


@dataclass(frozen=True, eq=False)
class _Run:
    """What stays the same over all clips of one run. `done` holds the rows that were there before it."""

    methods: Mapping[str, Reconstructor]
    protocol: RoomProtocol
    out: Path
    lpips: Lpips | None
    done: set[Key]

    def walk(self, walk: Walk, index: int) -> Iterator[RoomRow | Failure]:
        """The row or the failure of each method with anything to do on a clip, and the sheets at the end."""
        for setting in self.protocol.settings:
            todo = [name for name in self.methods if (walk.name, name, setting) not in self.done]
            if not todo:
                continue
            try:
                shown = self.shown(walk, self.protocol.window(index, len(walk), setting))
            except Exception as error:
                yield from (_failure(walk.name, setting, name, error) for name in todo)
                continue
            save_strip(strip_path(self.out, TRUTH, setting, walk.name), shown.truth.images)
            for name in todo:
                yield self.attempt(walk.name, setting, name, shown, self.protocol.seed + index)
            self.draw(walk.name, setting, shown)

    def shown(self, walk: Walk, window: Window) -> _Shown:
        """Frames of a window, and what the references know of each pixel."""
        k = len(window.references)
        views, depth = walk.frames([*window.references, *window.judged], self.protocol.size)
        regions = classify(views.cameras[k:], depth[k:], views.cameras[:k], depth[:k])
        path = views.cameras[k:][[window.judged.index(frame) for frame in window.targets]]
        return _Shown(window, views[:k], views[k:], depth[k:], regions, path)

    def attempt(self, clip: str, setting: Setting, name: str, shown: _Shown, seed: int) -> RoomRow | Failure:
        try:
            start = time.perf_counter()
            generator = torch.Generator().manual_seed(seed)
            asset = self.methods[name].reconstruct(shown.references, path=shown.path, generator=generator)
            seconds = round(time.perf_counter() - start, 3)
            renders = render_all(asset, shown.truth.cameras)
            save_strip(strip_path(self.out, name, setting, clip), renders.image)
            row = self.judged(clip, setting, name, shown, renders, seconds=seconds, splats=_splats(asset))
        except Exception as error:
            return _failure(clip, setting, name, error)
        append_lines(self.out / RESULTS, [row])
        return row

    def judged(
        self, clip: str, setting: Setting, name: str, shown: _Shown, renders: Render, *, seconds: float,
        splats: int | None,
    ) -> RoomRow:  # fmt: skip
        """Every metric of the renders of one asset."""
        images, truth, window = renders.image, shown.truth.images, shown.window
        values, maps = (None, None) if self.lpips is None else _lpips(self.lpips, images, truth)
        views = []
        numbers = zip(window.judged, psnr(images, truth).tolist(), ssim(images, truth).tolist())
        for i, (frame, p, s) in enumerate(numbers):
            near = None if maps is None else maps[i]
            seen, occluded, outside = (
                region_score(images[i], truth[i], mask_of(shown.regions[i], region), near)
                for region in (Region.SEEN, Region.OCCLUDED, Region.OUTSIDE)
            )
            kind: Kind = "between" if frame in window.between else "generated"
            depth = depth_score(Render(images[i], renders.alpha[i], renders.depth[i]), shown.depth[i])
            value = None if values is None else float(values[i])
            views.append(ViewScore(frame, kind, p, s, value, seen, occluded, outside, depth))
        first, second = (self.pairs(images, shown, kind) for kind in KINDS)
        return RoomRow(clip, name, setting, seconds, splats, tuple(views), first, second)

    def pairs(self, images: Float[Tensor, "n 3 size size"], shown: _Shown, kind: Kind) -> tuple[PairSed, ...]:
        place = shown.window.judged.index
        pairs = [(place(a), place(b)) for a, b in shown.window.pairs(kind)]
        return tuple(pair_seds(images, shown.truth.cameras, pairs))

    def draw(self, clip: str, setting: Setting, shown: _Shown) -> None:
        """A sheet of frames between the generated ones, from the renders on disk (of earlier runs too)."""
        between = [shown.window.judged.index(frame) for frame in shown.window.between]
        count = min(self.protocol.pictures, len(between))
        places = [between[(2 * i + 1) * len(between) // (2 * count)] for i in range(count)]
        if not places:
            return
        known = {file_name(name): name for name in self.methods}
        names = [*known, *(p.name for p in sorted((self.out / "renders").glob("*")) if p.name not in (*known, TRUTH))]
        renders: dict[str, list[Tensor | None]] = {}
        for name in names:
            path = strip_path(self.out, name, setting, clip)
            strip = load_strip(path) if path.exists() else None
            renders[known.get(name, name)] = [None if strip is None else strip[i] for i in places]
        path = self.out / "pictures" / f"{file_name(clip)}-{setting}.png"
        draw_sheet(path, shown.references.images, shown.truth.images[places], shown.regions[places], renders)


@torch.no_grad()
def render_all(asset: Asset, cameras: Cameras) -> Render:
    """Renders camera by camera, colours in [0, 1]. ValueError for another shape or a value that is not finite."""
    parts = []
    for i in range(len(cameras)):
        seen = asset.render(cameras[i : i + 1])
        if seen.image.shape != (1, 3, cameras.height, cameras.width):
            raise ValueError(f"a render is {tuple(seen.image.shape)}, not (1, 3, {cameras.height}, {cameras.width})")
        if not all(x.isfinite().all() for x in (seen.image, seen.alpha, seen.depth)):
            raise ValueError(f"the render of judged frame {i} has values that are not finite")
        parts.append((seen.image.clamp(0, 1), seen.alpha, seen.depth))
    return Render(*(torch.cat(tensors).to(cameras.world_from_cam) for tensors in zip(*parts)))


def _lpips(net: Lpips, images: Tensor, truth: Tensor) -> tuple[Tensor, Tensor]:
    """One image at a time, which bounds the memory."""
    values, maps = zip(*(lpips_map(net, a[None], b[None]) for a, b in zip(images, truth)))
    return torch.cat(values), torch.cat(maps)


def _splats(asset: Asset) -> int | None:
    gaussians = getattr(asset, "gaussians", None)
    return None if gaussians is None else len(gaussians)


def _failure(clip: str, setting: Setting, method: str, error: Exception) -> Failure:
    text = f"{type(error).__name__}: {error}"
    return Failure(f"{clip}, {setting}", method, text, "".join(traceback.format_exception(error)))


def _sentence(outcome: RoomRow | Failure) -> str:
    if isinstance(outcome, Failure):
        return f"{outcome.scene}: {outcome.method} failed, {outcome.error}"
    kind: Kind = "between" if outcome.of("between") else "generated"
    judged = outcome.of(kind)
    mean = sum(view.psnr for view in judged) / max(len(judged), 1)
    return f"{outcome.clip}, {outcome.setting}: {outcome.method} {mean:.2f} dB {kind}, {outcome.seconds:.1f} s"
