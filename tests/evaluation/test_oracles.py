import importlib.util
import sys
from pathlib import Path

import pytest
import torch
from worlds import smallest

from fewview.cameras import Cameras
from fewview.commands.evaluate import spread
from fewview.sparsefusion.vldm import VLDM
from fewview.views import Views

FILE = Path(__file__).parents[2] / "papers" / "sparsefusion" / "oracles.py"


@pytest.fixture(scope="module")
def script():
    spec = importlib.util.spec_from_file_location("sparsefusion_oracles", FILE)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


def views(count: int, seed: int) -> Views:
    """Two scenes of random pictures from around."""
    size, generator = smallest().size, torch.Generator().manual_seed(seed)
    centers = torch.nn.functional.normalize(torch.randn(2, count, 3, generator=generator), dim=-1) * 6
    up = torch.tensor([0.0, 0.1, 1.0])
    cameras = Cameras.look_at(centers, torch.zeros(3), up, focal=1.2 * size, height=size, width=size)
    images = torch.rand(2, count, 3, size, size, generator=generator)
    return Views(images, cameras, torch.ones(2, count, 1, size, size))


@pytest.fixture
def oracles(script):
    torch.manual_seed(0)
    with torch.no_grad():
        yield script.Oracles(VLDM(smallest()).eval(), views(2, 1), views(2, 2))


def test_a_perfect_denoiser_loses_what_the_autoencoder_loses_and_no_more(oracles, monkeypatch):
    monkeypatch.setattr(oracles.model, "denoiser", lambda features: lambda x, sigma: oracles.latents)
    codec = oracles.picture("codec", 0.0)
    for what, time in (
        ("sample", 1.0),
        ("sample, query seen", 1.0),
        ("x0", 0.4),
        ("from truth", 0.4),
        ("from eft", 0.4),
    ):
        torch.testing.assert_close(oracles.picture(what, time), codec, atol=1e-5, rtol=0)


def test_a_denoiser_that_believes_its_input_leaves_the_start_as_it_is(oracles, monkeypatch):
    monkeypatch.setattr(oracles.model, "denoiser", lambda features: lambda x, sigma: x)
    for what, latents in (("from truth", oracles.latents), ("from eft", oracles.model.codec.encode(oracles.eft))):
        start, _ = oracles.noised(latents, 0.3)
        torch.testing.assert_close(oracles.picture(what, 0.3), oracles.decoded(start), atol=1e-5, rtol=0)


def test_a_network_that_was_shown_the_view_has_features_of_its_own(oracles):
    assert oracles.query_seen().shape == oracles.features.shape
    assert not torch.allclose(oracles.query_seen(), oracles.features)


def test_no_scene_of_the_tables_is_asked(script):
    class Packed:
        def __len__(self):
            return 112

    chosen = script.scenes_beside_the_tables(Packed(), 24).tolist()
    assert len(set(chosen)) == 24 and not set(chosen) & set(spread(range(112), 20))
