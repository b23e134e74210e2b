"""Colours that depend on the direction, in every format that holds them, beside tools that know nothing of ours."""

import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from plyfile import PlyData, PlyElement
from test_cli import fewview

from fewview.benchmarks.splatting import shell
from fewview.cameras import Cameras
from fewview.export.ply import read_ply, write_ply
from fewview.export.scenes import load_scene
from fewview.export.spz import SpzLayout, read_spz, write_spz
from fewview.geometry.harmonics import COUNTS, basis
from fewview.geometry.transforms import normalise
from fewview.render.gaussians import Gaussians
from fewview.render.splatting import splat

DEGREES = [1, 2, 3]
STEP = 0.5 / 128 + 1e-6  # half a step of SPZ
BUCKETS = 0.5 / 8 + 0.5 / 128 + 1e-6  # of writers that keep 4 of the 8 bits


def glossy(degree: int, count: int = 20) -> Gaussians:
    """Splats whose harmonics all differ and are in (-0.6, 0.6); colours are within SPZ's range."""
    generator = torch.Generator().manual_seed(degree)
    plain = shell(count, 3, generator=generator)
    harmonics = 1.2 * torch.rand(count, COUNTS[degree], 3, generator=generator) - 0.6
    return replace(plain, harmonics=harmonics)


def half_turn(degree: int) -> np.ndarray:
    """Signs that harmonics get when y and z point the other way: each is even or odd in both together."""
    points = normalise(torch.rand(9, 3, dtype=torch.float64, generator=torch.Generator().manual_seed(0)) + 0.1)
    signs = basis(points * torch.tensor([1.0, -1, -1]), degree) / basis(points, degree)
    return signs[:1].round().float().numpy()[..., None]


@pytest.mark.parametrize("degree", DEGREES)
def test_ply_columns_hold_all_of_red_then_green_then_blue(tmp_path, degree):
    count = COUNTS[degree]
    k, c = torch.meshgrid(torch.arange(count), torch.arange(3), indexing="ij")
    splats = replace(glossy(degree, 1), harmonics=(100.0 * c + k)[None])
    write_ply(tmp_path / "x.ply", splats)
    vertices = PlyData.read(tmp_path / "x.ply")["vertex"]
    names = [each.name for each in vertices.properties]
    rest = names[names.index("f_dc_2") + 1 : names.index("opacity")]
    assert rest == [f"f_rest_{i}" for i in range(3 * count)]
    assert [vertices[name][0] for name in rest] == [100 * channel + i for channel in range(3) for i in range(count)]


@pytest.mark.parametrize("degree", DEGREES)
def test_ply_comes_back_with_its_harmonics_and_gsply_reads_and_writes_the_same(tmp_path, degree):
    gsply = pytest.importorskip("gsply", reason="gsply is an independent reader of splat files, used in tests alone")
    splats = glossy(degree)
    write_ply(tmp_path / "x.ply", splats)
    again = read_ply(tmp_path / "x.ply")
    assert torch.equal(again.gaussians.harmonics, splats.harmonics) and not again.notes
    theirs = gsply.plyread(str(tmp_path / "x.ply"))
    np.testing.assert_array_equal(theirs.shN, splats.harmonics.numpy())
    gsply.plywrite(str(tmp_path / "y.ply"), theirs)
    assert torch.equal(read_ply(tmp_path / "y.ply").gaussians.harmonics, splats.harmonics)


def forged(data: bytes, source: str, target: str, **options) -> bytes:
    judge = pytest.importorskip("gaussforge", reason="gaussforge converts splat files, used in tests alone")
    made = judge.GaussForge().convert(data, source, target, **options)
    assert "error" not in made, made
    return bytes(made["data"])


@pytest.mark.parametrize("degree", DEGREES)
def test_gaussforge_copies_the_harmonics_of_our_ply(tmp_path, degree):
    splats = glossy(degree)
    write_ply(tmp_path / "x.ply", splats)
    (tmp_path / "y.ply").write_bytes(forged((tmp_path / "x.ply").read_bytes(), "ply", "ply"))
    torch.testing.assert_close(read_ply(tmp_path / "y.ply").gaussians.harmonics, splats.harmonics, atol=1e-6, rtol=0)


