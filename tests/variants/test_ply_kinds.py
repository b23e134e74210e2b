"""PLY as programs write it: types, orders, lists, comments, elements before and behind, harmonics, text of any kind."""

from pathlib import Path

import numpy as np
import plyfile
import pytest
import torch
from export.test_foreign_splats import COUNT, NAMES, table
from viewer.scenes import ball

from fewview.errors import InputError
from fewview.export.compressed_ply import write_compressed_ply
from fewview.export.ply import SH_DC
from fewview.export.ply_points import read_points
from fewview.export.scenes import load_scene
from fewview.render.gaussians import Gaussians

WORDS = {"f4": "float", "f8": "double", "u1": "uchar", "i1": "char", "u2": "ushort", "i2": "short", "i4": "int"}


def rows_of(columns: dict[str, np.ndarray], kinds: dict[str, str] | None = None) -> np.ndarray:
    rows = np.empty(COUNT, [(name, (kinds or {}).get(name, "f4")) for name in columns])
    for name, values in columns.items():
        rows[name] = values
    return rows


def written(path: Path, *elements: plyfile.PlyElement, text: bool = False, order: str = "<", **more) -> Path:
    """By plyfile, which others wrote."""
    plyfile.PlyData(list(elements), text=text, byte_order="=" if text else order, **more).write(path)
    return path


def vertices(columns: dict[str, np.ndarray] | None = None, **kinds: str) -> plyfile.PlyElement:
    return plyfile.PlyElement.describe(rows_of(columns or table(), kinds), "vertex")


def faces(count: int = 3) -> plyfile.PlyElement:
    """Triangles and a polygon, as lists."""
    rows = np.empty(count, [("vertex_indices", "O"), ("flag", "u1")])
    rows["vertex_indices"] = [np.arange(3 + i % 2, dtype="i4") for i in range(count)]
    rows["flag"] = 1
    types = {"len_types": {"vertex_indices": "u1"}, "val_types": {"vertex_indices": "i4"}}
    return plyfile.PlyElement.describe(rows, "face", **types)


def camera() -> plyfile.PlyElement:
    rows = np.array([(1.5, 2)], [("focal", "f8"), ("id", "i2")])
    return plyfile.PlyElement.describe(rows, "camera")


def same(path: Path, columns: dict[str, np.ndarray] | None = None) -> None:
    """The splats of the table: places, sizes, opacities and colours by the layout of 3D Gaussian Splatting."""
    columns, found = columns or table(), load_scene(path).gaussians
    stack = lambda *names: np.stack([columns[name] for name in names], -1)
    np.testing.assert_allclose(found.means, stack(*"xyz"), atol=1e-6)
    np.testing.assert_allclose(found.scales, np.exp(stack("scale_0", "scale_1", "scale_2")), rtol=1e-5)
    np.testing.assert_allclose(found.opacities, 1 / (1 + np.exp(-columns["opacity"])), rtol=1e-5)
    np.testing.assert_allclose(found.features, 0.5 + SH_DC * stack("f_dc_0", "f_dc_1", "f_dc_2"), atol=1e-6)
    np.testing.assert_allclose(found.quaternions, stack("rot_0", "rot_1", "rot_2", "rot_3"), atol=1e-6)


WRITERS = {
    "doubles": lambda path: written(path, vertices(**dict.fromkeys(NAMES, "f8"))),
    "text of doubles": lambda path: written(path, vertices(**dict.fromkeys(NAMES, "f8")), text=True),
    "large endian": lambda path: written(path, vertices(), order=">"),
    "large endian doubles": lambda path: written(path, vertices(**dict.fromkeys(NAMES, "f8")), order=">"),
    "text": lambda path: written(path, vertices(), text=True),
    "columns in another order": lambda path: written(path, vertices(dict(reversed(table().items())))),
    "faces behind": lambda path: written(path, vertices(), faces()),
    "lists first": lambda path: written(path, faces(), vertices()),
    "lists first, large endian": lambda path: written(path, faces(5), vertices(), order=">"),
    "lists first, text": lambda path: written(path, faces(4), vertices(), text=True),
    "a camera and lists first": lambda path: written(path, camera(), faces(), vertices(), camera_again()),
    "no lists in an element that has some": lambda path: written(path, faces(0), vertices()),
    "extra columns": lambda path: written(path, vertices(table() | {"label": np.arange(COUNT)}, label="i4")),
    "comments": lambda path: written(path, vertices(), comments=["end_header", "element vertex 3"], obj_info=["x"]),
    "comments of a megabyte, nearly": lambda path: written(path, vertices(), comments=["word " * 20_000] * 9),
}  # fmt: skip


