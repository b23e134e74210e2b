from dataclasses import replace

import torch
from worlds import photograph, ring

from fewview.baselines.codebook import Codebook, CodebookConfig, CodebookTask
from fewview.nn.autoencoder import AutoencoderConfig

SMALL = CodebookConfig(16, codes=6, dim=4, network=AutoencoderConfig((8, 8, 8), blocks=1, groups=4))


def book(config: CodebookConfig = SMALL) -> Codebook:
    torch.manual_seed(0)
    return Codebook(config)


def test_paper_size_has_8_x_8_of_1024_codes():
    with torch.device("meta"):
        made = Codebook(CodebookConfig())
    assert made.config.cells == 8 and made.codes.weight.shape == (1024, 256)


def test_the_nearest_code_is_the_nearest():
    for config in (SMALL, replace(SMALL, normalised=True)):
        made = book(config)
        x = made.project(torch.rand(2, 3, 16, 16))
        assert torch.equal(made.nearest(x), torch.cdist(x, made.table().expand(2, -1, -1)).argmin(-1))


def test_what_codes_stand_for_is_encoded_as_themselves():
    made = book()
    numbers = torch.randint(6, (2, 16))
    assert torch.equal(made.nearest(made.table()[numbers]), numbers)


def test_the_encoder_has_the_gradient_that_it_would_have_without_codes():
    """1711.00937, Eq. 3: what the decoder wants of the chosen codes is what the encoder's answer gets."""
    made = book()
    x = made.project(torch.rand(1, 3, 16, 16)).detach().requires_grad_()
    codes = made.table()[made.nearest(x)].detach().requires_grad_()
    made.draw(made.replaced(x)[1]).square().sum().backward()
    made.draw(codes).square().sum().backward()
    torch.testing.assert_close(x.grad, codes.grad, atol=1e-3, rtol=1e-3)


def test_codes_that_nothing_chooses_move_to_where_pictures_are():
    made = book().train()
    x = made.project(torch.rand(1, 3, 16, 16)).detach()
    with torch.no_grad():
        made.codes.weight[1:] = 100.0 + torch.arange(5)[:, None]  # only the first is near
    for i in range(200):
        made.revive(x, torch.Generator().manual_seed(i))
    assert made.codes.weight.max() < 50 and len(made.nearest(x).unique()) == 6


def test_steps_lower_the_loss_and_codes_follow():
    images = photograph(ring(4, 16)).images
    made = book()
    task = CodebookTask(made, lambda generator: images, images)
    optimiser = torch.optim.Adam(made.parameters(), lr=3e-3)
    losses = []
    for i in range(8):
        loss = task.loss(torch.Generator().manual_seed(i))["loss"]
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        losses.append(loss.item())
    assert losses[-1] < losses[0]
    assert 1 <= task.validate(made)["codes_used"] <= 6
