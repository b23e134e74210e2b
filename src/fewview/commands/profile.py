"""`fewview profile`: where the time of a reconstruction goes."""

import shutil
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Annotated, Literal

from tyro.conf import Positional, arg

from fewview.commands.console import say
from fewview.commands.methods import Preset
from fewview.commands.reconstruct import Reconstruct
from fewview.commands.targets import check_new
from fewview.errors import InputError


@dataclass(frozen=True)
class Profile:
    """Reconstruct photos, keep nothing but a page that tells where the time went: stages, memory, a flame graph."""

    input: Annotated[Positional[Path], arg(metavar="INPUT")]
    """What `fewview reconstruct` takes."""
    out: Annotated[Path, arg(aliases=["-o"], metavar="PAGE")] = Path("profile.html")
    """The page to write, one that is there is replaced."""
    method: Literal["sparsefusion", "no-prior", "splats", "ggs"] = "sparsefusion"
    """As of `fewview reconstruct`; for its other options, give it --profile."""
    weights: str = "tiny"
    """Shipped weights of the method by name, or a model folder."""
    preset: Preset = "default"
    """How long to distill, or to sample."""
    device: Literal["cpu", "cuda"] = "cpu"
    """Where to compute."""

    def run(self) -> None:
        if self.out.suffix.lower() != ".html":
            raise InputError(f"{self.out} does not end in .html; name a page to write.")
        check_new(self.out, overwrite=True)
        with TemporaryDirectory() as folder:
            results = Path(folder) / "results"
            how = {"method": self.method, "weights": self.weights, "preset": self.preset, "device": self.device}
            Reconstruct(self.input, results, profile=True, **how).run()  # type: ignore[arg-type]
            self.out.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(results / "profile.html", self.out)
        say(f"The page is {self.out}; the results are not kept.")
