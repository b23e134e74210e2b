"""What the stages of all methods share: what one is told, the header of its folder, what this machine computes fast."""

import platform
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Generic, Literal, TypeVar

import torch

from fewview.checkpoint import read_json, write_json
from fewview.config import to_json
from fewview.errors import InputError
from fewview.processes import here
from fewview.progress import Steps
from fewview.sparsefusion.eft import Backbone
from fewview.training import Task, TrainConfig, train

Size = Literal["tiny", "small", "paper"]
S = TypeVar("S")


@dataclass(frozen=True, eq=False)
class StageOptions:
    """What `fewview train` may be told of any stage; the stages say what `autoencoder` and `init` are to them."""

    size: Size = "tiny"
    training: TrainConfig | None = None  # the stage's own schedule unless given
    autoencoder: Path | None = None
    init: Path | None = None
    backbone: Backbone = "resnet18"  # of SparseFusion's EFT, where no model is given to begin with
    device: torch.device | str = "cpu"
    progress: Steps | None = None


@dataclass(frozen=True, eq=False)
class Setting(Generic[S]):
    """What a stage has: training and held-out examples, how to train, where to, and who is told."""

    sets: tuple[S, S]
    training: TrainConfig
    directory: Path
    device: torch.device | str = "cpu"
    progress: Steps | None = None

    def train(self, task: Task) -> torch.nn.Module:
        """The training loop in the stage's folder; returns the averaged model."""
        return train(task, self.training, self.directory, progress=self.progress)


def fast_bfloat16() -> bool:
    """Whether this CPU has instructions for bfloat16; without them autocast costs up to twice the time.

    oneDNN's own question (`mkldnn._is_mkldnn_bf16_supported`) is answered yes by every CPU with AVX-512.
    """
    asked = ("_is_avx512_bf16_supported", "_is_amx_tile_supported")
    return any(getattr(torch.cpu, name, lambda: False)() for name in asked)


def describe(directory: Path, recipe: str, size: Size, *, model: object, training: TrainConfig) -> None:
    """config.json of a run; InputError where the folder holds the run of another model."""
    path = directory / "config.json"
    header = {"recipe": recipe, "size": size, "model": to_json(model)}
    if path.exists():
        before = read_json(path)
        if {key: before.get(key) for key in header} != header:
            raise InputError(f"{path} belongs to another model; choose an empty folder for this one.")
    if not here().first:
        return
    versions = {"fewview": version("fewview"), "torch": torch.__version__, "python": platform.python_version()}
    write_json(path, {"format": 1, **header, "training": to_json(training), "versions": versions})
