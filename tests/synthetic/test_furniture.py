import io
import zipfile
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from fewview.data.wavefront import parse_mtl, parse_obj
from fewview.errors import InputError
from fewview.synthetic.objects.furniture import CATALOGUE, catalogue, group_of, load_piece, recoloured

CUBE = """mtllib things/model.mtl
v 0 0 0
v 1 0 0
v 1 1 0
v 0 1 0
v 0 0 1
v 1 0 1
v 1 1 1
v 0 1 1
vt 0 0
vt 1 0
vt 1 1
vt 0 1
usemtl paper
f 5/1 6/2 7/3 8/4
usemtl paint
f 2 1 4 3
f -8 -4 -1 -5
f 2 3 7 6
f 4 8 7 3
f 1 2 6 5
"""
MATERIALS = """newmtl paper
Kd 1 1 1
map_Kd folder\\paper.png
newmtl paint
Kd 0.2 0.4 0.6
Ks 0.5 0.5 0.5
Ns 50
"""
NAMES = ("Chair", "Wooden table", "Wine bottle", "Front door", "Toaster", "Sofa", "Bench")


def write_library(folder: Path, name: str = "BlendSwap-CC-0", extra: str = "") -> Path:
    """A library whose models are cubes of 1.0, 1.1, ... units, stretched to 50 x 200 x 100 cm."""
    rows = [extra]
    folder.mkdir(parents=True, exist_ok=True)
    with zipfile.ZipFile(folder / f"{name}.sh3f", "w") as archive:
        for i, title in enumerate(NAMES, 1):
            door = "true" if "door" in title else "false"
            rows += [f"name#{i}={title}", f"model#{i}=/m/{i}/model.obj", f"width#{i}=50", f"depth#{i}=100"]
            rows += [f"height#{i}=200", f"doorOrWindow#{i}={door}", f"creator#{i}=Ann\\u00e9"]
            archive.writestr(f"m/{i}/model.obj", CUBE.replace("v 1 ", f"v 1.{i} "))
            archive.writestr(f"m/{i}/things/model.mtl", MATERIALS)
            data = io.BytesIO()
            Image.new("RGB", (5, 7), (10 * i, 200, 30)).save(data, "PNG")
            archive.writestr(f"m/{i}/paper.png", data.getvalue())
        archive.writestr(CATALOGUE, "\n".join(rows))
    return folder


def test_catalogue_lists_movable_models_with_author_and_licence(tmp_path):
    pieces = catalogue(write_library(tmp_path))
    assert [p.name for p in pieces] == [name for name in NAMES if name != "Front door"]
    assert {p.license for p in pieces} == {"CC0-1.0"} and {p.author for p in pieces} == {"Anné"}
    write_library(tmp_path / "other", "Scopia")
    assert len(catalogue(tmp_path)) == len(pieces)  # the same geometry in two libraries is one model


def test_every_group_holds_models_out_and_held_out_kinds_entirely(tmp_path):
    by_name = {p.name: p for p in catalogue(write_library(tmp_path))}
    assert by_name["Wine bottle"].held_out and by_name["Bench"].held_out
    assert by_name["Bench"].group == by_name["Wine bottle"].group == "library_heldout"


@pytest.mark.parametrize(
    ("name", "group"),
    [
        ("Bar stool", "chair"), ("Burlap sofa", "sofa"), ("Desk", "table"), ("Desk lamp", "lamp"), ("Cactus", "plant"),
        ("Coffee mug", "vessel"), ("Toaster", "misc"), ("Piano bench", "heldout"), ("Tableware", "misc"),
    ],
)  # fmt: skip
def test_models_are_filed_by_name(name, group):
    assert group_of(name) == f"library_{group}"


def test_a_model_has_its_catalogue_size_in_metres_and_its_texture(tmp_path):
    piece = catalogue(write_library(tmp_path))[0]
    model = load_piece(piece)
    assert np.ptp(model.mesh.positions, axis=0) == pytest.approx([0.5, 2.0, 1.0])
    assert len(model.mesh.positions) == 3 * 12
    paper = [m.layer >= 0 for m in model.materials].index(True)
    assert model.images[model.materials[paper].layer][0, 0].tolist() == [10, 200, 30, 255]
    front = model.mesh.material == paper
    assert model.mesh.normals[front] == pytest.approx(np.tile([0.0, 0.0, 1.0], (6, 1)))
    top = model.mesh.positions[front][:, 1] > 0
    assert model.mesh.local[front][top][:, 1] == pytest.approx(0)  # v counts down from the top of the image
    flat = model.materials[1 - paper]
    assert flat.a == pytest.approx((0.2, 0.4, 0.6)) and flat.shininess == 50


def test_a_model_rotation_turns_before_the_size_is_set(tmp_path):
    piece = catalogue(write_library(tmp_path, extra="modelRotation#1=1 0 0 0 0 1 0 -1 0"))[0]  # y <- z
    model = load_piece(piece)
    assert np.ptp(model.mesh.positions, axis=0) == pytest.approx([0.5, 2.0, 1.0])
    paper = [m.layer >= 0 for m in model.materials].index(True)
    assert model.mesh.normals[model.mesh.material == paper] == pytest.approx(np.tile([0.0, 1.0, 0.0], (6, 1)))


def test_recolouring_stretches_by_at_most_15_percent_and_keeps_greys_grey(tmp_path):
    model = load_piece(catalogue(write_library(tmp_path))[0])
    same = recoloured(model, np.random.default_rng(0), strength=0.0)
    assert np.array_equal(same.mesh.positions, model.mesh.positions) and same.images is model.images
    for seed in range(5):
        variant = recoloured(model, np.random.default_rng(seed))
        ratio = np.ptp(variant.mesh.positions, axis=0) / np.ptp(model.mesh.positions, axis=0)
        assert (ratio >= 0.85).all() and (ratio <= 1.15).all()
        assert not np.array_equal(variant.images[0], model.images[0])
        assert np.array_equal(variant.images[0][..., 3], model.images[0][..., 3])


def test_polygons_become_fans_and_negative_indices_count_from_the_end():
    shape = parse_obj("v 0 0 0\nv 1 0 0\nv 1 1 0\nv 0 1 0\nf -4 -3 -2 -1\n", "square.obj")
    assert shape.faces.tolist() == [[0, 1, 2], [0, 2, 3]]
    assert shape.materials == ("",) and shape.coordinates.shape == (2, 3, 3)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("v 0 0 zero\n", "line 1"),
        ("v 0 0 0\n", "no face"),
        ("v 0 0 0\nf 1 2 3\n", "does not define"),
        ("v 0 0 0\nv 1 0 0\nv 0 1 0\nf 1/a 2 3\n", "line 4"),
    ],
)
def test_a_malformed_obj_is_refused_by_name(text, words):
    with pytest.raises(InputError, match=words):
        parse_obj(text, "broken.obj")


def test_a_malformed_mtl_line_is_passed_over():
    found = parse_mtl("newmtl a\nKd red\nNs\nnewmtl b\nKd 0.5 0.5 0.5\n")
    assert found["a"].material.a == (1.0, 1.0, 1.0) and found["b"].material.a == (0.5, 0.5, 0.5)


def test_a_folder_without_libraries_and_a_broken_one_are_refused(tmp_path):
    with pytest.raises(InputError, match="sh3f"):
        catalogue(tmp_path)
    (tmp_path / "broken.sh3f").write_bytes(b"no zip")
    with pytest.raises(InputError, match="not a furniture library"):
        catalogue(tmp_path)
