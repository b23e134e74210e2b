from dataclasses import replace

import pytest
import torch

from fewview.benchmarks.splatting import shell
from fewview.cameras import Cameras
from fewview.geometry.harmonics import COUNTS
from fewview.render.gaussians import Gaussians
from fewview.render.splatting import shown


def glossy(degree: int, channels: int, generator: torch.Generator) -> Gaussians:
    splats = shell(300, channels, generator=generator)
    harmonics = 0.5 * torch.randn(300, COUNTS[degree], channels, generator=generator)
    return replace(splats, features=splats.features - 0.3, harmonics=harmonics)


def seen(splats: Gaussians, eye: torch.Tensor, indices: torch.Tensor, backend) -> list[torch.Tensor]:
    """Colours, and their gradients in means, features, harmonics and the camera's place."""
    parts = {name: tensor.clone().requires_grad_() for name, tensor in splats.tensors().items()}
    pose = torch.eye(4, dtype=eye.dtype)
    pose[:3, 3] = eye
    pose.requires_grad_()
    camera = Cameras(pose, torch.eye(3, dtype=eye.dtype), 8, 8)
    colours = shown(Gaussians(**parts), camera, indices, backend=backend)
    weights = torch.rand(colours.shape, generator=torch.Generator().manual_seed(3)).to(colours)
    leaves = [*(parts[name] for name in ("means", "features", "harmonics")), pose]
    return [colours, *torch.autograd.grad((colours * weights).sum(), leaves)]


@pytest.mark.parametrize(("degree", "channels"), [(1, 3), (2, 3), (3, 3), (3, 5)])
def test_the_fast_kernel_matches_the_slow_twin_in_colours_and_all_gradients(generator, degree, channels):
    splats = glossy(degree, channels, generator)
    eye, indices = torch.tensor([0.3, -0.2, -2.5]), torch.randperm(300, generator=generator)[:200]
    double = Gaussians(**{name: tensor.double() for name, tensor in splats.tensors().items()})
    want = seen(double, eye.double(), indices, "torch")
    assert (want[0] == 0).float().mean() > 0.05, "some colours are clipped at black"
    for ours, exact in zip(seen(splats, eye, indices, "numba"), want):
        torch.testing.assert_close(ours.double(), exact, atol=1e-5 * exact.abs().max().item(), rtol=1e-4)


def test_splats_that_are_not_asked_for_get_no_gradient(generator):
    splats = glossy(2, 3, generator)
    _, means, features, harmonics, _ = seen(splats, torch.tensor([0.0, 0, -3]), torch.arange(100), "numba")
    for gradient in (means, features, harmonics):
        assert gradient[:100].any() and not gradient[100:].any()
