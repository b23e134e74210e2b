import pytest
import torch
from baselines.scenes import SMALL, network
from baselines.test_viewformer import SMALL as VIEWFORMER
from worlds import photograph, ring

from fewview.baselines.named import BASELINES, FITTED, NETWORKS, baseline, load_network
from fewview.baselines.pictures import NetworkImages, seen_by
from fewview.baselines.viewformer import ViewFormer
from fewview.checkpoint import save_model
from fewview.errors import InputError
from fewview.recipes.baselines import PAPER, TINY


def test_every_network_has_both_sizes():
    assert set(NETWORKS) | {"viewformer-codebook"} == set(PAPER) == set(TINY)
    assert set(BASELINES) == set(NETWORKS) | set(FITTED)
    for name, (cls, config) in NETWORKS.items():
        assert type(PAPER[name]) is type(TINY[name]) is config
        with torch.device("meta"):
            assert cls(PAPER[name]).size == (128 if name == "viewformer" else 256)


@pytest.mark.parametrize("name", ["gpnr", "viewformer"])
def test_a_saved_network_is_a_method(name, tmp_path):
    net = network(name) if name in SMALL else ViewFormer(VIEWFORMER)
    save_model(tmp_path / "model", net, net.config)
    views = photograph(ring(3, 24))
    seen = baseline(name, tmp_path / "model").reconstruct(views[:2]).render(views.cameras[2:])
    assert seen.image.shape == (1, 3, 24, 24) and seen.image.isfinite().all()
    prepared = seen_by(views[:2], net.size)
    camera = prepared.normalised(views.cameras)[2].resized(net.size, net.size)
    drawn = net.eval().picture(net.look(prepared.context), camera)
    small = NetworkImages(net).reconstruct(views[:2]).render(views.cameras[2:].resized(net.size, net.size))
    torch.testing.assert_close(small.image[0], drawn[:3].clamp(0, 1), atol=1e-5, rtol=0)


def test_weights_that_are_missing_or_of_another_network_are_told(tmp_path):
    with pytest.raises(InputError, match="pixelnerf=FOLDER"):
        baseline("pixelnerf", None)
    with pytest.raises(InputError, match="train pixelnerf first"):
        load_network("pixelnerf", tmp_path / "nothing")
    save_model(tmp_path / "model", network("gpnr"), SMALL["gpnr"])
    with pytest.raises(InputError, match="holds a GPNR, not a PixelNeRF"):
        load_network("pixelnerf", tmp_path / "model")
    with pytest.raises(InputError, match="fitted to each scene"):
        baseline("regnerf", tmp_path)
