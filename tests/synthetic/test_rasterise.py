from dataclasses import replace

import numpy as np
import pytest
import torch

pytest.importorskip("moderngl")

from fewview.cameras import Cameras
from fewview.data.meshes import Material, Model, join, shade
from fewview.errors import InputError
from fewview.synthetic.opengl.rasterise import Light, Rasteriser, linear, material_table, sky_directions
from fewview.synthetic.shapes.solids import box, ellipsoid

SIZE = 48
WHITE = Material(a=(0.8, 0.8, 0.8), specular=0.0, scale=0.01)


def light(key: float = 1.0, sky: float = 0.4, direction=(0.0, 1.0, 0.0)) -> Light:
    constant = lambda value: np.full(3, float(value))
    up = np.array([0.0, 1.0, 0.0])
    return Light(np.array(direction), constant(key), up, constant(0), constant(sky), constant(sky))


def camera(center=(1.5, 2.0, 6.0), *, shift=(0.0, 0.0)) -> Cameras:
    view = Cameras.look_at(
        torch.tensor(center), torch.zeros(3), torch.tensor([0.0, 1.0, 0.0]), focal=60.0, height=SIZE, width=SIZE
    )
    intrinsics = view.intrinsics.clone()
    intrinsics[0, 0] *= 1.2
    intrinsics[0, 2] += shift[0]
    intrinsics[1, 2] += shift[1]
    return Cameras(view.world_from_cam, intrinsics, SIZE, SIZE)


def quad(corners) -> Model:
    return Model(shade(np.asarray(corners, dtype=float), np.array([[0, 1, 2], [0, 2, 3]])), (WHITE,))


@pytest.fixture(scope="module")
def rasteriser():
    try:
        renderer = Rasteriser(SIZE)
    except InputError as error:
        pytest.skip(str(error))
    with renderer:
        yield renderer


@pytest.mark.parametrize("shift", [(0.0, 0.0), (7.25, -4.5)])
@pytest.mark.parametrize("point", [(0.0, 0.0, 0.0), (0.8, -0.5, 0.7), (-0.9, 0.6, -1.0)])
def test_a_small_ball_covers_the_pixel_that_project_names(rasteriser, point, shift):
    view = camera(shift=shift)
    ball = ellipsoid(0.12, 0.12, 0.12).moved(*point)
    rasteriser.load(Model(ball, (WHITE,)), light())
    alpha = torch.from_numpy(rasteriser.draw(view).alpha)
    x = torch.arange(SIZE) + 0.5
    centroid = torch.stack([(alpha.sum(0) * x).sum(), (alpha.sum(1) * x).sum()]) / alpha.sum()
    pixel, _ = view.project(torch.tensor([point]))
    assert centroid.tolist() == pytest.approx(pixel[0].tolist(), abs=0.12)  # coverage counts quarters of pixels


