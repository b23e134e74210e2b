import math

import numpy as np
import pytest
import torch
from scipy.special import sph_harm_y

from fewview.geometry.harmonics import COUNTS, SH_DC, basis, degree_of, directional, turned
from fewview.geometry.transforms import axis_angle, normalise


@pytest.fixture
def directions(generator):
    return normalise(torch.randn(200, 3, generator=generator, dtype=torch.float64))


def test_they_are_the_real_harmonics_of_scipy_with_the_condon_shortley_phase(directions):
    """Real ones of complex ones: (-1)^m of the usual change, which takes the phase out, is left away."""
    x, y, z = directions.unbind(-1)
    polar, azimuth = z.acos().numpy(), torch.atan2(y, x).numpy()
    columns = []
    for degree in (1, 2, 3):
        for m in range(-degree, degree + 1):
            value = sph_harm_y(degree, abs(m), polar, azimuth)
            part = value.imag if m < 0 else value.real
            columns.append(torch.from_numpy(part * (math.sqrt(2) if m else 1)))
    torch.testing.assert_close(basis(directions, 3), torch.stack(columns, dim=-1), atol=1e-12, rtol=0)
    assert sph_harm_y(0, 0, 0.3, 0.4).real == pytest.approx(SH_DC, rel=1e-14)


def test_constants_are_those_that_the_release_of_3dgs_names():
    """By its numbers, in directions in which single harmonics are easy to read off."""
    x, y, z = torch.eye(3, dtype=torch.float64)
    first = torch.stack([basis(axis, 1) for axis in (x, y, z)])
    torch.testing.assert_close(first, -0.4886025119029199 * torch.tensor([[0, 0, 1.0], [1, 0, 0], [0, -1, 0]]).double())
    second, third = basis(z, 3)[3:8], basis(z, 3)[8:]
    assert second[2].item() == pytest.approx(2 * 0.31539156525252005)
    assert third[3].item() == pytest.approx(2 * 0.3731763325901154)
    assert basis(x, 3)[7].item() == pytest.approx(0.5462742152960396)
    assert basis(x, 3)[14].item() == pytest.approx(-0.5900435899266435)


def test_they_are_orthonormal_on_the_sphere():
    """By Gauss-Legendre in z and even angles, exact for such polynomials."""
    z, weights = np.polynomial.legendre.leggauss(8)
    angles = torch.arange(16, dtype=torch.float64) * (math.pi / 8)
    z, weights = torch.from_numpy(z)[:, None], torch.from_numpy(weights)[:, None] * (math.pi / 8)
    flat = (1 - z * z).sqrt()
    points = torch.stack([flat * angles.cos(), flat * angles.sin(), z.expand(8, 16)], dim=-1).reshape(-1, 3)
    values = basis(points, 3)
    gram = values.T @ (values * weights.expand(8, 16).reshape(-1, 1))
    torch.testing.assert_close(gram, torch.eye(15, dtype=torch.float64), atol=1e-12, rtol=0)


@pytest.mark.parametrize("degree", [1, 2, 3])
@pytest.mark.parametrize("mirrored", [False, True])
def test_turned_harmonics_show_in_turned_directions_what_the_old_ones_showed(generator, directions, degree, mirrored):
    harmonics = torch.randn(5, COUNTS[degree], 3, generator=generator, dtype=torch.float64)
    turn = axis_angle(normalise(torch.tensor([0.3, -0.5, 0.8], dtype=torch.float64)), torch.tensor(2.2).double())
    if mirrored:
        turn = turn @ torch.diag(torch.tensor([1.0, 1, -1])).double()
    new = turned(harmonics, turn)
    there, here = (torch.einsum("dk,nkc->ndc", *pair) for pair in (
        (basis(directions @ turn.T, degree), new), (basis(directions, degree), harmonics)
    ))  # fmt: skip
    torch.testing.assert_close(there, here, atol=1e-10, rtol=0)
    assert (new - harmonics).abs().max() > 0.1


def test_turning_keeps_degrees_apart_and_turns_back(generator):
    harmonics = torch.randn(4, 15, 3, generator=generator, dtype=torch.float64)
    harmonics[:, 3:] = 0
    turn = axis_angle(torch.tensor([0.0, 0.6, 0.8], dtype=torch.float64), torch.tensor(1.0).double())
    new = turned(harmonics, turn)
    assert new[:, 3:].abs().max() < 1e-12
    torch.testing.assert_close(turned(new, turn.T), harmonics, atol=1e-12, rtol=0)


def test_colours_are_not_below_black():
    seen = directional(torch.tensor([[0.1, 0.9]]), torch.tensor([[[0, 0], [-1.0, 1], [0, 0]]]), torch.eye(3)[2:])
    torch.testing.assert_close(seen, torch.tensor([[0.0, 0.9 + math.sqrt(3 / (4 * math.pi))]]))


def test_so_many_coefficients_are_no_degree():
    assert [degree_of(count) for count in COUNTS] == [0, 1, 2, 3]
    with pytest.raises(ValueError, match="not 9"):
        degree_of(9)
