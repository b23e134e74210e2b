"""GGS from end to end: posed photos and a path to a scene of splats, and to the images generated on the way."""

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TypeVar

import torch

from fewview.cameras import Cameras
from fewview.checkpoint import load_model, save_model
from fewview.errors import InputError
from fewview.ggs.grow import GGSMethodConfig, Grown, Task, add_unshown, empty_latents, grow
from fewview.ggs.lift import lift, refine
from fewview.ggs.model import GGS, GGSConfig
from fewview.ggs.walks import automatic_path, checked_path, framed, framed_cameras, growth_frame, walk_of
from fewview.render.gaussians import GaussianAsset
from fewview.views import Views

WEIGHTS = Path(__file__).parents[1] / "weights"
PREFIX = "ggs-"

Method = TypeVar("Method", bound="GenerativeGaussianSplatting")
Progress = Callable[[str, float], None]
"""(stage, fraction done in [0, 1])."""


@dataclass(frozen=True, eq=False)
class Generated:
    """A scene, and what it was made of; all in the world of the photos, images of the model's size."""

    scene: GaussianAsset
    images: Views  # of the path, in its order; none for a regressor, which makes none
    given: Views  # the photos as the model saw them
    counts: tuple[int, ...]  # splats after each chunk


class GenerativeGaussianSplatting:
    """A Reconstructor: splats that hold what the photos show and invent, along a path, what they do not."""

    def __init__(self, model: GGS, config: GGSMethodConfig | None = None):
        self.model, self.config = model.eval().requires_grad_(False), config or GGSMethodConfig()

    @classmethod
    def from_pretrained(
        cls: type[Method], source: str | Path = "ggs-tiny", config: GGSMethodConfig | None = None
    ) -> Method:
        """Weights by name (shipped with the package; the "ggs-" may be left out) or from a model folder."""
        return cls(load_model(model_folder(source), GGS, GGSConfig), config)

    def save_pretrained(self, folder: Path) -> None:
        """A model folder that `from_pretrained` reads."""
        save_model(folder, self.model, self.model.config)

    def reconstruct(
        self,
        views: Views,
        *,
        path: Cameras | None = None,
        generator: torch.Generator | None = None,
        progress: Progress | None = None,
        directory: Path | None = None,
    ) -> GaussianAsset:
        """The scene of `generate`."""
        return self.generate(views, path, generator=generator, progress=progress, directory=directory).scene

    def generate(
        self,
        views: Views,
        path: Cameras | None = None,
        *,
        generator: torch.Generator | None = None,
        progress: Progress | None = None,
        directory: Path | None = None,
    ) -> Generated:
        """A scene of one or more whole photos (masks are not used) along a path in their world, or an automatic one.

        With a `directory` a killed run goes on behind its last whole chunk. InputError for paths that do not fit.
        """
        report = progress or (lambda stage, fraction: None)
        generator = generator or torch.Generator().manual_seed(0)
        self.check()
        given, cameras = self.prepared(views, path)
        seed = int(torch.randint(2**31, (), generator=generator, device=generator.device))
        chunks = -(-len(cameras) // self.config.chunk)
        walk = walk_of(given.cameras, cameras, chunks)
        unit = 1 / (self.config.metres or 1.0) if self.model.config.metric else walk
        frame = growth_frame(given.cameras, unit)
        inside = torch.linalg.inv(frame)
        task = Task(_moved(given, inside), cameras.transformed(inside), walk / unit, seed)
        if self.config.regressor:
            scene, grown = self.regressed(task), None
        else:
            tell = lambda fraction: report("imagining views", fraction)
            grown = grow(self.model, task, self.config, progress=tell, directory=directory)
            scene = self.finished(task, grown, report)
        images = given.images[:0] if grown is None else grown.images
        made = Views(images, cameras[: len(images)])
        return Generated(scene.transformed(frame), made, given, () if grown is None else grown.counts)

    def path(self, views: Views) -> Cameras:
        """The automatic path: `config.frames` cameras between the photos, or a stroll about the only one."""
        config = self.model.config
        return automatic_path(framed_cameras(views.cameras, config.height, config.width), self.config.frames)

    def prepared(self, views: Views, path: Cameras | None) -> tuple[Views, Cameras]:
        """Photos and path of the model's size and on its device, in the world."""
        size = self.model.config.height, self.model.config.width
        device = next(self.model.parameters()).device
        if len(views) < 1:
            raise InputError("There is no photo; a scene needs one or more.")
        given = framed(views, *size).to(device)
        if self.config.regressor:
            return given, given.cameras[:0]
        if path is None:
            return given, automatic_path(given.cameras, self.config.frames)
        return given, checked_path(framed_cameras(path, *size).to(device), given.cameras)

    def check(self) -> None:
        """InputError where the config asks for what cannot be done, or not with this model."""
        for name in ("steps", "chunk", "references", "most"):
            if getattr(self.config, name) < 1:
                raise InputError(f"The method's '{name}' is {getattr(self.config, name)}; it must be at least 1.")
        if self.config.refine < 0:
            raise InputError(f"The method's 'refine' is {self.config.refine}; it must be 0 or more steps.")
        if not 0 <= self.config.temperature < math.inf:
            raise InputError(f"The method's 'temperature' is {self.config.temperature}; it must be 0 or more.")
        if self.config.metres is not None and not 0 < self.config.metres < math.inf:
            raise InputError(f"The method's 'metres' is {self.config.metres}; it must be a positive length.")
        if self.config.conditioning == "scene" and not self.model.config.scene:
            raise InputError(
                "These weights take no scene so far (their config says scene: false); take others, or leave the "
                "method's 'conditioning' at auto."
            )
        if self.config.regressor and self.model.splats is None:
            raise InputError("These weights make no splats (their config says no_3d), so they are no regressor.")

    def regressed(self, task: Task) -> GaussianAsset:
        """The splats of the photos alone."""
        none = empty_latents(self.model, task.given)
        return self.model.scene(task.given, task.given.cameras[:0], none, fine=self.config.decoder)

    def finished(self, task: Task, grown: Grown, report: Progress) -> GaussianAsset:
        """All photos' splats in the scene and, where asked for, all views fitted; lifted, where there are no splats."""
        config, model = self.config, self.model
        generator = torch.Generator().manual_seed(task.seed)
        seen = Views(torch.cat([task.given.images, grown.images]), Cameras.cat([task.given.cameras, task.path]))
        if model.splats is None:
            near, far = model.config.splats.near, model.config.splats.far  # of chunks' frames, about that of growth
            tell = lambda fraction: report("fitting splats", fraction)
            fit = replace(config.fit, steps=config.fit.steps + config.refine)
            return lift(seen, near, far, fit, generator=generator, progress=tell)
        scene = add_unshown(model, task, config, grown).scene
        if not config.refine:
            return GaussianAsset(scene)
        tell = lambda fraction: report("refining splats", fraction)
        return refine(scene, seen, replace(config.fit, steps=config.refine), generator=generator, progress=tell)


def model_folder(source: str | Path) -> Path:
    """A shipped model by name, or the folder itself."""
    shipped = WEIGHTS / f"{PREFIX}{str(source).removeprefix(PREFIX)}"
    if shipped.is_dir():
        return shipped
    if Path(source).is_dir():
        return Path(source)
    names = ", ".join(sorted(folder.name for folder in WEIGHTS.glob(f"{PREFIX}*")))
    raise InputError(f"'{source}' is neither a model folder nor one of the shipped weights of GGS ({names or 'none'}).")


def _moved(views: Views, matrix: torch.Tensor) -> Views:
    return Views(views.images, views.cameras.transformed(matrix))
