import pytest
import torch

from fewview.detail.losses import dissimilarity, dissimilarity_torch, photo_loss
from fewview.views import Render


@pytest.mark.parametrize("size", [(37, 45), (5, 3), (16, 64)])
def test_the_fast_kernel_matches_the_slow_twin_in_value_and_gradient(generator, size):
    a, b = torch.rand(2, 3, *size, generator=generator)
    b[:, :4] = a[:, :4]  # where they are equal
    fast, slow = a.clone().requires_grad_(), a.double().requires_grad_()
    ours, exact = 2 * dissimilarity(fast, b), 2 * dissimilarity_torch(slow, b.double())
    torch.testing.assert_close(ours.double(), exact, atol=1e-5, rtol=0)
    ours.backward()
    exact.backward()
    assert fast.grad is not None and slow.grad is not None
    torch.testing.assert_close(fast.grad.double(), slow.grad, atol=1e-4 * slow.grad.abs().max().item(), rtol=1e-3)


def test_equal_images_differ_by_nothing_and_opposite_ones_by_more_than_one(generator):
    image = torch.rand(3, 40, 40, generator=generator)
    assert dissimilarity(image, image).item() == pytest.approx(0, abs=1e-6)
    assert 1 < dissimilarity(image, 1 - image).item() <= 2


def test_gradients_of_both_images_are_there_where_both_are_asked_for(generator):
    a, b = (image.requires_grad_() for image in torch.rand(2, 3, 20, 20, generator=generator))
    first, second = torch.autograd.grad(dissimilarity(a, b), [a, b])
    assert first.any() and second.any()


def test_a_photo_without_a_mask_is_opaque_where_it_is_not_black():
    nothing = Render(torch.zeros(3, 12, 12), torch.zeros(1, 12, 12), torch.zeros(1, 12, 12))
    lit = torch.zeros(3, 12, 12)
    lit[:, :, :6] = 0.8
    bare = lambda image, mask: (
        photo_loss(nothing, image, mask, similarity=0.2, alpha=1.0)
        - photo_loss(nothing, image, mask, similarity=0.2, alpha=0.0)
    )
    torch.testing.assert_close(bare(lit, None), torch.tensor(0.5))
    assert bare(torch.zeros(3, 12, 12), None) == 0
    torch.testing.assert_close(bare(lit, torch.ones(1, 12, 12)), torch.tensor(1.0))
