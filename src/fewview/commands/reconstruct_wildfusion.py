"""`fewview reconstruct --method wildfusion`: one photo in, a scene within trusted angles out."""

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from fewview.commands.console import Stages, say
from fewview.errors import InputError

if TYPE_CHECKING:
    from fewview.commands.reconstruct import Reconstruct
    from fewview.pipeline.wildfusion import WildFusionMethod


def single_number(views: str | None) -> int | None:
    """The photo that --views names; InputError for more than one."""
    if views is None:
        return None
    if not views.isdecimal():
        raise InputError(f"--views is '{views}'; wildfusion takes one photo, so give one number.")
    return int(views)


def check_single(command: "Reconstruct") -> None:
    """InputError for options that wildfusion has no use for."""
    unset = {"refine_poses": False, "max_views": None, "resume": False}
    for name, value in unset.items():
        if getattr(command, name) != value:
            raise InputError(f"--{name.replace('_', '-')} has no meaning for --method wildfusion; leave it out.")


def single(command: "Reconstruct") -> Callable[[Stages], None]:
    """What reads the photo and the weights at once, and, when it is called, makes the scene and writes the results."""
    import torch

    from fewview.monodepth import model_of
    from fewview.pipeline.single import depth_in_view_space, read_single
    from fewview.pipeline.wildfusion import WildFusionMethod
    from fewview.wildfusion.frame import TRUSTED

    check_single(command)
    method = WildFusionMethod.from_pretrained(command.weights)
    method.model.to(command.device)
    views = read_single(command.input, single_number(command.views), mask=command.mask, tell=say)
    model = model_of(command.depth)
    depth = None if model is None else depth_in_view_space(views, method.size, model, answer=command.depth_answer)
    trusted = f"{TRUSTED[0]:.0f} degrees to the sides, {TRUSTED[1]:.0f} up and down"

    def make(report: Stages) -> None:
        generator = torch.Generator().manual_seed(command.seed)
        how = {"depth": depth, "name": command.input.resolve().stem, "generator": generator, "progress": report}
        scene = method(views.to(command.device), **how)
        _ = scene.mesh  # colours at its vertices, which are finer than what the networks see
        scene.save(command.out, _record(command, scene.name, report, trusted=trusted, model=model))
        say(f"One photo shows one side: trust the scene within {trusted}, where the film stays.")

    return make


def _record(command: "Reconstruct", name: str, report: Stages, *, trusted: str, model: Path | None):
    from fewview.export.package import Record

    given = {key: getattr(command, key) for key in ("method", "seed", "device", "mask")}
    how = "none" if model is None else f"{model.name} ({command.depth_answer})"
    settings = {**given, "weights": Path(command.weights).name, "depth": how, "trusted angles": trusted}
    return Record(name, settings, dict(report.seconds), report.profile, report.began)


def loaded(weights: str) -> "WildFusionMethod":
    """The networks, with latent diffusion; InputError where it is missing."""
    from fewview.pipeline.wildfusion import WildFusionMethod

    method = WildFusionMethod.from_pretrained(weights)
    _ = method.model.prior
    return method
