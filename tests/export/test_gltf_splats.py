"""Splats in glTF by the text of KHR_gaussian_splatting (release candidate, 2026): colours, scales, nodes."""

import json
import math
import struct
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from viewer.scenes import ball

from fewview.errors import InputError
from fewview.export.glb import write_splat_glb
from fewview.export.gltf_splats import SPLATTING, read_gltf_splats
from fewview.export.srgb import linear_of, srgb_of
from fewview.geometry.harmonics import COUNTS, basis
from fewview.render.gaussians import Gaussians

Y_DOWN = torch.tensor([0.0, -1, 0])
FLIP = torch.diag(torch.tensor([1.0, -1, -1]))  # from glTF's axes to a PLY's


def changed(path: Path, splats: Gaussians, change) -> Path:
    """A .gltf of splats, after a change of its tree and its first buffer."""
    write_splat_glb(path, splats, Y_DOWN)
    tree = json.loads(path.read_text())
    change(tree)
    path.write_text(json.dumps(tree))
    return path


def coloured(*colours: tuple[float, float, float]) -> Gaussians:
    return replace(ball(len(colours)), features=torch.tensor(colours), opacities=torch.linspace(0.1, 1, len(colours)))


def vertex_colours(path: Path) -> np.ndarray:
    """COLOR_0 of a .glb of ours, as shares."""
    data = path.read_bytes()
    size = struct.unpack_from("<I", data, 12)[0]
    tree = json.loads(data[20 : 20 + size])
    accessor = tree["accessors"][tree["meshes"][0]["primitives"][0]["attributes"]["COLOR_0"]]
    start = 28 + size + tree["bufferViews"][accessor["bufferView"]]["byteOffset"]
    assert accessor["componentType"] == 5123 and accessor["normalized"] is True and accessor["type"] == "VEC4"
    return np.frombuffer(data, "<u2", 4 * accessor["count"], start).reshape(-1, 4) / 65535


def test_colours_for_programs_without_splats_are_linear(tmp_path):
    """glTF 2.0, 3.7.2.1: COLOR_0 is linear; 0.5 of sRGB is 0.2140 of light (IEC 61966-2-1). Alpha is the opacity."""
    splats = coloured((0.0, 0.5, 1.0), (-0.3, 1.7, 0.04), (0.25, 0.75, 0.02))
    write_splat_glb(tmp_path / "x.glb", splats, Y_DOWN)
    want = [[0, 0.21404, 1], [0, 1, 0.0030960], [0.050876, 0.522522, 0.0015480]]
    np.testing.assert_allclose(vertex_colours(tmp_path / "x.glb")[:, :3], want, atol=1e-5)
    np.testing.assert_allclose(vertex_colours(tmp_path / "x.glb")[:, 3], splats.opacities, atol=1e-5)


def test_srgb_and_light_are_inverse_and_meet_at_their_joint():
    shares = np.linspace(0, 1, 1001)
    np.testing.assert_allclose(srgb_of(linear_of(shares)), shares, atol=1e-7)
    assert linear_of(np.array([0.04045])) == pytest.approx(0.0031308, abs=1e-7)


def test_linear_colours_are_turned_to_srgb(tmp_path):
    def change(tree):
        tree["meshes"][0]["primitives"][0]["extensions"][SPLATTING]["colorSpace"] = "lin_rec709_display"

    scene = read_gltf_splats(changed(tmp_path / "x.gltf", coloured((0.0, 0.21404, 1.0)), change))
    torch.testing.assert_close(scene.gaussians.features[0], torch.tensor([0.0, 0.5, 1.0]), atol=1e-4, rtol=0)
    assert scene.notes == ("colours are of 'lin_rec709_display' and turned to sRGB",)


def test_small_harmonics_of_linear_colours_are_turned_to_srgb_with_them(tmp_path):
    """Seen from any side the colour is that of the linear sum, to first order."""

    def change(tree):
        tree["meshes"][0]["primitives"][0]["extensions"][SPLATTING]["colorSpace"] = "lin_rec709_display"

    splats = replace(coloured((0.2, 0.4, 0.6)), harmonics=torch.full((1, 3, 3), 0.004))
    found = read_gltf_splats(changed(tmp_path / "x.gltf", splats, change)).gaussians
    side = basis(torch.tensor([[0.6, 0.0, 0.8]]), 1)[0]
    light = splats.features[0] + side @ splats.harmonics[0]
    seen = found.features[0] + side @ found.harmonics[0]
    np.testing.assert_allclose(seen, srgb_of(light.numpy()), atol=1e-4)


@pytest.mark.parametrize("space", ["acescg", 3, None])
def test_colours_of_other_spaces_are_taken_as_they_are_with_a_note(tmp_path, space):
    def change(tree):
        tree["meshes"][0]["primitives"][0]["extensions"][SPLATTING]["colorSpace"] = space

    scene = read_gltf_splats(changed(tmp_path / "x.gltf", ball(5), change))
    torch.testing.assert_close(scene.gaussians.features, ball(5).features, atol=1e-6, rtol=0)
    assert "taken as sRGB" in scene.notes[0]


