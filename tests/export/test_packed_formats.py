"""Compressed PLY, SOG, SPZ and glTF: their bits in closed form, what others wrote, and what is damaged."""

import base64
import gzip
import io
import json
import math
import shutil
import struct
import subprocess
import zipfile
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from viewer.scenes import ball

from fewview.errors import InputError
from fewview.export.compressed_ply import is_compressed, write_compressed_ply
from fewview.export.glb import write_splat_glb
from fewview.export.gltf_splats import GltfFile, read_gltf_splats
from fewview.export.ply import write_ply
from fewview.export.quantised import codebook, spatial_order, with_largest, without_largest
from fewview.export.scenes import load_scene
from fewview.export.sog import write_sog
from fewview.export.spz import SpzLayout, write_spz
from fewview.geometry.harmonics import COUNTS, SH_DC
from fewview.render.gaussians import Gaussians


def one(**columns) -> Gaussians:
    """Two splats that differ in place, of which the first has the given numbers."""
    plain = {"means": [0.0, 0, 0], "scales": [1.0, 1, 1], "quaternions": [1.0, 0, 0, 0]}
    plain |= {"opacities": 1.0, "features": [0.5, 0.5, 0.5]}
    other = {**plain, "means": [1.0, 1, 1]}
    return Gaussians(*(torch.tensor([{**plain, **columns}[name], other[name]]) for name in plain))


def test_words_of_a_compressed_ply_are_as_its_layout_says(tmp_path):
    """x is in the highest bits; w, x, y, z without the largest, z here; red is the highest byte, opacity the lowest."""
    turn = [0.1, -0.2, 0.3, math.sqrt(1 - 0.14)]
    write_compressed_ply(tmp_path / "x.ply", one(means=[-1.0, 0.0, 1.0], quaternions=turn, opacities=0.2))
    head, body = (tmp_path / "x.ply").read_bytes().split(b"end_header\n")
    assert b"element chunk 1\n" in head and len(body) == 18 * 4 + 2 * 16 and is_compressed(tmp_path / "x.ply")
    assert struct.unpack_from("<6f", body) == (-1, 0, 1, 1, 1, 1)
    position, rotation, _, colour = struct.unpack_from("<4I", body, 72)
    assert position == 0 and rotation >> 30 == 3 and colour & 255 == 51
    for shift, value in zip((20, 10, 0), turn):
        assert rotation >> shift & 1023 == round((value * math.sqrt(2) + 1) / 2 * 1023)
    assert struct.unpack_from("<I", body, 88)[0] == 2047 << 21 | 1023 << 11  # z is the same in both


def test_pixels_of_a_sog_are_as_its_page_says(tmp_path):
    turn = [0.1, math.sqrt(1 - 0.14), -0.2, 0.3]
    write_sog(tmp_path / "x.sog", one(means=[-3.0, 0.0, -2.0], quaternions=turn, opacities=0.2))
    with zipfile.ZipFile(tmp_path / "x.sog") as bundle:
        meta = json.loads(bundle.read("meta.json"))
        pixels = {n: np.asarray(Image.open(io.BytesIO(bundle.read(n)))) for n in bundle.namelist() if n != "meta.json"}
    assert meta["version"] == 2 and meta["count"] == 2
    assert meta["means"]["mins"] == pytest.approx([-math.log(4), 0, -math.log(3)])
    assert meta["means"]["maxs"] == pytest.approx([math.log(2)] * 3)
    for part in ("means_l.webp", "means_u.webp"):
        assert pixels[part][0, :2, :3].tolist() == [[0] * 3, [255] * 3]
    want = [round((value * math.sqrt(2) + 1) / 2 * 255) for value in (0.1, -0.2, 0.3)]
    assert pixels["quats.webp"][0, 0].tolist() == [*want, 252 + 1]
    colour = pixels["sh0.webp"][0, 0].tolist()
    assert colour[3] == 51 and meta["sh0"]["codebook"][colour[0]] * SH_DC == pytest.approx(0, abs=1e-6)
    assert meta["scales"]["codebook"][pixels["scales.webp"][0, 0, 0]] == pytest.approx(0, abs=1e-6)


