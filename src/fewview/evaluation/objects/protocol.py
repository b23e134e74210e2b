"""Any methods on any scenes under one protocol: rows, failures and pictures in a folder that a second run resumes."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from jaxtyping import Float
from torch import Tensor, nn

from fewview.cameras import Cameras
from fewview.checkpoint import atomic_path
from fewview.evaluation.metrics import psnr, ssim
from fewview.evaluation.objects.splits import Protocol, Split, plan_splits, read_plan, shown_views
from fewview.evaluation.pictures import comparison, load_png, save_png
from fewview.evaluation.plans import file_name
from fewview.evaluation.rows import Failure, Row, read_rows, write_lines
from fewview.evaluation.runner import Runner, failures_of, open_failures, render_each, timed
from fewview.views import Reconstructor, Scene, Views

RESULTS = "results.jsonl"


def evaluate(
    reconstructors: Mapping[str, Reconstructor],
    scenes: Sequence[Scene],
    protocol: Protocol,
    out: Path,
    *,
    lpips: nn.Module | None = None,
    alex: nn.Module | None = None,
    progress: Callable[[str], None] | None = None,
    device: torch.device | str = "cpu",
) -> list[Failure]:
    """Writes results.jsonl, pictures/<scene>.png and failures.jsonl to `out`, and returns this run's failures.

    A failure ends one method on one scene and nothing else. Rows that exist are not made again, except those without
    LPIPS when `lpips` is given (it is moved to `device`), or without LPIPS-Alex, which no method optimises, when `alex`
    is. The inputs are never judged.
    """
    splits = plan_splits(scenes, protocol, out)
    rows = read_rows(out / RESULTS)
    kept = [
        row for row in rows if (lpips is None or row.lpips is not None) and (alex is None or row.lpips_alex is not None)
    ]
    if len(kept) < len(rows):
        rows = kept
        write_lines(out / RESULTS, rows)
    device = torch.device(device)
    nets = [net.to(device) if net else None for net in (lpips, alex)]
    judge = _Judge(tuple(reconstructors), protocol, out, nets[0], nets[1], device)
    cases = [_SceneCase(judge, scene, splits[scene.name], protocol.seed + i) for i, scene in enumerate(scenes)]
    runner = Runner(out, RESULTS, {row.key for row in rows}, progress, device)
    return failures_of(runner.run(reconstructors, cases))


def unmended(out: Path) -> list[Failure]:
    """The last failure of each scene and method whose held-out views have not all been judged since."""
    done = {row.key for row in read_rows(out / RESULTS)}
    _, splits = read_plan(out)
    return open_failures(out, lambda f: all((f.scene, f.method, view) in done for view in splits[f.scene].held_out))


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


def measure(
    images: Float[Tensor, "batch 3 height width"],
    truth: Float[Tensor, "batch 3 height width"],
    lpips: nn.Module | None = None,
) -> list[tuple[float, float, float | None]]:
    """PSNR (dB), SSIM and LPIPS of each image."""
    with torch.no_grad():
        return list(zip(psnr(images, truth).tolist(), ssim(images, truth).tolist(), distances(images, truth, lpips)))


def distances(
    images: Float[Tensor, "batch 3 height width"], truth: Float[Tensor, "batch 3 height width"], net: nn.Module | None
) -> list[float | None]:
    """Of each image by a network, or None; one image at a time, which bounds the memory."""
    if net is None:
        return [None] * len(images)
    with torch.no_grad():
        return [float(net(a[None], b[None])) for a, b in zip(images, truth)]


@dataclass(frozen=True, eq=False)
class _Judge:
    """What stays the same over all scenes of one run."""

    methods: tuple[str, ...]
    protocol: Protocol
    out: Path
    lpips: nn.Module | None
    alex: nn.Module | None
    device: torch.device

    def render_path(self, scene: str, method: str, view: int) -> Path:
        return self.out / "renders" / file_name(scene) / file_name(method) / f"{view:04d}.png"


@dataclass(frozen=True, eq=False)
class _SceneCase:
    """A scene whose held-out views are judged; methods share its views, the context first."""

    of: _Judge
    scene: Scene
    split: Split
    seed: int

    @property
    def name(self) -> str:
        return self.scene.name

    def keys(self, method: str) -> set[tuple[str, str, int]]:
        return {(self.name, method, view) for view in self.split.held_out}

    def open(self) -> Views:
        views = self.scene.read([*self.split.context, *self.split.held_out])
        return square(views, self.of.protocol.size).to(self.of.device)

    def judge(self, name: str, method: Reconstructor, shown: Views, generator: torch.Generator) -> list[Row]:
        """Reconstructs from the context, renders all held-out views and measures them."""
        context, truth = shown[: len(self.split.context)], shown[len(self.split.context) :]
        asset, seconds = timed(lambda: method.reconstruct(context, generator=generator), self.of.device)
        images = render_each(asset, truth.cameras).image
        for i in shown_views(self.split, self.of.protocol.pictures):
            save_png(self.of.render_path(self.name, name, self.split.held_out[i]), images[i])
        category = getattr(self.scene, "category", None) or self.name.split("/")[0]
        angles = angle_to_nearest(truth.cameras, context.cameras).tolist()
        numbers = measure(images, truth.on_black().images, self.of.lpips)
        second = distances(images, truth.on_black().images, self.of.alex)
        return [
            Row(self.name, category, name, view, *values, round(angle, 3), seconds, alex)
            for view, values, angle, alex in zip(self.split.held_out, numbers, angles, second)
        ]

    def draw(self, shown: Views) -> None:
        """pictures/<scene>.png."""
        images, held_out = shown.on_black().images, self.split.held_out
        positions = shown_views(self.split, self.of.protocol.pictures)
        if not positions:
            return
        known = [file_name(name) for name in self.of.methods]
        others = (path.name for path in (self.of.out / "renders" / file_name(self.name)).glob("*"))
        count = len(self.split.context)
        columns: list[tuple[str, list[Tensor | None]]] = [("truth", [images[count + i] for i in positions])]
        for name in [*self.of.methods, *sorted(name for name in others if name not in known)]:
            paths = [self.of.render_path(self.name, name, held_out[i]) for i in positions]
            columns.append((name, [load_png(path) for path in paths]))
        with atomic_path(self.of.out / "pictures" / f"{file_name(self.name)}.png") as temporary:
            comparison(images[:count], columns).save(temporary)

    def sentence(self, rows: list[Row]) -> str:
        mean = sum(row.psnr for row in rows) / len(rows)
        return f"{self.name}: {rows[0].method} {mean:.2f} dB over {len(rows)} held-out views, {rows[0].seconds:.1f} s"
