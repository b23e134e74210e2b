"""Files of splats as other programs write them: other columns, axes that are stated, rows that are no splats."""

import gzip
import math
import struct
from pathlib import Path

import numpy as np
import pytest
import torch

from fewview.errors import InputError
from fewview.export.ply import COLUMNS, SH_DC, write_ply
from fewview.export.scenes import load_scene
from fewview.export.splat import ROW, write_splat
from fewview.export.spz import write_spz
from fewview.geometry.quaternions import rotations
from fewview.render.gaussians import Gaussians

COUNT = 8
NAMES = [name for group in COLUMNS.values() for name in group]


def table() -> dict[str, np.ndarray]:
    """Columns of a few plain splats, turned by 0.2 about x."""
    columns = {name: np.linspace(-0.5, 0.5, COUNT) for name in NAMES}
    columns |= {name: np.zeros(COUNT) for name in COLUMNS["normals"]}
    columns |= {f"scale_{i}": np.full(COUNT, -3.0 + i) for i in range(3)}
    columns |= {name: np.zeros(COUNT) for name in ("nx", "ny", "nz")}
    turn = {"rot_0": math.cos(0.1), "rot_1": math.sin(0.1), "rot_2": 0.0, "rot_3": 0.0}
    return columns | {name: np.full(COUNT, value) for name, value in turn.items()}


def ply(path: Path, columns: dict[str, np.ndarray], *, head: bytes = b"", kinds: dict[str, str] | None = None) -> Path:
    types = {"float": "<f4", "uchar": "u1", "ushort": "<u2", "double": "<f8"}
    kind = {name: (kinds or {}).get(name, "float") for name in columns}
    rows = np.empty(COUNT, [(name, types[kind[name]]) for name in columns])
    for name, values in columns.items():
        rows[name] = values
    lines = [f"element vertex {COUNT}", *(f"property {kind[name]} {name}" for name in columns), "end_header", ""]
    start = b"ply\nformat binary_little_endian 1.0\n" + head
    path.write_bytes(start + "\n".join(lines).encode() + rows.tobytes())
    return path


def without(*names: str) -> dict[str, np.ndarray]:
    return {name: values for name, values in table().items() if name not in names}


F_DC = ("f_dc_0", "f_dc_1", "f_dc_2")


@pytest.mark.parametrize(("kind", "most"), [("uchar", 255), ("ushort", 65535), ("float", 1), ("double", 1)])
def test_colours_may_be_red_green_and_blue(tmp_path, kind, most):
    shares = np.array([0, 0.2, 0.4, 0.6, 0.8, 1, 0.2, 0.4])
    columns = without(*F_DC) | {name: shares * most for name in ("red", "green", "blue")}
    scene = load_scene(ply(tmp_path / "x.ply", columns, kinds=dict.fromkeys(("red", "green", "blue"), kind)))
    np.testing.assert_allclose(scene.gaussians.features[:, 1], shares, atol=1e-6)


def test_harmonics_come_before_red_green_and_blue(tmp_path):
    columns = table() | {name: np.full(COUNT, 255) for name in ("red", "green", "blue")}
    scene = load_scene(ply(tmp_path / "x.ply", columns, kinds=dict.fromkeys(("red", "green", "blue"), "uchar")))
    np.testing.assert_allclose(scene.gaussians.features[0], np.full(3, -0.5 * SH_DC + 0.5), atol=1e-6)


def test_splats_of_two_scales_are_flat(tmp_path):
    scene = load_scene(ply(tmp_path / "x.ply", without("scale_2", "nx", "ny", "nz")))
    scales = scene.gaussians.scales
    np.testing.assert_allclose(scales[:, :2], np.tile(np.exp([-3.0, -2.0]), (COUNT, 1)), rtol=1e-6)
    assert scales[:, 2].tolist() == [0] * COUNT and "flat" in scene.notes[0]


@pytest.mark.parametrize("suffix", [".ply", ".spz", ".splat"])
def test_flat_splats_are_written_and_read_in_every_format(tmp_path, suffix):
    flat = load_scene(ply(tmp_path / "x.ply", without("scale_2"))).gaussians
    {".ply": write_ply, ".spz": write_spz, ".splat": write_splat}[suffix](tmp_path / f"y{suffix}", flat)
    again = load_scene(tmp_path / f"y{suffix}").gaussians
    assert len(again) == COUNT and again.scales[:, 2].max() < 1e-4


@pytest.mark.parametrize("suffix", [".ply", ".spz", ".splat"])
def test_rotations_without_length_are_written_so_that_we_read_them(tmp_path, suffix):
    splats = load_scene(ply(tmp_path / "x.ply", table())).gaussians
    turns = splats.quaternions.clone()
    turns[:, :] = 0
    turns[1] = torch.tensor([20.0, 0, 0, 0])
    odd = Gaussians(splats.means, splats.scales, turns, splats.opacities, splats.features)
    {".ply": write_ply, ".spz": write_spz, ".splat": write_splat}[suffix](tmp_path / f"y{suffix}", odd)
    again = load_scene(tmp_path / f"y{suffix}").gaussians
    torch.testing.assert_close(rotations(again.quaternions), torch.eye(3).expand(COUNT, 3, 3), atol=0.02, rtol=0)