def test_an_edge_through_the_middle_of_a_pixel_covers_half_of_it(rasteriser):
    view = camera((0.0, 0.0, 5.0))
    right, down = view.world_from_cam[:3, 0].numpy(), view.world_from_cam[:3, 1].numpy()
    per_pixel = 5.0 / view.intrinsics[0, 0].item()
    at = lambda column, sign: (column - SIZE / 2) * per_pixel * right + sign * down
    rasteriser.load(quad([at(10.5, -3), at(20, -3), at(20, 3), at(10.5, 3)]), light())
    row = rasteriser.draw(view).alpha[SIZE // 2]
    assert row[9] == 0 and row[10] == 0.5 and row[11] == 1 and row[19] == 1 and row[20] == 0


def test_depth_is_that_of_the_plane_at_each_pixel_centre(rasteriser):
    view = camera(shift=(3.5, 1.0))
    corners = np.array([[-2, -0.4, 1.5], [2, -0.4, 1.5], [2, 0.5, -2.5], [-2, 0.5, -2.5]])
    rasteriser.load(quad(corners), light())
    depth = torch.from_numpy(rasteriser.draw(view).depth)
    rays = view.rays()
    normal = torch.tensor([0.0, 4.0, 0.9])
    distance = ((torch.tensor([0, -0.4, 1.5]) - rays.origins) @ normal) / (rays.directions @ normal)
    expected = distance * (rays.directions @ view.forward)
    seen = depth > 0
    assert 300 < seen.sum() < SIZE * SIZE
    assert (depth - expected)[seen].abs().max() < 1e-4


def test_nearer_surfaces_hide_farther_ones_in_colour_and_depth(rasteriser):
    front, back = box(0.5, 0.5, 0.1).moved(z=1).painted(0), box(3, 3, 0.1).moved(z=-1).painted(1)
    colours = (Material(a=(0.9, 0.0, 0.0), specular=0.0), Material(a=(0.0, 0.9, 0.0), specular=0.0))
    rasteriser.load(Model(join([back, front]), colours), light(direction=(0.0, 0.0, 1.0)))
    frame = rasteriser.draw(camera((0.0, 0.0, 6.0)))
    middle = SIZE // 2
    assert frame.colour[middle, middle, 0] > 5 * frame.colour[middle, middle, 1]
    assert frame.colour[middle, 8, 1] > 5 * frame.colour[middle, 8, 0]
    assert frame.depth[middle, middle] == pytest.approx(4.95, abs=1e-4)
    assert frame.depth[middle, 8] == pytest.approx(6.95, abs=1e-4)


def test_background_is_empty_and_colour_premultiplied(rasteriser):
    rasteriser.load(Model(ellipsoid(1, 1, 1), (WHITE,)), light())
    frame = rasteriser.draw(camera())
    assert frame.alpha[0, 0] == 0 and frame.depth[0, 0] == 0 and not frame.colour[0, 0].any()
    assert (frame.colour <= frame.alpha[..., None] + 1e-6).all()
    assert ((frame.alpha > 0) & (frame.alpha < 1)).any()


def test_a_plane_that_faces_the_key_light_has_lamberts_colour(rasteriser):
    floor = quad([[-3, 0, 3], [3, 0, 3], [3, 0, -3], [-3, 0, -3]])
    slanted = np.array([np.sin(0.6), np.cos(0.6), 0.0])
    for direction, cosine in (((0.0, 1.0, 0.0), 1.0), (slanted, np.cos(0.6))):
        rasteriser.load(floor, light(0.7, 0.0, direction))
        seen = linear(rasteriser.draw(camera()).colour[SIZE // 2, SIZE // 2].astype(float))
        assert seen == pytest.approx(np.full(3, linear(np.array(0.8)) * 0.7 * cosine), rel=0.07)  # 6 % of grain


def test_an_object_shadows_the_floor_below_the_light_and_dims_the_sky(rasteriser):
    floor, ball = box(8, 0.1, 8).moved(y=-1), ellipsoid(0.6, 0.6, 0.6).moved(y=0.3)
    view = camera((0.0, 2.0, 9.0))
    pixels, _ = view.project(torch.tensor([[0.0, -0.95, 0.3], [3.0, -0.95, 0.3]]))
    columns, rows = pixels.long().T.tolist()
    for key, sky, most in ((1.0, 0.0, 0.2), (0.0, 0.5, 0.9)):
        rasteriser.load(Model(join([floor, ball]), (WHITE,)), light(key, sky))
        under, beside = linear(rasteriser.draw(view).colour[rows, columns, 0].astype(float))
        assert beside > 0.1
        assert under < most * beside


def test_cut_out_textures_let_the_background_through(rasteriser):
    image = np.full((16, 16, 4), 200, np.uint8)
    image[:, 8:, 3] = 0
    sheet = quad([[-1, -1, 0], [1, -1, 0], [1, 1, 0], [-1, 1, 0]])
    mesh = replace(sheet.mesh, local=(sheet.mesh.positions + 1) / 2)
    rasteriser.load(Model(mesh, (Material("image", layer=0),), (image,)), light())
    frame = rasteriser.draw(camera((0.0, 0.0, 5.0)))
    middle = SIZE // 2
    assert frame.alpha[middle, middle - 8] == 1 and frame.alpha[middle, middle + 8] == 0
    assert frame.depth[middle, middle - 8] == pytest.approx(5.0) and frame.depth[middle, middle + 8] == 0


def test_textures_make_surfaces_that_are_not_uniform(rasteriser):
    ball = ellipsoid(1, 1, 1)
    for kind in ("wood", "stripes", "speckle", "checks", "dots", "plaid", "staves", "weave", "motifs"):
        material = Material(kind, (0.9, 0.9, 0.9), (0.1, 0.1, 0.1), (0.5, 0.1, 0.1), scale=3.0, mapping="cylinder")
        rasteriser.load(Model(ball, (material,)), light(0.0, 0.6))
        frame = rasteriser.draw(camera((0.0, 0.0, 5.0)))
        inside = frame.colour[frame.alpha == 1]
        assert inside.std(axis=0).max() > 0.04, kind
    rasteriser.load(Model(ball, (WHITE,)), light(0.0, 0.6))
    frame = rasteriser.draw(camera((0.0, 0.0, 5.0)))
    assert frame.colour[frame.alpha == 1].std() < 0.04


def test_a_camera_of_another_size_is_refused(rasteriser):
    rasteriser.load(Model(box(1, 1, 1), (WHITE,)), light())
    with pytest.raises(InputError, match="48 x 48"):
        rasteriser.draw(camera().resized(32, 32))


def test_sky_directions_are_even_and_start_at_the_zenith():
    directions = sky_directions()
    assert np.linalg.norm(directions, axis=1) == pytest.approx(1)
    assert directions.mean(axis=0) == pytest.approx(0, abs=0.05)
    assert (np.diff(directions[:, 1]) < 0).all()


def test_material_colours_are_made_linear():
    table = material_table((Material(a=(0.0, 0.5, 1.0)),))
    assert table[0, 0, :3] == pytest.approx([0, 0.21404, 1], abs=1e-4)  # sRGB 0.5, IEC 61966-2-1
