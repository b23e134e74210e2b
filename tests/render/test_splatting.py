import math
import os
import subprocess
import sys
import types
from dataclasses import replace

import pytest
import torch
from clouds import FOCAL, SIZE, cloud, facing, glossy

from fewview.cameras import Cameras
from fewview.render import splatting
from fewview.render.gaussians import Gaussians
from fewview.render.splatting import blend, project, splat
from fewview.views import Render

BACKENDS = ["torch", "numba"]


def one(z: float, scales=(0.2, 0.2, 0.2), opacity: float = 0.8, colour=(1.0, 0.5, 0.25)) -> Gaussians:
    return Gaussians(
        torch.tensor([[0.0, 0.0, z]]),
        torch.tensor([scales]),
        torch.tensor([[1.0, 0, 0, 0]]),
        torch.tensor([opacity]),
        torch.tensor([colour]),
    )


@pytest.mark.parametrize("backend", BACKENDS)
def test_a_splat_on_the_axis_peaks_at_its_opacity_and_falls_off_as_a_gaussian(backend):
    render = splat(one(4.0), facing(), backend=backend)
    variance = (FOCAL * 0.2 / 4) ** 2 + 0.3
    falloff = math.exp(-(3**2 + 2**2) / (2 * variance))
    assert render.alpha[0, 0, 16, 16].item() == pytest.approx(0.8, rel=1e-5)
    assert render.alpha[0, 0, 18, 19].item() == pytest.approx(0.8 * falloff, rel=1e-5)
    torch.testing.assert_close(render.image[0, :, 18, 19], 0.8 * falloff * torch.tensor([1.0, 0.5, 0.25]))
    seen = render.alpha > 0
    assert torch.allclose(render.depth[seen], torch.tensor(4.0))
    assert not render.depth[~seen].any()


@pytest.mark.parametrize("backend", BACKENDS)
def test_the_nearer_of_two_splats_covers_the_farther_whatever_their_order(backend):
    red, blue = one(3.0, opacity=0.6, colour=(1.0, 0, 0)), one(5.0, opacity=0.7, colour=(0, 0, 1.0))
    for pair in ([red, blue], [blue, red]):
        render = splat(Gaussians.cat(pair), facing(), backend=backend)
        want = torch.tensor([0.6, 0.0, 0.4 * 0.7])
        torch.testing.assert_close(render.image[0, :, 16, 16], want)
        assert render.alpha[0, 0, 16, 16].item() == pytest.approx(1 - 0.4 * 0.3)
        assert render.depth[0, 0, 16, 16].item() == pytest.approx((0.6 * 3 + 0.28 * 5) / 0.88)


@pytest.mark.parametrize("backend", BACKENDS)
def test_an_anisotropic_splat_is_long_along_its_long_axis_after_rotation(backend):
    long = one(4.0, scales=(0.4, 0.1, 0.1))
    turned = replace(long, quaternions=torch.tensor([[math.cos(math.pi / 4), 0, 0, math.sin(math.pi / 4)]]))
    flat, upright = (splat(g, facing(), backend=backend).alpha[0, 0] for g in (long, turned))
    assert flat[16, 20].item() == pytest.approx(0.8 * math.exp(-(4**2) / (2 * (4**2 + 0.3))), rel=1e-5)
    assert flat[18, 16].item() == pytest.approx(0.8 * math.exp(-(2**2) / (2 * (1**2 + 0.3))), rel=1e-5)
    torch.testing.assert_close(upright, flat.T)
    slanted = replace(long, quaternions=torch.tensor([[math.cos(math.pi / 8), 0, 0, math.sin(math.pi / 8)]]))
    image = splat(slanted, facing(), backend=backend).alpha[0, 0]  # long towards the lower right
    assert image[18, 18].item() == pytest.approx(0.8 * math.exp(-8 / (2 * (4**2 + 0.3))), rel=1e-5)
    assert image[18, 14].item() == pytest.approx(0.8 * math.exp(-8 / (2 * (1**2 + 0.3))), rel=1e-5)


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("mean", [(0.0, 0.0, -4.0), (0.0, 0.0, 0.005), (9.0, 0.0, 4.0)])
def test_a_splat_behind_the_camera_or_beside_the_image_contributes_nothing(backend, mean):
    gaussians = replace(one(4.0), means=torch.tensor([mean]))
    render = splat(gaussians, facing(), backend=backend)
    assert not render.image.any() and not render.alpha.any() and not render.depth.any()