BAD = {
    "no number as opacity": ("opacity", math.nan),
    "no number as place": ("x", math.nan),
    "infinite place": ("y", math.inf),
    "place beyond float32's squares": ("z", -1e30),
    "no number as colour": ("f_dc_1", math.nan),
    "no number as rotation": ("rot_1", math.nan),
    "infinite rotation": ("rot_2", math.inf),
    "scale beyond all": ("scale_1", 100.0),
    "scale of e^30": ("scale_0", 30.0),
    "no number as scale": ("scale_2", math.nan),
}


@pytest.mark.parametrize("case", BAD)
def test_a_splat_that_makes_no_sense_is_left_out_with_a_count(tmp_path, case):
    name, value = BAD[case]
    columns = table()
    columns[name][2] = value
    scene = load_scene(ply(tmp_path / "x.ply", columns))
    assert len(scene.gaussians) == COUNT - 1
    assert scene.notes == ("1 splat is left out, for numbers that are not finite or beyond 1e+09",)


@pytest.mark.parametrize(
    ("name", "value", "field", "meant"),
    [
        ("opacity", math.inf, "opacities", 1.0),
        ("opacity", -math.inf, "opacities", 0.0),
        ("scale_2", -math.inf, "scales", 0.0),
    ],
)
def test_infinities_that_mean_something_are_kept(tmp_path, name, value, field, meant):
    columns = table()
    columns[name][2] = value
    scene = load_scene(ply(tmp_path / "x.ply", columns))
    assert len(scene.gaussians) == COUNT and not scene.notes
    assert getattr(scene.gaussians, field)[2].reshape(-1)[-1] == meant


