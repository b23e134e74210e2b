import sys
from pathlib import Path

import pytest
import torch

from fewview.cameras import Cameras
from fewview.errors import InputError
from fewview.masks import VARIABLE, grabcut, salient, shared_hull, with_masks
from fewview.views import Views

SIZE = 64


def ball(n: int = 4, *, masked: bool = False) -> Views:
    """Photos of a red ball of radius 0.6 at the origin before a bluish, noisy ground."""
    angles = torch.arange(n) * 0.6
    centers = torch.stack([3 * angles.sin(), torch.full_like(angles, 0.5), 3 * angles.cos()], -1)
    cameras = Cameras.look_at(
        centers, torch.zeros(3), torch.tensor([0.0, 1.0, 0.0]), focal=90.0, height=SIZE, width=SIZE
    )
    rays = cameras.rays()
    along = (rays.directions * -rays.origins).sum(-1, keepdim=True)
    inside = ((rays.origins + along * rays.directions).norm(dim=-1) < 0.6).float()[:, None]
    noise = 0.1 * torch.rand(n, 3, SIZE, SIZE, generator=torch.Generator().manual_seed(0))
    red, blue = torch.tensor([0.8, 0.2, 0.1])[:, None, None], torch.tensor([0.3, 0.4, 0.7])[:, None, None]
    return Views(inside * red + (1 - inside) * blue + noise, cameras, inside)


def overlap(found: torch.Tensor, truth: torch.Tensor) -> float:
    """Smallest intersection over union of the views."""
    a, b = found > 0.5, truth > 0.5
    return ((a & b).sum((1, 2, 3)) / (a | b).sum((1, 2, 3))).min().item()


def bare(views: Views) -> Views:
    return Views(views.images, views.cameras)


def onnx_model(path: Path, channels: int = 3) -> Path:
    """A network without weights: red minus blue, as a map."""
    pytest.importorskip("onnx", reason="onnx, which makes the test's model, is not installed")
    pytest.importorskip("onnxruntime", reason="onnxruntime is not installed")
    from onnx import TensorProto, helper

    weights = [1.0, *[0.0] * (channels - 2), -1.0]
    kernel = helper.make_tensor("kernel", TensorProto.FLOAT, [1, channels, 1, 1], weights)
    node = helper.make_node("Conv", ["image", "kernel"], ["map"])
    entry = helper.make_tensor_value_info("image", TensorProto.FLOAT, [1, channels, 32, 32])
    answer = helper.make_tensor_value_info("map", TensorProto.FLOAT, [1, 1, 32, 32])
    graph = helper.make_graph([node], "redness", [entry], [answer], [kernel])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=8)
    path.write_bytes(model.SerializeToString())
    return path


def test_a_model_file_finds_the_object_and_may_be_named_by_the_environment(tmp_path, monkeypatch):
    model = onnx_model(tmp_path / "red.onnx")
    views = ball(2)
    found = with_masks(bare(views), str(model)).masks
    assert found is not None and found.shape == (2, 1, SIZE, SIZE) and overlap(found, views.masks) > 0.85
    monkeypatch.setenv(VARIABLE, str(model))
    assert torch.equal(with_masks(bare(views), "auto").masks, found)


def test_what_is_no_saliency_model_is_refused_in_one_sentence(tmp_path):
    pytest.importorskip("onnxruntime", reason="onnxruntime is not installed")
    images = ball(1).images
    broken = tmp_path / "broken.onnx"
    broken.write_bytes(b"not a model at all")
    with pytest.raises(InputError, match="not a readable ONNX model"):
        salient(images, broken)
    with pytest.raises(InputError, match="does not exist"):
        salient(images, tmp_path / "none.onnx")
    with pytest.raises(InputError, match="takes no RGB image"):
        salient(images, onnx_model(tmp_path / "four.onnx", 4))


def test_grabcut_finds_what_all_views_look_at():
    pytest.importorskip("cv2", reason="OpenCV is not installed")
    views = ball()
    found = grabcut(bare(views))
    assert overlap(found, views.masks) > 0.85
    assert torch.equal(found, grabcut(bare(views)))


def test_sparse_points_lead_grabcut_to_an_object_beside_the_middle():
    pytest.importorskip("cv2", reason="OpenCV is not installed")
    views = ball()
    aside = views.cameras.cropped(-8, 6, SIZE, SIZE)
    shifted = Views(views.images.roll((-6, 8), (2, 3)), aside, views.masks.roll((-6, 8), (2, 3)))
    points = torch.randn(200, 3, generator=torch.Generator().manual_seed(0))
    points = 0.6 * points / points.norm(dim=-1, keepdim=True)
    assert overlap(grabcut(bare(shifted), points), shifted.masks) > 0.8


def test_the_shared_hull_covers_the_object_and_ends_near_it():
    views = ball()
    hull = shared_hull(views.cameras, views.masks, torch.zeros(3))
    assert hull is not None and (hull | (views.masks[:, 0] < 0.5)).all()
    assert hull.float().mean() < 0.9
    assert shared_hull(views.cameras, torch.zeros_like(views.masks), torch.zeros(3)) is None


def test_given_masks_are_kept_by_auto_and_dropped_by_none():
    views = ball(2)
    assert with_masks(views, "auto") is views
    assert with_masks(views, "none").masks is None
    with pytest.raises(InputError, match="--mask sharp is not known"):
        with_masks(views, "sharp")


def test_a_missing_package_is_named_with_its_mend(monkeypatch, tmp_path):
    monkeypatch.setitem(sys.modules, "cv2", None)
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    monkeypatch.delenv(VARIABLE, raising=False)
    with pytest.raises(InputError, match="pip install"):
        with_masks(bare(ball(2)), "auto")
    (tmp_path / "a.onnx").write_bytes(b"x")
    with pytest.raises(InputError, match="pip install"):
        salient(ball(1).images, tmp_path / "a.onnx")
