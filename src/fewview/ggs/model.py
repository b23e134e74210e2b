"""GGS: a denoiser of all target views whose clean latents are a rendering of the splats that it predicts.

Letters: b scenes, k references, l targets, m = k + l input views, j novel views, c latent channels, h and w cells.
Noisy latents are those of the EDM frame, x = z0 + sigma * noise; the networks see alpha * x.
"""

from collections.abc import Sequence
from copy import copy
from dataclasses import dataclass, field, replace
from typing import Literal

import torch
from jaxtyping import Float
from torch import Tensor, nn

from fewview.cameras import Cameras
from fewview.diffusion.denoiser import Denoiser
from fewview.errors import InputError
from fewview.geometry.transforms import scale_of
from fewview.ggs.camera_encoder import CameraEncoder
from fewview.ggs.decoder import DecoderConfig, SplatDecoder
from fewview.ggs.epipolar import EpipolarConfig, EpipolarTransformer
from fewview.ggs.frame import norm_from_world, world_from_norm
from fewview.ggs.scene_maps import scene_maps
from fewview.ggs.splats import PixelSplats, SplatConfig, SplatHead
from fewview.ggs.velocity import VelocityConfig, VelocityHead, alpha_std, clean_of
from fewview.nn.autoencoder import Autoencoder, AutoencoderConfig
from fewview.nn.multiview_unet import Backbone, MultiViewUNet, MultiViewUNetConfig
from fewview.nn.svd import SVDConfig, SVDUNet
from fewview.render.asset import GaussianAsset
from fewview.render.gaussians import Gaussians
from fewview.render.splatting import DILATION
from fewview.views import Render, Views


@dataclass(frozen=True)
class GGSConfig:
    """Defaults are the paper's size: 576x320 pixels, Stable Video Diffusion's U-Net; where it is silent, ours."""

    backbone: MultiViewUNetConfig | SVDConfig = field(default_factory=SVDConfig)
    autoencoder: AutoencoderConfig = field(default_factory=AutoencoderConfig)
    epipolar: EpipolarConfig = field(default_factory=EpipolarConfig)
    splats: SplatConfig = field(default_factory=SplatConfig)
    velocity: VelocityConfig = field(default_factory=VelocityConfig)
    decoder: DecoderConfig = field(default_factory=DecoderConfig)
    height: int = 320  # pixels
    width: int = 576
    render_scale: int = 1  # feature maps and low-resolution images have so many pixels a cell and axis
    metric: bool = False  # lengths in units of the world, for worlds in metres
    no_3d: bool = False  # the control "Ours-No3D": f_v reads what T_epi says, nothing is splatted
    scene: bool = False  # the splat-conditional variant
    noise: Literal["cosine", "lognormal"] = "cosine"  # levels in training
    x0_limit: float = 10.0  # clip of predicted latents

    @property
    def cells(self) -> tuple[int, int]:
        """Rows and columns of latents."""
        return self.height // self.autoencoder.factor, self.width // self.autoencoder.factor

    @property
    def told_scale(self) -> float:
        """Of the references' latents in the channels that tell of them.

        SVD was trained to be told latents of its image that are not scaled to unit variance, beside noisy ones that
        are (diffusers' pipeline: `_encode_vae_image`); ours is told both alike.
        """
        return 1 / self.autoencoder.scale if isinstance(self.backbone, SVDConfig) else 1.0


@dataclass(frozen=True, eq=False)
class Inputs:
    """What is known of some scenes before any noise: references first, then targets, in the normalised frame."""

    references: Float[Tensor, "b k c h w"]  # clean latents
    cameras: Cameras  # "b m"
    world_from_norm: Float[Tensor, "b 4 4"]
    scene: Float[Tensor, "b l y h w"] | None  # what targets see of the scene so far, if the model is told

    @property
    def k(self) -> int:
        return self.references.shape[1]


@dataclass(frozen=True, eq=False)
class Prediction:
    """One answer of the network; without splats (no_3d) there are no renders either. Colours are RGB in [0, 1]."""

    z0: Float[Tensor, "b l c h w"]
    velocity: Float[Tensor, "b m c h w"]  # v of targets; of references v0 = -z0, as if all were noise, of zeros
    splats: PixelSplats | None
    views: Render | None  # "b m", low resolution
    novel: Render | None  # "b j", low resolution


