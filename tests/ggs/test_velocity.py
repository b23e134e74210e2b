import torch

from fewview.diffusion.denoiser import from_v
from fewview.ggs.velocity import VelocityConfig, VelocityHead, clean_of, velocity_of


def test_v_of_known_noise_gives_the_clean_latents_back(generator):
    z0, noise = torch.randn(2, 2, 3, 4, 5, 5, generator=generator)
    sigma = torch.tensor([[0.0, 0.1, 1.0], [0.5, 7.0, 80.0]])
    x = z0 + sigma[..., None, None, None] * noise
    torch.testing.assert_close(clean_of(velocity_of(z0, noise, sigma), x, sigma), z0, atol=1e-4, rtol=1e-4)


def test_clean_latents_are_those_of_a_v_network(generator):
    x, v = torch.randn(2, 1, 3, 4, 5, 5, generator=generator)
    sigma = torch.tensor([[0.1, 1.0, 20.0]])
    expected = from_v(lambda _x, _level: v[0])(x[0], sigma[0])
    torch.testing.assert_close(clean_of(v, x, sigma)[0], expected)


def test_without_noise_the_input_is_the_answer(generator):
    x, v = torch.randn(2, 1, 2, 4, 5, 5, generator=generator)
    torch.testing.assert_close(clean_of(v, x, torch.zeros(1, 2)), x)


def test_the_head_takes_maps_of_a_multiple_of_the_latents_resolution(generator):
    head = VelocityHead(6, 4, VelocityConfig(width=16, blocks=1), scale=2)
    rendered, skip = torch.randn(2, 3, 6, 10, 8, generator=generator), torch.randn(2, 3, 4, 5, 4, generator=generator)
    assert head(rendered, skip, torch.ones(2, 3)).shape == (2, 3, 4, 5, 4)
