"""What the stages of all methods share: sizes, the header of a run folder, and what this machine computes fast."""

import platform
from importlib.metadata import version
from pathlib import Path
from typing import Literal

import torch

from fewview.checkpoint import read_json, write_json
from fewview.config import to_json
from fewview.errors import InputError
from fewview.processes import here
from fewview.training import TrainConfig

Size = Literal["tiny", "small", "paper"]


def fast_bfloat16() -> bool:
    """Whether this CPU has instructions for bfloat16; without them autocast costs up to twice the time.

    oneDNN's own question (`mkldnn._is_mkldnn_bf16_supported`) is answered yes by every CPU with AVX-512.
    """
    asked = ("_is_avx512_bf16_supported", "_is_amx_tile_supported")
    return any(getattr(torch.cpu, name, lambda: False)() for name in asked)


def describe(directory: Path, recipe: str, size: Size, model: object, training: TrainConfig) -> None:
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
