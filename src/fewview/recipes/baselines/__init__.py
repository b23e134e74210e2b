"""The baselines at two sizes: `paper`, as published, and `tiny` (64 px, two CPU cores), whose image network is EFT's."""

from typing import Any

from fewview.baselines.codebook import CodebookConfig
from fewview.baselines.marching import Sampling
from fewview.baselines.nerformer import NerFormerConfig
from fewview.baselines.pixelnerf import PixelNeRFConfig
from fewview.baselines.viewformer import ViewFormerConfig
from fewview.nn.autoencoder import AutoencoderConfig

REACH = 2.5  # of rays at `tiny`: the range of depths that EFT has there
CODEBOOK = CodebookConfig(
    size=64,
    codes=512,
    dim=32,
    network=AutoencoderConfig((32, 64, 64, 96), blocks=1, groups=16),
    normalised=True,
)

PAPER: dict[str, Any] = {
    "pixelnerf": PixelNeRFConfig(),
    "nerformer": NerFormerConfig(),
    "viewformer-codebook": CodebookConfig(),
    "viewformer": ViewFormerConfig(),
}
TINY: dict[str, Any] = {
    "pixelnerf": PixelNeRFConfig(
        size=64,
        depth=18,
        hidden=64,
        sampling=Sampling(REACH, coarse=16, fine=8, near_depth=0),
        embed_first=True,
        softplus=True,
    ),
    "nerformer": NerFormerConfig(
        size=64,
        depth=18,
        stages=3,
        dim=64,
        heads=1,
        hidden=64,
        octaves=4,
        sampling=Sampling(REACH, coarse=16, fine=8),
        norm_first=True,
    ),
    "viewformer-codebook": CODEBOOK,
    "viewformer": ViewFormerConfig(CODEBOOK, dim=128, layers=6, heads=4, hidden=512, dropout=0.0, position_scale=0.1),
}
