"""Balls seen by cameras on a ring, as networks take them, and every network that colours rays, as small as can be."""

from dataclasses import replace

import torch
from worlds import photograph, ring

from fewview.baselines.gpnr import GPNR
from fewview.baselines.ibrnet import IBRNet
from fewview.baselines.lfn import LFN
from fewview.baselines.marching import Sampling
from fewview.baselines.nerformer import NerFormer
from fewview.baselines.pixelnerf import PixelNeRF
from fewview.baselines.rays import RayNetwork
from fewview.baselines.srt import SRT
from fewview.geometry.transforms import axis_angle
from fewview.recipes.baselines import TINY
from fewview.views import Views

SIZE = 16
FEW = Sampling(2.5, coarse=6, fine=4)
SMALL = {
    "pixelnerf": replace(TINY["pixelnerf"], size=SIZE, hidden=8, sampling=replace(FEW, near_depth=2)),
    "nerformer": replace(TINY["nerformer"], size=SIZE, dim=8, hidden=8, sampling=FEW),
    "ibrnet": replace(TINY["ibrnet"], size=SIZE, features=8, hidden=8, sampling=FEW),
    "gpnr": replace(TINY["gpnr"], size=SIZE, dim=8, layers=1, hidden=8, depth_samples=6),
    "lfn": replace(TINY["lfn"], size=SIZE, scenes=2, latent=8, width=8, layers=1, hyper=8, fit_steps=3, fit_rays=32),
    "srt": replace(TINY["srt"], size=SIZE, widths=(8, 8), dim=8, encoder=1, decoder=1, heads=2, hidden=8),
}
CLASSES = {"pixelnerf": PixelNeRF, "nerformer": NerFormer, "ibrnet": IBRNet, "gpnr": GPNR, "lfn": LFN, "srt": SRT}


def network(name: str) -> RayNetwork:
    torch.manual_seed(0)
    return CLASSES[name](SMALL[name]).eval()


def scene(context: int = 2, queries: int = 1, size: int = SIZE) -> tuple[Views, Views]:
    """Context and query views, "1 m" and "1 q"."""
    views = photograph(ring(context + queries, size))[None]
    return views[:, :context], views[:, context:]


def pixels(count: int = 12, queries: int = 1) -> torch.Tensor:
    return SIZE * torch.rand(1, queries, count, 2, generator=torch.Generator().manual_seed(1))


def turn() -> torch.Tensor:
    """A rotation of the world about the origin."""
    matrix = torch.eye(4)
    matrix[:3, :3] = axis_angle(torch.nn.functional.normalize(torch.tensor([1.0, 2, 3]), dim=0), torch.tensor(1.0))
    return matrix
