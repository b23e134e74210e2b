import dataclasses

import pytest
import torch
from safetensors.torch import save_file

from fewview.errors import InputError
from fewview.nn.autoencoder import (
    Autoencoder,
    AutoencoderConfig,
    gaussian_sample,
    kl_divergence,
    load_stable_diffusion,
)

TINY = AutoencoderConfig((8, 16), blocks=1, groups=8)


def test_stable_diffusion_size_has_its_parameter_count_and_latent_shape():
    with torch.device("meta"):
        model = Autoencoder(AutoencoderConfig())
        assert tuple(model.encode(torch.zeros(1, 3, 256, 256)).shape) == (1, 4, 32, 32)
        assert tuple(model.decode(torch.zeros(1, 4, 32, 32)).shape) == (1, 3, 256, 256)
    assert sum(p.numel() for p in model.parameters()) == 83_653_863  # kl-f8's


def test_stable_diffusion_file_loads_under_both_attention_namings(tmp_path):
    model = Autoencoder(TINY)
    state = {name: tensor.contiguous() for name, tensor in model.state_dict().items()}
    old = {"to_q": "query", "to_k": "key", "to_v": "value", "to_out.0": "proj_attn"}

    def aged(name: str) -> str:
        for new, former in old.items():
            name = name.replace(f".attentions.0.{new}.", f".attentions.0.{former}.")
        return name

    images = torch.rand(2, 3, 16, 16)
    for folder, names in (("new", lambda name: name), ("old", aged)):
        path = tmp_path / folder / "vae"
        path.mkdir(parents=True)
        save_file({names(name): tensor for name, tensor in state.items()}, path / "diffusion_pytorch_model.safetensors")
        loaded = load_stable_diffusion(tmp_path / folder)
        assert loaded.config == dataclasses.replace(TINY, groups=8)
        assert torch.equal(loaded.encode(images), model.encode(images))
        assert torch.equal(loaded.decode(model.encode(images)), model.decode(model.encode(images)))


def test_a_file_that_is_no_autoencoder_is_refused(tmp_path):
    save_file({"x": torch.zeros(1)}, tmp_path / "diffusion_pytorch_model.safetensors")
    with pytest.raises(InputError, match="AutoencoderKL"):
        load_stable_diffusion(tmp_path)


def test_latents_scale_and_decode_undoes_the_scale():
    model, other = Autoencoder(TINY), Autoencoder(dataclasses.replace(TINY, scale=2.0))
    other.load_state_dict(model.state_dict())
    images = torch.rand(1, 3, 8, 8)
    ratio = other.encode(images) / model.encode(images)
    assert torch.allclose(ratio, torch.full_like(ratio, 2.0 / TINY.scale), rtol=1e-4)
    assert torch.allclose(other.decode(other.encode(images)), model.decode(model.encode(images)), atol=1e-5)


def test_kl_of_a_standard_normal_is_zero_and_of_a_shifted_one_half_its_square():
    zero = torch.zeros(1, 4, 2, 2)
    assert kl_divergence(zero, zero) == 0
    assert torch.isclose(kl_divergence(zero + 3, zero), torch.tensor(4.5))


def test_samples_have_the_posteriors_moments(generator):
    mean, logvar = torch.full((1, 1, 200, 200), 2.0), torch.full((1, 1, 200, 200), 2.0).log() * 2
    sample = gaussian_sample(mean, logvar, generator)
    assert abs(sample.mean() - 2) < 0.05 and abs(sample.std() - 2) < 0.05
