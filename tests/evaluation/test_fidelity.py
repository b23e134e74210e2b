import pytest
import torch

from fewview.evaluation.fidelity import Trunk, fid, frechet, kernel, kid, kid_error, moments


def _normal(n, d, *, seed, mean=0.0, scale=1.0):
    return torch.randn(n, d, generator=torch.Generator().manual_seed(seed)) * scale + mean


def test_kid_is_the_sum_over_pairs():
    a, b = _normal(5, 3, seed=0), _normal(4, 3, seed=1)
    k = lambda x, y: (float(x @ y) / 3 + 1) ** 3
    within_a = sum(k(a[i], a[j]) for i in range(5) for j in range(5) if i != j) / 20
    within_b = sum(k(b[i], b[j]) for i in range(4) for j in range(4) if i != j) / 12
    across = sum(k(x, y) for x in a for y in b) / 20
    assert kid(a, b) == pytest.approx(within_a + within_b - 2 * across, rel=1e-5)


def test_kid_of_halves_of_one_set_is_zero_in_the_mean_whatever_their_size():
    """Unbiased: the mean over splits is zero within its error; the biased estimate is far from it."""
    values, biased = [], []
    for seed in range(200):
        x = _normal(16, 6, seed=seed)
        a, b = x[:8], x[8:]
        values.append(kid(a, b))
        biased.append(float(kernel(a, a).mean() + kernel(b, b).mean() - 2 * kernel(a, b).mean()))
    values, biased = torch.tensor(values), torch.tensor(biased)
    error = values.std() / 200**0.5
    assert values.mean().abs() < 3 * error and biased.mean() > 10 * error


def test_kid_of_shifted_numbers_is_the_closed_form():
    """One feature, N(0, 1) and N(m, 1): E k = E (xy + 1)^3 = sum of binomials of squared moments."""
    m = 1.0
    moment = lambda mean: (1, mean, mean**2 + 1, mean**3 + 3 * mean)  # E x^i of N(mean, 1)
    expected = lambda p, q: sum(c * p[i] * q[i] for i, c in enumerate((1, 3, 3, 1)))
    zero, one = moment(0.0), moment(m)
    closed = expected(zero, zero) + expected(one, one) - 2 * expected(zero, one)
    values = [kid(_normal(200, 1, seed=2 * s), _normal(200, 1, seed=2 * s + 1, mean=m)) for s in range(100)]
    values = torch.tensor(values)
    assert abs(values.mean() - closed) < 3 * values.std() / 10


def test_the_bootstrap_error_is_that_of_repeated_draws():
    groups = torch.arange(60)
    draws = torch.tensor([kid(_normal(60, 4, seed=2 * s), _normal(60, 4, seed=2 * s + 1, mean=0.5)) for s in range(60)])
    error = kid_error(_normal(60, 4, seed=500), _normal(60, 4, seed=501, mean=0.5), groups, groups_b=groups)
    assert 0.5 < error / draws.std() < 2


def test_the_error_of_few_clips_is_larger_than_that_of_as_many_lone_images():
    clips = torch.arange(10).repeat_interleave(6)
    shared = _normal(10, 4, seed=3)[clips], _normal(10, 4, seed=4)[clips]
    a, b = (x + 0.1 * _normal(60, 4, seed=5 + i) for i, x in enumerate(shared))
    assert kid_error(a, b, clips, groups_b=clips) > 1.5 * kid_error(a, b, torch.arange(60), groups_b=torch.arange(60))


def test_fid_of_two_gaussians_is_the_closed_form():
    """Commuting covariances: |m|^2 + sum (sqrt a - sqrt b)^2."""
    q = torch.linalg.qr(_normal(5, 5, seed=0).double()).Q
    a, b = torch.tensor([4.0, 1, 0.25, 0, 9]).double(), torch.tensor([1.0, 1, 4, 2, 0]).double()
    shift = torch.tensor([1.0, 0, 0, 2, 0]).double()
    found = frechet((torch.zeros(5).double(), q * a @ q.T), (shift, q * b @ q.T))
    assert found == pytest.approx(5 + float((a.sqrt() - b.sqrt()).square().sum()), abs=1e-6)


def test_fid_of_covariances_that_do_not_commute_is_scipys():
    linalg = pytest.importorskip("scipy.linalg")
    a, b = (moments(_normal(40, 6, seed=s) @ _normal(6, 6, seed=s + 10)) for s in (0, 1))
    root = linalg.sqrtm(a[1].numpy() @ b[1].numpy()).real
    expected = float((a[0] - b[0]).square().sum() + a[1].trace() + b[1].trace()) - 2 * root.trace()
    assert frechet(a, b) == pytest.approx(expected, rel=1e-6)


def test_fid_of_a_set_with_itself_is_zero_even_with_fewer_images_than_features():
    x = _normal(10, 32, seed=0)
    assert fid(x, x) == pytest.approx(0, abs=1e-6)
    assert fid(x, x + 0.5) == pytest.approx(32 * 0.25, rel=1e-5)


def test_moments_are_numpys():
    x = _normal(20, 4, seed=0)
    mean, cov = moments(x)
    torch.testing.assert_close(cov, torch.cov(x.double().T))
    torch.testing.assert_close(mean, x.double().mean(0))


def test_a_trunk_is_the_same_in_any_batches():
    trunk = Trunk("mean", lambda images: images.mean((-2, -1)))
    images = torch.rand(5, 3, 4, 4, generator=torch.Generator().manual_seed(0))
    torch.testing.assert_close(trunk(images, batch=2), images.mean((-2, -1)))


def test_one_image_is_too_few():
    with pytest.raises(ValueError, match="two images"):
        kid(torch.zeros(1, 2), torch.zeros(3, 2))
