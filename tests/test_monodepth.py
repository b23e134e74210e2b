"""Depth models that the tests make: nearness is the red channel."""

import sys
from pathlib import Path

import pytest
import torch

from fewview.errors import InputError, MissingPackage
from fewview.monodepth import VARIABLE, model_of, relative_depth

RAMP = torch.linspace(0, 1, 24).expand(3, 16, 24) * torch.tensor([1.0, 0.0, 0.0])[:, None, None]


class Redness(torch.nn.Module):
    def forward(self, image):
        return 3 * image[:, 0] + 7


@pytest.fixture(scope="module")
def program(tmp_path_factory) -> Path:
    path = tmp_path_factory.mktemp("models") / "red.pt2"
    torch.export.save(torch.export.export(Redness(), (torch.zeros(1, 3, 28, 28),)), str(path))
    return path


def onnx_model(path: Path, channels: int = 3) -> Path:
    pytest.importorskip("onnx", reason="onnx, which makes the test's model, is not installed")
    pytest.importorskip("onnxruntime", reason="onnxruntime is not installed")
    from onnx import TensorProto, helper

    kernel = helper.make_tensor("kernel", TensorProto.FLOAT, [1, channels, 1, 1], [1.0, *[0.0] * (channels - 1)])
    node = helper.make_node("Conv", ["image", "kernel"], ["map"])
    entry = helper.make_tensor_value_info("image", TensorProto.FLOAT, [1, channels, "height", "width"])
    answer = helper.make_tensor_value_info("map", TensorProto.FLOAT, [1, 1, "height", "width"])
    graph = helper.make_graph([node], "redness", [entry], [answer], [kernel])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=8)
    path.write_bytes(model.SerializeToString())
    return path


def test_a_program_of_pytorch_tells_near_from_far(program):
    far = relative_depth(RAMP, program)
    assert far.shape == (1, 16, 24)
    torch.testing.assert_close(far[0], 1 - RAMP[0], atol=0.06, rtol=0)
    torch.testing.assert_close(relative_depth(RAMP, program, "depth"), 1 - far, atol=1e-4, rtol=0)


def test_an_onnx_file_tells_the_same(tmp_path, program):
    found = relative_depth(RAMP, onnx_model(tmp_path / "red.onnx"))
    torch.testing.assert_close(found, relative_depth(RAMP, program), atol=0.06, rtol=0)


def test_the_environment_names_the_model_of_auto(monkeypatch):
    monkeypatch.delenv(VARIABLE, raising=False)
    assert model_of("auto") is None and model_of("none") is None and model_of("a.onnx") == Path("a.onnx")
    monkeypatch.setenv(VARIABLE, "b.onnx")
    assert model_of("auto") == Path("b.onnx") and model_of("none") is None


def test_what_is_no_depth_model_is_refused_in_one_sentence(tmp_path, monkeypatch):
    broken = tmp_path / "broken.pt2"
    broken.write_bytes(b"no program")
    for path, what in ((broken, "export it again"), (tmp_path / "away.onnx", "does not exist")):
        with pytest.raises(InputError, match=what):
            relative_depth(RAMP, path)
    (tmp_path / "notes.txt").write_text("hello")
    with pytest.raises(InputError, match="no depth model"):
        relative_depth(RAMP, tmp_path / "notes.txt")
    monkeypatch.setitem(sys.modules, "transformers", None)
    with pytest.raises(MissingPackage, match="pip install transformers"):
        relative_depth(RAMP, tmp_path)


def test_a_model_for_grey_images_is_refused(tmp_path):
    with pytest.raises(InputError, match="no RGB image"):
        relative_depth(RAMP, onnx_model(tmp_path / "grey.onnx", channels=1))
