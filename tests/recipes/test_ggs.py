from dataclasses import replace

import pytest
import torch
from ggs_rooms import MICRO, painted, room, walk

from fewview.checkpoint import save_model
from fewview.ggs.losses import LossConfig, denoiser_loss
from fewview.nn.autoencoder import Autoencoder, AutoencoderConfig
from fewview.recipes.ggs import start, train_codec, unit_latents
from fewview.training import TrainConfig

CODEC = AutoencoderConfig((8, 8), blocks=1, groups=4, scale=1.0, chroma_scale=9.0)


@pytest.fixture
def pictures() -> torch.Tensor:
    return painted(walk(4, 2)).images.flatten(0, 1)


def test_latents_and_chroma_get_unit_variance(pictures):
    torch.manual_seed(0)
    model = Autoencoder(CODEC)
    model.config = unit_latents(model, pictures)
    with torch.no_grad():
        detail, chroma = model.encode(pictures).split([4, 2], dim=1)
    assert detail.std() == pytest.approx(1, abs=1e-2) and chroma.std() == pytest.approx(1, abs=1e-2)


def test_a_codec_learns_other_pictures_and_a_model_starts_from_it(pictures, tmp_path, generator):
    torch.manual_seed(0)
    save_model(tmp_path / "old", Autoencoder(CODEC), CODEC)
    folder = train_codec(
        lambda _: pictures,
        pictures,
        TrainConfig(3, 1e-3, ema=0.0),
        directory=tmp_path / "run",
        autoencoder=tmp_path / "old",
    )
    model = start(replace(MICRO, autoencoder=CODEC), autoencoder=folder)
    assert model.config.autoencoder.scale != 1.0 and model.config.autoencoder.total_channels == 6
    for part in model.codec.encode(pictures).split([4, 2], dim=1):
        assert part.std() == pytest.approx(1, abs=1e-2)
    assert not any(p.requires_grad for p in model.codec.parameters())
    assert denoiser_loss(model, room(), LossConfig(), generator=generator)["loss"].isfinite()
