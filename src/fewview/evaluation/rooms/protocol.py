"""Any methods on any walks through rooms, judged between the generated frames and by what the references saw."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol, runtime_checkable

import torch
from jaxtyping import Float, UInt8
from torch import Tensor

from fewview.cameras import Cameras
from fewview.evaluation.fidelity import Trunk
from fewview.evaluation.metrics import psnr, ssim
from fewview.evaluation.plans import file_name
from fewview.evaluation.rooms.fidelity import measure_sets
from fewview.evaluation.rooms.pictures import draw_sheet, load_strip, save_strip
from fewview.evaluation.rooms.plan import TRUTH, plan, strip_path
from fewview.evaluation.rooms.regions import depth_score, lpips_map, region_score
from fewview.evaluation.rooms.rows import RESULTS, Key, RoomRow, ViewScore, read_rooms
from fewview.evaluation.rooms.tsed import PairSed, pair_seds
from fewview.evaluation.rooms.visibility import Region, classify, mask_of
from fewview.evaluation.rooms.windows import KINDS, Clip, Kind, RoomProtocol, Setting, Window
from fewview.evaluation.rows import Failure, write_lines
from fewview.evaluation.runner import Runner, failures_of, render_each, timed
from fewview.nn.lpips import Lpips
from fewview.views import Asset, Reconstructor, Render, Views


def evaluate_rooms(
    methods: Mapping[str, Reconstructor],
    clips: Sequence[Clip],
    protocol: RoomProtocol,
    *,
    out: Path,
    lpips: Lpips | None = None,
    trunk: Trunk | None = None,
    progress: Callable[[str], None] | None = None,
) -> list[Failure]:
    """Writes rooms.jsonl, sets.jsonl, renders/, pictures/ and failures.jsonl to `out`; returns this run's failures.

    A failure ends one method on one clip and setting. Rows that exist are not made again, except those without LPIPS
    where it is given. Fidelity is of the clips that all methods in the folder have.
    """
    plan(clips, protocol, out)
    rows = read_rooms(out / RESULTS)
    if lpips is not None and any(view.lpips is None for row in rows for view in row.views):
        rows = [row for row in rows if all(view.lpips is not None for view in row.views)]
        write_lines(out / RESULTS, rows)
    judge = _Judge(tuple(methods), protocol, out, lpips)
    cases = [_ClipCase(judge, clip, i, setting) for i, clip in enumerate(clips) for setting in protocol.settings]
    outcomes = Runner(out, RESULTS, {row.key for row in rows}, progress).run(methods, cases)
    if trunk is not None:
        fresh = {row.method for rows in outcomes if not isinstance(rows, Failure) for row in rows}
        measure_sets(out, trunk, fresh=fresh, progress=progress)
    return failures_of(outcomes)


@runtime_checkable
class Made(Protocol):
    """A scene, and the frames that it was made of, of the path's first cameras."""

    @property
    def scene(self) -> Asset: ...

    @property
    def images(self) -> Views: ...


@runtime_checkable
class MakesFrames(Protocol):
    """A method whose generated frames can be had, and judged beside the renders of its scene."""

    def generate(
        self, views: Views, path: Cameras | None = None, *, generator: torch.Generator | None = None
    ) -> Made: ...


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
class _Judge:
    """What stays the same over all clips of one run."""

    methods: tuple[str, ...]
    protocol: RoomProtocol
    out: Path
    lpips: Lpips | None


