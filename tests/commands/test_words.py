"""Slips on the command line, and what is said of them."""

import pytest
import torch
from test_cli import fewview, refused
from worlds import ring, save_image

from fewview.commands.listing import HOME
from fewview.commands.reconstruct_ggs import tell_window
from fewview.commands.words import check_words
from fewview.errors import InputError
from fewview.ggs.walks import size_for


@pytest.mark.parametrize(
    ("wrong", "meant"),
    [("recontruct", "reconstruct"), ("Veiw", "view"), ("tabels", "tables"), ("licences", "licenses")],
)
def test_a_misspelt_command_gets_a_suggestion(wrong, meant, capsys):
    assert f"did you mean `fewview {meant}`" in refused(capsys, wrong, "x")


def test_a_word_that_is_like_no_command_gets_none(capsys):
    assert "did you mean" not in refused(capsys, "qqqq")


def test_an_option_before_the_command_is_told_where_it_belongs(capsys):
    assert "options come after" in refused(capsys, "--seed", "1", "reconstruct")


def test_every_command_is_one():
    assert len(HOME) > 12
    for command in HOME:
        check_words([command, "x"])


def test_the_help_tells_of_the_version(capsys):
    assert fewview("--help") == 0
    assert "--version" in capsys.readouterr().out


def test_photos_that_are_named_one_by_one_are_asked_for_as_a_folder(tmp_path, capsys):
    photos = [tmp_path / "a.png", tmp_path / "b.jpg"]
    for photo in photos:
        save_image(photo, torch.zeros(3, 4, 4))
    for command in ("reconstruct", "inspect"):
        text = refused(capsys, command, *photos, "-o", tmp_path / "out")
        assert "2 photos are named" in text and "folder" in text
    check_words(["inspect", str(photos[0]), "-o", str(photos[1])])  # one photo, and a picture to write


def test_photos_that_do_not_exist_are_left_to_others():
    check_words(["reconstruct", "a.png", "b.png"])
    with pytest.raises(InputError, match="no command"):
        check_words(["a.png", "b.png"])


@pytest.mark.parametrize("name", ["nothing", "nothing.xyz", "nothing.ply", "nothing/"])
@pytest.mark.parametrize("more", [[], ["--page", "x.html"], ["--samples"]])
def test_to_view_what_is_missing_says_that_it_is_missing(name, more, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    words = [name, *more] if more != ["--samples"] else ["--samples", name, name]
    assert f"{name.rstrip('/')} does not exist" in refused(capsys, "view", *words)


def test_what_a_room_is_cropped_to_is_told(capsys):
    tell_window(ring(2, size=90).resized(90, 300), ring(2, size=64).resized(64, 160))
    assert "300 x 90, the middle 225 x 90 are used (75 %)" in capsys.readouterr().out
    for height, width in [(90, 90), (90, 135), (135, 90), (90, 160), (64, 85)]:
        photos = ring(2, size=90).resized(height, width)
        tell_window(photos, photos.resized(*size_for(photos, 64, 64, step=4)))
    assert capsys.readouterr().out == ""
