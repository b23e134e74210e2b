import torch

from fewview.nn.resnet import WIDTHS, ResNet18Pyramid, upsampled


def test_pyramid_has_512_channels_at_half_the_size():
    model = ResNet18Pyramid().eval()
    maps = model(torch.rand(1, 3, 64, 64))
    assert [m.shape[1] for m in maps] == list(WIDTHS) and [m.shape[2] for m in maps] == [32, 16, 8, 4]
    assert upsampled(maps, 32, 32).shape == (1, 512, 32, 32)


def test_torchvision_weights_load_by_their_own_names():
    state = {name: torch.rand_like(t, dtype=torch.float32) for name, t in ResNet18Pyramid().state_dict().items()}
    assert "layer1.0.conv1.weight" in state and "layer2.0.downsample.1.running_mean" in state
    model = ResNet18Pyramid()
    model.load_torchvision({**state, "fc.weight": torch.zeros(1), "layer4.0.conv1.weight": torch.zeros(1)})
    assert torch.equal(model.state_dict()["layer3.1.conv2.weight"], state["layer3.1.conv2.weight"])
    assert sum(p.numel() for p in model.parameters()) == 2_782_784  # torchvision's 11.69 M less layer4 and fc
