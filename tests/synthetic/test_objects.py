import json
import shutil
from dataclasses import replace

import numpy as np
import pytest
import torch
from scipy.spatial import cKDTree

pytest.importorskip("moderngl")

from synthetic.test_furniture import write_library

from fewview.data.co3d import open_co3d, open_sequence
from fewview.errors import InputError
from fewview.synthetic.objects.build import BuildConfig, build, generator_of, instance, normalised, planned, tiny_build
from fewview.synthetic.objects.capture import hand_held, random_light
from fewview.synthetic.objects.categories import CATEGORIES
from fewview.synthetic.opengl.rasterise import Rasteriser
from fewview.synthetic.shapes.solids import sample_surface


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    try:
        Rasteriser(16).context.release()
    except InputError as error:
        pytest.skip(str(error))
    folder = tmp_path_factory.mktemp("set")
    furniture = write_library(folder / "furniture")
    build(folder / "set", replace(tiny_build(), furniture=furniture, variants=1, library_frames=2))
    return folder / "set"


def all_files(folder):
    return {str(p.relative_to(folder)): p.read_bytes() for p in sorted(folder.rglob("*")) if p.is_file()}


def test_readers_find_training_and_held_out_sequences_apart(root):
    train = {s.name for s in open_co3d(root, None, "fewview_train", split="train", min_frames=1)}
    test = {s.name for s in open_co3d(root, None, "fewview_dev", split="test", min_frames=1)}
    assert {n for n in train if not n.startswith("library")} == {"cup/0000_cup", "cup/0001_cup"}
    assert {n for n in test if not n.startswith("library")} == {"cup/0002_cup", "bottle/0000_bottle"}
    assert not train & test
    assert len(test) > 2


def test_index_names_source_author_and_licence_and_splits_by_base_model(root):
    index = json.loads((root / "index.json").read_text())
    assert {"category", "sequence", "seed", "split", "source", "license", "author", "base"} <= set(index[0])
    sides: dict[str, set] = {}
    for row in index:
        sides.setdefault(row["base"] + row["category"], set()).add(row["split"])
    assert all(len(split) == 1 for split in sides.values())
    assert {row["author"] for row in index if "model" in row} == {"Anné"}


def test_cameras_come_back_as_they_were(root):
    config, sequence = tiny_build(), planned(tiny_build())[0]
    rng = generator_of(config.seed, sequence.category, sequence.index)
    _, cloud, _ = normalised(instance(sequence, rng), rng)
    random_light(rng)
    cameras = hand_held(rng, config.frames, config.size, points=cloud)
    read = open_sequence(root / "cup" / "0000_cup", crop=False)
    for i, camera in enumerate(read.cameras):
        assert torch.allclose(camera.world_from_cam, cameras[i].world_from_cam, atol=1e-5)
        assert torch.allclose(camera.intrinsics, cameras[i].intrinsics, atol=1e-4)


def test_depths_of_all_views_lie_on_the_surface_of_the_model(root):
    sequence = planned(tiny_build())[0]
    rng = generator_of(0, sequence.category, sequence.index)
    model, _, _ = normalised(instance(sequence, rng), rng)
    surface, _ = sample_surface(model.mesh, 40_000, rng)
    scene = open_sequence(root / "cup" / "0000_cup", crop=False)
    views = scene.read(range(4), 32)
    depth = scene.read_depth(range(4), views.cameras)[:, 0]
    rays = views.cameras.rays()
    cosine = (rays.directions * views.cameras.forward[:, None, None]).sum(-1)
    points = (rays.origins + rays.directions * (depth / cosine)[..., None])[depth > 0]
    assert len(points) > 400
    distance, _ = cKDTree(surface).query(points.numpy())
    assert distance.max() < 0.1 and distance.mean() < 0.025  # half the spacing of the samples, and float16


def test_masks_and_depths_agree_and_the_object_fills_the_frame(root):
    for scene in open_co3d(root, None, None, min_frames=1, crop=False):
        views = scene.read(range(len(scene)), 32)
        depth = scene.read_depth(range(len(scene)), views.cameras)
        assert ((depth > 0) == (views.masks > 0.5)).float().mean() > 0.95
        boxes = [mask[0].nonzero() for mask in views.masks]
        widest = max(float((b.amax(0) - b.amin(0) + 1).max()) for b in boxes)
        assert 17 < widest <= 32
        assert views.masks[:, :, [0, -1]].mean() < 0.1 and views.masks[..., [0, -1]].mean() < 0.1


def test_point_cloud_is_centred_with_unit_deviation(root):
    data = (root / "cup" / "0000_cup" / "pointcloud.ply").read_bytes()
    body = data[data.index(b"end_header\n") + 11 :]
    points = np.frombuffer(body, dtype=[("xyz", "<f4", 3), ("rgb", "u1", 3)])["xyz"]
    assert points.shape == (2000, 3)
    assert points.mean(axis=0) == pytest.approx(0, abs=1e-5)
    assert points.std(axis=0).mean() == pytest.approx(1, abs=1e-5)


def test_a_build_that_was_cut_short_goes_on_to_the_same_bytes(tmp_path):
    config = replace(tiny_build(), train=1, frames=2, size=24)
    build(tmp_path / "whole", config)
    shutil.copytree(tmp_path / "whole", tmp_path / "cut")
    shutil.rmtree(tmp_path / "cut" / "cup" / "0000_cup")
    (tmp_path / "cut" / "index.json").unlink()
    kept = (tmp_path / "cut" / "bottle" / "0000_bottle" / "annotations.json").stat().st_mtime_ns
    told = []
    build(tmp_path / "cut", config, lambda done, total: told.append((done, total)))
    assert all_files(tmp_path / "cut") == all_files(tmp_path / "whole")
    assert told == [(3, 3)]
    assert (tmp_path / "cut" / "bottle" / "0000_bottle" / "annotations.json").stat().st_mtime_ns == kept


def test_the_default_plan_holds_instances_of_every_category_out():
    plan = planned(BuildConfig())
    for category in CATEGORIES:
        splits = [s.split for s in plan if s.category == category]
        assert splits.count("train") == 130 and splits.count("test") >= 12
    assert {s.split for s in plan if s.category in ("bottle", "bench")} == {"test"}
    assert len({(s.category, s.name) for s in plan}) == len(plan)


def test_walks_keep_the_object_in_the_frame_and_go_round_it():
    rng = np.random.default_rng(0)
    points = rng.normal(size=(500, 3)).clip(-1.5, 1.5) * [0.4, 1.0, 2.0] + [0.3, 0.0, 0.0]
    for seed in range(8):
        cameras = hand_held(np.random.default_rng(seed), 16, 64, points=points)
        pixels, depth = cameras.project(torch.from_numpy(points).float())
        assert depth.min() > 0
        extent = (2 * (pixels - 32).abs() / 64).amax(dim=(1, 2))
        assert 0.6 < extent.max() < 1.0
        azimuth = torch.atan2(cameras.centers[:, 0], cameras.centers[:, 2]).sort().values
        gap = torch.cat([azimuth.diff(), azimuth[:1] + 2 * np.pi - azimuth[-1:]]).max()
        assert torch.rad2deg(gap) < 160
        fov = 2 * torch.rad2deg(torch.atan(32 / cameras.intrinsics[0, 0, 0]))
        assert 25 <= fov <= 60
