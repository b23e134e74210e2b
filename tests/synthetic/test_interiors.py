from dataclasses import replace
from itertools import combinations

import numpy as np
import pytest

pytest.importorskip("scipy")

from fewview.data.meshes import Material, Model, join
from fewview.errors import InputError
from fewview.synthetic.opengl.room_renderer import SHELL
from fewview.synthetic.rooms import inventory
from fewview.synthetic.rooms.floorplans import Opening, Plan, random_plan, shell
from fewview.synthetic.rooms.interiors import FURNISHERS, Layout, Placed, collide, furnish, level_under
from fewview.synthetic.rooms.inventory import ROLES, Prop, Role, Stock, load_prop, prop_of, save_prop, slim
from fewview.synthetic.rooms.walks import CELL, free_floor, room_walk
from fewview.synthetic.shapes.joinery import sheet
from fewview.synthetic.shapes.solids import box, ellipsoid

SIZES = {"sofa": (2.0, 0.8, 0.9), "bed": (1.6, 0.8, 2.1), "chair": (0.45, 0.9, 0.45), "wardrobe": (1.4, 2.1, 0.6),
         "dining_table": (1.6, 0.75, 0.9), "coffee_table": (1.0, 0.4, 0.6), "carpet": (2.0, 0.015, 1.4),
         "picture": (0.6, 0.5, 0.03), "thing": (0.15, 0.2, 0.15), "table_lamp": (0.2, 0.4, 0.2),
         "pendant": (0.4, 0.6, 0.4), "counter": (1.2, 0.9, 0.6), "bookcase": (1.0, 1.8, 0.3)}  # fmt: skip
SQUARE = np.array([[-3.0, -2.0], [3.0, -2.0], [3.0, 2.0], [-3.0, 2.0]])


def block(x, y, z):
    return Model(box(x, y, z).moved(y=y / 2).painted(0), (Material(),), info={})


@pytest.fixture(scope="module", autouse=True)
def blocks():
    """Boxes instead of furniture: the same arrangement in a hundredth of the time."""
    make = lambda size: (lambda rng: block(*(np.array(size) * rng.uniform(0.9, 1.1))),)
    kept = dict(ROLES)
    ROLES.update({role: Role(make(SIZES.get(role, (0.5, 0.6, 0.4)))) for role in ROLES})
    yield
    ROLES.update(kept)


def rooms(count):
    for k in range(count):
        kind = list(FURNISHERS)[k % len(FURNISHERS)]
        rng = np.random.default_rng(k)
        layout = Layout(random_plan(rng, kind), Stock("train", pieces=3), rng)
        furnish(layout, kind)
        yield layout


def test_no_two_pieces_touch_and_none_leaves_the_room_or_blocks_a_door():
    pieces = 0
    for layout in rooms(12):
        pieces += len(layout.placed)
        supported = [p for p in layout.placed if p.position[1] > 0.2]
        for (a, x), (b, y) in combinations(zip(layout.placed, layout.boxes), 2):
            if not collide(x, y):
                continue
            upper, lower = (a, y) if a.position[1] > b.position[1] else (b, x)
            assert any(upper is p for p in supported)  # things touch only what they stand on
            assert abs(upper.position[1] - lower[1, 1]) < 0.01
        for low, high in layout.boxes:
            corners = np.array([[low[0], low[2]], [high[0], low[2]], [high[0], high[2]], [low[0], high[2]]])
            assert layout.plan.inside(corners).all()
            assert low[1] >= -1e-6 and high[1] <= layout.plan.height
            for o in layout.plan.openings:
                if o.v0 == 0 and high[1] > 0.05:
                    front = layout.plan.point(o.wall, (o.u0 + o.u1) / 2, 0.05, away=0.4)
                    assert not ((front > low) & (front < high)).all()
    assert pieces > 12 * 10


