"""Weights and files that options name: looked for before any work is done, for finding cameras can take minutes."""

from pathlib import Path
from typing import TYPE_CHECKING

from fewview.errors import InputError

if TYPE_CHECKING:
    from fewview.commands.reconstruct import Reconstruct
    from fewview.weights import Family

FAMILIES: "dict[str, Family | None]" = {"ggs": "ggs", "wildfusion": "wildfusion", "splats": None}
MADE = ("auto", "grabcut", "none")  # masks that need no file


def check_given(command: "Reconstruct") -> None:
    """InputError where the weights, the mask model or the path of `fewview reconstruct` are not there, and for steps
    that no method of this name takes."""
    from fewview.weights import model_folder

    if command.adapt and (command.method != "sparsefusion" or command.adapt < 0):
        raise InputError(f"--adapt {command.adapt}: give a number of steps to --method sparsefusion, or leave it out.")
    family = FAMILIES.get(command.method, "sparsefusion")
    if family is not None:
        model_folder(command.weights, family)
    if command.mask not in MADE:
        if not command.mask.lower().endswith(".onnx"):
            raise InputError(f"--mask {command.mask} is not known; write {', '.join(MADE)}, or name an .onnx file.")
        if not Path(command.mask).is_file():
            raise InputError(f"--mask: {command.mask} does not exist; name a saliency model, or say --mask grabcut.")
    if command.path != "auto" and not Path(command.path).exists():
        raise InputError(f"--path: {command.path} does not exist; name a transforms.json, or leave it out.")
