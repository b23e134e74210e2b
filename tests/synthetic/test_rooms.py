import json
from dataclasses import replace

import numpy as np
import pytest
import torch

pytest.importorskip("moderngl")
pytest.importorskip("scipy")

from synthetic.test_interiors import SIZES, block

from fewview.cameras import Cameras, pixel_centres
from fewview.data.meshes import Material, Mesh, Model, join
from fewview.data.packed_rooms import load_rooms
from fewview.data.realestate10k import list_clips, open_clip
from fewview.errors import InputError
from fewview.synthetic.opengl import room_shaders
from fewview.synthetic.opengl.room_renderer import (
    CONTENT,
    OUTSIDE,
    SHELL,
    Interior,
    Lamp,
    Part,
    RoomLight,
    RoomRasteriser,
    developed,
)
from fewview.synthetic.rooms.build import (
    RoomName,
    RoomsConfig,
    build_rooms,
    generator_of,
    pack_splits,
    planned_rooms,
    render_room,
)
from fewview.synthetic.rooms.inventory import OURS, ROLES, Role, Stock, prop_of
from fewview.synthetic.shapes import homeware, joinery
from fewview.synthetic.shapes.joinery import sheet
from fewview.synthetic.shapes.solids import box

CONFIG = RoomsConfig(train=2, test=1, frames=4, size=32, pieces=3)
DARK = np.zeros(3)
MAKERS = {m for role in ROLES.values() for m in role.makers if m.__module__ in (homeware.__name__, joinery.__name__)}


@pytest.fixture(scope="module")
def renderer():
    try:
        with RoomRasteriser(32) as rasteriser:
            yield rasteriser
    except InputError as error:
        pytest.skip(str(error))


@pytest.fixture(scope="module")
def root(tmp_path_factory, renderer):
    """A small set of rooms with boxes for furniture."""
    kept = dict(ROLES)
    make = lambda size: (lambda rng: block(*(np.array(size) * rng.uniform(0.9, 1.1))),)
    ROLES.update({role: Role(make(SIZES.get(role, (0.5, 0.6, 0.4)))) for role in ROLES})
    folder = tmp_path_factory.mktemp("rooms")
    build_rooms(folder, CONFIG)
    yield folder
    ROLES.update(kept)


def part(mesh: Mesh, layer=CONTENT) -> Part:
    rows = np.concatenate([mesh.positions, mesh.normals, mesh.local, mesh.material[:, None]], 1).astype(np.float32)
    return Part(rows, np.arange(len(rows)).reshape(-1, 3), layer)


def light(lamps=(), level=0.0, sun=DARK, direction=(0.0, 1.0, 0.0)) -> RoomLight:
    bounce = np.full((room_shaders.SKY, 3), level)
    return RoomLight(np.array(direction), np.array(sun), tuple(lamps), bounce, np.zeros((0, 4)), 50.0)


def camera(eye, target, size=32, focal=32.0) -> Cameras:
    as_tensor = lambda v: torch.tensor(v, dtype=torch.float32)
    up = as_tensor([0.0, 1.0, 0.0])
    return Cameras.look_at(as_tensor(eye), as_tensor(target), up, focal=focal, height=size, width=size)


def wall(z=-2.0, size=80.0) -> Mesh:
    return sheet(size, size).moved(y=1.0, z=z).painted(0)


WHITE = Material(a=(1.0, 1.0, 1.0), specular=0.0, scale=0.0)  # scale 0: no mottling


def test_depth_is_that_of_the_plane_at_each_pixel_centre(renderer):
    view = camera((0.3, 1.4, 1.0), (0.9, 1.1, -2.0))
    renderer.load(Interior((part(wall(), SHELL),), (WHITE,), (), light(level=1.0)))
    _, depth = renderer.draw(view)
    pixels = torch.cat([pixel_centres(32, 32), torch.ones(32, 32, 1)], -1) @ torch.linalg.inv(view.intrinsics).T
    points = (pixels * torch.from_numpy(depth)[..., None]).reshape(-1, 3) @ view.world_from_cam[:3, :3].T + view.centers
    torch.testing.assert_close(points[:, 2], torch.full((1024,), -2.0), atol=2e-4, rtol=0)


def test_a_surface_under_even_light_shows_its_colour(renderer):
    renderer.load(Interior((part(wall(), SHELL),), (WHITE,), (), light(level=0.7)))
    radiance, _ = renderer.draw(camera((0.0, 20.0, 1.0), (0.0, 20.0, -2.0)))  # far from floor and ceiling
    assert radiance.mean() == pytest.approx(0.7, rel=0.12)  # 16 directions for a hemisphere, paint is mottled by 6 %


