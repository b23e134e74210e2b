import math

import numpy as np
import pytest
import torch
from plyfile import PlyData, PlyElement

from fewview.errors import InputError
from fewview.export.ply import SH_DC, read_ply, write_ply
from fewview.export.ply_table import read_tables
from fewview.render.gaussians import Gaussians


@pytest.fixture
def splats(generator) -> Gaussians:
    def normal(*shape):
        return torch.randn(*shape, generator=generator)

    quaternions = torch.nn.functional.normalize(normal(20, 4), dim=-1)
    opacities = torch.rand(20, generator=generator) * 0.98 + 0.01
    return Gaussians(normal(20, 3), normal(20, 3).exp(), quaternions, opacities, torch.rand(20, 3, generator=generator))


def test_the_constant_is_the_zeroth_spherical_harmonic():
    assert pytest.approx(1 / (2 * math.sqrt(math.pi)), rel=1e-15) == SH_DC


def test_reading_inverts_writing(tmp_path, splats):
    write_ply(tmp_path / "splats.ply", splats)
    again = read_ply(tmp_path / "splats.ply").gaussians
    for name, tensor in splats.tensors().items():
        torch.testing.assert_close(getattr(again, name), tensor, atol=1e-5, rtol=1e-5)


def test_values_are_stored_unactivated_in_the_3dgs_columns(tmp_path):
    one = Gaussians(
        torch.tensor([[1.0, 2, 3]]),
        torch.tensor([[1.0, math.e, math.e**2]]),
        torch.tensor([[0.0, 0, 0, 2]]),
        torch.tensor([0.5]),
        torch.tensor([[0.5, 0.5 + SH_DC, 0.5 - SH_DC]]),
    )
    write_ply(tmp_path / "one.ply", one)
    row = PlyData.read(tmp_path / "one.ply")["vertex"].data[0]
    assert row.dtype.names == (
        "x", "y", "z", "nx", "ny", "nz", "f_dc_0", "f_dc_1", "f_dc_2", "opacity",
        "scale_0", "scale_1", "scale_2", "rot_0", "rot_1", "rot_2", "rot_3",
    )  # fmt: skip
    np.testing.assert_allclose(list(row), [1, 2, 3, 0, 0, 0, 0, 1, -1, 0, 0, 1, 2, 0, 0, 0, 1], atol=1e-6)


def test_an_independent_reader_sees_the_same_splats(tmp_path, splats):
    gsply = pytest.importorskip("gsply", reason="gsply is an independent reader of splat files, used in tests alone")
    write_ply(tmp_path / "splats.ply", splats)
    theirs = gsply.plyread(str(tmp_path / "splats.ply"))
    np.testing.assert_allclose(theirs.means, splats.means.numpy(), rtol=1e-6)
    np.testing.assert_allclose(theirs.scales, splats.scales.log().numpy(), rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(theirs.quats, splats.quaternions.numpy(), rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(theirs.opacities, torch.logit(splats.opacities).numpy(), rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(np.squeeze(theirs.sh0), ((splats.features - 0.5) / SH_DC).numpy(), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("form", [{"text": True}, {"byte_order": "<"}, {"byte_order": ">"}], ids=str)
def test_tables_of_another_writer_are_read_in_every_form(tmp_path, form):
    rng = np.random.default_rng(0)
    places = np.array([(1, 2.5), (3, 4.5)], [("id", "u1"), ("weight", "f8")])
    vertices = np.zeros(5, [("x", "f4"), ("y", "f8"), ("label", "i2")])
    for name in ("x", "y", "label"):
        vertices[name] = (100 * rng.standard_normal(5)).astype(vertices.dtype[name])
    faces = np.array([([0, 1, 2],), ([2, 3, 4],)], dtype=[("vertex_indices", "i4", (3,))])
    elements = [PlyElement.describe(places, "place"), PlyElement.describe(vertices, "vertex")]
    PlyData([*elements, PlyElement.describe(faces, "face")], comments=["a word"], **form).write(tmp_path / "x.ply")
    table = read_tables(tmp_path / "x.ply").vertices
    assert table.dtype.names == ("x", "y", "label")
    for name in ("x", "y", "label"):
        np.testing.assert_allclose(table[name], vertices[name], rtol=1e-6)


def test_opacities_of_zero_and_one_and_flat_scales_stay_finite(tmp_path, splats):
    extreme = Gaussians(
        splats.means[:2], torch.zeros(2, 3), splats.quaternions[:2], torch.tensor([0.0, 1.0]), splats.features[:2]
    )
    write_ply(tmp_path / "extreme.ply", extreme)
    torch.testing.assert_close(
        read_ply(tmp_path / "extreme.ply").gaussians.opacities, torch.tensor([0.0, 1.0]), atol=2e-6, rtol=0
    )


def test_latent_features_are_no_splat_file(tmp_path, splats):
    wide = Gaussians(splats.means, splats.scales, splats.quaternions, splats.opacities, torch.zeros(20, 8))
    with pytest.raises(ValueError, match="8"):
        write_ply(tmp_path / "wide.ply", wide)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"not a ply",
        b"ply\nformat binary_little_endian 1.0\nelement vertex 9\nproperty float x\nend_header\n123",
        b"ply\nformat ascii 1.0\nelement vertex 1\nproperty float x\nend_header\n1\n",
        b"ply\nformat binary_little_endian 1.0\nelement vertex 99999999999999\nproperty float x\nend_header\n123",
        b"ply\nformat ascii 1.0\nelement vertex -1\nproperty float x\nend_header\n1\n",
        b"ply\nformat ascii 1.0\nelement vertex 2\nproperty float x\nend_header\n1 2\n3\n",
        b"ply\nformat ascii 1.0\nelement vertex 1\nproperty quaternion x\nend_header\n1\n",
        b"ply\nelement vertex 1\nproperty float x\nend_header\n1\n",
        b"ply\nformat ascii 1.0\nelement vertex 1\nproperty list uchar int x\nend_header\n1 1\n",
        b"ply\nformat ascii 1.0\nelement vertex 1\nproperty float x\nproperty float x\nend_header\n1 1\n",
        b"ply\nformat ascii 1.0\nelement face 0\nproperty list uchar int vertex_indices\nend_header\n",
    ],
)
def test_a_malformed_file_is_refused_by_name(tmp_path, content):
    (tmp_path / "bad.ply").write_bytes(content)
    with pytest.raises(InputError, match=r"bad\.ply"):
        read_ply(tmp_path / "bad.ply")


def test_a_missing_file_is_refused_and_a_value_that_is_not_finite_costs_its_splat_alone(tmp_path, splats):
    with pytest.raises(InputError, match="does not exist"):
        read_ply(tmp_path / "none.ply")
    splats.means[3, 1] = math.nan
    write_ply(tmp_path / "nan.ply", splats)
    again = read_ply(tmp_path / "nan.ply")
    assert len(again.gaussians) == len(splats) - 1 and again.notes[0].startswith("1 splat is left out")
