"""The stages that train GGS on clips: codec -> denoiser -> decoder, each a run folder that resumes.

<out>/codec/model is an autoencoder of pictures that fill the frame; <out>/denoiser/model and <out>/decoder/model are
what `GenerativeGaussianSplatting.from_pretrained` reads. The paper's control and ablations are variants of these two
stages, in folders of their own (<out>/denoiser-no-3d, ...), trained with the same steps on the same batches.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

import torch
from jaxtyping import Float
from torch import Tensor

from fewview.checkpoint import class_of, load_model, save_model
from fewview.data.packed_rooms import RoomClips, load_rooms, pack_rooms
from fewview.data.realestate10k import list_clips, open_clip
from fewview.errors import InputError
from fewview.evaluation.perceptual import find_lpips
from fewview.ggs.clips import Batches, Clip
from fewview.ggs.losses import LossConfig
from fewview.ggs.model import GGS, GGSConfig
from fewview.ggs.tasks import DecoderTask, DenoiserTask
from fewview.processes import here, own
from fewview.recipes import ggs
from fewview.recipes.runs import Size, StageOptions, describe, fast_bfloat16
from fewview.training import TrainConfig, train

Stage = Literal["codec", "denoiser", "decoder"]
Variant = Literal["full", "no-3d", "regressor", "no-novel", "no-depth"]

STAGES: tuple[Stage, ...] = ("codec", "denoiser", "decoder")
SIZES: dict[Size, Callable[[], GGSConfig]] = {"tiny": ggs.tiny, "small": ggs.small, "paper": ggs.paper}
PICTURES = 20  # a batch of the codec
HELD_OUT = 8  # clips


@dataclass(frozen=True)
class ClipBatching:
    """What is drawn for each step. A batch has one number of references; targets fill up to `views`."""

    scenes: int = 2
    references: tuple[int, ...] = (1, 2, 2, 3)  # each as likely as it is frequent
    views: int = 7  # references and targets; the paper's 8 at its size
    novel: int = 2
    gaps: tuple[int, int] = (9, 24)  # frames that a batch spans


PAPER = ClipBatching(scenes=1, views=8, gaps=(10, 80))  # FACTS: batch 1 a GPU, 8 views, a gap of 80 with two given


def schedule(stage: Stage, size: Size) -> TrainConfig:
    """How long a stage is trained, and how fast; ours at every size, since the paper's numbers are not known."""
    steps, rate = {"codec": (2_000, 1e-3), "denoiser": (12_000, 5e-4), "decoder": (3_000, 5e-4)}[stage]
    if size == "paper":
        steps, rate = {"codec": (20_000, 1e-4), "denoiser": (100_000, 1e-4), "decoder": (20_000, 1e-4)}[stage]
    each = 100 if stage == "denoiser" else 250
    return TrainConfig(
        steps if size != "small" else 8 * steps,
        rate,
        warmup=100,
        decay=True,
        ema=0.998,
        save_every=each,
        validate_every=500,
        bfloat16=fast_bfloat16(),
    )


def configured(size: Size, variant: Variant) -> tuple[GGSConfig, LossConfig]:
    """Model and loss of a variant; all but the codec's."""
    config = replace(SIZES[size](), scene=True)
    changes: dict[Variant, LossConfig] = {
        "regressor": LossConfig(regressor=True),
        "no-novel": LossConfig(novel=0.0),
        "no-depth": LossConfig(depth=0.0),
    }
    return replace(config, no_3d=variant == "no-3d"), changes.get(variant, LossConfig())


def clips_of(root: Path, split: str, size: tuple[int, int] | int) -> RoomClips:
    """<root>/<split>.safetensors of `fewview data rooms --pack` if frames are squares, or else its clips, which takes
    longer; all frames are held in memory."""
    packed = root / f"{split}.safetensors"
    height, width = (size, size) if isinstance(size, int) else size
    if packed.exists() and height == width:
        return load_rooms(packed).resized(height)
    clips = list_clips(root, split) if (root / split).is_dir() else []
    if not clips and packed.exists():
        raise InputError(f"{packed} has square frames, and {root / split} no clips to read at {width} x {height}.")
    if not clips:
        raise InputError(f"{root} has no clips in '{split}'; `fewview data rooms {root} --pack` builds a set.")
    return pack_rooms([open_clip(path) for path in clips], size)


def clip_batches(data: RoomClips, batching: ClipBatching, device: torch.device | str = "cpu") -> Batches:
    """Random clips, and roles of their frames."""

    def draw(generator: torch.Generator) -> Clip:
        which = int(torch.randint(len(batching.references), (), generator=generator))
        clips = torch.randint(len(data), (batching.scenes,), generator=generator)
        return clip_of(data, clips, batching.references[which], batching=batching, generator=generator).to(device)

    return draw