@pytest.mark.parametrize("backend", BACKENDS)
def test_a_wall_of_opaque_splats_lets_one_ten_thousandth_through_at_most(backend):
    many = Gaussians.cat([one(4.0 + 0.1 * i, scales=(1.0, 1.0, 0.01), opacity=0.5) for i in range(40)])
    alpha = splat(many, facing(), backend=backend).alpha[0, 0, 16, 16]
    assert alpha.item() == pytest.approx(1 - 0.5**13)  # a 14th would leave 0.6e-4


@pytest.mark.parametrize("backend", BACKENDS)
def test_antialiasing_keeps_the_total_weight_of_a_tiny_splat(backend):
    tiny = one(4.0, scales=(0.02, 0.02, 0.02))  # 0.2 px
    render = splat(tiny, facing(), backend=backend, antialiased=True)
    assert render.alpha.sum().item() == pytest.approx(0.8 * 2 * math.pi * 0.2**2, rel=0.1)
    assert splat(tiny, facing(), backend=backend).alpha.sum().item() > 5 * render.alpha.sum().item()


@pytest.mark.parametrize("backend", BACKENDS)
def test_a_splat_with_harmonics_has_the_colour_of_the_direction_from_the_camera_to_it(backend):
    """One harmonic, -sqrt(3 / 4 pi) x: from the left its direction is +x, from the right -x; in front it is 0."""
    harmonics = torch.zeros(1, 3, 3)
    harmonics[0, 2, 0] = 0.4
    glossy = replace(one(0.0, colour=(0.5, 0.5, 0.5)), harmonics=harmonics)
    up, change = torch.tensor([0.0, 1, 0]), 0.4 * math.sqrt(3 / (4 * math.pi))
    for eye, red in (((-4.0, 0, 0), 0.5 - change), ((4.0, 0, 0), 0.5 + change), ((0.0, 0, -4), 0.5)):
        camera = Cameras.look_at(torch.tensor([eye]), torch.zeros(3), up, focal=FOCAL, height=SIZE, width=SIZE)
        seen = splat(glossy, camera, backend=backend)
        torch.testing.assert_close(seen.image[0, :, 16, 16] / 0.8, torch.tensor([red, 0.5, 0.5]), atol=1e-5, rtol=0)


def test_footprints_agree_with_a_linear_map_of_the_covariance(generator):
    gaussians = cloud(20, generator)
    eye, up = torch.tensor([0.5, -0.4, -2.0]), torch.tensor([0.0, 1, 0])
    camera = Cameras.look_at(eye, torch.tensor([0.0, 0, 3]), up, focal=40.0, height=32, width=32)
    seen = project(gaussians, camera)
    step = 1e-3
    basis = torch.eye(3) * step
    points = gaussians.means[seen.indices]
    shifted = torch.stack([camera.project(points + b)[0] - camera.project(points - b)[0] for b in basis], dim=-1)
    jacobian = shifted / (2 * step)
    inside = camera.project(points)[0]
    central = ((inside > 0) & (inside < 32)).all(-1)
    covariance = jacobian @ gaussians.covariances()[seen.indices] @ jacobian.mT + 0.3 * torch.eye(2)
    inverse = torch.linalg.inv(covariance)
    want = torch.stack([inverse[:, 0, 0], inverse[:, 0, 1], inverse[:, 1, 1]], dim=-1)
    assert central.sum() >= 5
    torch.testing.assert_close(seen.conics[central], want[central], rtol=2e-2, atol=1e-4)


