"""What is far from a scene does not decide how it is seen: balls, meshes' boxes, films and viewers."""

from dataclasses import replace

import pytest
import torch
from render.test_extent import cloud, cube, joined, shell

from fewview.export.ply import write_ply
from fewview.pipeline.reconstruction import Reconstruction
from fewview.render.asset import GaussianAsset
from fewview.render.extent import ball
from fewview.render.gaussians import Gaussians

RADIUS = 1.63  # of the cube of side 2 without strays: 99 % of its splats


def moved(splats: Gaussians, by: float) -> Gaussians:
    return replace(splats, means=splats.means + by)


def sized(splats: Gaussians, by: float) -> Gaussians:
    return replace(splats, means=splats.means * by, scales=splats.scales * by)


def line(count: int = 200) -> Gaussians:
    """A rod of length 20 beside which nothing is."""
    places = torch.zeros(count, 3)
    places[:, 0] = torch.linspace(-10, 10, count)
    return cloud(places)


SCENES = {  # splats, the middle along each axis, the radius
    "one stray at a billion": (lambda: joined(cube(), shell(1, 9e8)), 0, RADIUS),
    "12 % at many distances": (
        lambda: joined(cube(), *(shell(20, 10.0**power) for power in range(2, 9))), 0, RADIUS),
    "strays as solid as the scene, 20 %": (lambda: joined(cube(), shell(375, 300)), 0, RADIUS),
    "a wall of fog on one side": (
        lambda: joined(cube(), moved(cloud(torch.rand(2000, 3) * 5, opacity=0.05), 40)), 0, RADIUS),
    "needles through the scene": (lambda: joined(cube(), needles(30)), 0, RADIUS),
    "a single splat as large as the sky": (lambda: joined(cube(), shell(1, 2, scale=1e4)), 0, RADIUS),
    "faint splats alone": (lambda: replace(cube(), opacities=torch.full((1500,), 0.05)), 0, RADIUS),
    "millimetres with strays at metres": (
        lambda: sized(joined(cube(), shell(20, 1e3)), 1e-3), 0, 1e-3 * RADIUS),
    "a scene of kilometres": (lambda: sized(joined(cube(), shell(20, 100)), 1e3), 0, 1e3 * RADIUS),
    "away from zero, strays at zero": (lambda: joined(moved(cube(), 500), moved(cube(19), 0)), 500, RADIUS),
    "two cubes side by side are one scene": (lambda: joined(cube(), moved(cube(), 4)), 2, 4.7),
    "flat splats": (lambda: flat(joined(cube(), shell(20, 1e3))), 0, RADIUS),
    "a rod is as long as it is": (line, 0, 9.9),
    "three splats": (lambda: cloud(torch.eye(3)), 0.5, 0.866),
    "one splat": (lambda: cloud(torch.ones(1, 3)), 1, 1e-6),
}  # fmt: skip


def needles(count: int) -> Gaussians:
    thin = shell(count, 0.5)
    return replace(thin, scales=thin.scales * torch.tensor([1e4, 1.0, 1.0]))


def flat(splats: Gaussians) -> Gaussians:
    return replace(splats, scales=splats.scales * torch.tensor([1.0, 1.0, 0.0]))


@pytest.mark.parametrize("case", SCENES)
def test_the_ball_is_that_of_the_densest_mass(case):
    """Cubes: |x| <= 1 along each axis, 99 % within 1.63; the middles are those of their boxes."""
    make, middle, radius = SCENES[case]
    torch.manual_seed(0)
    centre, found = ball(make())
    assert centre.tolist() == pytest.approx([middle] * 3, abs=0.1 * max(radius, 1e-3)) or case.startswith("a rod")
    assert found.item() == pytest.approx(radius, rel=0.15)


@pytest.mark.parametrize("case", ["one stray at a billion", "strays as solid as the scene, 20 %"])
def test_the_film_shows_the_scene_and_not_its_strays(tmp_path, case):
    """A cube in the middle of the picture that takes up a twentieth of it, or more."""
    torch.manual_seed(0)
    write_ply(tmp_path / "x.ply", SCENES[case][0]())
    scene = Reconstruction.open(tmp_path / "x.ply")
    camera = scene.path(8)[2].resized(32, 32)
    seen = GaussianAsset(cube()).render(camera).alpha[0] > 0.5
    assert 0.05 < seen.float().mean() < 0.9 and seen[14:18, 14:18].all()