def test_pieces_at_a_wall_turn_their_back_to_it():
    plan = Plan(SQUARE, 2.5)
    for wall in range(4):
        layout = Layout(plan, Stock("train", pieces=1), np.random.default_rng(0))
        piece = layout.along_wall(layout.get("sofa"), walls=[wall])
        assert piece is not None
        a, b = plan.walls[wall].reshape(2, 2)
        inward = np.array([-(b - a)[1], (b - a)[0]]) / np.linalg.norm(b - a)
        depth = (piece.points[:, [0, 2]] - a) @ inward
        np.testing.assert_allclose([depth.min(), depth.max()], 0.035 + np.array([0, piece.prop.size[2]]), atol=1e-6)


def test_walls_have_the_area_of_their_outline_less_the_openings():
    openings = (Opening(0, 1.0, 2.0, 0.8, 2.0, "window"), Opening(2, 0.5, 1.4, 0.0, 2.05, "door"))
    plan = Plan(SQUARE, 2.5, openings)
    built = shell(plan, np.random.default_rng(1), "living", daylight=1.0)
    area = 0.0
    for part in built.parts:
        corners = part.vertices[part.faces][..., :3].astype(float)
        cross = np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0]) / 2
        for a, b in plan.walls.reshape(-1, 2, 2):
            inward = np.array([-(b - a)[1], 0, (b - a)[0]]) / np.linalg.norm(b - a)
            flat = np.abs((corners - [a[0], 0, a[1]]) @ inward).max(1) < 1e-5
            area += (cross[flat] @ inward).clip(0).sum() if part.layer == SHELL else 0.0
    assert area == pytest.approx(20 * 2.5 - 1.2 - 0.9 * 2.05, rel=1e-4)


def test_an_l_shaped_room_is_its_box_less_its_notch():
    plans = [p for k in range(60) if (p := random_plan(np.random.default_rng(k), "studio")).notch is not None]
    assert len(plans) > 15
    for plan in plans:
        grid = np.stack(np.meshgrid(*np.linspace(plan.low, plan.high, 200).T), -1)
        share = plan.inside(grid).mean()
        assert share * np.prod(plan.high - plan.low) == pytest.approx(plan.area, rel=0.03)
        middle = plan.walls.reshape(-1, 2, 2).mean(1)
        step = np.array([plan.point(w, 0, away=0.05) - plan.point(w, 0) for w in range(6)])[:, [0, 2]]
        assert plan.inside(middle + step).all() and not plan.inside(middle - step).any()


def test_things_stand_only_where_it_is_level():
    table = prop_of(block(1.0, 0.7, 0.6), "t", "dining_table", credit={})
    half = np.array([0.1, 0.1])
    assert level_under(table, np.zeros(2), half) == pytest.approx(0.7, abs=1e-6)
    assert level_under(table, np.array([0.48, 0.0]), half) is None  # over the edge
    steps = Model(join([box(1, 0.7, 0.6).moved(y=0.35), box(0.2, 0.2, 0.6).moved(y=0.8)]), (Material(),))
    stepped = prop_of(steps, "s", "dining_table", credit={})
    assert level_under(stepped, np.zeros(2), np.array([0.05, 0.05])) == pytest.approx(0.9, abs=1e-6)
    assert level_under(stepped, np.array([0.1, 0.0]), half) is None


def test_walks_are_smooth_clear_of_furniture_and_as_wide_as_asked():
    layout = next(rooms(1))
    height_range, found = [], 0
    for seed in range(6):
        cameras = room_walk(np.random.default_rng(seed), layout.plan, layout.boxes, frames=24, size=64)
        if cameras is None:
            continue
        found += 1
        centres = cameras.centers.numpy()
        height_range += [centres[:, 1].min(), centres[:, 1].max()]
        floor = free_floor(layout.plan, layout.boxes, float(centres[:, 1].mean()))
        assert floor.clearance(centres[:, [0, 2]].astype(float)).min() > 0.3
        step = np.linalg.norm(np.diff(centres, axis=0), axis=1)
        assert 0.2 < step.sum() < 3.2 and step.max() < 0.25
        assert (cameras.forward[1:] * cameras.forward[:-1]).sum(-1).min() > np.cos(np.deg2rad(8))
        fov = 2 * np.rad2deg(np.arctan(32 / float(cameras.intrinsics[0, 0, 0])))
        assert 50 <= fov <= 75
    assert found >= 4 and min(height_range) > 1.0 and max(height_range) < 2.0