def test_a_codebook_holds_few_values_exactly_and_many_to_a_255th_of_their_range():
    few, many = np.linspace(-3, 5, 256, dtype=np.float32), np.random.default_rng(0).normal(size=4000) ** 3
    codes, places = codebook(few)
    np.testing.assert_array_equal(codes[places], few)
    codes, places = codebook(many)
    assert np.abs(codes[places] - many).max() <= np.ptp(many) / 255 and (np.diff(codes) >= 0).all()


def test_the_largest_component_is_left_out_and_found_again(generator):
    turns = torch.nn.functional.normalize(torch.randn(99, 4, generator=generator), dim=-1).numpy()
    again = with_largest(*without_largest(turns))
    np.testing.assert_allclose(abs((again * turns).sum(-1)), 1, atol=1e-6)


def test_neighbours_in_space_are_near_in_the_order():
    """On a grid of 4 x 4 x 4, each run of eight is one of its eight cubes."""
    grid = np.stack(np.meshgrid(*[np.arange(4.0)] * 3), -1).reshape(-1, 3)
    cubes = grid[spatial_order(grid)].reshape(8, 8, 3)
    assert (np.ptp(cubes, axis=1) == 1).all()


def with_words(path: Path, name: int, values: dict[int, int]) -> Path:
    """A compressed PLY of 20 splats, of which some words are others: `name` 0 to 3, as in the header."""
    write_compressed_ply(path, ball(20))
    head, body = path.read_bytes().split(b"end_header\n")
    rows = np.frombuffer(body[72:], "<u4").reshape(20, 4).copy()
    for row, value in values.items():
        rows[row, name] = value
    path.write_bytes(head + b"end_header\n" + body[:72] + rows.tobytes())
    return path


@pytest.mark.parametrize("word", [0, 2**32 - 1, 1023 << 20 | 1023 << 10])
def test_rotations_that_no_quaternion_has_drop_their_splat_and_many_the_file(tmp_path, word):
    """Zeros stand for three components of -1/sqrt 2, whose squares sum up to 1.5."""
    few = load_scene(with_words(tmp_path / "x.ply", 1, {3: word, 8: word}))
    assert len(few.gaussians) == 18 and "2 splats are left out" in few.notes[0]
    with pytest.raises(InputError, match=r"10 of its 20 compressed rotations are none, so it is damaged; .* compress"):
        load_scene(with_words(tmp_path / "x.ply", 1, dict.fromkeys(range(10), word)))


def test_the_largest_rotations_that_can_be_packed_are_read(tmp_path):
    """All components are 1/2: then the squares of three are 3/4."""
    write_compressed_ply(tmp_path / "x.ply", one(quaternions=[0.5, -0.5, 0.5, -0.5]))
    assert len(load_scene(tmp_path / "x.ply").gaussians) == 2


@pytest.mark.parametrize("version", [2, 3, 4])
@pytest.mark.parametrize("axes", [None, "RDF", "RUB", "LUF", "RFU"])
def test_axes_that_are_written_are_read(tmp_path, version, axes):
    splats = ball(60)
    write_spz(tmp_path / "x.spz", splats, layout=SpzLayout(version, axes))
    again = load_scene(tmp_path / "x.spz")
    torch.testing.assert_close(again.gaussians.means, splats.means, atol=2**-19, rtol=0)
    shapes, off = splats.covariances(), again.gaussians.covariances() - splats.covariances()
    assert off.abs().mean() < 0.05 * shapes.abs().mean()  # scales are good to 6 %, and version 2 turns by 1/255
    assert f"axes are {axes or ('RDF' if version == 4 else 'RUB')}" in again.notes[0]


def test_version_4_states_a_plys_axes_and_leaves_its_places(tmp_path):
    """Which readers that know no axes take as they are: splat-transform, gsply, GaussForge, spz-js."""
    write_spz(tmp_path / "x.spz", one(means=[1.0, 2.0, 3.0]))
    data = (tmp_path / "x.spz").read_bytes()
    assert struct.unpack_from("<4sII", data) == (b"NGSP", 4, 2) and data[14] & 2
    assert struct.unpack_from("<I", data, 16) == (32 + 12,) and struct.unpack_from("<III", data, 32) == (
        0xADBE0003,
        4,
        6,
    )
    write_spz(tmp_path / "x.spz", one(means=[1.0, 2.0, 3.0]), layout=SpzLayout(3))
    assert gzip.decompress((tmp_path / "x.spz").read_bytes())[14] & 2 == 0


