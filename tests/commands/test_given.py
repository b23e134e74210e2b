"""What options name is looked for before photos are read: finding their cameras can take minutes."""

import pytest
from test_cli import refused

from fewview.commands.given import check_given
from fewview.commands.reconstruct import Reconstruct


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (("--weights", "huge"), "'huge' is neither a model folder nor one of the shipped weights of sparsefusion "),
        (("--weights", "huge", "--method", "ggs"), "shipped weights of ggs"),
        (("--weights", "huge", "--method", "wildfusion"), "shipped weights of wildfusion"),
        (("--mask", "nope.onnx"), "--mask: nope.onnx does not exist"),
        (("--mask", "magic"), "--mask magic is not known"),
        (("--method", "ggs", "--path", "nope.json"), "--path: nope.json does not exist"),
        (("--method", "no-prior", "--adapt", "9"), "--adapt 9: give a number of steps to --method sparsefusion"),
        (("--adapt", "-9"), "--adapt -9: give a number of steps to --method sparsefusion"),
    ],
)
def test_what_is_not_there_is_told_before_the_photos_are_read(tmp_path, capsys, words, sentence):
    """The photos themselves are not there either, which would be the next thing to say."""
    said = refused(capsys, "reconstruct", tmp_path / "none", "-o", tmp_path / "out", *words)
    assert sentence in said and "none does not exist" not in said


def test_splats_need_no_weights(tmp_path, capsys):
    said = refused(
        capsys, "reconstruct", tmp_path / "none", "-o", tmp_path / "out", "--method", "splats", "--weights", "x"
    )
    assert "none does not exist" in said


@pytest.mark.parametrize("method", ["sparsefusion", "no-prior", "splats", "ggs", "wildfusion"])
def test_what_is_shipped_and_what_is_there_pass(tmp_path, method):
    (tmp_path / "sky.ONNX").write_bytes(b"x")
    given = {"method": method, "mask": str(tmp_path / "sky.ONNX"), "path": str(tmp_path)}
    check_given(Reconstruct(tmp_path, tmp_path / "out", **given))
