import math
from dataclasses import replace

import pytest
import torch

from fewview.cameras import Cameras
from fewview.checkpoint import load_tensors, save_tensors
from fewview.errors import InputError
from fewview.geometry.harmonics import COUNTS, basis
from fewview.geometry.quaternions import multiply, quaternions_of, rotations
from fewview.geometry.transforms import axis_angle
from fewview.render.asset import GaussianAsset
from fewview.render.gaussians import Gaussians


def some(n: int, generator: torch.Generator, channels: int = 3) -> Gaussians:
    def normal(*shape):
        return torch.randn(*shape, generator=generator)

    return Gaussians(
        normal(n, 3), normal(n, 3).exp(), normal(n, 4), torch.rand(n, generator=generator), normal(n, channels)
    )


def glossy(n: int, degree: int, generator: torch.Generator) -> Gaussians:
    """With harmonics of a degree, small enough that no colour is clipped at 0."""
    harmonics = 0.05 * torch.randn(n, COUNTS[degree], 3, generator=generator)
    return replace(some(n, generator), features=torch.full((n, 3), 2.0), harmonics=harmonics)


def test_a_quaternion_about_an_axis_is_rodrigues_rotation(generator):
    axis = torch.nn.functional.normalize(torch.randn(20, 3, generator=generator), dim=-1)
    angle = torch.rand(20, generator=generator) * 6 - 3
    quaternions = torch.cat([(angle / 2).cos()[:, None], (angle / 2).sin()[:, None] * axis], dim=-1)
    torch.testing.assert_close(rotations(3 * quaternions), axis_angle(axis, angle))


def test_quaternions_of_inverts_rotations_even_at_half_turns(generator):
    quaternions = torch.cat([torch.randn(50, 4, generator=generator), torch.eye(4), torch.tensor([[0.0, 1, 1, 0]])])
    matrices = rotations(quaternions)
    torch.testing.assert_close(rotations(quaternions_of(matrices)), matrices, atol=2e-5, rtol=0)


def test_multiply_composes_rotations(generator):
    a, b = torch.randn(2, 10, 4, generator=generator)
    torch.testing.assert_close(rotations(multiply(a, b)), rotations(a) @ rotations(b), atol=1e-5, rtol=0)


def test_covariance_has_the_squared_scales_along_the_rotated_axes():
    quarter = torch.tensor([[math.cos(math.pi / 4), 0, 0, math.sin(math.pi / 4)]])  # x -> y
    one = Gaussians(torch.zeros(1, 3), torch.tensor([[3.0, 2, 1]]), quarter, torch.ones(1), torch.ones(1, 3))
    torch.testing.assert_close(one.covariances()[0], torch.diag(torch.tensor([4.0, 9, 1])), atol=1e-5, rtol=0)


def test_a_similarity_acts_on_covariances_as_it_must(generator):
    gaussians = some(10, generator)
    linear = 2.5 * axis_angle(torch.tensor([0.6, 0.0, 0.8]), torch.tensor(1.1))
    matrix = torch.eye(4)
    matrix[:3, :3], matrix[:3, 3] = linear, torch.tensor([1.0, -2, 3])
    moved = gaussians.transformed(matrix)
    torch.testing.assert_close(moved.means, gaussians.means @ linear.T + matrix[:3, 3], atol=1e-4, rtol=1e-4)
    want = linear @ gaussians.covariances() @ linear.T
    torch.testing.assert_close(moved.covariances(), want, atol=1e-3, rtol=1e-4)


def test_scene_and_cameras_moved_together_look_the_same(generator):
    gaussians = some(30, generator)
    cameras = Cameras.look_at(
        torch.tensor([[0.0, 1.0, -6.0]]), torch.zeros(3), torch.tensor([0.0, 1.0, 0.0]), focal=30.0, height=32, width=32
    )
    matrix = torch.eye(4)
    matrix[:3, :3] = 0.5 * axis_angle(torch.tensor([0.0, 0.6, 0.8]), torch.tensor(2.0))
    matrix[:3, 3] = torch.tensor([4.0, 5.0, 6.0])
    here = GaussianAsset(gaussians).render(cameras)
    there = GaussianAsset(gaussians).transformed(matrix).render(cameras.transformed(matrix))
    torch.testing.assert_close(there.image, here.image, atol=1e-3, rtol=0)
    torch.testing.assert_close(there.depth, 0.5 * here.depth, atol=1e-2, rtol=1e-3)


def test_cat_and_indexing_are_inverses(generator):
    gaussians = some(10, generator)
    again = Gaussians.cat([gaussians[:4], gaussians[4:]])
    for name, tensor in gaussians.tensors().items():
        assert torch.equal(getattr(again, name), tensor)


