"""`fewview reconstruct`, and `fewview demo`, which is the same on bundled photos."""

import shutil
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, ClassVar, Literal

from tyro.conf import Positional, arg

from fewview.commands.console import Stages, check_device, effort, say, stages, tell_threads
from fewview.commands.given import check_given
from fewview.commands.methods import Preset, sparsefusion
from fewview.commands.preview import Preview, check_preview, standpoint
from fewview.commands.reconstruct_ggs import check_options, generation
from fewview.commands.reconstruct_wildfusion import single
from fewview.commands.targets import check_place
from fewview.errors import InputError

if TYPE_CHECKING:
    from fewview.detail.stage import DetailConfig
    from fewview.pipeline.methods import SparseFusion
    from fewview.pipeline.photos import Photos
    from fewview.pipeline.reconstruction import Reconstruction
    from fewview.profiling import Profiler

DEMO_INPUT = Path(__file__).parents[3] / "examples" / "demo_input"
SAVE_EVERY = 100  # steps
MOST_OF_ROOMS = 6  # photos that ggs is shown, all in each chunk
POSE_RATE = 5e-4  # radians, and units of the normalised scene


@dataclass(frozen=True)
class Reconstruct:
    """A few photos of an object or a room in, a 3D scene out: splats, mesh, video and report."""

    input: Annotated[Positional[Path], arg(metavar="INPUT")]
    """Photos or a video, or photos with cameras: transforms.json, COLMAP, CO3Dv2 and others."""
    out: Annotated[Path, arg(aliases=["-o"], metavar="OUT")]
    """Folder for the results; it is written whole at the end, or not at all."""
    method: Literal["sparsefusion", "no-prior", "splats", "ggs", "wildfusion"] = "sparsefusion"
    """SparseFusion for objects; the same field, or splats, of the photos alone; GGS for rooms, from one photo on;
    WildFusion for an object in one photo, which needs no camera."""
    weights: str = "tiny"
    """Shipped weights of the method by name, or a model folder of your own."""
    path: Annotated[str, arg(metavar="auto|FILE")] = "auto"
    """Where ggs generates: between the photos (about the only one), or the cameras of a transforms.json."""
    frames: Annotated[int | None, arg(metavar="N")] = None
    """Cameras of the path of ggs: 24, or those of a FILE, unless given."""
    metres: Annotated[float | None, arg(metavar="N")] = None
    """Metres in a unit of the cameras' world, for ggs; estimated from what the photos share unless given."""
    refine: Annotated[int, arg(metavar="N")] = 0
    """Steps of fitting the splats of ggs to all photos and generated views."""
    views: Annotated[str | None, arg(metavar="0,5,9")] = None
    """Numbers of the photos to use, from 0."""
    matcher: Literal["auto", "sift", "learned"] = "auto"
    """What matches photos that have no cameras: SIFT, and where that leaves photos out `learned`, which bridges wider
    steps and needs a package (docs/poses.md)."""
    anyway: bool = False
    """Go on where few of the photos without cameras could be placed."""
    mask: Annotated[str, arg(metavar="auto|grabcut|none|FILE.onnx")] = "auto"
    """Masks: those given, else a model file (FEWVIEW_MASK_MODEL), else GrabCut; `none` for whole scenes."""
    depth: Annotated[str, arg(metavar="auto|none|MODEL")] = "auto"
    """For wildfusion: a monocular depth model (.onnx, .pt2 or a transformers folder), FEWVIEW_DEPTH_MODEL, or none."""
    depth_answer: Literal["disparity", "depth"] = "disparity"
    """What that model answers: disparity, larger where it is nearer, as most do, or depth."""
    photo_size: Annotated[int, arg(metavar="N")] = 1024
    """Pixels of the longer side of the photos that splats are fitted to, at most."""
    refine_poses: bool = False
    """Let the cameras of the photos move a little while the scene is fitted (slower)."""
    adapt: Annotated[int, arg(metavar="N")] = 0
    """For sparsefusion with three or more photos: N steps in which EFT learns each photo from the others before it
    imagines views (docs/photos.md); 48 take some 15 seconds."""
    preview: bool = False
    """Keep a small picture of the scene as it comes about, in OUT.preview.png beside OUT."""
    preview_file: Annotated[Path | None, arg(metavar="FILE")] = None
    """The same in another .png file, or, with a %%04d in its name, in a file for each picture."""
    max_views: Annotated[int | None, arg(metavar="N")] = None
    """Use N photos, spread evenly over the input; all of them, and with ggs 6, unless given."""
    preset: Preset = "default"
    """How long to distill (some 1, 2 or 5 minutes on two cores; `thesis` is for a GPU) or, with ggs, to sample."""
    seed: int = 0
    """The same seed gives the same scene on the same machine, with as many threads."""
    device: Literal["cpu", "cuda"] = "cpu"
    """Where to compute."""
    profile: bool = False
    """Also measure where the time goes: a table, and profile.html among the results."""
    resume: bool = False
    """Go on with a run that was stopped."""
    overwrite: bool = False
    """Replace results that OUT holds already."""

    @property
    def interrupted(self) -> str:
        """What a user can do after Ctrl-C."""
        if self.method in ("splats", "wildfusion"):
            return "run it again to start over"
        return "the same command with --resume goes on from the last saved step"

    def run(self) -> None:
        start = time.monotonic()
        check_device(self.device)
        check_target(self.out, overwrite=self.overwrite)
        check_options(self)
        check_given(self)
        if self.preview_file is not None:
            check_preview(self.preview_file)
        if self.profile:
            self.profiled(start)
        else:
            self.reconstruct(start)
        say(f"Took {effort(start)}.")

    def profiled(self, start: float) -> None:
        """The same, measured."""
        from fewview.profiling import Profiler, table

        with Profiler() as profiler:
            self.reconstruct(start, profiler)
        rows = table(profiler.profile())
        widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
        for row in rows:
            say("  ".join(cell.ljust(width) for cell, width in zip(row, widths)).rstrip())

    def reconstruct(self, start: float, profiler: "Profiler | None" = None) -> None:
        """From the photos to the results; the command began at `start`."""
        say(f"Reading {self.input}")
        tell_threads()
        if self.method == "wildfusion":
            make_single = single(self)
            with stages(start, profiler) as report:
                make_single(report)
        else:
            self.from_several(start, profiler)
        say(f"The results are in {self.out}: open {self.out / 'report.html'} first.")

    def from_several(self, start: float, profiler: "Profiler | None") -> None:
        """The scene of several photos, or along a path, in a run that can be resumed."""
        photos = self.photos(profiler)
        makers = {"ggs": partial(generation, self), "splats": self.splatting}
        make = makers.get(self.method, self.distillation)(photos)
        with stages(start, profiler) as report, _RunFolder(self, photos.numbers) as folder:
            report.onlooker = self.previewed(photos)
            make(report, folder)

    def photos(self, profiler: "Profiler | None" = None) -> "Photos":
        """The chosen photos, read and checked."""
        from fewview.pipeline.photos import PhotoChoice, read_photos

        room = self.method == "ggs"
        choice = PhotoChoice(
            numbers=None if self.views is None else numbers_of(self.views),
            most=MOST_OF_ROOMS if room and self.max_views is None else self.max_views,
            mask="none" if room else self.mask,
            matcher=self.matcher,
            anyway=self.anyway,
            single=room,
        )
        out = self.out.absolute()
        kept = out.with_name(f"{out.name}.cameras")  # beside the results
        with stages(profiler=profiler) as report:
            return read_photos(self.input, choice, keep=kept, tell=say, progress=report)

    def distillation(self, photos: "Photos") -> "Callable[[Stages, Path], None]":
        """What makes a field of the photos, and writes the results."""
        import torch

        from fewview.sparsefusion.adapt import FEWEST

        if self.adapt and len(photos.views) < FEWEST:
            raise InputError(f"--adapt wants {FEWEST} photos or more; there are {len(photos.views)}, so leave it out.")
        method = self.prepared()

        def make(report: Stages, folder: Path) -> None:
            generator = torch.Generator().manual_seed(self.seed)
            views, name = photos.views.to(self.device), self.input.resolve().name
            scene = method(views, name=name, generator=generator, progress=report, directory=folder)
            scene.detail, scene.origin = self.detail(), photos.origin
            self.write(scene, report, self.settings(method, photos.numbers))

        return make

    def splatting(self, photos: "Photos") -> "Callable[[Stages, Path], None]":
        """What makes splats of the photos alone, and writes the results."""
        import torch

        from fewview.config import to_json
        from fewview.pipeline.methods import PhotoSplats

        def make(report: Stages, folder: Path) -> None:
            generator = torch.Generator().manual_seed(self.seed)
            views, name = photos.views.to(self.device), self.input.resolve().name
            method = PhotoSplats(self.detail())
            scene = method(views, points=photos.points, name=name, generator=generator, progress=report)
            scene.origin = photos.origin
            given = {name: getattr(self, name) for name in ("method", "preset", "seed", "device", "mask")}
            self.write(scene, report, {**given, "views": list(photos.numbers), **to_json(method.config)})

        return make

    def previewed(self, photos: "Photos") -> Preview | None:
        """What writes pictures while the scene is made, where they are asked for."""
        if not self.preview and self.preview_file is None:
            return None
        out = self.out.absolute()
        path = self.preview_file or out.with_name(f"{out.name}.preview.png")
        say(f"{path} shows the scene as it comes about.")
        return Preview(path, standpoint(photos.views, room=self.method == "ggs").to(self.device))

    def detail(self) -> "DetailConfig":
        """How splats are fitted to the photos."""
        from fewview.detail.stage import DetailConfig

        return DetailConfig.preset(self.preset, self.photo_size)

    def prepared(self) -> "SparseFusion":
        """The method with its weights, on the device, saving often enough to be stopped."""
        method = sparsefusion(self.method, self.weights, self.preset)
        method.config = replace(method.config, distill=replace(method.config.distill, save_every=SAVE_EVERY))
        if self.refine_poses:
            method.config = replace(method.config, distill=replace(method.config.distill, pose_rate=POSE_RATE))
        method.config = replace(method.config, adapt=replace(method.config.adapt, steps=self.adapt))
        method.model.to(self.device)
        return method

    def settings(self, method: "SparseFusion", chosen: Sequence[int]) -> dict:
        """What the report says about how the scene was made."""
        from fewview.config import to_json

        given = {name: getattr(self, name) for name in ("method", "preset", "seed", "device", "mask")}
        given["weights"] = Path(self.weights).name
        perceptual = "LPIPS" if method.perceptual is not None else "none"
        return {**given, "views": list(chosen), "perceptual loss": perceptual, **to_json(method.config)}

    def write(self, scene: "Reconstruction", report: Stages, settings: dict) -> None:
        """Splats, mesh, film, pictures and report, beside the field itself."""
        from fewview.export.package import Record

        _ = scene.textured_mesh  # and the splats, so that the record knows how long they took
        record = Record(scene.name, settings, dict(report.seconds), report.profile, report.began)
        scene.save(self.out, record)