@pytest.mark.parametrize("degree", DEGREES)
@pytest.mark.parametrize("version", [3, 4])
def test_spz_keeps_harmonics_to_half_a_step_and_gsply_reads_the_same(tmp_path, degree, version):
    gsply = pytest.importorskip("gsply", reason="gsply is an independent reader of splat files, used in tests alone")
    splats = glossy(degree)
    write_spz(tmp_path / "x.spz", splats, layout=SpzLayout(version))
    again = read_spz(tmp_path / "x.spz").gaussians
    torch.testing.assert_close(again.harmonics, splats.harmonics, atol=STEP, rtol=0)
    signs = half_turn(degree) if version < 4 else 1  # it leaves the file's axes, which of version 4 are a PLY's
    theirs = gsply.read_spz(str(tmp_path / "x.spz")).shN * signs
    np.testing.assert_allclose(theirs, splats.harmonics.numpy(), atol=STEP, rtol=0)
    write_spz(tmp_path / "y.spz", again)
    assert torch.equal(read_spz(tmp_path / "y.spz").gaussians.harmonics, again.harmonics)


@pytest.mark.parametrize("degree", DEGREES)
@pytest.mark.parametrize("version", [3, 4])
def test_spz_of_gsply_is_read_with_its_harmonics(tmp_path, degree, version):
    gsply = pytest.importorskip("gsply", reason="gsply is an independent reader of splat files, used in tests alone")
    pytest.importorskip("zstandard", reason="SPZ of version 4 is packed by zstd")
    splats = glossy(degree)
    write_ply(tmp_path / "x.ply", splats)
    gsply.write_spz(str(tmp_path / "x.spz"), gsply.plyread(str(tmp_path / "x.ply")), version=version)
    signs = torch.from_numpy(half_turn(degree)) if version == 3 else 1  # it writes a PLY's axes, which 3 does not have
    again = read_spz(tmp_path / "x.spz").gaussians.harmonics
    torch.testing.assert_close(again * signs, splats.harmonics, atol=BUCKETS, rtol=0)


@pytest.mark.parametrize("degree", DEGREES)
@pytest.mark.parametrize("version", [2, 3, 4])
def test_spz_of_gaussforge_is_read_with_its_harmonics(tmp_path, degree, version):
    pytest.importorskip("zstandard", reason="SPZ of version 4 is packed by zstd")
    splats = glossy(degree)
    write_ply(tmp_path / "x.ply", splats)
    data = forged((tmp_path / "x.ply").read_bytes(), "ply", "spz", spz_version=version)
    (tmp_path / "x.spz").write_bytes(data)
    signs = torch.from_numpy(half_turn(degree)) if version < 4 else 1
    again = read_spz(tmp_path / "x.spz").gaussians.harmonics
    torch.testing.assert_close(again * signs, splats.harmonics, atol=BUCKETS, rtol=0)


@pytest.mark.parametrize("degree", DEGREES)
@pytest.mark.parametrize("version", [3, 4])
def test_gaussforge_reads_the_harmonics_of_our_spz(tmp_path, degree, version):
    splats = glossy(degree)
    write_spz(tmp_path / "x.spz", splats, layout=SpzLayout(version))
    (tmp_path / "x.ply").write_bytes(forged((tmp_path / "x.spz").read_bytes(), "spz", "ply"))
    again = read_ply(tmp_path / "x.ply").gaussians.harmonics
    signs = torch.from_numpy(half_turn(degree)) if version < 4 else 1
    torch.testing.assert_close(again * signs, splats.harmonics, atol=STEP, rtol=0)