def clip_of(
    data: RoomClips, clips: Tensor, references: int, *, batching: ClipBatching, generator: torch.Generator
) -> Clip:
    """Frames of a random window: references anywhere in it, targets, both in the order of the walk, and novel views."""
    low, high = batching.gaps
    gap = int(torch.randint(low, high + 1, (), generator=generator))
    targets, total = batching.views - references, batching.views + batching.novel
    window = data.pick(clips, total, gap=gap, generator=generator)
    given = torch.zeros(len(window), total, dtype=torch.bool)
    for row in given:
        row[torch.randperm(total, generator=generator)[:references]] = True
    rest = window[~given].reshape(len(window), -1)
    order = torch.randperm(total - references, generator=generator)
    frames = window[given].reshape(len(window), -1), rest[:, order[:targets].sort().values], rest[:, order[targets:]]
    views, depths = [data.views(f) for f in frames], [data.depth[f].float() for f in frames]
    return Clip(views[0], views[1], views[2], *depths)


def run_stage(
    stage: Stage, data: Path, out: Path, *, options: StageOptions | None = None, variant: Variant = "full"
) -> Path:
    """Trains a stage on a folder in RealEstate10K's form, or goes on with it, and returns its run folder.

    Its `autoencoder` is what the codec starts from, or, for the denoiser, the codec itself; `init` is a folder of
    Stable Video Diffusion, whose U-Net the denoiser then has, and starts from, or a whole model of ours. InputError for
    stages that are not there yet.
    """
    options = options or StageOptions()
    size, device, training = options.size, options.device, options.training or schedule(stage, options.size)
    config, loss = configured(size, variant)
    if options.init is not None and stage != "denoiser":
        raise InputError("Of GGS, --init belongs to the denoiser; leave it out, or train that.")
    if here().count > 1 and stage != "codec":
        raise InputError(f"{stage} is trained by one process; of GGS, only the codec is trained by several.")
    directory = out / (stage if variant == "full" or stage == "codec" else f"{stage}-{variant}")
    shape = config.height, config.width
    sets = clips_of(data, "train", shape), clips_of(data, "test", shape)
    if stage == "codec":
        describe(directory, "ggs/codec", size, model=config.autoencoder, training=training)
        given = {} if options.autoencoder is None else {"autoencoder": options.autoencoder}
        images, held_out = pictures(sets[0], device, training.batch or PICTURES), spread(sets[1], 64).to(device)
        lpips = find_lpips("vgg", layers=4)
        how = {"perceptual": None if lpips is None else lpips.to(device), "progress": options.progress, **given}
        ggs.train_codec(images, held_out, training, directory=directory, **how)
        return directory
    batching = PAPER if size == "paper" else ClipBatching()
    batching = batching if training.batch is None else replace(batching, scenes=training.batch)
    everywhere = torch.linspace(0, len(sets[1]) - 1, min(HELD_OUT, len(sets[1]))).long()
    held_out = clip_of(sets[1], everywhere, 2, batching=batching, generator=torch.Generator().manual_seed(5)).to(device)
    draw = clip_batches(sets[0], batching, device)
    if stage == "denoiser":
        codec = options.autoencoder or out / "codec" / "model"
        if not codec.exists() and (options.init is None or class_of(options.init) is None):
            raise InputError(f"{codec} does not exist; train the codec first, or name an autoencoder.")
        model = ggs.start(config, seed=training.seed, autoencoder=codec, init=options.init)
        task = DenoiserTask(model.to(device), draw, held_out, loss)
    else:
        before = directory.with_name(directory.name.replace("decoder", "denoiser")) / "model"
        if not before.exists():
            raise InputError(f"{before} does not exist; train the denoiser to its end first.")
        model = load_model(before, GGS, GGSConfig)
        task = DecoderTask(model.to(device), draw, held_out, loss)
    describe(directory, f"ggs/{stage}/{variant}", size, model=model.config, training=training)
    train(task, training, directory, progress=options.progress)
    save_model(directory / "model", model, model.config)
    return directory


def pictures(
    data: RoomClips, device: torch.device | str = "cpu", count: int = PICTURES
) -> Callable[[torch.Generator], Float[Tensor, "b 3 h w"]]:
    """Random frames, half of them mirrored."""

    def draw(generator: torch.Generator) -> Tensor:
        index = own(torch.randint(len(data.images), (count,), generator=generator), generator)
        mirrored = own(torch.rand(count, generator=generator) < 0.5, generator)
        images = data.images[index].float() / 255
        return torch.where(mirrored[:, None, None, None], images.flip(-1), images).to(device)

    return draw


def spread(data: RoomClips, count: int) -> Float[Tensor, "n 3 h w"]:
    """So many frames, evenly from all clips."""
    return data.images[torch.linspace(0, len(data.images) - 1, min(count, len(data.images))).long()].float() / 255
