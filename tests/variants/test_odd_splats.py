"""Splats that are odd and valid, in every format: axes, rotations of any length, rows that say nothing."""

import math
import struct
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from export.test_foreign_splats import NUMBERS, WANT, ply, spz, table
from export.test_ksplat import COUNT as ROWS
from export.test_ksplat import ksplat, section, wanted
from viewer.scenes import ball

from fewview.errors import InputError
from fewview.export.compressed_ply import write_compressed_ply
from fewview.export.glb import write_splat_glb
from fewview.export.ply import write_ply
from fewview.export.scenes import load_scene
from fewview.export.sog import write_sog
from fewview.export.splat import write_splat
from fewview.export.spz import write_spz
from fewview.geometry.quaternions import rotations
from fewview.render.gaussians import Gaussians


def write(path: Path, splats: Gaussians) -> Path:
    glb = lambda path, splats: write_splat_glb(path, splats, torch.tensor([0.0, -1, 0]))
    writers = {".ply": write_ply, ".spz": write_spz, ".splat": write_splat, ".sog": write_sog, ".glb": glb}
    writer = write_compressed_ply if path.name.endswith(".compressed.ply") else writers.get(path.suffix, glb)
    writer(path, splats)
    return path


FORMATS = [".ply", ".compressed.ply", ".spz", ".splat", ".sog", ".glb", ".gltf"]
COARSE = {".compressed.ply": 0.004, ".spz": 0.004, ".splat": 0.02, ".sog": 0.01}  # of a rotation's entries


@pytest.mark.parametrize("suffix", FORMATS)
@pytest.mark.parametrize("length", [0.0, 1e-20, 1e-3, 1.0, 37.0, 1e12])
def test_quaternions_of_any_length_are_written_as_the_turn_that_they_mean(tmp_path, suffix, length):
    """Of none they mean no turn."""
    splats = ball(20)
    odd = replace(splats, quaternions=splats.quaternions * length)
    again = load_scene(write(tmp_path / f"x{suffix}", odd)).gaussians
    nearest = torch.cdist(splats.means, again.means).argmin(1)
    want = torch.eye(3).expand(20, 3, 3) if length == 0 else rotations(splats.quaternions)
    torch.testing.assert_close(rotations(again.quaternions[nearest]), want, atol=2 * COARSE.get(suffix, 1e-4), rtol=0)


@pytest.mark.parametrize("suffix", FORMATS)
def test_opaque_clear_flat_and_tiny_splats_come_back(tmp_path, suffix):
    splats = ball(20)
    opacities, scales = splats.opacities.clone(), splats.scales.clone()
    opacities[:4] = torch.tensor([0.0, 1.0, 0.0, 1.0])
    scales[4, 2], scales[5] = 0.0, 1e-9
    odd = replace(splats, opacities=opacities, scales=scales)
    again = load_scene(write(tmp_path / f"x{suffix}", odd)).gaussians
    nearest = torch.cdist(splats.means, again.means).argmin(1)
    assert len(again) == 20
    torch.testing.assert_close(again.opacities[nearest][:4], opacities[:4], atol=1e-5, rtol=0)
    assert again.scales[nearest][4].min() < 1e-4 and again.scales[nearest][5].max() < 1e-4


NOTHING = {  # of one row of a PLY: columns and values; whether the row stays
    "all zeros": (dict.fromkeys([*"xyz", "opacity", *(f"rot_{i}" for i in range(4))], 0.0), True),
    "no number anywhere": (dict.fromkeys([*"xyz", "opacity", *(f"rot_{i}" for i in range(4))], math.nan), False),
    "a rotation of NaN": ({"rot_3": math.nan}, False),
    "an infinite place": ({"x": math.inf}, False),
    "an infinite logit": ({"opacity": math.inf}, True),
    "a logit of minus infinity": ({"opacity": -math.inf}, True),
    "a logit of 500": ({"opacity": 500.0}, True),
    "a scale of no extent": ({"scale_1": -math.inf}, True),
    "a scale of e^80": ({"scale_1": 80.0}, False),
    "a colour of no number": ({"f_dc_2": math.nan}, False),
    "the largest float as place": ({"y": 3.4e38}, False),
}