def camera_again() -> plyfile.PlyElement:
    rows = np.array([(1, 2.0)], [("view", "i4"), ("time", "f4")])
    return plyfile.PlyElement.describe(rows, "extra")


@pytest.mark.parametrize("case", WRITERS)
def test_splats_are_read_as_plyfile_wrote_them(tmp_path, case):
    same(WRITERS[case](tmp_path / "x.ply"))


def test_points_behind_lists_are_read(tmp_path):
    found = read_points(written(tmp_path / "x.ply", faces(), vertices()), (0.0, 0.0, 0.0))
    np.testing.assert_allclose(found, np.stack([table()[axis] for axis in "xyz"], -1), atol=1e-6)


def test_lists_of_a_length_that_is_not_there_are_refused(tmp_path):
    path = written(tmp_path / "x.ply", faces(), vertices())
    data = bytearray(path.read_bytes())
    data[data.index(b"end_header\n") + 11] = 250
    path.write_bytes(data)
    with pytest.raises(InputError, match="ends before the values that its header announces"):
        load_scene(path)


def each(change):
    """A change of every word of some lines."""
    return lambda body: b"\n".join(b" ".join(map(change, line.split())) for line in body.split(b"\n"))


LAYOUTS = {
    "tabs": lambda body: body.replace(b" ", b"\t"),
    "spaces at line ends": lambda body: body.replace(b"\n", b"   \n"),
    "capital exponents": lambda body: body.replace(b"e", b"E"),
    "plus signs": each(lambda word: word if word[:1] == b"-" else b"+" + word),
    "no line at the end": lambda body: body.rstrip(),
    "blank lines at the end": lambda body: body + b"\n\n",
}


@pytest.mark.parametrize("case", LAYOUTS)
@pytest.mark.parametrize("ends", [b"\n", b"\r\n"])
def test_text_may_be_laid_out_in_any_way(tmp_path, case, ends):
    written(tmp_path / "x.ply", vertices(), text=True)
    head, body = (tmp_path / "x.ply").read_bytes().split(b"end_header\n")
    (tmp_path / "x.ply").write_bytes((head + b"end_header\n" + LAYOUTS[case](body)).replace(b"\n", ends))
    same(tmp_path / "x.ply")


@pytest.mark.parametrize("word", ["nan", "-nan(ind)", "NaN", "-1.#IND", "1.#QNAN0", "-nan"])
def test_what_is_no_number_in_text_is_left_out_with_its_splat(tmp_path, word):
    written(tmp_path / "x.ply", vertices(), text=True)
    lines = (tmp_path / "x.ply").read_text().split("\n")
    at = lines.index("end_header") + 3
    lines[at] = " ".join([word, *lines[at].split()[1:]])
    (tmp_path / "x.ply").write_text("\n".join(lines))
    scene = load_scene(tmp_path / "x.ply")
    assert len(scene.gaussians) == COUNT - 1 and "1 splat is left out" in scene.notes[0]


@pytest.mark.parametrize("word", ["inf", "1.#INF", "Infinity", "1e400"])
def test_infinite_logits_in_text_are_opaque(tmp_path, word):
    columns = dict(sorted(table().items(), key=lambda pair: pair[0] != "opacity"))
    written(tmp_path / "x.ply", vertices(columns), text=True)
    lines = (tmp_path / "x.ply").read_text().split("\n")
    at = lines.index("end_header") + 1
    lines[at] = " ".join([word, *lines[at].split()[1:]])
    (tmp_path / "x.ply").write_text("\n".join(lines))
    assert load_scene(tmp_path / "x.ply").gaussians.opacities[0] == 1


@pytest.mark.parametrize("degree", [1, 2, 3])
@pytest.mark.parametrize("shape", ["plain", "flat", "doubles", "shuffled", "text"])
def test_harmonics_of_every_degree_and_layout(tmp_path, degree, shape):
    """f_rest_* holds all of red, then green, then blue (3D Gaussian Splatting)."""
    each = (degree + 1) ** 2 - 1
    rest = {f"f_rest_{i}": np.full(COUNT, 0.01 * i) for i in range(3 * each)}
    columns = {**table(), **rest}
    if shape == "flat":
        del columns["scale_2"]
    if shape == "shuffled":
        columns = dict(sorted(columns.items()))
    kinds = dict.fromkeys(columns, "f8") if shape == "doubles" else {}
    found = load_scene(written(tmp_path / "x.ply", vertices(columns, **kinds), text=shape == "text")).gaussians
    want = np.arange(3 * each).reshape(3, each).T * 0.01
    assert found.degree == degree
    np.testing.assert_allclose(found.harmonics[2], want, atol=1e-6)
    assert (found.scales[:, 2] == 0).all() == (shape == "flat")