@dataclass(frozen=True)
class Demo:
    """Reconstruct the bundled photos of a held-out object, or your own; what `make demo` runs."""

    input: Annotated[Path | None, arg(aliases=["-i"], metavar="INPUT")] = None
    """Photos to take instead of the bundled ones."""
    out: Annotated[Path, arg(aliases=["-o"], metavar="OUT")] = Path("out/demo")
    """Folder for the results; results of an earlier demo are replaced."""
    preset: Preset = "default"
    """As for `fewview reconstruct`."""

    interrupted: ClassVar[str] = "run it again to start over"

    def run(self) -> None:
        photos = self.input or DEMO_INPUT
        if self.input is None and not photos.is_dir():
            raise InputError(f"{photos} does not exist: the bundled photos come with the repository; name yours by -i.")
        Reconstruct(photos, self.out, preset=self.preset, overwrite=True).run()


class _RunFolder:
    """The folder beside OUT in which a stopped run waits to be resumed; gone once the results are written."""

    def __init__(self, command: Reconstruct, chosen: Sequence[int]):
        self.path = command.out.absolute().with_name(f".{command.out.absolute().name}.run")
        kept = "method weights preset seed device mask photo_size refine_poses adapt path frames refine metres matcher"
        self.settings = {name: asdict(command)[name] for name in kept.split()}
        self.settings |= {"input": str(command.input.resolve()), "views": list(chosen)}
        self.resume = command.resume

    def __enter__(self) -> Path:
        from fewview.checkpoint import kept_state, read_json, write_json

        settings = self.path / "settings.json"
        if self.resume and settings.exists():
            with kept_state(settings):
                before = dict(read_json(settings))
            different = [name for name, value in self.settings.items() if before.get(name) != value]
            if different:
                name = different[0]
                raise InputError(
                    f"The run to resume had {name} = {before.get(name)!r}, this one has {self.settings[name]!r}; "
                    "give the same options, or leave out --resume."
                )
        else:
            if self.resume:
                say("There is no stopped run to resume; starting from the beginning.")
            shutil.rmtree(self.path, ignore_errors=True)
            write_json(settings, self.settings)
        return self.path

    def __exit__(self, kind, error, trace) -> None:
        if kind is None:
            shutil.rmtree(self.path, ignore_errors=True)


def check_target(out: Path, *, overwrite: bool) -> None:
    """Refuses a folder with foreign files in it, and results of ours unless they may be replaced."""
    from fewview.export.package import check_free

    check_place(out)
    check_free(out)
    if out.exists() and any(out.iterdir()) and not overwrite:
        raise InputError(f"{out} holds results already; name another folder, or replace them with --overwrite.")


def numbers_of(text: str) -> tuple[int, ...]:
    """The photo numbers of `--views`."""
    try:
        return tuple(int(part) for part in text.split(","))
    except ValueError:
        raise InputError(f"--views is '{text}'; write numbers with commas between them, such as 0,5,9.") from None
