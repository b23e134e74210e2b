"""Methods that make rooms, by name, as `fewview evaluate` knows them."""

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from fewview.commands.methods import Preset
from fewview.errors import InputError

if TYPE_CHECKING:
    from fewview.evaluation.rooms.protocol import Reconstructor
    from fewview.ggs.model import GGS

KINDS = {
    "ggs": "the denoiser's own splats",
    "ggs-d3d": "splats of the 3D decoder D_3D",
    "ggs-lifted": "GGS's generated frames, lifted by splat fitting as No3D's are",
    "no3d": "samples of a model without splats, lifted by splat fitting",
    "regressor": "the denoiser's splats of the photos alone, feed-forward",
    "regressor-d3d": "the same with D_3D's splat for each pixel",
    "ggs-distill": "SparseFusion's distillation with GGS as the prior",
}
DEFAULT = "ggs,ggs-d3d"


@dataclass(frozen=True)
class Named:
    """One entry of `--methods`: what tables call it, its kind, and its weights."""

    label: str
    kind: str
    weights: str


def named_methods(text: str, weights: str) -> list[Named]:
    """`[LABEL:]KIND[=WEIGHTS]`, comma by comma; entries without weights take the common ones."""
    found: list[Named] = []
    for part in (part.strip() for part in text.split(",")):
        name, _, own = part.partition("=")
        label, _, kind = name.rpartition(":")
        if kind not in KINDS:
            raise InputError(f"There is no method '{kind}' for rooms; choose from {', '.join(KINDS)}.")
        found.append(Named(label or kind, kind, own or weights))
    labels = [method.label for method in found]
    twice = next((label for label in labels if labels.count(label) > 1), None)
    if twice is not None:
        raise InputError(f"Two methods are called {twice}; give each a label, as in first:ggs=FOLDER,second:ggs=OTHER.")
    return found


def room_reconstructors(text: str, weights: str, preset: Preset) -> tuple[dict[str, "Reconstructor"], int]:
    """Methods by label, and the height in pixels that the first one's weights were trained at."""
    from fewview.checkpoint import load_model
    from fewview.ggs.model import GGS, GGSConfig
    from fewview.weights import model_folder

    named = named_methods(text, weights)
    models = {
        own: load_model(model_folder(own, "ggs"), GGS, GGSConfig) for own in dict.fromkeys(m.weights for m in named)
    }
    methods = {method.label: _reconstructor(method.kind, models[method.weights], preset) for method in named}
    return methods, models[named[0].weights].config.height


def _reconstructor(kind: str, model: "GGS", preset: Preset) -> "Reconstructor":
    if model.config.no_3d != (kind == "no3d"):
        asked = "are not" if kind == "no3d" else "are"
        raise InputError(f"Method {kind}: its weights {asked} of a model without splats (no_3d); name others.")
    if kind == "ggs-distill":
        from fewview.evaluation.perceptual import find_lpips
        from fewview.recipes.ggs.distill import DistilledGGS, GGSDistillConfig

        config = GGSDistillConfig.preset(preset)
        return DistilledGGS(model, config, find_lpips("vgg") if config.distill.perceptual_weight > 0 else None)
    from fewview.ggs.grow import GGSMethodConfig
    from fewview.ggs.method import GGSMethod

    base = GGSMethodConfig.preset(preset)
    lifted = kind == "ggs-lifted"
    config = replace(base, decoder=kind.endswith("d3d"), regressor=kind.startswith("regressor"), lifted=lifted)
    return GGSMethod(model, config)