@pytest.mark.parametrize("case", NOTHING)
def test_a_row_that_says_nothing_is_left_out_alone(tmp_path, case):
    values, stays = NOTHING[case]
    columns = {name: column.copy() for name, column in table().items()}
    for name, value in values.items():
        columns[name][5] = value
    scene = load_scene(ply(tmp_path / "x.ply", columns))
    assert len(scene.gaussians) == 8 - (not stays)
    assert any("1 splat is left out" in note for note in scene.notes) == (not stays)
    assert all(bool(tensor.isfinite().all()) for tensor in scene.gaussians.tensors().values())


@pytest.mark.parametrize("level", [0, 1])
def test_a_row_of_ksplat_that_is_no_number_is_left_out(tmp_path, level):
    want = wanted(0)
    want.scales[2] = math.nan
    scene = load_scene(ksplat(tmp_path / "x.ksplat", level, section(level, 0, want), count=ROWS))
    assert len(scene.gaussians) == ROWS - 1 and "1 splat is left out" in scene.notes[0]


def test_a_row_of_gltf_that_is_no_number_is_left_out(tmp_path):
    path = write(tmp_path / "x.glb", ball(20))
    data = bytearray(path.read_bytes())
    start = 28 + struct.unpack_from("<I", data, 12)[0]
    data[start + 36 : start + 40] = struct.pack("<f", math.nan)  # x of the fourth splat
    path.write_bytes(data)
    scene = load_scene(path)
    assert len(scene.gaussians) == 19 and "1 splat is left out" in scene.notes[0]


@pytest.mark.parametrize("name", WANT)
@pytest.mark.parametrize("version", [3, 4])
def test_axes_that_are_stated_win_by_their_letters(tmp_path, name, version):
    """--spz-axes says otherwise of any file."""
    path = spz(tmp_path / "x.spz", version, NUMBERS["LFU"])
    np.testing.assert_allclose(load_scene(path).gaussians.means[0], WANT["LFU"], atol=1e-6)
    np.testing.assert_allclose(load_scene(path, name).gaussians.means[0], WANT[name], atol=1e-6)


@pytest.mark.parametrize("suffix", FORMATS)
@pytest.mark.parametrize("count", [1, 2, 255, 256, 257])
def test_any_number_of_splats_is_written_and_read(tmp_path, suffix, count):
    """Blocks of 256 (compressed PLY) and pictures of 4 x 4 pixels (SOG) are filled up, and what fills them left out."""
    splats = ball(count)
    again = load_scene(write(tmp_path / f"x{suffix}", splats)).gaussians
    apart, nearest = torch.cdist(splats.means.double(), again.means.double()).min(1)
    assert len(again) == count and len(nearest.unique()) == count and apart.max() < 4e-3


@pytest.mark.parametrize("suffix", FORMATS)
def test_splats_that_are_all_alike_come_back(tmp_path, suffix):
    """Bounds without extent, and codebooks of one number."""
    one = ball(1)
    splats = Gaussians(*(tensor.repeat(300, *[1] * (tensor.ndim - 1)) for tensor in one.tensors().values()))
    again = load_scene(write(tmp_path / f"x{suffix}", splats)).gaussians
    assert len(again) == 300
    torch.testing.assert_close(again.means, splats.means, atol=2e-3, rtol=0)
    torch.testing.assert_close(again.features, splats.features, atol=0.005, rtol=0)


@pytest.mark.parametrize("suffix", [".splat", ".ksplat"])
def test_files_of_nothing_are_refused_in_a_sentence(tmp_path, suffix):
    (tmp_path / f"x{suffix}").write_bytes(bytes(6400))
    with pytest.raises(InputError, match=r"x\.(splat|ksplat) .*(splats|version)"):
        load_scene(tmp_path / f"x{suffix}")