def test_a_file_of_which_half_makes_no_sense_is_damaged(tmp_path):
    columns = table()
    columns["x"][: COUNT // 2] = math.nan
    with pytest.raises(InputError, match="splat 0 has 'means' that are not finite"):
        load_scene(ply(tmp_path / "x.ply", columns))


@pytest.mark.parametrize(
    "head",
    [
        "comment Größe: 3 µm\n".encode(),
        "comment Größe\n".encode("latin-1"),
        b"comment end_header follows below\n",
        b"comment a\x85b\x1cc\n",
        b"obj_info \xff\xfe\n",
        b"comment \n\n",
    ],
)
def test_comments_of_a_header_may_say_anything(tmp_path, head):
    assert len(load_scene(ply(tmp_path / "x.ply", table(), head=head)).gaussians) == COUNT


def test_a_header_of_windows_lines_is_read(tmp_path):
    data = ply(tmp_path / "x.ply", table()).read_bytes()
    header, rows = data.split(b"end_header\n", 1)
    (tmp_path / "x.ply").write_bytes((header + b"end_header\n").replace(b"\n", b"\r\n") + rows)
    assert len(load_scene(tmp_path / "x.ply").gaussians) == COUNT


@pytest.mark.parametrize(
    ("columns", "words"),
    [
        (
            {"packed_position": 0, "packed_rotation": 0, "packed_scale": 0, "packed_color": 0},
            "packed splats without their chunks",
        ),
        ({"x": 0, "y": 0, "z": 0}, "a point cloud, not splats"),
        ({"x": 0, "y": 0, "z": 0, "red": 0, "green": 0, "blue": 0}, "a point cloud, not splats"),
        ({"x": 0, "y": 0, "z": 0, "nx": 0, "ny": 0, "nz": 0}, "a point cloud, not splats"),
    ],
)
def test_other_kinds_of_ply_are_called_what_they_are(tmp_path, columns, words):
    with pytest.raises(InputError, match=words):
        load_scene(ply(tmp_path / "x.ply", {name: np.zeros(COUNT) for name in columns}))


# .splat


def rows() -> np.ndarray:
    table = np.zeros(COUNT, ROW)
    table["scale"], table["colour"], table["rotation"] = 0.05, 200, (255, 128, 128, 128)
    table["mean"] = np.linspace(-1, 1, COUNT)[:, None]
    return table


def stored(path: Path, table: np.ndarray) -> Path:
    path.write_bytes(table.tobytes())
    return path


def test_four_neutral_bytes_are_no_rotation(tmp_path):
    table = rows()
    table["rotation"][3] = 128
    scene = load_scene(stored(tmp_path / "x.splat", table)).gaussians
    assert len(scene) == COUNT and scene.quaternions[3].tolist() == [1, 0, 0, 0]


@pytest.mark.parametrize("places", [[7], [0], [2, 3, 7]])
def test_empty_rows_are_left_out_with_a_count(tmp_path, places):
    table = rows()
    table[places] = 0
    scene = load_scene(stored(tmp_path / "x.splat", table))
    assert len(scene.gaussians) == COUNT - len(places) and scene.notes == (f"{len(places)} empty rows are left out",)


@pytest.mark.parametrize("length", [0.75, 0.86, 1.0])
def test_rotations_of_other_lengths_are_normalised(tmp_path, length):
    table = rows()
    table["rotation"] = np.round(np.array([0.6, 0.8, 0, 0]) * length * 127 + 128)
    turns = load_scene(stored(tmp_path / "x.splat", table)).gaussians.quaternions
    torch.testing.assert_close(turns[0], torch.tensor([0.6, 0.8, 0, 0]), atol=0.01, rtol=0)


def test_a_row_that_is_not_finite_is_left_out(tmp_path):
    table = rows()
    table["mean"][4, 1] = math.nan
    assert len(load_scene(stored(tmp_path / "x.splat", table)).gaussians) == COUNT - 1


# .spz

PLACE, SCALE_BYTES = (1.0, 2.0, 3.0), (96, 112, 128)
NUMBERS = {"none": None, "unspecified": 0, "LDB": 1, "RDB": 2, "LUB": 3, "RUB": 4, "LDF": 5, "RDF": 6, "LUF": 7}
NUMBERS |= {"RUF": 8, "LFD": 9, "RFD": 10, "LFU": 11, "RFU": 12, "LBD": 13, "RBD": 14, "LBU": 15, "RBU": 16}
WANT = {  # right, down, front of PLACE by hand: the letters say where x = 1, y = 2, z = 3 point to
    "LDB": (-1, 2, -3), "RDB": (1, 2, -3), "LUB": (-1, -2, -3), "RUB": (1, -2, -3),
    "LDF": (-1, 2, 3), "RDF": (1, 2, 3), "LUF": (-1, -2, 3), "RUF": (1, -2, 3),
    "LFD": (-1, 3, 2), "RFD": (1, 3, 2), "LFU": (-1, -3, 2), "RFU": (1, -3, 2),
    "LBD": (-1, 3, -2), "RBD": (1, 3, -2), "LBU": (-1, -3, -2), "RBU": (1, -3, -2),
}  # fmt: skip


def spz(path: Path, version: int, code: int | None, *, before: bytes = b"") -> Path:
    """One splat, turned by 0.6 about its first axis, in steps of 2^-12."""
    records = b"" if code is None else before + struct.pack("<III", 0xADBE0003, 4, code)
    sine = round(math.sin(0.3) * math.sqrt(2) * 511)
    blocks = [
        np.array(PLACE) @ np.eye(3) * 4096,
        bytes([200]),
        bytes([128] * 3),
        bytes(SCALE_BYTES),
        struct.pack("<I", 3 << 30 | sine << 20),
    ]
    blocks[0] = b"".join(int(x).to_bytes(3, "little", signed=True) for x in blocks[0])
    head = struct.pack("<4sIIBBBB", b"NGSP", version, 1, 0, 12, 2 if records else 0, 5 if version == 4 else 0)
    if version < 4:
        path.write_bytes(gzip.compress(head + b"".join(blocks) + records))
        return path
    zstandard = pytest.importorskip("zstandard", reason="SPZ of version 4 is packed by zstd")
    packed = [zstandard.ZstdCompressor().compress(block) for block in blocks]
    sizes = b"".join(struct.pack("<QQ", len(small), len(block)) for small, block in zip(packed, blocks))
    path.write_bytes(head + struct.pack("<I12x", 32 + len(records)) + records + sizes + b"".join(packed))
    return path


@pytest.mark.parametrize("version", [3, 4])
@pytest.mark.parametrize("name", NUMBERS)
def test_axes_are_those_that_the_file_states(tmp_path, version, name):
    """Without a statement: right, up, back in version 3, and a PLY's in version 4."""
    scene = load_scene(spz(tmp_path / "x.spz", version, NUMBERS[name]))
    letters = name if name in WANT else {3: "RUB", 4: "RDF"}[version]
    np.testing.assert_allclose(scene.gaussians.means[0], WANT[letters], atol=1e-6)
    assert f"axes are {letters}" in scene.notes[0]


@pytest.mark.parametrize("name", WANT)
def test_the_shapes_of_splats_turn_with_the_axes(tmp_path, name):
    """The covariance in new axes is M C M^T, where M takes the file's axes to right, down, front."""
    here = load_scene(spz(tmp_path / "a.spz", 4, NUMBERS["RDF"])).gaussians.covariances()[0].numpy()
    there = load_scene(spz(tmp_path / "b.spz", 4, NUMBERS[name])).gaussians.covariances()[0].numpy()
    turn = np.zeros((3, 3))
    for row, value in enumerate(WANT[name]):
        turn[row, abs(value) - 1] = math.copysign(1, value)
    np.testing.assert_allclose(there, turn @ here @ turn.T, atol=1e-7)


@pytest.mark.parametrize("version", [3, 4])
def test_other_records_before_that_of_the_axes_are_passed_over(tmp_path, version):
    path = spz(tmp_path / "x.spz", version, NUMBERS["LUF"], before=struct.pack("<II12x", 0xADBE0002, 12))
    np.testing.assert_allclose(load_scene(path).gaussians.means[0], WANT["LUF"], atol=1e-6)


@pytest.mark.parametrize("version", [3, 4])
def test_unknown_axes_are_refused(tmp_path, version):
    with pytest.raises(InputError, match="axes of number 99"):
        load_scene(spz(tmp_path / "x.spz", version, 99))