def test_axes_that_a_user_names_win(tmp_path):
    write_spz(tmp_path / "x.spz", one(means=[1.0, 2.0, 3.0]))
    scene = load_scene(tmp_path / "x.spz", "RUB")
    assert scene.gaussians.means[0].tolist() == [1, -2, -3] and scene.notes == ("axes are RUB, as --spz-axes says",)


@pytest.mark.parametrize("wrong", [{"version": 1}, {"version": 5}, {"axes": "XYZ"}, {"axes": ""}])
def test_layouts_that_there_are_not_are_refused(wrong):
    with pytest.raises(InputError, match="it is one of"):
        SpzLayout(**wrong)


def gltf(path: Path, change) -> Path:
    """A .gltf file of splats whose tree is changed."""
    write_splat_glb(path, ball(20), torch.tensor([0.0, -1, 0]))
    tree = json.loads(path.read_text())
    change(tree)
    path.write_text(json.dumps(tree))
    return path


def test_nodes_move_turn_and_scale_splats(tmp_path):
    """Twice as large, turned by 90 degrees about z by the upper node and moved by the lower, all with y up."""
    half = math.sqrt(0.5)
    nodes = [
        {"children": [1], "scale": [2, 2, 2], "rotation": [0, 0, half, half]},
        {"mesh": 0, "translation": [1, 0, 0]},
    ]
    scene = read_gltf_splats(gltf(tmp_path / "x.gltf", lambda tree: tree.update(nodes=nodes)))
    want = ball(20)
    x, y, z = want.means.T
    torch.testing.assert_close(scene.gaussians.means, 2 * torch.stack([y, -x - 1, z], -1), atol=1e-5, rtol=0)
    torch.testing.assert_close(scene.gaussians.scales, 2 * want.scales)


def test_a_far_node_becomes_the_origin(tmp_path):
    far = [{"mesh": 0, "translation": [1e7, -5e6, 3.25]}]
    scene = read_gltf_splats(gltf(tmp_path / "x.gltf", lambda tree: tree.update(nodes=far)))
    back = scene.gaussians.means.double() + torch.tensor(scene.origin, dtype=torch.float64)
    want = ball(20).means.double() + torch.tensor([1e7, 5e6, -3.25], dtype=torch.float64)
    torch.testing.assert_close(back, want, atol=1e-6, rtol=0)


def test_integers_of_a_gltf_stand_for_shares(tmp_path):
    def change(tree):
        data = bytes([51, 255] * 10)
        tree["buffers"].append({"byteLength": 20, "uri": "data:;base64," + base64.b64encode(data).decode()})
        tree["bufferViews"].append({"buffer": 1, "byteLength": 20})
        tree["accessors"].append(
            {
                "bufferView": len(tree["bufferViews"]) - 1,
                "componentType": 5121,
                "normalized": True,
                "count": 20,
                "type": "SCALAR",
            }
        )
        part = tree["meshes"][0]["primitives"][0]["attributes"]
        part["KHR_gaussian_splatting:OPACITY"] = len(tree["accessors"]) - 1

    opacities = read_gltf_splats(gltf(tmp_path / "x.gltf", change)).gaussians.opacities
    torch.testing.assert_close(opacities[:2], torch.tensor([0.2, 1.0]))


