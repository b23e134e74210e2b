"""What each stage of WildFusion does: a model, its task on the packed photos, and the folder that it leaves."""

from dataclasses import replace

import torch
from torch import Tensor

from fewview.checkpoint import load_tensors, save_model, save_tensors
from fewview.evaluation.perceptual import find_lpips
from fewview.recipes.runs import Setting
from fewview.recipes.wildfusion import adversaries
from fewview.recipes.wildfusion.packed import PackedPhotos
from fewview.wildfusion.gan import GANConfig, GANTask, PlaneGAN
from fewview.wildfusion.latent import LatentConfig, LatentDiffusion
from fewview.wildfusion.latent_task import LatentTask
from fewview.wildfusion.losses import LossConfig
from fewview.wildfusion.model import WildAutoencoder, WildFusionConfig
from fewview.wildfusion.photos import Draw, Photos
from fewview.wildfusion.tasks import AutoencoderTask, Game
from fewview.wildfusion.whole import WholeConfig, WildFusion

BATCH = 6  # photos
HELD_OUT = 32  # photos
ENCODED = 64  # photos at once


PhotoSetting = Setting[PackedPhotos]


def train_autoencoder(config: WildFusionConfig, setting: PhotoSetting) -> WildFusion:
    """Stage 1. The result's `scale` makes training latents of unit variance; saved to <directory>/model."""
    lpips = find_lpips("vgg", layers=3)
    torch.manual_seed(setting.training.seed)
    game = Game(WildAutoencoder(config), adversaries(config)).to(setting.device)
    perceptual = None if lpips is None else lpips.to(setting.device)
    loss = LossConfig(start=min(LossConfig.start, setting.training.steps // 4))
    draw = batches(setting.sets[0], setting.device, setting.training.batch or BATCH)
    held_out = spread(setting.sets[1], HELD_OUT).to(setting.device)
    setting.train(AutoencoderTask(game, draw, held_out, loss, perceptual=perceptual))
    trained = game.maker
    assert isinstance(trained, WildAutoencoder)
    photos = spread(setting.sets[0], 128).to(setting.device)
    with torch.no_grad():
        latents = trained.encode(photos.images, photos.masks, photos.depth)
    whole = WholeConfig(replace(config, scale=round(config.scale / float(latents[:, : config.latents].std()), 5)))
    model = WildFusion(whole).to(setting.device)
    model.autoencoder.load_state_dict(trained.state_dict())
    save_model(setting.directory / "model", model, whole)
    return model.eval()


def train_latent(model: WildFusion, config: LatentConfig, setting: PhotoSetting) -> WildFusion:
    """Stage 2, on the latents of all photos and of their mirror images; leaves the whole model."""
    autoencoder, device = model.autoencoder.to(setting.device), setting.device
    path = setting.directory / "latents.safetensors"
    if not path.exists():
        save_tensors(path, encoded(autoencoder, setting.sets[0], device))
    kept = load_tensors(path)
    frames = torch.linspace(0, len(setting.sets[1]) - 1, 4 * HELD_OUT).long()
    known = setting.sets[1].labels[frames] < len(config.classes)  # classes of held-out photos alone come last
    held_out = encoded(autoencoder, setting.sets[1], device, frames=frames[known])
    torch.manual_seed(setting.training.seed)
    prior = LatentDiffusion(config).to(device)
    pair = lambda part: (part["latents"], part["labels"])
    setting.train(LatentTask(prior, pair(kept), pair(held_out)))
    whole = WholeConfig(model.config.autoencoder, config)
    made = WildFusion(whole).to(device)
    made.autoencoder.load_state_dict(autoencoder.state_dict())
    made.prior.load_state_dict(prior.state_dict())
    save_model(setting.directory / "model", made, whole)
    return made.eval()


def train_gan(config: GANConfig, setting: PhotoSetting) -> PlaneGAN:
    """The control; its discriminators know the classes, and stay in the run folder."""
    torch.manual_seed(setting.training.seed)
    players = adversaries(config.shape, classes=len(config.classes))
    game = Game(PlaneGAN(config), players).to(setting.device)
    photos, test = setting.sets
    frames = torch.linspace(0, len(test) - 1, 4 * HELD_OUT).long()
    held_out = test.photos(frames[test.labels[frames] < len(config.classes)][:HELD_OUT]).to(setting.device)
    task = GANTask(game, batches(photos, setting.device, setting.training.batch or BATCH), held_out)
    setting.train(task)
    made = game.maker
    assert isinstance(made, PlaneGAN)
    save_model(setting.directory / "model", made, config)
    return made.eval()


def batches(packed: PackedPhotos, device: torch.device | str = "cpu", count: int = BATCH) -> Draw:
    """Random photos, half of them mirrored, in colours of their own."""

    def draw(generator: torch.Generator) -> Photos:
        photos = packed.photos(torch.randint(len(packed), (count,), generator=generator))
        return tinted(photos.mirrored(generator), generator).to(device)

    return draw


def tinted(photos: Photos, generator: torch.Generator, *, strength: float = 0.3) -> Photos:
    """Each photo with its channels exchanged at random, and a gain in [1 - strength, 1] of each."""
    order = torch.stack([torch.randperm(3, generator=generator) for _ in range(len(photos))])
    gain = 1 - strength * torch.rand(len(photos), 3, 1, 1, generator=generator)
    index = order[:, :, None, None].expand_as(photos.images)
    return replace(photos, images=photos.images.gather(1, index) * gain)


def spread(packed: PackedPhotos, count: int) -> Photos:
    """So many photos, evenly from all."""
    return packed.photos(torch.linspace(0, len(packed) - 1, min(count, len(packed))).long())


@torch.no_grad()
def encoded(
    autoencoder: WildAutoencoder, packed: PackedPhotos, device: torch.device | str, *, frames: Tensor | None = None
) -> dict[str, Tensor]:
    """Latents (float16) and labels of photos, first as they are and then in a mirror."""
    frames = torch.arange(len(packed)) if frames is None else frames
    latents: list[list[Tensor]] = [[], []]
    autoencoder.eval()
    for part in frames.split(ENCODED):
        photos = packed.photos(part).to(device)
        for kept, turn in zip(latents, (lambda x: x, lambda x: x.flip(-1))):
            kept.append(autoencoder.encode(*map(turn, (photos.images, photos.masks, photos.depth))).half().cpu())
    return {"latents": torch.cat([torch.cat(kept) for kept in latents]), "labels": packed.labels[frames].repeat(2)}