class GGS(nn.Module):
    """Camera encoder, U-Net, T_epi, f_g, f_phi, f_v, D_3D and the (frozen) autoencoder: a Prior over all targets."""

    def __init__(self, config: GGSConfig):
        super().__init__()
        self.config = config
        self.codec = Autoencoder(config.autoencoder).requires_grad_(False)
        channels, dim = config.autoencoder.total_channels, config.epipolar.dim
        inputs = 2 * channels + (channels + 2 if config.scene else 0)
        self.backbone = build_backbone(config.backbone, inputs)
        self.cameras = CameraEncoder(self.backbone.levels, config.autoencoder.factor)
        self.epipolar = EpipolarTransformer(self.backbone.channels, config.epipolar)
        self.splats = None if config.no_3d else SplatHead(dim, config.splats)
        self.decoder = None if config.no_3d else SplatDecoder(dim, config.autoencoder, config.splats, config.decoder)
        shown, scale = (dim, 1) if config.no_3d else (config.splats.features + 1, config.render_scale)
        self.velocity = VelocityHead(shown, channels, config.velocity, scale=scale)

    def sized(self, height: int, width: int) -> "GGS":
        """The same network, weights and all, for pictures of another size; sides are multiples of the autoencoder's."""
        same = copy(self)
        same.config = replace(self.config, height=height, width=width)
        return same

    # -- a Prior ------------------------------------------------------------------------------------------------

    def condition(self, context: Views, targets: Cameras, *, scene: Gaussians | None = None) -> Denoiser:
        """The denoiser of all targets jointly: context batch "k", targets batch "l", latents batch "l"."""
        inputs = self.inputs(context.whole()[None], targets[None], scenes=None if scene is None else [scene])
        limit = self.config.x0_limit

        def denoise(x: Float[Tensor, "l c h w"], sigma: Float[Tensor, " l"]) -> Float[Tensor, "l c h w"]:
            return self(inputs, x[None], sigma[None]).z0[0].clamp(-limit, limit)

        return denoise

    def inputs(self, references: Views, targets: Cameras, *, scenes: Sequence[Gaussians] | None = None) -> Inputs:
        """References "b k" and targets "b l" of any world and image size; `scenes` is the scene so far of each."""
        config = self.config
        size = config.height, config.width
        references, targets = references.resized(*size), targets.resized(*size)
        cameras = Cameras.cat([references.cameras, targets], axis=1)
        back = world_from_norm(cameras, metric=config.metric)
        cameras = cameras.transformed(norm_from_world(cameras, metric=config.metric)[:, None])
        with torch.no_grad():
            scene = None
            if scenes is not None:
                unit = scale_of(back)
                scene = scene_maps(scenes, targets, self.codec, unit=unit, config=config.splats)
        return Inputs(self.encode(references), cameras, back, scene)

    def encode(self, views: Views) -> Float[Tensor, "b v c h w"]:
        """Latents of views "b v" of the model's image size; v may be 0."""
        shape = views.images.shape[:2]
        if 0 in shape:
            return views.images.new_zeros(*shape, self.config.autoencoder.total_channels, *self.config.cells)
        with torch.no_grad():
            return self.codec.encode(views.images.flatten(0, 1)).float().unflatten(0, shape)

    # -- the network --------------------------------------------------------------------------------------------

    def forward(
        self,
        inputs: Inputs,
        x: Float[Tensor, "b l c h w"],
        sigma: Float[Tensor, "b l"],
        *,
        novel: Cameras | None = None,
        generator: torch.Generator | None = None,
    ) -> Prediction:
        """Clean latents of the targets, and the splats they were rendered from. `novel` "b j" are in the world.

        With a generator, depths are drawn from their distributions, as in training.
        """
        levels = torch.cat([sigma.new_zeros(len(sigma), inputs.k), sigma], dim=1)
        features = self.features(inputs, x, sigma)
        skip = torch.cat([torch.zeros_like(inputs.references), x * alpha_std(sigma)[0]], dim=1)
        splats = views = seen_new = None
        if self.splats is None:
            shown = features
        else:
            splats = self.splats(features, inputs.cameras, generator)
            render = splats.render(self.low(inputs.cameras))
            shown = torch.cat([render.image[:, :, :-3], render.alpha], dim=2)
            views = Render(render.image[:, :, -3:], render.alpha, render.depth)
            if novel is not None:
                new = novel.transformed(torch.linalg.inv(inputs.world_from_norm)[:, None])
                seen_new = splats.render(self.low(new), last=3)
        v = self.velocity(shown, skip, levels).float()
        return Prediction(clean_of(v[:, inputs.k :], x, sigma), v, splats, views, seen_new)

    def features(
        self, inputs: Inputs, x: Float[Tensor, "b l c h w"], sigma: Float[Tensor, "b l"]
    ) -> Float[Tensor, "b m d h w"]:
        """What T_epi says of every cell of every input view."""
        references = inputs.references
        noisy = x * alpha_std(sigma)[0]
        latents = torch.cat([references, noisy], dim=1)
        told = torch.cat([references * self.config.told_scale, torch.zeros_like(noisy)], dim=1)
        latents = torch.cat([latents, told], dim=2)
        if self.config.scene:
            y = references.shape[2] + 2
            scene = inputs.scene if inputs.scene is not None else noisy.new_zeros(*noisy.shape[:2], y, *noisy.shape[3:])
            blank = references.new_zeros(*references.shape[:2], y, *references.shape[3:])
            latents = torch.cat([latents, torch.cat([blank, scene], dim=1)], dim=2)
        elif inputs.scene is not None:
            raise InputError("This model takes no scene so far; train one whose config says scene: true.")
        levels = torch.cat([sigma.new_zeros(len(sigma), inputs.k), sigma], dim=1)
        return self.epipolar(self.backbone(latents, levels, self.cameras(inputs.cameras)), inputs.cameras)

    def low(self, cameras: Cameras) -> Cameras:
        """Cameras of the size at which splats are rendered while denoising."""
        h, w = self.config.cells
        return cameras.resized(h * self.config.render_scale, w * self.config.render_scale)

    # -- the decoder D_3D ---------------------------------------------------------------------------------------

    def decode(
        self, inputs: Inputs, images: Float[Tensor, "b k 3 height width"], z0: Float[Tensor, "b l c h w"]
    ) -> PixelSplats:
        """Full-resolution splats of clean latents z0 and the references' images, in the normalised frame."""
        if self.decoder is None or self.splats is None:
            raise InputError("A model without splats (no_3d) has no 3D decoder; fit splats to its views instead.")
        with torch.no_grad():
            features = self.features(inputs, z0, z0.new_zeros(z0.shape[:2]))
            coarse = self.splats(features, inputs.cameras)
            decoded = self.codec.decode(z0.flatten(0, 1)).float().unflatten(0, z0.shape[:2]) if z0.shape[1] else None
            pictures = images if decoded is None else torch.cat([images, decoded.clamp(0, 1)], dim=1)
            latents = torch.cat([inputs.references, z0], dim=1)
        return self.decoder(features, latents, pictures, coarse, inputs.cameras)

    def scene(
        self, context: Views, targets: Cameras, z0: Float[Tensor, "l c h w"], *, fine: bool = True
    ) -> GaussianAsset:
        """The scene of generated latents, in the world: D_3D's splats, or the denoiser's own without it.

        Context batch "k", targets batch "l"; l may be 0, as it is for the feed-forward regressor.
        """
        views = context.whole().resized(self.config.height, self.config.width)[None]
        inputs = self.inputs(views, targets[None])
        with torch.no_grad():
            if fine:
                splats = self.decode(inputs, views.images, z0[None])
            else:
                splats = self(inputs, z0[None], z0.new_zeros(1, len(z0))).splats
                if splats is None:
                    raise InputError("A model without splats (no_3d) has no scene; fit splats to its views instead.")
                splats = splats.smoothed(inputs.cameras, DILATION / self.config.render_scale**2)
        return GaussianAsset(in_world(splats, inputs, 0))


def in_world(splats: PixelSplats, inputs: Inputs, i: int) -> Gaussians:
    """Scene i with its colours alone, in the world of its cameras."""
    scene = splats.scene(i)
    scene = Gaussians(scene.means, scene.scales, scene.quaternions, scene.opacities, scene.features[:, -3:].clamp(0, 1))
    return scene.transformed(inputs.world_from_norm[i])


def build_backbone(config: MultiViewUNetConfig | SVDConfig, inputs: int) -> Backbone:
    """The U-Net of a config, for so many input channels."""
    return SVDUNet(config, inputs) if isinstance(config, SVDConfig) else MultiViewUNet(config, inputs)
