"""The stages that train SparseFusion on a CO3D-layout set: plain functions from a data folder to a model folder.

autoencoder -> eft -> unet (on cached features and latents) -> joint. Each stage is a run folder that resumes; the
last one leaves the model itself. At paper size, with Stable Diffusion's autoencoder, only `joint` is needed.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import torch
from torch import Tensor

from fewview.checkpoint import load_model, load_state, load_tensors, save_model, save_tensors
from fewview.data.captured import Capture, as_captured
from fewview.data.co3d import open_part
from fewview.data.packed import PackedScenes, load_packed, pack, recoloured, save_packed
from fewview.evaluation.perceptual import find_lpips
from fewview.nn.autoencoder import Autoencoder, AutoencoderConfig
from fewview.processes import first_before_others, here, own
from fewview.recipes.runs import Setting
from fewview.sparsefusion.tasks import AutoencoderTask, EFTTask, JointTask, UNetTask, feature_cache
from fewview.sparsefusion.vldm import VLDM
from fewview.views import Views

SceneSetting = Setting[PackedScenes]

PICTURES = 16  # a batch of the autoencoder
PAIRS = 8  # a batch of the UNet
CACHED = 14_000  # pairs of latents and features that the UNet learns from
VALIDATIONS = {"": None, "captured_": Capture()}  # the same held-out views, clean and as photographed


@dataclass(frozen=True)
class Batching:
    """How examples are drawn: scenes of a batch, query views of each, context views between the two bounds.

    In a share `captured` of the batches context views are as somebody would have photographed them; queries stay clean.
    """

    scenes: int = 4
    queries: int = 2
    min_context: int = 2  # thesis A.2: 2-5
    max_context: int = 5
    captured: float = 0.0
    noise_draws: int | None = None  # noises of every latent in the joint stage; the model's own number unless given


def packed_set(root: Path, size: int, split: str, *, progress: Callable[[int, int], None] | None = None):
    """The training or held-out frames of a CO3D-layout folder, `size` px, packed once into <root>/.packed/."""
    path = root / ".packed" / f"{split}-{size}.safetensors"
    with first_before_others():
        if not path.exists():
            scenes = open_part(root, split, size=size, crop=False)
            save_packed(path, pack(scenes, progress=progress))
    return load_packed(path)


def batches(packed: PackedScenes, batching: Batching, device: torch.device | str = "cpu"):
    """Random examples of a packed set, consistently recoloured, on a device."""

    packed = packed.to(device)

    def draw(generator: torch.Generator) -> tuple[Views, Views]:
        photographed = batching.captured > 0 and float(torch.rand((), generator=generator)) < batching.captured
        scenes = torch.randint(len(packed), (batching.scenes,), generator=generator)
        span = batching.max_context - batching.min_context + 1
        context = batching.min_context + int(torch.randint(span, (), generator=generator))
        pair = packed.batch(scenes, context, batching.queries, generator=generator)
        context_views, queries = recoloured(pair, generator)
        if photographed:
            context_views = as_captured(context_views, Capture(), generator)
        rows = own(torch.arange(batching.scenes), generator)
        return context_views[rows], queries[rows]

    return draw


def held_out_pair(
    packed: PackedScenes, scenes: int = 32, *, device: torch.device | str = "cpu", capture: Capture | None = None
) -> tuple[Views, Views]:
    """A fixed validation batch: two context views and two queries of evenly spread scenes."""
    chosen = torch.linspace(0, len(packed) - 1, min(scenes, len(packed))).long()
    context, queries = packed.batch(chosen, 2, 2, generator=torch.Generator().manual_seed(7))
    if capture is not None:
        context = as_captured(context, capture, torch.Generator().manual_seed(8))
    return context.to(device), queries.to(device)


def pictures(packed: PackedScenes, count: int, *, strength: float = 0.3, device: torch.device | str = "cpu"):
    """Random single pictures; strong tints make latents hold colours."""

    def images(generator: torch.Generator) -> Tensor:
        views = packed.views(torch.randint(len(packed.images), (count,), generator=generator))
        single = Views(views.images[:, None], views.cameras.reshape(count, 1))
        tinted = recoloured([single], generator, strength=strength)[0]
        return own(tinted.images[:, 0], generator).to(device)

    return images


def train_autoencoder(config: AutoencoderConfig, setting: SceneSetting, *, perceptual: bool = False) -> Autoencoder:
    """Stage 1. The result's `scale` makes training latents of unit variance; saved to <directory>/model."""
    (packed, held_out), device = setting.sets, setting.device
    images = pictures(packed, setting.training.batch or PICTURES, strength=0.85, device=device)
    frames = torch.linspace(0, len(held_out.images) - 1, 64).long()
    lpips = find_lpips("vgg", layers=4) if perceptual else None
    torch.manual_seed(setting.training.seed)
    lpips = None if lpips is None else lpips.to(device)
    model = Autoencoder(config).to(device)
    task = AutoencoderTask(model, images, held_out.views(frames).images.to(device), perceptual=lpips)
    model = setting.train(task)
    assert isinstance(model, Autoencoder)
    with torch.no_grad():
        latents = model.encode(images(torch.Generator().manual_seed(1)))
    scale = round(config.scale / float(latents.std()), 5)
    with first_before_others():
        if here().first:
            save_model(setting.directory / "model", model, replace(config, scale=scale))
    return load_model(setting.directory / "model", Autoencoder, AutoencoderConfig)