def test_free_floor_is_the_distance_to_walls_and_to_what_is_high_enough():
    plan = Plan(SQUARE, 2.5)
    low, high = np.array([[-0.5, 0, -0.5], [0.5, 0.6, 0.5]]), np.array([[-0.5, 0, -0.5], [0.5, 1.5, 0.5]])
    at = np.array([[0.0, 0.0], [1.5, 0.0], [2.9, 0.0], [4.0, 0.0]])
    np.testing.assert_allclose(free_floor(plan, [low], 1.5).clearance(at), [2.0, 1.5, 0.1, 0.0], atol=1.5 * CELL)
    np.testing.assert_allclose(free_floor(plan, [high], 1.5).clearance(at), [0.0, 1.0, 0.1, 0.0], atol=1.5 * CELL)
    assert free_floor(plan, [high], 1.5).view(np.array([2.0, 0.0]), -np.pi / 2) == pytest.approx(1.5, abs=2 * CELL)


def test_sides_of_the_split_share_no_instance():
    train, test = (set(inventory.instances(Stock(side, pieces=32))) for side in ("train", "test"))
    assert train and test and not train & test


def test_slim_meshes_keep_their_extent_surface_and_materials():
    half = lambda shift, material: ellipsoid(0.5, 0.4, 0.3, segments=90).moved(shift).painted(material)
    mesh = join([half(-0.6, 0), half(0.6, 1)])
    few = slim(mesh, 1500)
    assert len(few.positions) // 3 < 1700 < len(mesh.positions) // 3
    np.testing.assert_allclose(np.ptp(few.positions, axis=0), np.ptp(mesh.positions, axis=0), rtol=0.04)
    assert ((few.positions[:, 0] > 0) == (few.material == 1)).all()
    scaled = (np.abs(few.positions) - [0.6, 0, 0]) / [0.5, 0.4, 0.3]
    np.testing.assert_allclose(np.linalg.norm(scaled, axis=1), 1, atol=0.05)
    centre = np.where(few.positions[:, :1] > 0, 0.6, -0.6) * [1, 0, 0]
    moved = np.linalg.norm(few.local - (few.positions - centre), axis=1)
    assert np.median(moved) < 0.01  # texture coordinates of the nearest surface


def test_foliage_that_does_not_become_simpler_is_left_out():
    rng = np.random.default_rng(0)
    leaves = join([sheet(0.1, 0.1).turned("x", rng.uniform(0, 90)).moved(*rng.random(3)) for _ in range(100)])
    with pytest.raises(InputError, match="leave it out"):
        slim(leaves, 40)


def test_cached_pieces_come_back(tmp_path):
    model = replace(block(1, 2, 3), images=(np.arange(256, dtype=np.uint8).reshape(8, 8, 4),))
    prop = prop_of(model, "name", "sofa", credit={"author": "someone"})
    save_prop(tmp_path / "p.safetensors", prop)
    again = load_prop(tmp_path / "p.safetensors")
    assert isinstance(again, Prop)
    assert (again.name, again.role, again.materials, again.credit) == ("name", "sofa", prop.materials, prop.credit)
    assert np.array_equal(again.vertices, prop.vertices) and np.array_equal(again.faces, prop.faces)
    assert np.array_equal(again.images[0], prop.images[0])
    save_prop(tmp_path / "n.safetensors", None)
    assert load_prop(tmp_path / "n.safetensors") is None


def test_a_placed_piece_turns_about_its_base():
    prop = prop_of(block(2.0, 1.0, 0.5), "p", "sofa", credit={})
    low, high = Placed(prop, np.array([1.0, 0.5, 2.0]), 90.0).box
    np.testing.assert_allclose([low, high], [[0.75, 0.5, 1.0], [1.25, 1.5, 3.0]], atol=1e-6)
