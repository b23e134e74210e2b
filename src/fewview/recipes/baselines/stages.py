"""The baselines' training as run folders that resume: <out>/<name> with config.json, log.jsonl, checkpoints, model."""

from dataclasses import replace
from pathlib import Path
from typing import Any, Literal, get_args

import torch
from torch import Tensor, nn

from fewview.baselines.codebook import Codebook, CodebookConfig, CodebookTask
from fewview.baselines.lfn import LFN, LFNConfig, LightFieldTask
from fewview.baselines.named import NETWORKS
from fewview.baselines.rays import RayNetwork, RayTask
from fewview.baselines.viewformer import ViewFormer, ViewFormerTask
from fewview.checkpoint import load_model, load_state, save_model
from fewview.data.packed import PackedScenes
from fewview.errors import InputError
from fewview.evaluation.perceptual import find_lpips
from fewview.processes import first_before_others, here
from fewview.recipes.baselines import PAPER, TINY
from fewview.recipes.runs import Size, StageOptions, describe
from fewview.recipes.sparsefusion.training import PICTURES, Batching, SceneSetting, drawn, packed_set, pictures
from fewview.training import Task, TrainConfig
from fewview.views import Views

Stage = Literal["pixelnerf", "nerformer", "viewformer-codebook", "viewformer", "ibrnet", "gpnr", "lfn", "srt"]

STAGES: tuple[Stage, ...] = get_args(Stage)
CODEBOOK: Stage = "viewformer-codebook"
CLASSES: dict[str, tuple[type[nn.Module], type]] = {**NETWORKS, CODEBOOK: (Codebook, CodebookConfig)}
TINY_STEPS: dict[Stage, int] = {  # by seconds a step beside EFT's (docs/training-log.md)
    "pixelnerf": 4_900,
    "nerformer": 3_700,
    "viewformer-codebook": 2_100,  # this half of the time, and the transformer the other
    "viewformer": 3_700,
    "ibrnet": 7_600,
    "gpnr": 7_100,
    "lfn": 190_000,
    "srt": 14_000,
}
PAPER_STEPS = 300_000  # thesis 5.1, of PixelNeRF


def schedule(stage: Stage, size: Size) -> TrainConfig:
    """How long a stage is trained, and how fast; at `tiny` for as long as 8,000 steps of EFT take."""
    if size == "paper":
        return TrainConfig(steps=PAPER_STEPS, learning_rate=1e-4, ema=0.0, clip=None)
    return TrainConfig(TINY_STEPS[stage], 1e-3, warmup=100, decay=True)


def run_stage(stage: Stage, data: Path, out: Path, *, options: StageOptions | None = None) -> Path:
    """Trains a baseline on a CO3D-layout folder, or goes on with it, and returns its run folder.

    `options.init` is a model of the same kind to train further, of the shape that `options.size` has.
    """
    options = options or StageOptions()
    size = options.size
    if size == "small":
        raise InputError(f"{stage} has no size 'small'; take tiny or paper.")
    if options.autoencoder is not None:
        raise InputError(f"{stage} has no autoencoder; leave --autoencoder out.")
    if stage == CODEBOOK and here().count > 1:
        raise InputError(f"{stage} is trained by one process; start it without torchrun.")
    training, config = options.training or schedule(stage, size), config_of(stage, size)
    sets = packed_set(data, config.size, "train"), packed_set(data, config.size, "test")
    if isinstance(config, LFNConfig):
        config = replace(config, scenes=len(sets[0]))
    torch.manual_seed(training.seed)
    model = CLASSES[stage][0](config)
    if options.init is not None:
        given = load_model(options.init, *CLASSES[stage])
        load_state(model, given.state_dict(), where=str(options.init))
    if isinstance(model, ViewFormer):
        take_codebook(model, out / CODEBOOK / "model")
    describe(out / stage, stage, size, model=config, training=training)
    setting = SceneSetting(sets, training, out / stage, options.device, options.progress)
    trained = setting.train(task_of(model.to(options.device), setting))
    with first_before_others():
        if here().first:
            save_model(setting.directory / "model", trained, config)
    return setting.directory


def take_codebook(model: ViewFormer, folder: Path) -> None:
    """The first stage's weights."""
    if not folder.is_dir():
        raise InputError(f"{folder} does not exist; train {CODEBOOK} to its end first.")
    given = load_model(folder, Codebook, CodebookConfig)
    load_state(model.codebook, given.state_dict(), where=str(folder))


def task_of(model: nn.Module, setting: SceneSetting) -> Task:
    """What a network learns, from examples as EFT has them (two or three context views, clean)."""
    scenes = setting.training.batch or 8
    if isinstance(model, Codebook):
        return codebook_task(model, setting)
    if isinstance(model, ViewFormer):
        return ViewFormerTask(model, *drawn(model, setting, Batching(scenes=scenes, queries=4, max_context=3)))
    assert isinstance(model, RayNetwork)
    draw, held_out = drawn(model, setting, Batching(scenes=scenes, max_context=3))
    if isinstance(model, LFN):
        return LightFieldTask(model, numbered(setting.sets[0], scenes, setting.device), held_out)
    return RayTask(model, draw, held_out)


def numbered(packed: PackedScenes, count: int, device: torch.device | str):
    """Random scenes by number and views of them, in their own colours: a latent belongs to one scene.

    Half of the views define the frame, so that it hardly depends on which they are.
    """
    packed = packed.to(device)

    def draw(generator: torch.Generator) -> tuple[Tensor, Views]:
        scenes = torch.randint(len(packed), (count,), generator=generator)
        views = int(packed.counts.amin())
        frames = packed.pick(scenes, min(views, 8), generator)
        return scenes.to(device), packed.normalised(frames[:, :4], frames)

    return draw


def codebook_task(model: Codebook, setting: SceneSetting) -> CodebookTask:
    """Single pictures, tinted as strongly as those of the other networks; the perceptual loss where it is found."""
    device, (train, test) = setting.device, setting.sets
    lpips = find_lpips("vgg", layers=4)
    frames = torch.linspace(0, len(test.images) - 1, 64).long()
    held_out: Tensor = test.views(frames).images.to(device)
    images = pictures(train, setting.training.batch or PICTURES, device=device)
    return CodebookTask(model, images, held_out, None if lpips is None else lpips.to(device))


def config_of(stage: Stage, size: Size) -> Any:
    """The config of a baseline."""
    return {"tiny": TINY, "paper": PAPER}[size][stage]