def drawn(model: torch.nn.Module, setting: SceneSetting, batching: Batching):
    """Random examples, and held-out ones by the names of VALIDATIONS, where the model is."""
    device = device_of(model)
    held_out = {name: held_out_pair(setting.sets[1], device=device, capture=c) for name, c in VALIDATIONS.items()}
    return batches(setting.sets[0], batching, device), held_out


def train_eft(model: VLDM, setting: SceneSetting, batching: Batching) -> VLDM:
    """Stage 2: the colour branch on random rays; this and the next stages run where the model is."""
    setting.train(EFTTask(model, *drawn(model, setting, batching)))
    model.unet.requires_grad_(True)
    return model


def train_unet(model: VLDM, setting: SceneSetting) -> VLDM:
    """Stage 3: the UNet on CACHED pairs of latents and features, computed once and kept in the run folder."""
    path, device = setting.directory / "cache.safetensors", device_of(model)
    with first_before_others():
        if not path.exists():
            draw = batches(setting.sets[0], Batching(scenes=4, queries=4, min_context=2, max_context=3), device)
            generator = torch.Generator().manual_seed(setting.training.seed)
            latents, features = feature_cache(model, draw, CACHED, generator=generator)
            save_tensors(path, {"latents": latents, "features": features})
    cache = load_tensors(path)
    context, queries = held_out_pair(setting.sets[1], device=device)
    held_out = feature_cache(model, lambda _: (context, queries), 64, generator=torch.Generator())
    task = UNetTask(model, (cache["latents"], cache["features"]), held_out, setting.training.batch or PAIRS)
    setting.train(task)
    model.eft.requires_grad_(True)
    return model


def train_joint(model: VLDM, setting: SceneSetting, batching: Batching) -> VLDM:
    """Stage 4, and the thesis' only one: Eq. 4.1 and 4.2 together; leaves <directory>/model."""
    config = model.config
    model.config = replace(config, noise_draws=batching.noise_draws or config.noise_draws)
    setting.train(JointTask(model, *drawn(model, setting, batching)))
    model.config = config
    if here().first:
        save_model(setting.directory / "model", model, config)
    return model


def device_of(model: torch.nn.Module) -> torch.device:
    """Where the parameters are."""
    return next(model.parameters()).device


def resume_weights(model: VLDM, folder: Path) -> VLDM:
    """Averaged weights of a run's checkpoint folder, into a model of the same config."""
    load_state(model, load_tensors(folder / "ema.safetensors"), where=str(folder))
    return model