WRONG = {
    "no splats": lambda tree: tree["meshes"][0]["primitives"][0].pop("extensions"),
    "a circle": lambda tree: tree.update(nodes=[{"children": [0]}]),
    "number 9": lambda tree: tree["scenes"][0].update(nodes=[9]),
    "reaches beyond": lambda tree: tree["accessors"][0].update(count=10**9),
    "flattens": lambda tree: tree["nodes"][0].update(scale=[1, 0, 1]),
    "mirrors": lambda tree: tree["nodes"][0].update(scale=[-1, 1, 1]),
    "'nodes' is 7": lambda tree: tree["scenes"][0].update(nodes=7),
    "'children' is 'x'": lambda tree: tree["nodes"][0].update(children="x"),
    "'primitives' is 0.5": lambda tree: tree["meshes"][0].update(primitives=0.5),
    "must be an object, not 3": lambda tree: tree["meshes"][0].update(primitives=[3]),
    "'extensions' is 1": lambda tree: tree["meshes"][0]["primitives"][0].update(extensions=1),
    "attributes of other types": lambda tree: tree["accessors"][0].update(type="VEC4", count=15),
    "no list of numbers": lambda tree: tree["nodes"][0].update(translation="far"),
    "not base64": lambda tree: tree["buffers"][0].update(uri="data:,%%%"),
    "lacks the key": lambda tree: tree["meshes"][0]["primitives"][0]["attributes"].pop("POSITION"),
    "leads out": lambda tree: tree["buffers"][0].update(uri="../x.bin"),
}


@pytest.mark.parametrize("words", WRONG)
def test_damaged_gltf_is_refused_in_a_sentence(tmp_path, words):
    path = gltf(tmp_path / "x.gltf", WRONG[words])
    with pytest.raises(InputError, match=words if words != "leads out" else r"x\.gltf|x\.bin"):
        load_scene(path)


def test_a_circle_of_nodes_is_refused_where_it_closes(tmp_path, monkeypatch):
    asked, matrix = [], GltfFile.matrix
    monkeypatch.setattr(GltfFile, "matrix", lambda file, node: asked.append(node) or matrix(file, node))
    with pytest.raises(InputError, match="circle"):
        load_scene(gltf(tmp_path / "x.gltf", WRONG["a circle"]))
    assert len(asked) == 1


def sog(path: Path, change) -> Path:
    """A .sog file whose meta.json is changed."""
    write_sog(path, ball(20))
    with zipfile.ZipFile(path) as bundle:
        parts = {name: bundle.read(name) for name in bundle.namelist()}
    meta = json.loads(parts["meta.json"])
    change(meta)
    with zipfile.ZipFile(path, "w") as bundle:
        for name, data in (parts | {"meta.json": json.dumps(meta)}).items():
            bundle.writestr(name, data)
    return path


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda meta: meta.update(version=1), "another version"),
        (lambda meta: meta.update(count=10**9), "claims to hold"),
        (lambda meta: meta.update(count=10**5), "pixels for 100000"),
        (lambda meta: meta["sh0"].update(files=["../x"]), "has no ../x"),
        (lambda meta: meta["scales"].update(codebook=[1, 2]), "codebook"),
        (lambda meta: meta["means"].update(mins=[1e300] * 3), "mins|finite"),
        (lambda meta: meta.pop("quats"), "quats"),
    ],
)
def test_damaged_sog_is_refused_in_a_sentence(tmp_path, change, words):
    with pytest.raises(InputError, match=words):
        load_scene(sog(tmp_path / "x.sog", change))


@pytest.mark.parametrize("side", [10_000, 16_000])
def test_a_picture_of_sog_that_claims_to_be_huge_is_refused_without_a_warning(tmp_path, side, recwarn):
    """The header of a lossless WebP: 14 bits each for width and height, less 1."""
    path = sog(tmp_path / "x.sog", lambda meta: None)
    with zipfile.ZipFile(path) as bundle:
        parts = {name: bundle.read(name) for name in bundle.namelist()}
    picture = bytearray(parts["quats.webp"])
    at = picture.index(b"VP8L") + 9
    word = int.from_bytes(picture[at : at + 4], "little") >> 28 << 28 | (side - 1) << 14 | (side - 1)
    picture[at : at + 4] = word.to_bytes(4, "little")
    with zipfile.ZipFile(path, "w") as bundle:
        for name, data in (parts | {"quats.webp": bytes(picture)}).items():
            bundle.writestr(name, data)
    with pytest.raises(InputError, match=r"x\.sog"):
        load_scene(path)
    assert not recwarn


def test_what_is_left_of_a_file_is_refused(tmp_path):
    for name, write in (("x.sog", write_sog), ("x.ply", write_compressed_ply), ("x.spz", write_spz)):
        write(tmp_path / name, ball(300))
        data = (tmp_path / name).read_bytes()
        for share in (0.1, 0.5, 0.97):
            (tmp_path / name).write_bytes(data[: int(share * len(data))])
            with pytest.raises(InputError, match=name):
                load_scene(tmp_path / name)