def test_logarithms_of_scales_of_the_draft_are_told_by_their_sign(tmp_path):
    """The review draft of 2025 stored log scales; the release candidate stores scales, which are never negative."""
    logs = replace(ball(5), scales=ball(5).scales.log())
    scene = read_gltf_splats(changed(tmp_path / "x.gltf", logs, lambda tree: None))
    torch.testing.assert_close(scene.gaussians.scales, ball(5).scales)
    assert "all are logarithms" in scene.notes[0]


@pytest.mark.parametrize("scale", [(1, 2, 1), (0.5, 3, 2), (2, 2, 2.5)])
def test_nodes_may_scale_each_axis_by_its_own_factor(tmp_path, scale):
    """The covariance is M C C^T M^T, M the node's matrix in glTF's axes."""
    half = math.sqrt(0.5)
    nodes = [{"mesh": 0, "scale": list(scale), "rotation": [half, 0, 0, half], "translation": [1, 2, 3]}]
    splats = replace(ball(6), harmonics=torch.randn(6, COUNTS[2], 3, generator=torch.Generator().manual_seed(0)))
    scene = read_gltf_splats(changed(tmp_path / "x.gltf", splats, lambda tree: tree.update(nodes=nodes)))
    turn = torch.tensor([[1.0, 0, 0], [0, 0, -1], [0, 1, 0]])  # 90 degrees about x
    node = FLIP @ turn @ torch.diag(torch.tensor(scale, dtype=torch.float32)) @ FLIP
    moved = splats.means @ node.T + torch.tensor([1.0, -2, -3])
    torch.testing.assert_close(scene.gaussians.means, moved, atol=1e-5, rtol=0)
    want = node @ splats.covariances() @ node.T
    torch.testing.assert_close(scene.gaussians.covariances(), want, atol=1e-6, rtol=1e-3)
    assert (scene.gaussians.scales > 0).all()
    sides = torch.nn.functional.normalize(torch.randn(4, 3, generator=torch.Generator().manual_seed(1)), dim=-1)
    there = torch.einsum("dk,nkc->dnc", basis(sides @ (FLIP @ turn @ FLIP).T, 2), scene.gaussians.harmonics)
    torch.testing.assert_close(there, torch.einsum("dk,nkc->dnc", basis(sides, 2), splats.harmonics), atol=1e-4, rtol=0)


@pytest.mark.parametrize("scale", [(-1, 1, 1), (1, -1, 1), (0, 1, 1), (-1, -1, -1)])
def test_nodes_that_mirror_or_flatten_are_refused(tmp_path, scale):
    path = changed(tmp_path / "x.gltf", ball(3), lambda tree: tree.update(nodes=[{"mesh": 0, "scale": list(scale)}]))
    with pytest.raises(InputError, match="mirrors or flattens"):
        read_gltf_splats(path)


def test_scales_may_be_whole_numbers(tmp_path):
    """Unsigned bytes that are not normalised stand for themselves."""

    def change(tree):
        import base64

        uri = "data:;base64," + base64.b64encode(bytes([1, 2, 3] * 4)).decode()
        tree["buffers"].append({"byteLength": 12, "uri": uri})
        tree["bufferViews"].append({"buffer": 1, "byteLength": 12})
        view = len(tree["bufferViews"]) - 1
        tree["accessors"].append({"bufferView": view, "componentType": 5121, "count": 4, "type": "VEC3"})
        attributes = tree["meshes"][0]["primitives"][0]["attributes"]
        attributes[f"{SPLATTING}:SCALE"] = len(tree["accessors"]) - 1

    found = read_gltf_splats(changed(tmp_path / "x.gltf", ball(4), change)).gaussians
    assert found.scales.tolist() == [[1, 2, 3]] * 4


def test_what_else_a_file_holds_is_named(tmp_path):
    """A triangle beside the splats, and an animation, which splats have no place for."""
    path = tmp_path / "x.gltf"
    write_splat_glb(path, ball(20), torch.tensor([0.0, -1, 0]))
    assert not any("left out" in note for note in read_gltf_splats(path).notes)
    tree = json.loads(path.read_text())
    tree["meshes"].append({"primitives": [{"attributes": {"POSITION": 0}}]})
    tree["nodes"].append({"mesh": len(tree["meshes"]) - 1})
    tree["scenes"][0]["nodes"].append(len(tree["nodes"]) - 1)
    tree["animations"] = [{"channels": [], "samplers": []}]
    path.write_text(json.dumps(tree))
    scene = read_gltf_splats(path)
    assert len(scene.gaussians) == 20
    assert "beside the splats, 1 animations, 1 parts of meshes are left out" in scene.notes
