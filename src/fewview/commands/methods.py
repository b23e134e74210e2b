"""Methods by name, as the commands know them."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from fewview.commands.console import say
from fewview.errors import InputError

if TYPE_CHECKING:
    from fewview.pipeline.methods import SparseFusion
    from fewview.views import Reconstructor

Preset = Literal["fast", "default", "quality", "thesis", "release"]

SEEKING = {  # the distilled field, by what it is fitted to (thesis, Table 5.4)
    "sparsefusion": "mode",
    "eft-field": "eft-mean",
    "vldm-field": "vldm-mean",
    "no-prior": "photos",
}
PERCEPTUAL = {  # the same with the perceptual loss where the thesis has none, or without it where it has
    "sparsefusion-no-lpips": "sparsefusion",
    "eft-field-lpips": "eft-field",
    "vldm-field-lpips": "vldm-field",
}
SETUPS = {  # the rows of Table 5.5: where the loss is taken, how targets are denoised, and whether LPIPS is a loss
    f"{space}-{steps}{'-perceptual' * perceptual}": (space, denoising, perceptual)
    for space in ("latent", "pixel")
    for steps, denoising in (("single-step", "single"), ("multiple-steps", "multiple"))
    for perceptual in (False, True)
}
FEEDFORWARD = ("eft", "vldm", "vldm-from-eft")
METHODS = (*SEEKING, *PERCEPTUAL, *SETUPS, *FEEDFORWARD)
KNOWN = 0.3  # of time: noise on EFT's image that VLDM's samples begin with (docs/training-log.md, Substitution)


def sparsefusion(name: str, weights: str, preset: Preset) -> "SparseFusion":
    """One of the methods that make a field."""
    from fewview.evaluation.weights import HELP
    from fewview.pipeline.methods import SparseFusion
    from fewview.sparsefusion.method import SparseFusionConfig

    config = replace(SparseFusionConfig.preset(preset), seeking=SEEKING.get(PERCEPTUAL.get(name, name), "mode"))
    if name in SETUPS:
        space, denoising, perceptual = SETUPS[name]
        weight = config.distill.perceptual_weight * perceptual
        distill = replace(config.distill, space=space, denoising=denoising, perceptual_weight=weight)
        config = replace(config, distill=distill)
    elif name.endswith("-no-lpips"):
        config = replace(config, distill=replace(config.distill, perceptual_weight=0.0))
    elif name in PERCEPTUAL:
        config = replace(config, distill=replace(config.distill, perceptual_mean=True))
    method = SparseFusion.from_pretrained(weights, config)
    wanted = name == "sparsefusion" or name.endswith(("-field-lpips", "-perceptual"))
    if method.perceptual is None and wanted:
        say(f"Distilling without the perceptual loss. {HELP}")
    return method


def reconstructors(names: Sequence[str], weights: str, preset: Preset) -> dict[str, "Reconstructor"]:
    """Methods to compare, sharing one set of weights; baselines are NAME or NAME=FOLDER. InputError for an unknown
    name."""
    from fewview.baselines.named import BASELINES, baseline
    from fewview.sparsefusion.method import EFTImages, VLDMSamples

    given = {method: folder for method, _, folder in (name.partition("=") for name in names)}
    unknown = [name for name in given if name not in METHODS and name not in BASELINES]
    if unknown or not names:
        known = ", ".join((*METHODS, *BASELINES))
        raise InputError(f"There is no method '{''.join(unknown[:1])}'; choose from {known}.")
    odd = [name for name, folder in given.items() if folder and name not in BASELINES]
    if odd:
        raise InputError(f"Method {odd[0]} takes its weights from --weights; leave ={given[odd[0]]} out.")
    names = list(given)
    fields = [name for name in names if name in SEEKING or name in PERCEPTUAL or name in SETUPS]
    made: dict[str, Reconstructor] = {name: sparsefusion(name, weights, preset) for name in fields}
    made |= {name: baseline(name, Path(given[name]) if given[name] else None) for name in names if name in BASELINES}
    if set(names) & set(FEEDFORWARD):
        model = sparsefusion("no-prior", weights, preset).model
        made |= {"eft": EFTImages(model), "vldm": VLDMSamples(model)}
        made |= {"vldm-from-eft": VLDMSamples(model, start=KNOWN)}
    return {name: made[name] for name in names}


def trained_size(weights: str) -> int:
    """Pixels a side of the images that the weights were trained for."""
    from fewview.checkpoint import read_json
    from fewview.weights import model_folder

    return int(read_json(model_folder(weights, "sparsefusion") / "config.json")["config"]["size"])
