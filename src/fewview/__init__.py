"""A few photographs in, a 3D scene out: posed `Views`, a generative `Prior`, and an `Asset` that renders.

Every public name is imported when it is first asked for, so that `import fewview` itself is quick.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from PIL import _imaging  # noqa: F401  before pycolmap, for in the other order a process can abort in native code

if TYPE_CHECKING:
    from fewview.cameras import Cameras
    from fewview.data import open_scene
    from fewview.errors import InputError
    from fewview.evaluation.objects.protocol import evaluate
    from fewview.evaluation.objects.splits import Protocol
    from fewview.export.package import write_results
    from fewview.fitting import fit_field, fit_gaussians
    from fewview.paths import CameraPrior, interpolate, orbit, spiral
    from fewview.pipeline.methods import GenerativeGaussianSplatting, SparseFusion
    from fewview.pipeline.reconstruction import Reconstruction
    from fewview.priors import Codec, IdentityCodec, Prior
    from fewview.render.asset import FieldAsset, GaussianAsset
    from fewview.render.gaussians import Gaussians
    from fewview.sparsefusion.distill import DistillConfig, Evidence, distill
    from fewview.sparsefusion.method import EFTImages, SparseFusionConfig, VLDMSamples
    from fewview.views import Asset, Reconstructor, Render, Scene, Views

_HOME = {
    "cameras": ("Cameras",),
    "data": ("open_scene",),
    "errors": ("InputError",),
    "evaluation.objects.protocol": ("evaluate",),
    "evaluation.objects.splits": ("Protocol",),
    "export.package": ("write_results",),
    "fitting": ("fit_field", "fit_gaussians"),
    "paths": ("CameraPrior", "interpolate", "orbit", "spiral"),
    "priors": ("Codec", "IdentityCodec", "Prior"),
    "pipeline.methods": ("GenerativeGaussianSplatting", "SparseFusion"),
    "pipeline.reconstruction": ("Reconstruction",),
    "render.asset": ("FieldAsset", "GaussianAsset"),
    "render.gaussians": ("Gaussians",),
    "sparsefusion.distill": ("DistillConfig", "Evidence", "distill"),
    "sparsefusion.method": ("EFTImages", "SparseFusionConfig", "VLDMSamples"),
    "views": ("Asset", "Reconstructor", "Render", "Scene", "Views"),
}
_MODULE = {name: f"fewview.{module}" for module, names in _HOME.items() for name in names}

__all__ = [
    "Asset", "CameraPrior", "Cameras", "Codec", "DistillConfig", "EFTImages", "Evidence", "FieldAsset",
    "GaussianAsset", "Gaussians", "GenerativeGaussianSplatting", "IdentityCodec", "InputError", "Prior", "Protocol",
    "Reconstruction", "Reconstructor", "Render", "Scene", "SparseFusion", "SparseFusionConfig", "VLDMSamples", "Views",
    "distill", "evaluate", "fit_field", "fit_gaussians", "interpolate", "open_scene", "orbit", "spiral",
    "write_results",
]  # fmt: skip


def __getattr__(name: str) -> Any:
    if name == "__version__":
        from importlib.metadata import version

        return version("fewview")
    if name not in _MODULE:
        raise AttributeError(f"module 'fewview' has no attribute '{name}'")
    value = getattr(import_module(_MODULE[name]), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