@dataclass(frozen=True, eq=False)
class _ClipCase:
    """A clip in a setting, whose judged frames are those to generate and those between them."""

    of: _Judge
    clip: Clip
    index: int
    setting: Setting

    @property
    def name(self) -> str:
        return f"{self.clip.name}, {self.setting}"

    @property
    def seed(self) -> int:
        return self.of.protocol.seed + self.index

    def keys(self, method: str) -> set[Key]:
        return {(self.clip.name, method, self.setting)}

    def open(self) -> _Shown:
        """Frames of the window, and what the references know of each pixel."""
        window = self.of.protocol.window(self.index, len(self.clip), self.setting)
        k = len(window.references)
        views, depth = self.clip.frames([*window.references, *window.judged], self.of.protocol.size)
        regions = classify(views.cameras[k:], depth[k:], views.cameras[:k], reference_depth=depth[:k])
        path = views.cameras[k:][[window.judged.index(frame) for frame in window.targets]]
        save_strip(self.strip(TRUTH), views.images[k:])
        return _Shown(window, views[:k], views[k:], depth[k:], regions, path)

    def judge(self, name: str, method: Reconstructor, shown: _Shown, generator: torch.Generator) -> list[RoomRow]:
        """Reconstructs from the references, renders all judged frames and measures them."""
        (asset, frames), seconds = timed(lambda: _made(method, shown, generator))
        renders = render_each(asset, shown.truth.cameras)
        save_strip(self.strip(name), renders.image)
        views = self.scores(shown, renders)
        generated, between = (self.pairs(renders.image, shown, kind) for kind in KINDS)
        clip, setting = self.clip.name, self.setting
        own = None if frames is None else self.frame_pairs(frames, shown)
        return [RoomRow(clip, name, setting, seconds, _splats(asset), views, generated, between, own)]

    def strip(self, method: str) -> Path:
        return strip_path(self.of.out, method, self.setting, clip=self.clip.name)

    def scores(self, shown: _Shown, renders: Render) -> tuple[ViewScore, ...]:
        """Every metric of each judged frame."""
        images, truth, window = renders.image, shown.truth.images, shown.window
        values, maps = (None, None) if self.of.lpips is None else _lpips(self.of.lpips, images, truth)
        views = []
        numbers = zip(window.judged, psnr(images, truth).tolist(), ssim(images, truth).tolist())
        for i, (frame, p, s) in enumerate(numbers):
            near = None if maps is None else maps[i]
            seen, occluded, outside = (
                region_score(images[i], truth[i], mask_of(shown.regions[i], region), distances=near)
                for region in (Region.SEEN, Region.OCCLUDED, Region.OUTSIDE)
            )
            kind: Kind = "between" if frame in window.between else "generated"
            depth = depth_score(Render(images[i], renders.alpha[i], renders.depth[i]), shown.depth[i])
            value = None if values is None else float(values[i])
            views.append(ViewScore(frame, kind, p, s, value, seen, occluded, outside, depth))
        return tuple(views)

    def pairs(self, images: Float[Tensor, "n 3 size size"], shown: _Shown, kind: Kind) -> tuple[PairSed, ...]:
        place = shown.window.judged.index
        pairs = [(place(a), place(b)) for a, b in shown.window.pairs(kind)]
        return tuple(pair_seds(images, shown.truth.cameras, pairs))

    def frame_pairs(self, frames: Views, shown: _Shown) -> tuple[PairSed, ...]:
        """Generated frames that are a stride apart, as they came out of the method."""
        place = shown.window.targets.index
        pairs = [(place(a), place(b)) for a, b in shown.window.pairs("generated")]
        return tuple(pair_seds(frames.images, shown.path, pairs))

    def draw(self, shown: _Shown) -> None:
        """A sheet of frames between the generated ones."""
        out, between = self.of.out, [shown.window.judged.index(frame) for frame in shown.window.between]
        count = min(self.of.protocol.pictures, len(between))
        places = [between[(2 * i + 1) * len(between) // (2 * count)] for i in range(count)]
        if not places:
            return
        known = {file_name(name): name for name in self.of.methods}
        names = [*known, *(p.name for p in sorted((out / "renders").glob("*")) if p.name not in (*known, TRUTH))]
        renders: dict[str, list[Tensor | None]] = {}
        for name in names:
            strip = load_strip(self.strip(name)) if self.strip(name).exists() else None
            renders[known.get(name, name)] = [None if strip is None else strip[i] for i in places]
        path = out / "pictures" / f"{file_name(self.clip.name)}-{self.setting}.png"
        draw_sheet(
            path, shown.references.images, shown.truth.images[places], regions=shown.regions[places], renders=renders
        )

    def sentence(self, rows: list[RoomRow]) -> str:
        row = rows[0]
        kind: Kind = "between" if row.of("between") else "generated"
        judged = row.of(kind)
        mean = sum(view.psnr for view in judged) / max(len(judged), 1)
        return f"{self.name}: {row.method} {mean:.2f} dB {kind}, {row.seconds:.1f} s"


def _made(method: Reconstructor, shown: _Shown, generator: torch.Generator) -> tuple[Asset, Views | None]:
    """The scene of a method, and the frames that it generated for all of the path, if it did."""
    if not isinstance(method, MakesFrames):
        return method.reconstruct(shown.references, path=shown.path, generator=generator), None
    made = method.generate(shown.references, shown.path, generator=generator)
    whole = len(made.images) == len(shown.path)
    return made.scene, made.images.resized(shown.path.height, shown.path.width) if whole else None


def _lpips(net: Lpips, images: Tensor, truth: Tensor) -> tuple[Tensor, Tensor]:
    """One image at a time, which bounds the memory."""
    values, maps = zip(*(lpips_map(net, a[None], b[None]) for a, b in zip(images, truth)))
    return torch.cat(values), torch.cat(maps)


def _splats(asset: Asset) -> int | None:
    gaussians = getattr(asset, "gaussians", None)
    return None if gaussians is None else len(gaussians)