COLOURS = {  # type of red, green and blue, what is full
    "uchar": ("u1", 255), "ushort": ("u2", 65535), "int": ("i4", 2**31 - 1), "float": ("f4", 1), "double": ("f8", 1),
}  # fmt: skip


@pytest.mark.parametrize("kind", COLOURS)
@pytest.mark.parametrize("shape", ["splats", "flat", "large endian", "text"])
def test_colours_instead_of_harmonics(tmp_path, kind, shape):
    form, full = COLOURS[kind]
    columns = {name: values for name, values in table().items() if not name.startswith(("f_dc", "n"))}
    columns |= {"red": np.full(COUNT, full), "green": np.full(COUNT, full // 2), "blue": np.zeros(COUNT)}
    if shape == "flat":
        del columns["scale_2"]
    kinds = dict.fromkeys(("red", "green", "blue"), form)
    more = {"text": shape == "text", "order": ">" if shape == "large endian" else "<"}
    found = load_scene(written(tmp_path / "x.ply", vertices(columns, **kinds), **more)).gaussians
    np.testing.assert_allclose(found.features[0], [1, (full // 2) / full, 0], atol=1e-6)


def compressed(path: Path, change=lambda head: head, degree: int = 0) -> tuple[Gaussians, Path]:
    splats = ball(300)
    if degree:
        harmonics = torch.linspace(-1, 1, 300 * 3 * ((degree + 1) ** 2 - 1)).reshape(300, -1, 3)
        splats = Gaussians(*splats.tensors().values(), harmonics)
    write_compressed_ply(path, splats)
    head, body = path.read_bytes().split(b"end_header\n", 1)
    path.write_bytes(change(head + b"end_header\n") + body)
    return splats, path


OTHER, ADDRESS = b"ply\ncomment property float x y z\n", b"ply\ncomment https://example.org/packed_position\n"
HEADS = {
    "as it is": lambda head: head,
    "Windows' line ends": lambda head: head.replace(b"\n", b"\r\n"),
    "a comment that names other columns": lambda head: head.replace(b"ply\n", OTHER, 1),
    "an address as comment": lambda head: head.replace(b"ply\n", ADDRESS, 1),
    "types by their sizes": lambda head: head.replace(b"uint ", b"uint32 ").replace(b"float ", b"float32 "),
}  # fmt: skip


@pytest.mark.parametrize("case", HEADS)
@pytest.mark.parametrize("degree", [0, 1, 2, 3])
def test_compressed_ply_of_any_header(tmp_path, case, degree):
    splats, path = compressed(tmp_path / "x.ply", HEADS[case], degree)
    found = load_scene(path).gaussians
    apart, nearest = torch.cdist(splats.means.double(), found.means.double()).min(1)
    assert len(found) == 300 == len(nearest.unique()) and apart.max() < 2e-3 and found.degree == degree


def test_plain_splats_whose_comment_speaks_of_packed_words_are_plain(tmp_path):
    same(written(tmp_path / "x.ply", vertices(), comments=["was uint packed_position before"]))


def bare() -> plyfile.PlyElement:
    return plyfile.PlyElement.describe(rows_of({axis: np.zeros(COUNT) for axis in "xyz"}), "vertex")


def text(path: Path, content: bytes) -> Path:
    path.write_bytes(content)
    return path


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda path: written(path, bare()), "a point cloud, not splats"),
        (lambda path: written(path, bare(), faces()), "a mesh, not splats"),
        (lambda path: written(path, faces()), "it has no vertices"),
        (lambda path: text(path, b"ply\nformat ascii 2.0\nend_header\n"), "it has no vertices"),
        (lambda path: text(path, b"ply\nelement vertex 1\nend_header\n"), "its header names no format"),
        (lambda path: written(path, vertices({k: v for k, v in table().items() if k != "rot_2"})), "has no 'rot_2'"),
    ],
)
def test_what_is_no_file_of_splats_is_called_what_it_is(tmp_path, make, words):
    with pytest.raises(InputError, match=words):
        load_scene(make(tmp_path / "x.ply"))
