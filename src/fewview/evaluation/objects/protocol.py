"""Any methods on any scenes under one protocol: rows, failures and pictures in a folder that a second run resumes."""

import time
import traceback
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from jaxtyping import Float
from torch import Tensor, nn

from fewview.cameras import Cameras
from fewview.checkpoint import atomic_path
from fewview.evaluation.metrics import psnr, ssim
from fewview.evaluation.objects.splits import Protocol, Split, file_name, plan_splits, read_plan, shown
from fewview.evaluation.pictures import comparison, load_png, save_png
from fewview.evaluation.rows import Failure, Row, append_lines, read_lines, read_rows, write_lines
from fewview.views import Asset, Reconstructor, Scene, Views

RESULTS, FAILURES = "results.jsonl", "failures.jsonl"
Key = tuple[str, str, int]  # scene, method, view


def evaluate(
    reconstructors: Mapping[str, Reconstructor],
    scenes: Sequence[Scene],
    protocol: Protocol,
    out: Path,
    *,
    lpips: nn.Module | None = None,
    progress: Callable[[str], None] | None = None,
    device: torch.device | str = "cpu",
) -> list[Failure]:
    """Writes results.jsonl, pictures/<scene>.png and failures.jsonl to `out`, and returns this run's failures.

    A failure ends one method on one scene and nothing else. Rows that exist are not made again, except those without
    LPIPS when `lpips` is given (it is moved to `device`). The inputs are never judged.
    """
    splits = plan_splits(scenes, protocol, out)
    rows = read_rows(out / RESULTS)
    if lpips is not None and any(row.lpips is None for row in rows):
        rows = [row for row in rows if row.lpips is not None]
        write_lines(out / RESULTS, rows)
    device = torch.device(device)
    run = _Run(reconstructors, protocol, out, lpips.to(device) if lpips else None, device, {row.key for row in rows})
    failures: list[Failure] = []
    for index, scene in enumerate(scenes):
        for outcome in run.scene(scene, splits[scene.name], protocol.seed + index):
            if isinstance(outcome, Failure):
                append_lines(out / FAILURES, [outcome])
                failures.append(outcome)
            if progress is not None:
                progress(_sentence(outcome))
    return failures


def open_failures(out: Path) -> list[Failure]:
    """The last failure of each scene and method that has not been made good since."""
    done = {row.key for row in read_rows(out / RESULTS)}
    _, splits = read_plan(out)
    last = {(failure.scene, failure.method): failure for failure in read_lines(out / FAILURES, Failure)}
    return [f for f in last.values() if any((f.scene, f.method, view) not in done for view in splits[f.scene].held_out)]


def angle_to_nearest(cameras: Cameras, context: Cameras) -> Float[Tensor, " batch"]:
    """Degrees from each optical axis to the nearest one of the context (the abscissa of thesis Figure 5.3)."""
    a, b = torch.broadcast_tensors(cameras.forward.double()[:, None], context.forward.double()[None])
    angle = torch.atan2(torch.linalg.cross(a, b).norm(dim=-1), (a * b).sum(dim=-1))
    return torch.rad2deg(angle).min(dim=1).values.to(cameras.world_from_cam.dtype)


def square(views: Views, size: int) -> Views:
    """The middle square of the images, resampled to `size` pixels; the cameras follow."""
    height, width = views.images.shape[-2:]
    side = min(height, width)
    top, left = (height - side) // 2, (width - side) // 2
    return views.cropped(left, top, side, side).resized(size, size)


def render_each(asset: Asset, cameras: Cameras) -> Float[Tensor, "batch 3 height width"]:
    """Renders camera by camera, which bounds the memory. ValueError for another shape or a value that is not finite."""
    images = []
    with torch.no_grad():
        for i in range(len(cameras)):
            image = asset.render(cameras[i : i + 1]).image
            if image.shape != (1, 3, cameras.height, cameras.width):
                raise ValueError(f"a render is {tuple(image.shape)}, not (1, 3, {cameras.height}, {cameras.width})")
            if not image.isfinite().all():
                raise ValueError(f"the render of held-out view {i} has values that are not finite")
            images.append(image.clamp(0, 1).to(cameras.world_from_cam))
    return torch.cat(images)


