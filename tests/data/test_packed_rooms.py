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