@pytest.mark.parametrize("ending", [".ply", ".spz"])
def test_a_file_of_another_program_looks_the_same_after_a_round_trip(tmp_path, ending):
    splats = glossy(3, 200)
    write_ply(tmp_path / "x.ply", splats)
    {".ply": write_ply, ".spz": write_spz}[ending](tmp_path / f"y{ending}", read_ply(tmp_path / "x.ply").gaussians)
    eye, up = torch.tensor([[0.5, -1.0, -3]]), torch.tensor([0.0, -1, 0])
    camera = Cameras.look_at(eye, torch.zeros(3), up, focal=40.0, height=32, width=32)
    before, after = (splat(g, camera).image for g in (splats, load_scene(tmp_path / f"y{ending}").gaussians))
    flat = splat(splats.of_degree(0), camera).image
    assert (before - after).abs().mean() < 0.1 * (before - flat).abs().mean()


def rewritten(path: Path, change) -> Path:
    data = PlyData.read(path, mmap=False)
    table = data["vertex"].data
    changed = change(table)
    PlyData([PlyElement.describe(changed, "vertex")]).write(path)
    return path


def with_columns(table: np.ndarray, names: list[str], value: float = 0.25) -> np.ndarray:
    made = np.zeros(len(table), [*table.dtype.descr, *((name, "<f4") for name in names)])
    for name in table.dtype.names:
        made[name] = table[name]
    for name in names:
        made[name] = value
    return made


def test_harmonics_of_degree_4_are_cut_off_and_said(tmp_path):
    write_ply(tmp_path / "x.ply", glossy(1).of_degree(0))

    def fourth(table):
        made = with_columns(table, [f"f_rest_{i}" for i in range(72)])
        for i in range(72):
            made[f"f_rest_{i}"] = i
        return made

    scene = read_ply(rewritten(tmp_path / "x.ply", fourth))
    assert scene.notes == ("harmonics of degree 4 are left out",)
    assert scene.gaussians.harmonics[0, :, 1].tolist() == list(range(24, 39))


@pytest.mark.parametrize("count", [3, 10, 48])
def test_columns_that_are_no_degree_are_left_out_and_said(tmp_path, count):
    write_ply(tmp_path / "x.ply", glossy(1).of_degree(0))
    names = [f"f_rest_{i}" for i in range(count)]
    scene = read_ply(rewritten(tmp_path / "x.ply", lambda table: with_columns(table, names)))
    assert scene.gaussians.harmonics is None and f"{count} columns f_rest_*" in scene.notes[0]


def test_columns_that_splats_have_no_place_for_are_named(tmp_path):
    write_ply(tmp_path / "x.ply", glossy(1))
    names = ["label", "a", "b", "c", "d"]
    scene = read_ply(rewritten(tmp_path / "x.ply", lambda table: with_columns(table, names)))
    assert scene.notes == ("splats have no place for label, a, b, c and 1 more, which are left out",)

    def lean(table):
        table["nx"] = 1
        return table

    write_ply(tmp_path / "y.ply", glossy(1))
    scene = read_ply(rewritten(tmp_path / "y.ply", lean))
    assert scene.notes == ("splats have no place for nx, ny, nz, which are left out",)


def test_a_harmonic_that_is_no_number_costs_its_splat_alone(tmp_path):
    splats = glossy(2)
    splats.harmonics[3, 5, 1] = math.nan
    write_ply(tmp_path / "x.ply", splats)
    scene = read_ply(tmp_path / "x.ply")
    assert len(scene.gaussians) == len(splats) - 1 and scene.notes[0].startswith("1 splat is left out")


@pytest.mark.parametrize(
    ("name", "words"),
    [
        (
            "x.splat",
            "splats of a .splat file have one colour for all directions, so harmonics of degree 2 are left out",
        ),
        ("x.spz", "1 harmonics beyond -1 and 1, which SPZ does not hold, are clipped"),
        ("y.ply", None),
        ("x.gs.glb", None),
    ],
)
def test_export_says_what_a_format_cannot_hold(tmp_path, capsys, name, words):
    splats = glossy(2)
    splats.harmonics[0, 0, 0] = 1.5
    write_ply(tmp_path / "x.ply", splats)
    fewview("export", tmp_path / "x.ply", "-o", tmp_path / name)
    said = " ".join(capsys.readouterr().out.split())
    assert ("harmonics" in said) == (words is not None) and (words or "") in said
