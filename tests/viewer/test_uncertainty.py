from dataclasses import replace

import pytest
import torch
from viewer.scenes import UP, ring

from fewview.cameras import Cameras
from fewview.render.asset import GaussianAsset
from fewview.render.gaussians import Gaussians
from fewview.viewer.uncertainty import Disagreement, disagreement, top_of, viridis


def wall(depth: float = 0.0, colour: tuple[float, float, float] = (0.5, 0.5, 0.5)) -> GaussianAsset:
    """An opaque square in the plane z = depth, from -1 to 1."""
    across = torch.linspace(-1, 1, 15)
    x, y = (side.reshape(-1) for side in torch.meshgrid(across, across, indexing="xy"))
    n = len(x)
    means = torch.stack([x, y, torch.full((n,), depth)], dim=-1)
    scales = torch.tensor([0.08, 0.08, 0.001]).expand(n, 3)
    quaternions = torch.tensor([1.0, 0, 0, 0]).expand(n, 4)
    return GaussianAsset(Gaussians(means, scales, quaternions, torch.full((n,), 0.999), torch.tensor([colour] * n)))


@pytest.fixture
def front() -> Cameras:
    eye = torch.tensor([[0.0, 0, -6]])
    return Cameras.look_at(eye, torch.zeros(3), UP, focal=200, height=100, width=100)


def test_equal_samples_agree(front):
    for score in disagreement([wall(), wall(), wall()], front):
        assert score.seen.float().mean() > 0.9
        assert score.of("both").abs().max() < 1e-5


def test_colours_apart_by_d_have_a_deviation_of_half_of_it(front):
    scores = disagreement([wall(colour=(0.2, 0.2, 0.2)), wall(colour=(0.6, 0.6, 0.6))], front)
    middle = scores[0].seen & (wall().gaussians.means.abs().amax(-1) < 0.8)
    torch.testing.assert_close(scores[0].colour[middle], torch.full((int(middle.sum()),), 0.2), atol=0.01, rtol=0)
    assert scores[0].depth[middle].max() < 1e-3


def test_depths_apart_by_d_have_a_deviation_of_half_of_it_in_radii(front):
    scores = disagreement([wall(), wall(depth=0.5)], front)
    means = wall().gaussians.means
    radius = means.norm(dim=-1).quantile(0.9)
    middle = scores[0].seen & (means.abs().amax(-1) < 0.5)
    want = (0.25 / radius).expand(int(middle.sum()))
    torch.testing.assert_close(scores[0].depth[middle], want, atol=0.01, rtol=0.02)
    torch.testing.assert_close(scores[0].of("both"), (scores[0].colour ** 2 + scores[0].depth ** 2).sqrt())


def test_a_part_that_only_one_sample_has_is_where_they_disagree(front):
    whole, half = wall(), wall()
    half = replace(half, gaussians=half.gaussians[half.gaussians.means[:, 0] < 0.01])
    score = disagreement([whole, half], front)[0]
    x = whole.gaussians.means[:, 0]
    assert score.depth[score.seen & (x > 0.3)].min() > 0.4, "half of one radius"
    assert score.depth[score.seen & (x < -0.3)].max() < 0.01


def test_what_no_camera_sees_is_grey(front):
    behind = wall(depth=1.0).gaussians
    both = GaussianAsset(Gaussians.cat([wall().gaussians, behind]))
    score = disagreement([both, both], front)[0]
    hidden = torch.arange(len(both.gaussians)) >= len(behind)
    covered = hidden & (both.gaussians.means.abs().amax(-1) < 1.01) & (both.gaussians.means[:, :2].abs().amax(-1) < 0.7)
    assert not score.seen[covered].any()
    torch.testing.assert_close(score.colours("both", 1.0)[covered], torch.tensor([[0.35] * 3]).expand(covered.sum(), 3))


def test_the_scale_ends_where_98_percent_of_seen_splats_stay_below():
    values = torch.arange(101.0)
    score = Disagreement(values, values * 0, values < 100.5)
    assert top_of([score], "colour") == 98
    assert top_of([Disagreement(values, values, values < 0)], "both") == 0


def test_colours_run_from_dark_violet_to_yellow():
    torch.testing.assert_close(viridis(torch.tensor([0.0, 1.0])) * 255, torch.tensor([[68.0, 1, 84], [253, 231, 37]]))


def test_one_sample_is_not_enough():
    with pytest.raises(ValueError, match="one sample"):
        disagreement([wall()], ring(2))