def measure(
    images: Float[Tensor, "batch 3 height width"],
    truth: Float[Tensor, "batch 3 height width"],
    lpips: nn.Module | None = None,
) -> list[tuple[float, float, float | None]]:
    """PSNR (dB), SSIM and LPIPS of each image; one image at a time in LPIPS, which bounds the memory."""
    distances: list[float | None] = [None] * len(images)
    with torch.no_grad():
        if lpips is not None:
            distances = [float(lpips(a[None], b[None])) for a, b in zip(images, truth)]
        return list(zip(psnr(images, truth).tolist(), ssim(images, truth).tolist(), distances))


@dataclass(frozen=True, eq=False)
class _Run:
    """What stays the same over all scenes of one run. `done` holds the rows that were there before it."""

    methods: Mapping[str, Reconstructor]
    protocol: Protocol
    out: Path
    lpips: nn.Module | None
    device: torch.device
    done: set[Key]

    def scene(self, scene: Scene, split: Split, seed: int) -> Iterator[list[Row] | Failure]:
        """Yields the rows or the Failure of each method with anything to do, and draws the comparison at the end."""
        todo = [name for name in self.methods if any((scene.name, name, v) not in self.done for v in split.held_out)]
        if not todo:
            return
        try:
            views = square(scene.read([*split.context, *split.held_out]), self.protocol.size).to(self.device)
        except Exception as error:
            yield from (_failure(scene.name, name, error) for name in todo)
            return
        for name in todo:
            yield self.attempt(name, scene, split, views, torch.Generator(self.device).manual_seed(seed))
        self.draw(scene.name, split, views.on_black().images)

    def attempt(
        self, name: str, scene: Scene, split: Split, views: Views, generator: torch.Generator
    ) -> list[Row] | Failure:
        try:
            rows = self.method(name, scene, split, views, generator)
        except Exception as error:
            return _failure(scene.name, name, error)
        append_lines(self.out / RESULTS, [row for row in rows if row.key not in self.done])
        return rows

    def method(self, name: str, scene: Scene, split: Split, views: Views, generator: torch.Generator) -> list[Row]:
        """Reconstructs from the context, renders all held-out views and measures them."""
        context, truth = views[: len(split.context)], views[len(split.context) :]
        start = time.perf_counter()
        asset = self.methods[name].reconstruct(context, generator=generator)
        if self.device.type == "cuda":
            torch.cuda.synchronize(self.device)
        seconds = round(time.perf_counter() - start, 3)
        images = render_each(asset, truth.cameras)
        for i in shown(split, self.protocol.pictures):
            save_png(self.render_path(scene.name, name, split.held_out[i]), images[i])
        category = getattr(scene, "category", None) or scene.name.split("/")[0]
        angles = angle_to_nearest(truth.cameras, context.cameras).tolist()
        return [
            Row(scene.name, category, name, view, *values, round(angle, 3), seconds)
            for view, values, angle in zip(split.held_out, measure(images, truth.on_black().images, self.lpips), angles)
        ]

    def draw(self, scene: str, split: Split, images: Float[Tensor, "views 3 size size"]) -> None:
        """pictures/<scene>.png from the renders on disk, so that methods of earlier runs are in it too."""
        positions = shown(split, self.protocol.pictures)
        if not positions:
            return
        known = [file_name(name) for name in self.methods]
        others = (path.name for path in (self.out / "renders" / file_name(scene)).glob("*"))
        names = [*self.methods, *sorted(name for name in others if name not in known)]
        columns: list[tuple[str, list[Tensor | None]]] = [
            ("truth", [images[len(split.context) + i] for i in positions])
        ]
        for name in names:
            columns.append((name, [load_png(self.render_path(scene, name, split.held_out[i])) for i in positions]))
        with atomic_path(self.out / "pictures" / f"{file_name(scene)}.png") as temporary:
            comparison(images[: len(split.context)], columns).save(temporary)

    def render_path(self, scene: str, method: str, view: int) -> Path:
        return self.out / "renders" / file_name(scene) / file_name(method) / f"{view:04d}.png"


def _failure(scene: str, method: str, error: Exception) -> Failure:
    text = f"{type(error).__name__}: {error}"
    return Failure(scene, method, text, "".join(traceback.format_exception(error)))


def _sentence(outcome: list[Row] | Failure) -> str:
    if isinstance(outcome, Failure):
        return f"{outcome.scene}: {outcome.method} failed, {outcome.error}"
    mean = sum(row.psnr for row in outcome) / len(outcome)
    row = outcome[0]
    return f"{row.scene}: {row.method} {mean:.2f} dB over {len(outcome)} held-out views, {row.seconds:.1f} s"
