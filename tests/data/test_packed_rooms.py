import numpy as np
import pytest
import torch

from fewview.cameras import Cameras
from fewview.data.packed_rooms import load_rooms, pack_rooms, save_rooms
from fewview.data.realestate10k import open_clip, write_clip
from fewview.errors import InputError


@pytest.fixture
def clips(tmp_path):
    """Two clips of 6 and 9 frames; clip c, frame i has depth 1 + c + i / 100, and looks along +z from x = i."""
    for c, n in enumerate((6, 9)):
        centres = torch.tensor([[float(i), 1.5, 0.0] for i in range(n)])
        up = torch.tensor([[0.0, 1.0, 0.0]]).expand(n, 3)
        target = centres + torch.tensor([0.0, 0.0, 1.0])
        cameras = Cameras.look_at(centres, target, up, focal=8.0, height=8, width=8)
        pictures = [np.full((8, 8, 3), (20 * i + c) / 255) for i in range(n)]
        depths = [np.full((8, 8), 1 + c + i / 100) for i in range(n)]
        write_clip(tmp_path / f"{c}.txt", pictures, cameras, url="x", depths=depths, suffix=".png")
    return pack_rooms([open_clip(tmp_path / f"{c}.txt") for c in range(2)], 8)


def frame_of(depth):
    """Clip and frame that a depth says."""
    value = (depth.amax((-3, -2, -1)) - 1) + 1e-3
    return value.floor().long(), ((value % 1) * 100).round().long()


def test_saved_clips_come_back(clips, tmp_path):
    save_rooms(tmp_path / "p.safetensors", clips)
    again = load_rooms(tmp_path / "p.safetensors")
    assert torch.equal(again.images, clips.images)
    assert torch.equal(again.depth, clips.depth)
    assert torch.equal(again.cameras.world_from_cam, clips.cameras.world_from_cam)
    assert (len(again), again.counts.tolist(), again.starts.tolist()) == (2, [6, 9], [0, 6])


def test_a_file_of_something_else_is_refused(tmp_path):
    from fewview.checkpoint import save_tensors

    save_tensors(tmp_path / "p.safetensors", {"images": torch.zeros(1)})
    with pytest.raises(InputError, match="lacks"):
        load_rooms(tmp_path / "p.safetensors")


def test_windows_hold_different_frames_in_order_and_stay_in_the_clip(clips, generator):
    seen = set()
    for _ in range(40):
        frames = clips.pick(torch.tensor([0, 1]), 4, gap=5, generator=generator)
        steps = frames.diff(dim=1)
        assert (steps > 0).all()
        assert (frames[:, -1] - frames[:, 0] <= 4).all()
        assert (frames[0] < 6).all() and (frames[1] >= 6).all() and (frames[1] < 15).all()
        seen |= set(frames.flatten().tolist())
    assert seen == set(range(15))


def test_too_many_frames_are_refused(clips):
    with pytest.raises(InputError, match="do not fit"):
        clips.pick(torch.tensor([0]), 7, gap=24)


@pytest.mark.parametrize("between", [True, False, None])
def test_batches_have_depth_pictures_and_poses_of_the_same_frames_about_the_first_reference(clips, generator, between):
    batch = clips.batch(torch.tensor([1, 0]), 2, 3, gap=6, between=between, generator=generator)
    clip, reference = frame_of(batch.reference_depth)
    _, target = frame_of(batch.target_depth)
    assert clip.tolist() == [[1, 1], [0, 0]]
    for b in range(2):
        assert len({*reference[b].tolist(), *target[b].tolist()}) == 5
    level = (batch.targets.images[:, :, 0, 0, 0] * 255).round().long()
    assert torch.equal((level - torch.tensor([[1], [0]])) // 20, target)
    eye = torch.eye(4).expand(2, 4, 4)
    torch.testing.assert_close(batch.references.cameras.world_from_cam[:, 0], eye, atol=1e-5, rtol=0)
    walked = (target - reference[:, :1]).float()
    torch.testing.assert_close(batch.targets.cameras.centers[..., 0].abs(), walked.abs(), atol=1e-4, rtol=0)
    if between:
        assert (target.amin(1) > reference[:, 0]).all() and (target.amax(1) < reference[:, 1]).all()
    if between is False:
        assert (target.amin(1) > reference.amax(1)).all()


def test_one_reference_and_one_target_can_be_asked_for(clips, generator):
    batch = clips.batch(torch.tensor([0]), 1, 1, generator=generator)
    assert batch.references.images.shape == batch.targets.images.shape == (1, 1, 3, 8, 8)