def test_formats_that_are_not_read_name_a_tool_that_converts_them(tmp_path):
    (tmp_path / "x.lcc").write_bytes(bytes(4096))
    with pytest.raises(InputError, match=r"`splat-transform .*x\.lcc OUT\.ply` converts it"):
        load_scene(tmp_path / "x.lcc")


@pytest.mark.parametrize("suffix", [".compressed.ply", ".sog", ".spz"])
def test_splat_transform_reads_ours_and_we_its(tmp_path, suffix):
    """Version 3.7, where it is installed; places and opacities, in any order."""
    tool = shutil.which("splat-transform")
    if tool is None:
        pytest.skip("splat-transform (npm) is not here")
    splats = ball(300)
    writers = {".compressed.ply": write_compressed_ply, ".sog": write_sog, ".spz": write_spz}
    writers[suffix](tmp_path / f"ours{suffix}", splats)
    write_ply(tmp_path / "plain.ply", splats)
    for source, out in ((f"ours{suffix}", "back.ply"), ("plain.ply", f"theirs{suffix}")):
        subprocess.run([tool, "-q", "-w", "-g", "cpu", tmp_path / source, tmp_path / out], check=True)
        again = load_scene(tmp_path / out).gaussians
        apart, nearest = torch.cdist(again.means, splats.means).min(1)
        assert len(nearest.unique()) == len(splats) and apart.max() < 6 / 1023
        torch.testing.assert_close(again.opacities, splats.opacities[nearest], atol=1.1 / 255, rtol=0)


def shiny(degree: int, count: int = 40) -> Gaussians:
    values = torch.randn(count, COUNTS[degree], 3, generator=torch.Generator().manual_seed(degree)) * 0.3
    return replace(ball(count), harmonics=values.clamp(-0.98, 0.98))


@pytest.mark.parametrize("degree", [1, 2, 3])
@pytest.mark.parametrize("suffix", [".ply", ".compressed.ply", ".sog", ".spz", ".glb", ".gltf"])
def test_harmonics_come_back_within_the_quantisation(tmp_path, suffix, degree):
    """Half a step: 1/256 of SPZ's, 1/64 of compressed PLY's, a 255th of the range of SOG's codebook."""
    writers = {".ply": write_ply, ".compressed.ply": write_compressed_ply, ".sog": write_sog, ".spz": write_spz}
    glb = lambda path, splats: write_splat_glb(path, splats, torch.tensor([0.0, -1, 0]))
    splats = shiny(degree)
    writers.get(suffix, glb)(tmp_path / f"x{suffix}", splats)
    again = load_scene(tmp_path / f"x{suffix}").gaussians
    nearest = torch.cdist(again.means, splats.means).argmin(1)
    step = {".spz": 1 / 256, ".compressed.ply": 1 / 64, ".sog": 2 / 255}.get(suffix, 0) + 1e-5
    torch.testing.assert_close(again.harmonics, splats.harmonics[nearest], atol=step, rtol=0)


@pytest.mark.parametrize("version", [2, 3, 4])
@pytest.mark.parametrize("axes", ["RUB", "LUF", "RFU"])
def test_harmonics_turn_with_the_axes_of_spz(tmp_path, version, axes):
    splats = shiny(3)
    write_spz(tmp_path / "x.spz", splats, layout=SpzLayout(version, axes))
    again = load_scene(tmp_path / "x.spz").gaussians.harmonics
    assert (again - splats.harmonics).abs().mean() < 0.01


def test_neighbours_share_harmonics_where_the_palette_is_full(tmp_path, monkeypatch):
    from fewview.export import sog as module

    monkeypatch.setattr(module, "PALETTE", 16)
    splats = shiny(1)
    write_sog(tmp_path / "x.sog", splats)
    again = load_scene(tmp_path / "x.sog").gaussians.harmonics
    assert len(again) == 40 and len(again.flatten(1).unique(dim=0)) <= 16
    torch.testing.assert_close(again.mean(0), splats.harmonics.mean(0), atol=0.05, rtol=0)
