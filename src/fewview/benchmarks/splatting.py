"""How long splatting takes here: the fast backend beside the slow PyTorch twin, forward and backward."""

import time
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from fewview.cameras import Cameras
from fewview.render.gaussians import Gaussians
from fewview.render.splatting import Backend, default_backend, splat


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
) -> list[SplatTiming]:
    """A row for each number of splats and channels: a shell of splats seen from outside, filling the image."""
    backend = default_backend(torch.device(device))
    eye, up = torch.tensor([[0.0, 0.5, -3.0]]), torch.tensor([0.0, 1, 0])
    camera = Cameras.look_at(eye, torch.zeros(3), up, focal=1.2 * size, height=size, width=size).to(device)
    rows = []
    for n in counts:
        for count in channels:
            gaussians = shell(n, count, generator=torch.Generator().manual_seed(0)).to(device)
            _measure(gaussians, camera, backend)  # compile, warm up
            forward, backward = min((_measure(gaussians, camera, backend) for _ in range(repeats)), key=sum)
            slow = sum(_measure(gaussians, camera, "torch")) if twin else None
            rows.append(SplatTiming(n, count, size, backend, torch.get_num_threads(), forward, backward, slow))
    return rows


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
