"""`fewview import sparsefusion-release`: files as the release has them, made here of random numbers."""

import dataclasses
from pathlib import Path

import pytest
import torch
from nn.plain_unet import plain_unet, unet_state
from nn.test_compvis import compvis_state
from sparsefusion.plain_eft import eft_state
from sparsefusion.test_distill import ball, ring
from sparsefusion.test_released import plain
from test_cli import fewview, refused

from fewview.checkpoint import load_foreign, load_model
from fewview.errors import InputError
from fewview.nn.autoencoder import Autoencoder, AutoencoderConfig
from fewview.nn.unet import UNetConfig
from fewview.recipes import sparsefusion
from fewview.recipes.sparsefusion import published
from fewview.sparsefusion.method import EFTImages, prepare
from fewview.sparsefusion.vldm import VLDM, VLDMConfig

SMALL = dataclasses.replace(
    sparsefusion.release(),
    eft=dataclasses.replace(
        sparsefusion.release().eft, dim=8, layers=(1, 1, 1), hidden=8, octaves=3, depth_samples=6, depth_range=2.5
    ),
    unet=UNetConfig(4, 16, (1, 2), (1, 1), (False, True), cond_images_channels=8, heads=2, head_dim=8, token_keys=True),
    size=32,
)


@pytest.fixture(scope="module")
def files(tmp_path_factory) -> Path:
    """EFT.pt, VLDM.pt and vae.ckpt, with what else the release's training saves beside the weights."""
    root, generator = tmp_path_factory.mktemp("release"), torch.Generator().manual_seed(0)
    eft = eft_state(8, 1, 3, generator)
    sizes = {"channels": 4, "condition": 8, "dim": 16, "mults": (1, 2), "blocks": 1, "heads": 2, "head_dim": 8}
    unet = {f"unets.0.{n}": t for n, t in unet_state(**sizes, generator=generator).items()}
    torch.manual_seed(0)
    vae = Autoencoder(AutoencoderConfig((8, 8, 8), blocks=1, groups=8))
    more = {"step": 3, "optimizer_state_dict": {"state": {}, "param_groups": []}}
    torch.save({"model_state_dict": eft, **more}, root / "EFT.pt")
    torch.save({"model_state_dict": unet, **more}, root / "VLDM.pt")
    torch.save({"state_dict": {f"first_stage_model.{n}": t for n, t in compvis_state(vae).items()}}, root / "vae.ckpt")
    return root


def words(files: Path, out: Path) -> tuple:
    return ("import", "sparsefusion-release", files / "EFT.pt", files / "VLDM.pt", "-o", out)


@pytest.fixture(scope="module")
def model(files, tmp_path_factory) -> VLDM:
    out = tmp_path_factory.mktemp("imported") / "model"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(published.sparsefusion, "release", lambda: SMALL)
        assert fewview(*words(files, out), "--autoencoder", files / "vae.ckpt") == 0
    return load_model(out, VLDM, VLDMConfig)


def test_imported_networks_compute_what_the_release_describes(files, model):
    """Through the model folder: features of all rays of a query, corner to corner, and the noise that they tell."""
    views = ball(ring(torch.tensor([0.0, 1.0, 2.5])))
    context, query = views[:2].whole()[None], views.cameras[None, 2:]
    with torch.no_grad():
        features = model.features(context, query)[0, 0]
    corners = model.points(query, 8)
    assert torch.equal(corners[0, 0, 0], torch.tensor([0.5, 0.5]))
    some = corners[:, :, ::7]
    expected = plain(load_foreign(files / "EFT.pt"), context, query, some, batch_statistics=True)[1]
    torch.testing.assert_close(features.flatten(1).T[::7], expected, atol=1e-5, rtol=1e-5)
    x, sigma = torch.randn(1, 4, 8, 8), torch.tensor([0.8])
    unet = {n.removeprefix("unets.0."): t for n, t in load_foreign(files / "VLDM.pt").items()}
    scaled = x / (1 + 0.8**2) ** 0.5
    noise = plain_unet(unet, scaled, -2 * sigma.log(), features[None], heads=2)
    with torch.no_grad():
        clean = model.denoiser(features[None])(x, sigma)
    torch.testing.assert_close(clean, (x - 0.8 * noise).clamp(-10, 10), atol=1e-4, rtol=1e-4)


def test_imported_weights_see_the_world_as_it_is(model):
    photos = ball(ring(torch.tensor([0.0, 1.0])))
    assert torch.equal(prepare(photos, model.config).norm_from_world, torch.eye(4))
    image = EFTImages(model).reconstruct(photos).render(ring(torch.tensor([0.5]))).image
    assert image.shape == (1, 3, 32, 32) and image.isfinite().all()


def test_what_is_no_release_is_refused_and_nothing_is_written(files, tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(published.sparsefusion, "release", lambda: SMALL)
    out, vae = tmp_path / "out", ("--autoencoder", files / "vae.ckpt")
    assert "--autoencoder" in refused(capsys, *words(files, out))
    swapped = ("import", "sparsefusion-release", files / "VLDM.pt", files / "EFT.pt", "-o", out)
    assert "VLDM.pt" in refused(capsys, *swapped, *vae)
    assert "nowhere.pt" in refused(capsys, *words(files, out)[:3], files / "nowhere.pt", "-o", out, *vae)
    full = tmp_path / "full"
    full.mkdir()
    (full / "mine").touch()
    assert "there already" in refused(capsys, *words(files, full), *vae)
    assert not out.exists()


class Harmful:
    """Would run code when unpickled."""

    def __reduce__(self):
        return (print, ("harm",))


def test_checkpoints_that_ask_for_code_are_refused(tmp_path, capsys):
    torch.save({"model_state_dict": {"a": torch.ones(1)}, "extra": Harmful()}, tmp_path / "bad.pt")
    (tmp_path / "torn.pt").write_bytes(b"PK\x03\x04 torn")
    torch.save([1, 2], tmp_path / "list.pt")
    for name in ("bad.pt", "torn.pt", "list.pt"):
        with pytest.raises(InputError, match=name):
            load_foreign(tmp_path / name)
    assert "harm" not in capsys.readouterr().out