def test_an_asset_survives_its_folder(tmp_path, generator):
    asset = GaussianAsset(some(7, generator, channels=5), antialiased=True)
    asset.save(tmp_path / "scene")
    again = GaussianAsset.load(tmp_path / "scene")
    assert again.antialiased
    for name, tensor in asset.gaussians.tensors().items():
        assert torch.equal(getattr(again.gaussians, name), tensor)


@pytest.mark.parametrize("damage", ["missing file", "other class", "missing tensor", "wrong shape", "cut file"])
def test_a_damaged_folder_is_refused_by_name(tmp_path, generator, damage):
    GaussianAsset(some(7, generator)).save(tmp_path / "scene")
    config, tensors = tmp_path / "scene" / "config.json", tmp_path / "scene" / "gaussians.safetensors"
    if damage == "missing file":
        tensors.unlink()
    elif damage == "other class":
        config.write_text('{"format": 1, "class": "FieldAsset", "config": {}}')
    elif damage == "cut file":
        tensors.write_bytes(tensors.read_bytes()[:-9])
    else:
        content = load_tensors(tensors)
        content["scales"] = content["scales"][:5]
        if damage == "missing tensor":
            del content["scales"]
        save_tensors(tensors, content)
    with pytest.raises(InputError, match="scene"):
        GaussianAsset.load(tmp_path / "scene")


@pytest.mark.parametrize("degree", [1, 2, 3])
def test_a_similarity_turns_what_is_seen_in_every_direction(generator, degree):
    """A camera that moves along with the splats sees the same colours, and without the turn it would not."""
    gaussians = glossy(30, degree, generator)
    matrix = torch.eye(4)
    matrix[:3, :3] = 2.5 * axis_angle(torch.tensor([0.6, 0.0, 0.8]), torch.tensor(1.1))
    matrix[:3, 3] = torch.tensor([1.0, -2, 3])
    moved = gaussians.transformed(matrix)
    eye = torch.tensor([4.0, 5, -6])
    there = matrix[:3, :3] @ eye + matrix[:3, 3]

    def seen(splats, point):
        away = torch.nn.functional.normalize(splats.means - point, dim=-1)
        return splats.features + torch.einsum("nk,nkc->nc", basis(away, degree), splats.harmonics)

    torch.testing.assert_close(seen(moved, there), seen(gaussians, eye), atol=1e-5, rtol=0)
    unturned = replace(moved, harmonics=gaussians.harmonics)
    assert (seen(unturned, there) - seen(gaussians, eye)).abs().max() > 0.02


def test_indexing_and_joining_keep_harmonics_and_the_highest_degree_wins(generator):
    low, high, plain = glossy(4, 1, generator), glossy(5, 3, generator), some(2, generator)
    assert torch.equal(high[1:3].harmonics, high.harmonics[1:3]) and high.detach().degree == 3
    joined = Gaussians.cat([low, high, plain])
    assert joined.harmonics.shape == (11, 15, 3)
    assert torch.equal(joined.harmonics[:4, :3], low.harmonics) and not joined.harmonics[:4, 3:].any()
    assert torch.equal(joined.harmonics[4:9], high.harmonics) and not joined.harmonics[9:].any()
    assert Gaussians.cat([plain, plain]).harmonics is None


def test_degrees_are_cut_off_and_filled_up(generator):
    gaussians = glossy(3, 2, generator)
    assert torch.equal(gaussians.of_degree(1).harmonics, gaussians.harmonics[:, :3])
    assert gaussians.of_degree(0).harmonics is None and gaussians.of_degree(2) is gaussians
    assert gaussians.of_degree(3).of_degree(2).harmonics.equal(gaussians.harmonics)


@pytest.mark.parametrize("degree", [0, 1, 2, 3])
def test_an_asset_comes_back_with_its_harmonics_and_without_them_has_the_old_five_tensors(tmp_path, generator, degree):
    gaussians = glossy(6, degree, generator) if degree else some(6, generator)
    GaussianAsset(gaussians).save(tmp_path / "a")
    assert ("harmonics" in load_tensors(tmp_path / "a" / "gaussians.safetensors")) == (degree > 0)
    again = GaussianAsset.load(tmp_path / "a").gaussians
    assert again.degree == degree
    assert all(torch.equal(a, b) for a, b in zip(again.tensors().values(), gaussians.tensors().values()))


@pytest.mark.parametrize("shape", [(6, 4, 3), (6, 3, 4), (5, 3, 3), (6,)])
def test_harmonics_of_no_degree_are_refused(tmp_path, generator, shape):
    GaussianAsset(some(6, generator)).save(tmp_path / "a")
    path = tmp_path / "a" / "gaussians.safetensors"
    tensors = load_tensors(path)
    save_tensors(path, {**tensors, "harmonics": torch.zeros(shape)})
    with pytest.raises(InputError, match="'harmonics' has the shape"):
        GaussianAsset.load(tmp_path / "a")
