import pytest
import torch
from safetensors.torch import save_file

from fewview.errors import InputError
from fewview.evaluation.trunks import inception_trunk, vgg_trunk
from fewview.nn.inception import Inception
from fewview.nn.lpips import Lpips


@pytest.fixture(scope="module")
def inception() -> Inception:
    torch.manual_seed(0)
    return Inception().eval()


def _state(model, classes=1008):
    return model.state_dict() | {"fc.weight": torch.zeros(classes, 2048), "fc.bias": torch.zeros(classes)}


def test_inception_has_the_numbers_of_its_paper(inception):
    """torchvision counts 23,834,568 without auxiliary head, of which the last layer's 1000 classes are 2,049,000."""
    assert sum(p.numel() for p in inception.parameters()) == 23_834_568 - 2_049_000
    names = inception.state_dict()
    for key, shape in {
        "Conv2d_1a_3x3.conv.weight": (32, 3, 3, 3),
        "Mixed_5b.branch_pool.conv.weight": (32, 192, 1, 1),
        "Mixed_6a.branch3x3dbl_3.bn.running_mean": (96,),
        "Mixed_6b.branch7x7dbl_2.conv.weight": (128, 128, 7, 1),
        "Mixed_7a.branch7x7x3_2.conv.weight": (192, 192, 1, 7),
        "Mixed_7c.branch3x3dbl_3b.conv.weight": (384, 384, 3, 1),
    }.items():
        assert tuple(names[key].shape) == shape


def test_inception_comes_from_a_file_and_gives_2048_features_of_any_size(inception, tmp_path):
    old = {k: v for k, v in _state(inception).items() if not k.endswith("num_batches_tracked")}
    save_file(old | {"AuxLogits.fc.bias": torch.zeros(2)}, tmp_path / "inception.safetensors")
    trunk = inception_trunk(tmp_path / "inception.safetensors")
    assert trunk.name == "Inception"
    images = torch.rand(1, 3, 64, 64, generator=torch.Generator().manual_seed(0))
    features = trunk(images)
    assert features.shape == (1, 2048) and features.isfinite().all()
    large = torch.nn.functional.interpolate(images, (299, 299), mode="bilinear")
    torch.testing.assert_close(features, inception(large * 2 - 1), rtol=1e-3, atol=1e-5)


def test_another_network_is_refused(inception, tmp_path):
    save_file(_state(inception, 1000), tmp_path / "torchvision.safetensors")
    with pytest.raises(InputError, match="pytorch-fid"):
        inception_trunk(tmp_path / "torchvision.safetensors")
    state = _state(inception)
    state.pop("Mixed_7b.branch1x1.conv.weight")
    save_file(state, tmp_path / "part.safetensors")
    with pytest.raises(InputError, match="lacks the tensor 'Mixed_7b"):
        inception_trunk(tmp_path / "part.safetensors")


def test_vgg_features_are_means_over_space():
    torch.manual_seed(0)
    trunk = vgg_trunk(Lpips("vgg"))
    images = torch.rand(2, 3, 128, 128, generator=torch.Generator().manual_seed(0))
    features = trunk(images)
    assert features.shape == (2, 512) and (features >= 0).all() and trunk.name == "VGG"
    torch.testing.assert_close(trunk(images[1:]), features[1:])
