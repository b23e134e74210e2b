"""The baselines at two sizes: `paper`, as published, and `tiny` (64 px, two CPU cores), with EFT's image network."""

from typing import Any

from fewview.baselines.codebook import CodebookConfig
from fewview.baselines.gpnr import GPNRConfig
from fewview.baselines.ibrnet import IBRNetConfig
from fewview.baselines.lfn import LFNConfig
from fewview.baselines.marching import Sampling
from fewview.baselines.nerformer import NerFormerConfig
from fewview.baselines.pixelnerf import PixelNeRFConfig
from fewview.baselines.srt import SRTConfig
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
    "ibrnet": IBRNetConfig(),
    "gpnr": GPNRConfig(),
    "lfn": LFNConfig(),
    "srt": SRTConfig(),
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
    "ibrnet": IBRNetConfig(
        size=64, depth=18, features=16, hidden=32, heads=4, sampling=Sampling(REACH, coarse=16, fine=8)
    ),
    "gpnr": GPNRConfig(size=64, dim=64, layers=2, hidden=64, octaves=4, depth_samples=16, reach=REACH, norm_first=True),
    "lfn": LFNConfig(size=64, latent=128, width=64, layers=4, hyper=128),
    "srt": SRTConfig(
        size=64, widths=(48, 96, 128), dim=128, encoder=4, decoder=2, heads=4, hidden=256, octaves=6, first=1.0
    ),
}
