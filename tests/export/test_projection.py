"""Photos laid on a mesh: sharp where one looks, hidden where something is in between, the scene's own elsewhere."""

from dataclasses import replace

import numpy as np
import pytest
import torch
import trimesh
from worlds import BALLS, Balls, photograph, ring

from fewview.cameras import Cameras
from fewview.export.mesh import Mesh
from fewview.export.projection import Projection, bands_of, jumps
from fewview.export.raster import Fragments, seen_by
from fewview.views import Views


def balls() -> tuple[torch.Tensor, torch.Tensor, np.ndarray, torch.Tensor]:
    """Corners, normals, faces of the balls, and which of them each corner belongs to."""
    parts = [trimesh.creation.icosphere(4, radius=radius).apply_translation(centre) for centre, radius, _ in BALLS]
    whole = trimesh.util.concatenate(parts)
    which = torch.cat([torch.full((len(part.vertices),), i) for i, part in enumerate(parts)])
    vertices, outward = (
        torch.tensor(np.asarray(x), dtype=torch.float32) for x in (whole.vertices, whole.vertex_normals)
    )
    return vertices, outward, np.asarray(whole.faces), which


@pytest.fixture(scope="module")
def laid():
    """Colours of all corners from one photo, with red for what it does not see."""
    views = photograph(ring(1, 128))
    vertices, outward, faces, which = balls()
    own = torch.tensor([1.0, 0, 0]).expand(len(vertices), 3)
    return views, vertices, outward, which, Projection(views, vertices, faces).colours(vertices, outward, own)


def shaded(view: Views, vertices: torch.Tensor, outward: torch.Tensor, which: torch.Tensor) -> torch.Tensor:
    """What Balls shows of points: the colour of their ball times the cosine to the view, as its rim darkens."""
    towards = torch.nn.functional.normalize(view.cameras.centers[0] - vertices, dim=-1)
    cosine = (towards * outward).sum(-1, keepdim=True)
    return torch.tensor([colour for _, _, colour in BALLS])[which] * cosine


def test_corners_that_a_photo_sees_well_have_its_colours(laid):
    views, vertices, outward, which, colours = laid
    towards = torch.nn.functional.normalize(views.cameras.centers[0] - vertices, dim=-1)
    front = ((towards * outward).sum(-1) > 0.7) & (which == 1)  # the ball that nothing hides
    want = shaded(views, vertices, outward, which)
    assert front.sum() > 200 and (colours - want)[front].abs().amax(-1).quantile(0.95) < 0.03


def test_what_is_turned_away_or_hidden_keeps_its_own_colour(laid):
    views, vertices, outward, which, colours = laid
    towards = torch.nn.functional.normalize(views.cameras.centers[0] - vertices, dim=-1)
    away = (towards * outward).sum(-1) < 0
    assert torch.equal(colours[away], torch.tensor([1.0, 0, 0]).expand(int(away.sum()), 3))
    green = (which == 0) & (colours[:, 1] > colours[:, 0])  # the front ball's colour on the ball behind
    assert green.float().mean() < 0.005  # corners at the outline of the front ball, within a pixel


def test_the_sharpest_photo_gives_the_detail_and_all_give_the_light():
    vertices, outward, faces, _ = balls()
    near = ring(1, 128)
    pose = near.world_from_cam.clone()
    pose[:, :3, 3] *= 1.5
    stripes, grey = (torch.arange(128) % 4 < 2).float() * 0.2, torch.full((1, 3, 128, 128), 0.5)
    both = Views(torch.cat([grey + stripes, grey - 0.4]), Cameras.cat([near, replace(near, world_from_cam=pose)]))
    own = torch.zeros(len(vertices), 3)
    colours = Projection(both, vertices, faces).colours(vertices, outward, own)
    alone = Projection(both[:1], vertices, faces).colours(vertices, outward, own)
    towards = torch.nn.functional.normalize(near.centers[0] - vertices, dim=-1)
    seen = ((towards * outward).sum(-1) > 0.7) & (alone.amin(-1) > 0.4)
    spread = lambda x: float(x[seen].std())
    assert spread(colours) > 0.85 * spread(alone)  # stripes of the near one, not their mean with the plain one
    assert colours[seen].mean() < alone[seen].mean() - 0.03  # whose light counts as well


def test_a_border_of_wrong_colours_is_not_painted():
    views = photograph(ring(1, 128))
    vertices, outward, faces, _ = balls()
    inside = torch.nn.functional.max_pool2d(1 - views.masks, 3, 1, 1) == 0
    blue = torch.tensor([0.0, 0, 1])[:, None, None]
    fringed = Views(torch.where(inside, views.images, blue), views.cameras, views.masks)
    own = torch.zeros(len(vertices), 3)
    colours = Projection(fringed, vertices, faces).colours(vertices, outward, own)
    plain = Projection(views, vertices, faces).colours(vertices, outward, own)
    assert (colours[:, 2] - plain[:, 2]).max() < 0.35  # of 1, of the blur that parts the bands
    assert ((colours[:, 2] - plain[:, 2]) > 0.1).float().mean() < 0.05


def test_bands_add_up_to_the_photo_and_depth_jumps_at_outlines():
    views = photograph(ring(1, 64))
    coarse, detail = bands_of(views[0])
    assert views.masks is not None
    well_inside = torch.nn.functional.max_pool2d(1 - views.masks[0], 7, 1, 3)[0] == 0  # farther out, these go on
    torch.testing.assert_close((coarse + detail)[:, well_inside], views.images[0][:, well_inside])
    vertices, _, faces, _ = balls()
    fragments = seen_by(views.cameras[0], vertices, faces)
    assert 0 < jumps(fragments, 0.1).sum() < 0.2 * fragments.covered.sum()
    tilted = Fragments(np.zeros((8, 8), int), np.zeros((8, 8, 3)), np.add.outer(np.arange(8.0), np.arange(8.0)) + 1)
    assert not jumps(tilted, 0.1).any()  # a slope is no jump, however steep


def test_a_texture_shows_the_photos():
    pytest.importorskip("xatlas")
    from fewview.export.texture import textured

    views = photograph(ring(2, 96))
    vertices, _, faces, _ = balls()
    mesh = Mesh(vertices.numpy(), faces, np.zeros((len(vertices), 3), np.uint8))
    blind = Balls().render(views.cameras)
    blind = type(blind)(blind.image, torch.zeros_like(blind.alpha), blind.depth)
    made = textured(mesh, blind, views.cameras, photos=views, size=256)
    lit = (made.texture.max(-1) > 60).mean()
    assert 0.05 < lit < 0.9
