"""How long splatting takes here, forward and backward, beside the slow PyTorch twin, and a step of the detail stage."""

import time
from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
from jaxtyping import Float
from torch import Tensor

from fewview.cameras import Cameras
from fewview.detail.stage import DetailConfig, detail
from fewview.geometry.harmonics import COUNTS
from fewview.render.gaussians import Gaussians
from fewview.render.splatting import Backend, default_backend, splat
from fewview.views import Views


@dataclass(frozen=True)
class SplatTiming:
    """Best of some runs, in milliseconds; the twin's is None where it was not asked for."""

    splats: int
    channels: int
    pixels: int
    backend: str
    threads: int
    forward_ms: float
    backward_ms: float
    twin_ms: float | None
    degree: int = 0

    @property
    def speedup(self) -> float | None:
        """The twin's time over ours."""
        return None if self.twin_ms is None else self.twin_ms / (self.forward_ms + self.backward_ms)


def bench_splat(
    counts: Sequence[int] = (1000, 10_000, 100_000),
    channels: Sequence[int] = (3, 64),
    *,
    size: int = 256,
    repeats: int = 3,
    twin: bool = True,
    device: str = "cpu",
    degree: int = 0,
) -> list[SplatTiming]:
    """A row for each number of splats and channels: a shell of splats seen from outside, filling the image.

    `degree` is of their harmonics, 0 to 3.
    """
    backend = default_backend(torch.device(device))
    camera = before(torch.tensor([[0.0, 0.5, -3.0]]), size).to(device)
    rows = []
    for n in counts:
        for count in channels:
            generator = torch.Generator().manual_seed(0)
            gaussians = shell(n, count, generator=generator)
            harmonics = 0.1 * torch.randn(n, COUNTS[3], count, generator=generator)
            gaussians = replace(gaussians, harmonics=harmonics).of_degree(degree).to(device)
            _measure(gaussians, camera, backend)  # compile, warm up
            forward, backward = min((_measure(gaussians, camera, backend) for _ in range(repeats)), key=sum)
            slow = sum(_measure(gaussians, camera, "torch")) if twin else None
            rows.append(SplatTiming(n, count, size, backend, torch.get_num_threads(), forward, backward, slow, degree))
    return rows


def bench_detail(n: int = 25_000, *, size: int = 256, steps: int = 10) -> float:
    """Milliseconds of a step of the detail stage: so many splats, three photos at full size, without a prior."""
    generator = torch.Generator().manual_seed(0)
    gaussians = shell(n, 3, generator=generator)
    cameras = before(torch.tensor([[0.0, 0.5, -3.0], [2.0, 0.5, -2.2], [-2.0, -0.5, -2.2]]), size)
    photos = Views(splat(gaussians, cameras).image, cameras)
    started = replace(gaussians, features=1 - gaussians.features)
    taken = []
    for count in (1, 1, 1 + steps):  # compiled, then what is done once, and the steps besides
        config = DetailConfig(photo_size=size, coarsest=size, steps=count, relocate_every=1 << 30, budget=n)
        start = time.perf_counter()
        detail(started, photos, config, generator=generator)
        taken.append(time.perf_counter() - start)
    return 1e3 * (taken[2] - taken[1]) / steps


def before(eyes: Float[Tensor, "n 3"], size: int) -> Cameras:
    """Cameras that look from these places at the origin, which a unit ball fills."""
    return Cameras.look_at(eyes, torch.zeros(3), torch.tensor([0.0, 1, 0]), focal=1.2 * size, height=size, width=size)


def shell(n: int, channels: int, *, generator: torch.Generator) -> Gaussians:
    """Splats on the unit sphere that about cover it, of random shapes, opacities and features."""

    def normal(*shape: int) -> Float[Tensor, "..."]:
        return torch.randn(*shape, generator=generator)

    means = torch.nn.functional.normalize(normal(n, 3), dim=-1)
    scales = 0.7 * (4 * torch.pi / n) ** 0.5 * (0.3 * normal(n, 3)).exp()
    opacities = 0.05 + 0.9 * torch.rand(n, generator=generator)
    return Gaussians(means, scales, normal(n, 4), opacities, torch.rand(n, channels, generator=generator))


def _measure(gaussians: Gaussians, camera: Cameras, backend: Backend) -> tuple[float, float]:
    """Forward and backward milliseconds."""
    leaves = {name: tensor.clone().requires_grad_() for name, tensor in gaussians.tensors().items()}
    start = _now(camera)
    render = splat(Gaussians(**leaves), camera, backend=backend)
    middle = _now(camera)
    (render.image.square().mean() + render.alpha.mean() + render.depth.mean()).backward()
    return 1e3 * (middle - start), 1e3 * (_now(camera) - middle)


def _now(camera: Cameras) -> float:
    if camera.intrinsics.device.type == "cuda":
        torch.cuda.synchronize()
    return time.perf_counter()
