import unicodedata
from pathlib import Path

import pytest

from fewview.data.images import PHOTO_SUFFIXES, MissingFile
from fewview.data.names import Finder, check_enough
from fewview.data.photos import distinct_names, find_mask
from fewview.errors import InputError


def put(root: Path, *names: str) -> None:
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(b"x")


@pytest.mark.parametrize(
    ("listed", "stored"),
    [
        ("images/a.png", "images/a.png"),
        ("images\\a.png", "images/a.png"),
        (".\\images\\a.png", "images/a.png"),
        ("images\\left/a.png", "images/left/a.png"),
        ("images/a.png", "images/a.PNG"),
        ("images/A.jpg", "Images/a.JPG"),
        ("./train/r_0", "train/r_0.png"),
        ("rgb/frame.0001", "rgb/frame.0001.webp"),
        ("rgb\\frame.0001", "rgb/frame.0001.TIFF"),
        (unicodedata.normalize("NFC", "fotos/Säule.jpg"), unicodedata.normalize("NFD", "fotos/Säule.jpg")),
        (unicodedata.normalize("NFD", "Büste/é.png"), unicodedata.normalize("NFC", "Büste/é.png")),
        ("a.b/c d.png", "a.b/c d.png"),
    ],
)
def test_a_photo_is_found_under_the_name_that_another_system_gave_it(tmp_path, listed, stored):
    put(tmp_path, stored)
    assert Finder(tmp_path).find(listed, where="frame 0") == tmp_path / stored


@pytest.mark.parametrize("suffix", [s for known in PHOTO_SUFFIXES for s in (known, known.upper())])
def test_every_suffix_of_a_photo_may_be_left_out(tmp_path, suffix):
    put(tmp_path, f"x/frame.7{suffix}")
    assert Finder(tmp_path).find("x/frame.7", where="w").name == f"frame.7{suffix}"


def test_the_name_as_it_stands_comes_before_one_that_is_only_alike(tmp_path):
    put(tmp_path, "a.PNG", "a.png", "b", "b.png")
    finder = Finder(tmp_path)
    assert [finder.find(name, where="w").name for name in ("a.png", "a.PNG", "b")] == ["a.png", "a.PNG", "b"]


@pytest.mark.parametrize("name", ["..\\x.png", "../x.png", "a/../../x.png", "/x.png", "C:\\shots\\x.png", "D:x.png"])
def test_names_that_leave_the_folder_stay_refused_in_every_spelling(tmp_path, name):
    put(tmp_path, "x.png", "in/y.png")
    with pytest.raises(InputError, match=r"frame 3 names the file"):
        Finder(tmp_path / "in").find(name, where="frame 3")


def test_a_link_that_leaves_the_folder_is_refused_under_a_name_that_is_only_alike(tmp_path):
    put(tmp_path, "x.png", "in/y.png")
    (tmp_path / "in" / "L.png").symlink_to(tmp_path / "x.png")
    with pytest.raises(InputError, match="not inside"):
        Finder(tmp_path / "in").find("l.PNG", where="w")


@pytest.mark.parametrize(
    ("found", "missing", "fine"),
    [(4, 1, True), (50, 17, True), (4, 4, True), (3, 1, False), (5, 6, False), (0, 3, False)],
)
def test_missing_photos_are_counted_while_enough_are_there(found, missing, fine):
    errors = [MissingFile(f"photo {i} does not exist.") for i in range(missing)]
    if fine:
        assert check_enough(found, errors)[0].startswith(f"{missing} listed")
    else:
        with pytest.raises(InputError, match="photo 0"):
            check_enough(found, errors)


def test_names_tell_photos_apart_by_as_many_folders_as_it_takes():
    paths = [Path(f"/set/images/{side}/{i}.png") for side in ("left", "right") for i in range(2)]
    assert distinct_names(paths) == ["left/0.png", "left/1.png", "right/0.png", "right/1.png"]
    assert distinct_names(paths[:2]) == ["0.png", "1.png"]
    assert distinct_names([paths[0]] * 2) == ["0.png", "0.png"]  # one photo twice has one name


@pytest.mark.parametrize("mask", ["a.png", "a.PNG", "a.jpg.png", "A.JPG.PNG", "a.jpg", "a.tif", "a.webp"])
def test_a_mask_may_have_any_suffix_and_case(tmp_path, mask):
    put(tmp_path, "images/a.jpg", f"masks/{mask}")
    assert find_mask(tmp_path, "images/a.jpg") == tmp_path / "masks" / mask
