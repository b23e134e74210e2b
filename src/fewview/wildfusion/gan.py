"""The control: a GAN of planes as EG3D (arXiv:2112.07945) and 3DGP (arXiv:2303.01416), from noise and a class.

It shares decoder, field, super-resolution, discriminators and cameras with WildFusion's autoencoder; in place of
encoder and diffusion stands a mapping of noise to what the decoder takes.
"""

from dataclasses import dataclass, field, replace

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn
from torch.nn import functional as F

from fewview.wildfusion.frame import Poses, novel_cameras
from fewview.wildfusion.losses import LossConfig
from fewview.wildfusion.model import PlaneModel, WildFusionConfig
from fewview.wildfusion.photos import Draw, Photos
from fewview.wildfusion.renderer import LowRes
from fewview.wildfusion.tasks import Game

FIRST = 4  # cells a side that the mapping starts from


@dataclass(frozen=True)
class GANConfig:
    """`shape` gives decoder and renderer; `widths` are channels of the mapping, each level twice as fine."""

    shape: WildFusionConfig = field(default_factory=WildFusionConfig)
    classes: tuple[str, ...] = ()
    noise: int = 128
    style: int = 256
    widths: tuple[int, ...] = (512, 512, 512, 512)


class Modulated(nn.Module):
    """A normalised convolution whose maps a style scales and shifts (adaptive normalisation, 1703.06868)."""

    def __init__(self, inputs: int, outputs: int, style: int, *, groups: int):
        super().__init__()
        self.norm = nn.GroupNorm(groups, inputs, eps=1e-6)
        self.affine = nn.Linear(style, 2 * inputs)
        self.conv = nn.Conv2d(inputs, outputs, 3, padding=1)

    def forward(self, x: Float[Tensor, "b c h w"], style: Float[Tensor, "b s"]) -> Float[Tensor, "b d h w"]:
        scale, shift = self.affine(style)[:, :, None, None].chunk(2, dim=1)
        return self.conv(F.leaky_relu(self.norm(x) * (1 + scale) + shift, 0.2))


class PlaneGAN(PlaneModel):
    """Noise and a class to planes, and to what cameras see of them."""

    def __init__(self, config: GANConfig):
        super().__init__()
        self.config, c = config, config.shape
        self.classes = nn.Embedding(max(1, len(config.classes)), config.noise)
        layers = [nn.Linear(2 * config.noise, config.style), nn.LeakyReLU(0.2)]
        self.mapping = nn.Sequential(*layers, nn.Linear(config.style, config.style), nn.LeakyReLU(0.2))
        self.start = nn.Parameter(torch.randn(config.widths[0], FIRST, FIRST))
        pairs = zip((config.widths[0], *config.widths), config.widths)
        self.blocks = nn.ModuleList(Modulated(a, b, config.style, groups=c.groups) for a, b in pairs)
        self.last = Modulated(config.widths[-1], c.latents, config.style, groups=c.groups)
        if FIRST * 2 ** (len(config.widths) - 1) != c.cells:
            raise ValueError(f"{len(config.widths)} levels from {FIRST} cells do not give {c.cells}")
        self.add_renderer(replace(c, chroma_scale=0.0))  # there is no photo whose chroma it could take

    def planes(
        self, noise: Float[Tensor, "b n"], labels: Int[Tensor, " b"]
    ) -> Float[Tensor, "b 3 planes rows columns"]:
        """Boxes of unit noise and classes."""
        style = self.mapping(torch.cat([F.normalize(noise, dim=1) * noise.shape[1] ** 0.5, self.classes(labels)], 1))
        x = self.start.expand(len(noise), -1, -1, -1)
        for i, block in enumerate(self.blocks):
            x = block(x if i == 0 else F.interpolate(x, scale_factor=2.0, mode="nearest"), style)
        return self.decoder(self.last(x, style))

    def draw(
        self, labels: Int[Tensor, " b"], poses: Poses, *, generator: torch.Generator
    ) -> tuple[Float[Tensor, "b 3 h w"], LowRes]:
        """Renderings of new objects of these classes from random cameras."""
        noise = torch.randn(len(labels), self.config.noise, generator=generator).to(self.start)
        cameras = novel_cameras(len(labels), self.config.shape.size, poses, generator=generator)
        low = self.low_res(self.planes(noise, labels), cameras.to(self.start.device), generator=generator)
        return self.upsample(low), low


@dataclass
class GANTask:
    """Both players on photos and their classes; nothing else is ever compared with a photo."""

    model: Game
    photos: Draw
    held_out: Photos
    config: LossConfig = field(default_factory=lambda: LossConfig(adversarial=1.0, depth_adversarial=1.0))
    poses: Poses = field(default_factory=Poses)

    def loss(self, generator: torch.Generator) -> dict[str, Tensor]:
        photos = self.photos(generator)
        maker = self.model.maker
        assert isinstance(maker, PlaneGAN)
        images, low = maker.draw(photos.labels, self.poses, generator=generator)
        losses = self.model.losses(photos, images, low, config=self.config, labels=photos.labels)
        self.model.steps += 1
        return {name: value.detach() for name, value in losses.items()} | {"loss": losses["loss"]}

    def validate(self, model: nn.Module) -> dict[str, float]:
        assert isinstance(model, Game) and isinstance(model.maker, PlaneGAN)
        fixed = torch.Generator().manual_seed(12345)
        images, low = model.maker.draw(self.held_out.labels, self.poses, generator=fixed)
        judged = model.adversaries.image(model.adversaries.pair(images, low.image), self.held_out.labels)
        return {"logit_of_fakes": float(judged.mean()), "coverage": float(low.alpha.mean())}
