from dataclasses import replace

import pytest
import torch
from clouds import cloud, facing, glossy

from fewview.cameras import Cameras
from fewview.render import splatting, splatting_numba
from fewview.render.gaussians import Gaussians
from fewview.render.splatting import Backend, splat


def doubled(gaussians: Gaussians) -> Gaussians:
    return Gaussians(**{name: tensor.double() for name, tensor in gaussians.tensors().items()})


def columns(gaussians: Gaussians, camera: Cameras, antialiased: bool) -> torch.Tensor:
    """The slow twin: a row for each splat, zeros where it is not seen."""
    seen = splatting.project(gaussians, camera, antialiased=antialiased)
    colours = splatting.shown(gaussians, camera, seen.indices)
    rows = torch.cat([seen.centres, seen.conics, seen.opacities[:, None], colours, seen.depths[:, None]], dim=-1)
    return rows.new_zeros(len(gaussians), rows.shape[1]).index_copy(0, seen.indices, rows)


def from_aside(dtype: torch.dtype) -> Cameras:
    """A camera whose axes are those of no frame, with splats beside and behind it."""
    eye, up = torch.tensor([0.6, -0.4, 0.5], dtype=dtype), torch.tensor([0.1, 1, 0.2], dtype=dtype)
    return Cameras.look_at(eye, eye.new_tensor([0.2, 0.3, 3.0]), up, focal=40.0, height=44, width=52)


@pytest.mark.parametrize(("channels", "degree"), [(3, 0), (3, 1), (3, 2), (3, 3), (5, 3)])
@pytest.mark.parametrize("antialiased", [False, True])
def test_footprints_and_their_gradients_are_those_of_the_slow_twin(generator, channels, degree, antialiased):
    gaussians = glossy(cloud(200, generator, channels), degree, generator)
    slow = {name: t.requires_grad_() for name, t in doubled(gaussians).tensors().items()}
    fast = {name: t.clone().requires_grad_() for name, t in gaussians.tensors().items()}
    want = columns(Gaussians(**slow), from_aside(torch.float64), antialiased)
    made = splatting_numba.project(Gaussians(**fast), from_aside(torch.float32), antialiased=antialiased)
    assert 20 < (want[:, 5] > 0).sum() < 180, "some are seen, some not"
    torch.testing.assert_close(made.double(), want, atol=1e-5, rtol=1e-5)
    weights = torch.rand(want.shape, generator=generator)
    (want * weights).sum().backward()
    (made * weights).sum().backward()
    for name, leaf in fast.items():
        exact = slow[name].grad
        assert leaf.grad is not None and exact is not None
        torch.testing.assert_close(leaf.grad.double(), exact, atol=1e-5 * exact.abs().max().item(), rtol=1e-4)


def test_splats_that_are_not_seen_are_zeros_and_get_no_gradient(generator):
    gaussians = glossy(cloud(60, generator), 2, generator)
    behind = gaussians.means.clone()
    behind[:20, 2] = -3
    leaves = {k: t.clone().requires_grad_() for k, t in replace(gaussians, means=behind).tensors().items()}
    made = splatting_numba.project(Gaussians(**leaves), facing()[0], antialiased=True)
    made.sum().backward()
    assert not made[:20].any() and made[20:].any()
    for leaf in leaves.values():
        assert leaf.grad is not None
        assert not leaf.grad[:20].any() and leaf.grad[20:].any()


def test_a_camera_that_is_fitted_gets_the_gradients_of_the_slow_twin(generator):
    gaussians = glossy(cloud(40, generator), 1, generator)
    found = []
    pairs: tuple[tuple[Backend, torch.dtype], ...] = ("torch", torch.float64), ("numba", torch.float32)
    for backend, dtype in pairs:
        camera = from_aside(dtype)
        pose, pinhole = camera.world_from_cam.clone().requires_grad_(), camera.intrinsics.clone().requires_grad_()
        splats = doubled(gaussians) if backend == "torch" else gaussians
        seen = splat(splats, replace(camera, world_from_cam=pose, intrinsics=pinhole), backend=backend)
        found.append(torch.autograd.grad(seen.image.square().sum() + seen.alpha.sum(), [pose, pinhole]))
    for exact, ours in zip(*found):
        assert exact.any()
        torch.testing.assert_close(ours.double(), exact, atol=1e-4 * exact.abs().max().item(), rtol=1e-3)