def test_the_slow_twin_gives_the_same_with_tiles_and_without(generator):
    gaussians, camera = cloud(100, generator), facing(40, 30)[0]
    seen = project(gaussians, camera)
    features = gaussians.features[seen.indices]
    tiled, alpha = blend(seen, features, 30, width=40, tile=8)
    whole, whole_alpha = blend(seen, features, 30, width=40, tile=64)
    torch.testing.assert_close(tiled, whole)
    torch.testing.assert_close(alpha, whole_alpha)


def value_and_gradients(gaussians, cameras, backend, antialiased, double=False):
    leaves = {k: (t.double() if double else t).clone().requires_grad_() for k, t in gaussians.tensors().items()}
    if double:
        cameras = replace(
            cameras, world_from_cam=cameras.world_from_cam.double(), intrinsics=cameras.intrinsics.double()
        )
    render = splat(Gaussians(**leaves), cameras, backend=backend, antialiased=antialiased)
    weights = torch.Generator().manual_seed(1)
    loss = sum(
        (part.square() * torch.rand(part.shape, generator=weights)).mean()
        for part in (render.image, render.alpha, render.depth)
    )
    return render, torch.autograd.grad(loss, list(leaves.values()))


@pytest.mark.parametrize(("channels", "degree"), [(3, 0), (6, 0), (3, 1), (3, 2), (3, 3), (5, 3)])
@pytest.mark.parametrize("antialiased", [False, True])
def test_the_fast_kernels_match_the_slow_twin_in_values_and_gradients(generator, channels, degree, antialiased):
    gaussians = glossy(cloud(150, generator, channels), degree, generator)
    cameras = Cameras.cat([facing(37, 29), facing(37, 29).transformed(torch.diag(torch.tensor([-1.0, -1, 1, 1])))])
    slow, slow_gradients = value_and_gradients(gaussians, cameras, "torch", antialiased, double=True)
    fast, fast_gradients = value_and_gradients(gaussians, cameras, "numba", antialiased)
    for name in ("image", "alpha", "depth"):
        torch.testing.assert_close(getattr(fast, name).double(), getattr(slow, name), atol=2e-5, rtol=2e-5)
    for ours, want in zip(fast_gradients, slow_gradients):
        torch.testing.assert_close(ours.double(), want, atol=1e-4 * want.abs().max().item(), rtol=1e-3)


@pytest.mark.parametrize("degree", [0, 3])
def test_gradients_of_the_slow_twin_are_finite_differences(generator, degree):
    gaussians = replace(glossy(cloud(6, generator), degree, generator), opacities=torch.full((6,), 0.6))
    leaves = {name: tensor.double().requires_grad_() for name, tensor in gaussians.tensors().items()}
    camera = replace(facing(9), world_from_cam=torch.eye(4)[None].double(), intrinsics=facing(9).intrinsics.double())

    def rendered(*tensors):
        render = splat(Gaussians(*tensors), camera, backend="torch")
        return render.image[..., 2:7, 2:7]

    assert torch.autograd.gradcheck(rendered, tuple(leaves.values()), eps=1e-7, atol=1e-4, rtol=1e-3, fast_mode=True)


def test_no_gaussians_and_none_in_sight_still_render_and_differentiate():
    for gaussians in (one(4.0)[:0], one(-4.0)):
        leaf = gaussians.means.clone().requires_grad_()
        render = splat(replace(gaussians, means=leaf), facing(), backend="numba")
        (render.image.sum() + render.alpha.sum() + render.depth.sum()).backward()
        assert not render.image.any() and leaf.grad is not None and not leaf.grad.any()


def test_renders_have_the_cameras_batch_shape(generator):
    cameras = facing(8, 6)
    batch = Cameras.stack([Cameras.cat([cameras] * 3)] * 2)
    render = splat(cloud(10, generator, 5), batch)
    assert render.image.shape == (2, 3, 5, 6, 8) and render.depth.shape == (2, 3, 1, 6, 8)
    assert splat(cloud(10, generator, 5), cameras[0]).image.shape == (5, 6, 8)


