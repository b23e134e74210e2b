"""`fewview evaluate` and `fewview tables`."""

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, ClassVar, Literal

from tyro.conf import Positional, arg

from fewview.errors import InputError

if TYPE_CHECKING:
    pass

METHODS = ("sparsefusion", "eft", "vldm", "no-prior", "eft-field")


@dataclass(frozen=True)
class Evaluate:
    """Reconstruct scenes from a few views and judge the others: PSNR, SSIM, LPIPS, tables and pictures."""

    data: Annotated[Positional[Path], arg(metavar="DATA")]
    """A set in the layout of CO3Dv2, or one scene of any format."""
    out: Annotated[Path, arg(aliases=["-o"], metavar="OUT")]
    """Folder for results.jsonl, tables.md and pictures; results that are there are kept, and not made again."""
    methods: Annotated[str, arg(metavar="A,B")] = "no-prior,eft,vldm,sparsefusion"
    """Which to compare: sparsefusion, eft, vldm, no-prior, eft-field (the field fitted to EFT's images alone)."""
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
    preset: Literal["fast", "default", "quality", "thesis"] = "default"
    """How long to distill."""
    seed: int = 0
    """Of the choice of input views, and of the methods."""
    subset: str = "fewview_dev"
    """Set list of CO3Dv2, and ..."""
    split: str = "test"
    """... the part of it."""

    interrupted: ClassVar[str] = "the same command goes on with the scenes that are missing"

    def run(self) -> None:
        raise NotImplementedError


@dataclass(frozen=True)
class Tables:
    """Print the tables of an evaluation as Markdown."""

    results: Annotated[Positional[Path], arg(metavar="RESULTS")]
    """The folder of an evaluation, or its results.jsonl."""

    def run(self) -> None:
        from fewview.evaluation.tables import summary

        folder = self.results if self.results.is_dir() else self.results.parent
        if not (folder / "results.jsonl").exists():
            raise InputError(f"{folder / 'results.jsonl'} does not exist; name the folder of `fewview evaluate`.")
        print(summary(folder), end="")