def test_a_bulb_lights_by_the_inverse_square_and_a_piece_before_it_shadows(renderer):
    bulb = lambda z: Lamp(np.array([0.0, 20.0, z]), np.array([0.0, 0.0, -1.0]), np.full(3, 4.0), 0.0, False)
    view = camera((0.0, 20.0, 1.0), (0.0, 20.0, -2.0))
    levels = []
    screen = part(box(3.0, 3.0, 0.05).moved(y=20.0, z=-1.0).painted(0))
    for parts, z in (((), 0.0), ((), 2.0), ((screen,), 2.0)):
        renderer.load(Interior((part(wall(), SHELL), *parts), (WHITE,), (), light([bulb(z)])))
        levels.append(renderer.draw(view)[0][28:36, 28:36].mean())
    assert levels[0] == pytest.approx(4.0 / 4, rel=0.1)
    assert levels[1] == pytest.approx(4.0 / 16, rel=0.1)
    side = camera((0.0, 20.0, -1.5), (0.0, 20.0, -2.0))
    assert renderer.draw(side)[0].max() < 0.01 * levels[1]


def test_furniture_darkens_what_is_beneath_it(renderer):
    floor = part(sheet(20, 20).turned("x", -90).moved(y=10.0).painted(0), SHELL)
    table = part(box(3.0, 0.1, 3.0).moved(y=11.0).painted(0))
    view = camera((0.0, 10.5, 0.01), (0.0, 10.0, 0.0))
    levels = []
    for parts in ((floor,), (floor, table)):
        renderer.load(Interior(parts, (WHITE,), (), light(level=1.0)))
        levels.append(renderer.draw(view)[0].mean())
    assert 0.2 < levels[1] / levels[0] < 0.6


def test_what_shines_is_seen_as_bright_as_it_is_and_casts_no_shadow(renderer):
    sky = Material(a=(1.0, 1.0, 1.0), metal=-3.0)
    renderer.load(Interior((part(wall(), OUTSIDE), part(wall(5.0), SHELL)), (sky,), (), light()))
    radiance, _ = renderer.draw(camera((0.0, 1.0, 1.0), (0.0, 1.0, -2.0)))
    np.testing.assert_allclose(radiance, 3.0, rtol=0.13)


def test_parts_out_of_view_are_left_out_and_no_others(renderer, monkeypatch):
    rng = np.random.default_rng(0)
    boxes = [part(box(0.5, 0.5, 0.5).moved(*rng.uniform(-4, 4, 3)).painted(0)) for _ in range(60)]
    renderer.load(Interior(tuple(boxes), (WHITE,), (), light(level=1.0)))
    counts, culled = [], renderer._visible
    views = [camera((0.0, 0.0, 0.0), tuple(rng.normal(size=3))) for _ in range(6)]
    depths = [renderer.draw(view)[1] for view in views]
    monkeypatch.setattr(renderer, "_visible", lambda clip: counts.append(len(culled(clip))) or list(range(60)))
    for view, depth in zip(views, depths):
        assert np.array_equal(renderer.draw(view)[1], depth)
    assert 0 < max(counts) < 50


def test_developing_meets_the_brightness_and_orders_radiance():
    rng = np.random.default_rng(0)
    dark = [rng.lognormal(0, 1.0, (64, 64, 3)).astype(np.float32) * scale for scale in (0.01, 0.02)]
    pictures = developed(dark, 0.5)
    assert np.mean(pictures) == pytest.approx(0.5, abs=0.03)
    assert pictures[0].shape == (32, 32, 3) and pictures[1].mean() > pictures[0].mean()
    ramp = np.repeat(np.linspace(0, 5, 64, dtype=np.float32)[None, :, None], 64, 0).repeat(3, -1)
    assert (np.diff(developed([ramp], 0.5)[0][0, :, 0]) >= 0).all()


def test_clips_open_as_scenes_with_depth_that_agrees_between_frames(root):
    for split, count in (("train", 2), ("test", 1)):
        paths = list_clips(root, split)
        assert len(paths) == count
        for path in paths:
            clip = open_clip(path)
            views, depth = clip.read(range(4)), clip.read_depth(range(4))
            assert views.images.shape == (4, 3, 32, 32) and depth.min() > 0.25
            assert 0.3 < views.images.mean() < 0.75 and views.images.std() > 0.05
            assert agreement(views.cameras[0], depth[0, 0], views.cameras[1], depth[1, 0]) > 0.8


