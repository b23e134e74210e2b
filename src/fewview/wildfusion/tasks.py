"""What is trained first: the autoencoder, on input views, and against discriminators on novel views."""

from dataclasses import dataclass, field

import torch
from torch import Tensor, nn

from fewview.cameras import Cameras
from fewview.nn.autoencoder import gaussian_sample, kl_divergence
from fewview.wildfusion.discriminators import Adversaries
from fewview.wildfusion.frame import Poses, input_cameras, novel_cameras
from fewview.wildfusion.losses import (
    LossConfig,
    Perceptual,
    depth_loss,
    discriminator_loss,
    generator_loss,
    perceptual_window,
    r1_penalty,
    shrunk_depth,
)
from fewview.wildfusion.model import WildAutoencoder
from fewview.wildfusion.photos import Draw, Photos
from fewview.wildfusion.renderer import LowRes


class Game(nn.Module):
    """A maker of 3D objects and its adversaries, and how many steps they have played."""

    steps: Tensor

    def __init__(self, maker: nn.Module, adversaries: Adversaries):
        super().__init__()
        self.maker, self.adversaries = maker, adversaries
        self.register_buffer("steps", torch.zeros((), dtype=torch.long))

    def losses(
        self, real: Photos, images: Tensor, low: LowRes, *, config: LossConfig, labels: Tensor | None = None
    ) -> dict[str, Tensor]:
        """Both players' losses for novel views; `labels` belong to renderings and photos alike."""
        pair, factor = self.adversaries.pair(images, low.image), self.adversaries.factor
        truth = self.adversaries.pair(real.images)
        z, _ = shrunk_depth(real.depth, (real.depth != 0).float(), factor)
        cover = nn.functional.avg_pool2d(real.masks, factor)
        solid = torch.cat([z * cover, cover], dim=1)
        players = ((self.adversaries.image, truth, pair), (self.adversaries.depth, solid, low.solid))
        weights = config.adversarial, config.depth_adversarial
        fooling = [generator_loss(network, fake, labels) for network, _, fake in players]
        telling = [discriminator_loss(network, true, fake, labels=labels) for network, true, fake in players]
        found = {"fooling": fooling[0], "telling": telling[0], "telling_depth": telling[1]}
        found["loss"] = sum((w * f + t for w, f, t in zip(weights, fooling, telling)), start=images.new_zeros(()))
        if int(self.steps) % config.r1_every == 0:
            penalty = torch.stack([r1_penalty(network, true, labels) for network, true, _ in players]).sum()
            found["loss"] = found["loss"] + config.r1_every * config.r1 * penalty
        return found


@dataclass
class AutoencoderTask:
    """Stage 1. Other views of an object are never a target: what is new is only asked to look like some photo."""

    model: Game
    photos: Draw
    held_out: Photos
    config: LossConfig = field(default_factory=LossConfig)
    poses: Poses = field(default_factory=Poses)
    perceptual: Perceptual | None = None
    window: int = 32  # pixels, of the perceptual loss

    @property
    def autoencoder(self) -> WildAutoencoder:
        assert isinstance(self.model.maker, WildAutoencoder)
        return self.model.maker

    def loss(self, generator: torch.Generator) -> dict[str, Tensor]:
        photos, c = self.photos(generator), self.config
        dropped = torch.rand(len(photos), generator=generator) < c.depth_dropout
        known = photos.known * (~dropped).to(photos.known)
        mean, logvar = self.autoencoder.posterior(photos.images, photos.masks, photos.depth, known=known)
        z = gaussian_sample(mean, logvar, generator)
        planes = self.autoencoder.planes(self.autoencoder.latents(z, photos.images, photos.masks))
        low = self.autoencoder.low_res(planes, self._cameras(photos), generator=generator)
        losses = self.reconstruction(photos, low, generator)
        losses["kl"] = kl_divergence(mean, logvar)
        total = losses["loss"] + c.kl * losses["kl"]
        if int(self.model.steps) >= c.start:
            cameras = novel_cameras(len(photos), photos.images.shape[-1], self.poses, generator=generator)
            new = self.autoencoder.low_res(planes, cameras.to(planes.device), generator=generator)
            game = self.model.losses(photos, self.autoencoder.upsample(new), new, config=c)
            total = total + game.pop("loss")
            losses.update(game)
        self.model.steps += 1
        return {name: value.detach() for name, value in losses.items()} | {"loss": total}

    def reconstruction(self, photos: Photos, low: LowRes, generator: torch.Generator) -> dict[str, Tensor]:
        """Weighted losses of the input view, summed up as "loss", and its parts."""
        c, factor = self.config, self.autoencoder.config.render.factor
        images = self.autoencoder.upsample(low)
        small = nn.functional.avg_pool2d(torch.cat([photos.images, photos.masks], dim=1), factor)
        truth, certain = shrunk_depth(photos.depth, (photos.depth != 0).float(), factor)
        pixels, depth = (images - photos.images).abs().mean(), depth_loss(low.z, truth, certain)
        rough = (low.image - small[:, :3]).abs().mean()
        mask = (low.alpha - small[:, 3:]).square().mean()
        loss = pixels + c.low * rough + c.depth * depth + c.mask * mask
        found = {"pixels": pixels, "depth": depth, "mask": mask}
        if self.perceptual is not None:
            window = min(self.window, images.shape[-1])
            found["lpips"] = perceptual_window(self.perceptual, images, photos.images, side=window, generator=generator)
            loss = loss + c.perceptual * found["lpips"]
        return found | {"loss": loss}

    def validate(self, model: nn.Module) -> dict[str, float]:
        assert isinstance(model, Game) and isinstance(model.maker, WildAutoencoder)
        autoencoder, photos = model.maker, self.held_out
        numbers = {}
        truth, certain = shrunk_depth(photos.depth, (photos.depth != 0).float(), autoencoder.config.render.factor)
        for name, depth in (("", photos.depth), ("_without_depth", None)):
            latents = autoencoder.encode(photos.images, photos.masks, depth)
            low = autoencoder.low_res(autoencoder.planes(latents), self._cameras(photos))
            error = (autoencoder.upsample(low).clamp(0, 1) - photos.images).square().mean((1, 2, 3))
            numbers[f"psnr{name}"] = float(-10 * error.clamp(min=1e-10).log10().mean())
            numbers[f"depth{name}"] = float(depth_loss(low.z, truth, certain))
            numbers[f"latent_std{name}"] = float(latents.std())
        return numbers

    def _cameras(self, photos: Photos) -> Cameras:
        return input_cameras(len(photos), photos.images.shape[-1]).to(photos.images.device)
