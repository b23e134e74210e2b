"""`fewview evaluate` and `fewview tables`."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, ClassVar

from tyro.conf import Positional, arg

from fewview.commands.console import say
from fewview.commands.methods import Preset, reconstructors, trained_size
from fewview.errors import InputError

if TYPE_CHECKING:
    from fewview.views import Scene


@dataclass(frozen=True)
class Evaluate:
    """Reconstruct scenes from a few views and judge the others: PSNR, SSIM, LPIPS, tables and pictures."""

    data: Annotated[Positional[Path], arg(metavar="DATA")]
    """A set in the layout of CO3Dv2, or one scene of any format."""
    out: Annotated[Path, arg(aliases=["-o"], metavar="OUT")]
    """Folder for results.jsonl, tables.md and pictures; results that are there are kept, and not made again."""
    methods: Annotated[str, arg(metavar="A,B")] = "no-prior,eft,vldm,sparsefusion"
    """Which to compare: sparsefusion, eft, vldm, no-prior, and the fields fitted to images: eft-field, vldm-field."""
    scenes: Annotated[int | None, arg(metavar="N")] = None
    """Take N scenes, spread evenly over the set."""
    views: Annotated[int, arg(metavar="N")] = 2
    """Input views of each scene."""
    frames: Annotated[int, arg(metavar="N")] = 32
    """Evenly spread frames of each scene that input and held-out views are drawn from."""
    size: Annotated[int | None, arg(metavar="PIXELS")] = None
    """Side of the judged images; the size of the weights unless given."""
    weights: str = "tiny"
    """Shipped weights by name, or a model folder."""
    preset: Preset = "default"
    """How long to distill."""
    seed: int = 0
    """Of the choice of input views, and of the methods."""
    subset: str = "fewview_dev"
    """Set list of CO3Dv2, and ..."""
    split: str = "test"
    """... the part of it."""

    interrupted: ClassVar[str] = "the same command goes on with the scenes that are missing"

    def run(self) -> None:
        from fewview.checkpoint import atomic_path
        from fewview.evaluation.perceptual import find_lpips
        from fewview.evaluation.protocol import evaluate
        from fewview.evaluation.splits import Protocol
        from fewview.evaluation.tables import summary
        from fewview.evaluation.weights import HELP

        methods = reconstructors([name.strip() for name in self.methods.split(",")], self.weights, self.preset)
        size = self.size or trained_size(self.weights)
        scenes = self.chosen(size)
        protocol = Protocol(context=self.views, views=self.frames, size=size, seed=self.seed)
        lpips = find_lpips("vgg")
        if lpips is None:
            say(HELP)
        say(f"Evaluating {', '.join(methods)} on {len(scenes)} scenes, {self.views} input views, {size} pixels")
        failures = evaluate(methods, scenes, protocol, self.out, lpips=lpips, progress=say)
        text = summary(self.out)
        with atomic_path(self.out / "tables.md") as temporary:
            temporary.write_text(text)
        print(f"\n{text}")
        say(f"Rows, tables and pictures are in {self.out}.")
        if failures:
            raise SystemExit(1)

    def chosen(self, size: int) -> "Sequence[Scene]":
        """The scenes to judge."""
        from fewview.data import open_scene
        from fewview.data.co3d import open_co3d

        if not any(self.data.glob("*/frame_annotations.jgz")):
            return [open_scene(self.data)]
        scenes = open_co3d(self.data, None, self.subset, self.split, size=size)
        if not scenes:
            raise InputError(f"{self.data} has no scene in '{self.split}' of {self.subset}; name another --split.")
        if self.scenes is None or self.scenes >= len(scenes):
            return scenes
        if self.scenes < 1:
            raise InputError("--scenes must be at least 1.")
        return [scenes[i * len(scenes) // self.scenes] for i in range(self.scenes)]


@dataclass(frozen=True)
class Tables:
    """Print the tables of an evaluation as Markdown."""

    results: Annotated[Positional[Path], arg(metavar="RESULTS")]
    """The folder of an evaluation, or its results.jsonl."""

    def run(self) -> None:
        from fewview.evaluation.tables import summary

        folder = self.results.parent if self.results.suffix == ".jsonl" else self.results
        if not (folder / "results.jsonl").exists():
            raise InputError(f"{folder / 'results.jsonl'} does not exist; name the folder of `fewview evaluate`.")
        print(summary(folder), end="")