def test_gradients_are_the_same_bits_again(generator):
    gaussians, cameras = cloud(300, generator), facing(64)
    first, again = (value_and_gradients(gaussians, cameras, "numba", False) for _ in range(2))
    assert torch.equal(first[0].image, again[0].image)
    assert all(torch.equal(a, b) for a, b in zip(first[1], again[1]))


PRINT_GRADIENTS = """
import hashlib, torch
from fewview.benchmarks.splatting import shell
from fewview.cameras import Cameras
from fewview.render.gaussians import Gaussians
from fewview.render.splatting import splat
torch.set_num_threads({threads})
gaussians = shell(2000, 3, generator=torch.Generator().manual_seed(0))
leaves = {{name: tensor.requires_grad_() for name, tensor in gaussians.tensors().items()}}
eye, zero, up = torch.tensor([[0.0, 0, -3]]), torch.zeros(3), torch.tensor([0.0, 1, 0])
render = splat(Gaussians(**leaves), Cameras.look_at(eye, zero, up, focal=100.0, height=96, width=96), backend="numba")
(render.image.square().sum() + render.depth.sum()).backward()
print(hashlib.sha256(b"".join(t.grad.numpy().tobytes() for t in leaves.values())).hexdigest())
"""


@pytest.mark.slow
def test_gradients_are_the_same_bits_with_more_threads():
    environment = {**os.environ, "NUMBA_NUM_THREADS": "2", "OMP_NUM_THREADS": "2"}
    digests = [
        subprocess.check_output([sys.executable, "-c", PRINT_GRADIENTS.format(threads=threads)], env=environment)
        for threads in (1, 2)
    ]
    assert digests[0] == digests[1]


@pytest.mark.parametrize("degree", [0, 2])
def test_gsplat_is_called_with_our_conventions(monkeypatch, generator, degree):
    """No GPU here: what is checked is that shapes and axes fit gsplat 1.5's documented call."""

    def rasterization(means, quats, scales, opacities, colors, viewmats, Ks, width, height, **options):
        assert options == {"near_plane": 0.01, "eps2d": 0.3, "render_mode": "RGB+ED", "rasterize_mode": "classic"}
        cameras = Cameras(torch.linalg.inv(viewmats), Ks, height, width)
        each = colors if colors.ndim == 3 else colors.expand(len(cameras), *colors.shape)
        parts = [
            splat(Gaussians(means, scales, quats, opacities, each[i]), cameras[i : i + 1], backend="torch")
            for i in range(len(cameras))
        ]
        render = Render(*(torch.cat(x) for x in zip(*((p.image, p.alpha, p.depth) for p in parts))))
        image = torch.cat([render.image, render.depth], dim=1)
        return image.permute(0, 2, 3, 1), render.alpha.permute(0, 2, 3, 1), {}

    monkeypatch.setitem(sys.modules, "gsplat", types.SimpleNamespace(rasterization=rasterization))
    aside = torch.eye(4)
    aside[0, 3] = 0.5
    cameras = Cameras.cat([facing(20, 12), facing(20, 12).transformed(aside)])
    gaussians = glossy(cloud(40, generator), degree, generator)
    here, there = (splat(gaussians, cameras, backend=backend) for backend in ("torch", "gsplat"))
    torch.testing.assert_close(there.image, here.image)
    torch.testing.assert_close(there.depth, here.depth)


def test_the_default_backend_is_the_one_for_the_device(monkeypatch):
    assert splatting.default_backend(torch.device("cpu")) == "numba"
    monkeypatch.setattr(splatting.importlib.util, "find_spec", lambda name: None)
    assert splatting.default_backend(torch.device("cpu")) == "torch"
    assert splatting.default_backend(torch.device("cuda")) == "torch"


@pytest.mark.gpu
def test_gsplat_matches_the_slow_twin(generator):
    pytest.importorskip("gsplat")
    gaussians, cameras = cloud(150, generator).to("cuda"), facing(40).to("cuda")
    slow, fast = (splat(gaussians, cameras, backend=backend) for backend in ("torch", "gsplat"))
    torch.testing.assert_close(fast.image, slow.image, atol=1e-3, rtol=0)