def agreement(a, depth_a, b, depth_b) -> float:
    """Share of the pixels of a, seen in b, that lie on or behind what b's depth says (edges aside)."""
    y, x = torch.meshgrid(torch.arange(32) + 0.5, torch.arange(32) + 0.5, indexing="ij")
    rays = torch.stack([x, y, torch.ones_like(x)], -1) @ torch.linalg.inv(a.intrinsics).T
    points = (rays * depth_a[..., None]).reshape(-1, 3) @ a.world_from_cam[:3, :3].T + a.centers
    pixel, z = b.project(points)
    inside = (z > 0) & (pixel > 0).all(-1) & (pixel < 32).all(-1)
    there = depth_b[pixel[inside, 1].long(), pixel[inside, 0].long()]
    assert inside.float().mean() > 0.3
    return float(((there - z[inside]).abs() < 0.05 * z[inside] + 0.03).float().mean())


def test_a_room_is_rendered_again_to_the_same_bytes(root, tmp_path, renderer):
    name = planned_rooms(CONFIG)[0]
    render_room(tmp_path, CONFIG, name, stock=Stock(name.split, pieces=3), rasteriser=renderer)
    written = {p.relative_to(tmp_path): p.read_bytes() for p in tmp_path.rglob("*") if p.is_file()}
    assert len(written) == 2 + 2 * CONFIG.frames
    for path, content in written.items():
        assert (root / path).read_bytes() == content, path


def test_a_build_goes_on_where_it_stopped(root):
    victim = root / "rooms" / "train" / "0001.json"
    clip = json.loads(victim.read_text())["clips"][0]
    before = {p: p.stat().st_mtime_ns for p in root.rglob("*.jpg")}
    victim.unlink()
    told = []
    build_rooms(root, CONFIG, progress=lambda done, total: told.append((done, total)))
    after = {p: p.stat().st_mtime_ns for p in root.rglob("*.jpg")}
    assert told == [(3, 3)]
    assert {p.parent.name for p in after if after[p] != before[p]} == {clip}


def test_the_index_names_every_piece_with_licence_and_author_and_splits_by_instance(root):
    index = json.loads((root / "index.json").read_text())
    sides: dict[str, set] = {"train": set(), "test": set()}
    for room in index["rooms"]:
        assert room["pieces"]
        assert all({"source", "license", "author", "role"} <= set(piece) for piece in room["pieces"].values())
        sides[room["split"]] |= set(room["pieces"])
        assert all((root / room["split"] / f"{clip}.txt").is_file() for clip in room["clips"])
    assert not sides["train"] & sides["test"]


def test_packed_clips_are_those_of_the_files(root):
    paths = pack_splits(root, 32)
    assert [p.name for p in paths] == ["train.safetensors", "test.safetensors"]
    packed, clip = load_rooms(paths[1]), open_clip(list_clips(root, "test")[0])
    assert packed.counts.tolist() == [4]
    torch.testing.assert_close(packed.views(torch.arange(4)).images, clip.read(range(4)).images)
    torch.testing.assert_close(packed.depth.float(), clip.read_depth(range(4))[:, 0], rtol=1e-3, atol=0)


def test_rooms_differ_and_do_not_depend_on_how_many_there_are():
    few, many = planned_rooms(CONFIG), planned_rooms(replace(CONFIG, train=50, test=10))
    assert set(few) < set(many) and len(many) == 60
    clips = {name.clip(k) for name in many for k in range(3)}
    assert len(clips) == 180 and all(len(c) == 16 for c in clips)
    draws = {float(generator_of(0, name).random()) for name in many}
    assert len(draws) == 60
    assert [r.split for r in many[:13]].count("test") in (1, 2, 3)  # spread among the others


def test_every_maker_of_homeware_and_joinery_gives_a_piece_that_stands():
    assert len(MAKERS) > 15
    for maker in sorted(MAKERS, key=lambda m: m.__name__):
        prop = prop_of(maker(np.random.default_rng(1)), "p", "thing", credit=OURS)
        assert prop.vertices[:, 1].min() == pytest.approx(0, abs=1e-6)
        assert np.isfinite(prop.vertices).all() and (prop.size < 3).all()
        assert int(prop.vertices[:, 9].max()) < len(prop.materials)
        assert all(m.layer < len(prop.images) for m in prop.materials)


def test_join_of_models_keeps_their_triangles():
    model = Model(join([box(1, 1, 1), box(1, 1, 1).moved(2)]), (Material(),))
    assert len(prop_of(model, "p", "thing", credit={}).faces) == 24
    assert RoomName("train", 3).clip(0).startswith("0003")
