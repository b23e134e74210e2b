import pytest
import torch

from fewview.cameras import Cameras
from fewview.data.packed_rooms import RoomClips, save_rooms
from fewview.data.realestate10k import open_clip, write_clip
from fewview.errors import InputError
from fewview.evaluation.rooms.windows import PackedClip, RoomProtocol, is_room_set, open_clips

PROTOCOL = RoomProtocol()


def test_interpolation_gives_the_ends_and_judges_all_between():
    window = PROTOCOL.window(0, 24, "interpolation")
    start = window.references[0]
    assert window.stride == 3 and 0 <= start <= 2
    assert window.references == (start, start + 21)
    assert window.targets == tuple(start + 3 * i for i in range(1, 7))
    assert sorted([*window.references, *window.targets, *window.between]) == list(range(start, start + 22))


def test_extrapolation_gives_the_first_two_and_judges_nothing_between_them():
    window, other = PROTOCOL.window(0, 24, "extrapolation"), PROTOCOL.window(0, 24, "interpolation")
    start = window.references[0]
    assert window.references == (start, start + 3) and start == other.references[0]
    assert window.targets == tuple(start + 3 * i for i in range(2, 8))
    assert len(window.between) == 12 and min(window.between) > start + 3 and max(window.between) < start + 21


def test_windows_follow_from_the_seed_and_the_clips_place():
    starts = [PROTOCOL.window(i, 24, "interpolation").references[0] for i in range(30)]
    assert set(starts) == {0, 1, 2}
    assert starts == [PROTOCOL.window(i, 24, "interpolation").references[0] for i in range(30)]
    assert starts != [RoomProtocol(seed=30).window(i, 24, "interpolation").references[0] for i in range(30)]


def test_pairs_are_a_stride_apart_and_of_one_kind():
    window = PROTOCOL.window(0, 24, "interpolation")
    assert len(window.pairs("generated")) == 5 and len(window.pairs("between")) == 12
    for kind in ("generated", "between"):
        assert all(b - a == 3 and {a, b} <= set(window.of(kind)) for a, b in window.pairs(kind))


def test_one_reference_only_extrapolates():
    protocol = RoomProtocol(references=1)
    assert protocol.settings == ("extrapolation",)
    window = protocol.window(0, 24, "extrapolation")
    assert len(window.references) == 1 and len(window.targets) == 7 and len(window.between) == 14


def test_real_clips_of_sixteen_frames_fit_and_shorter_ones_are_refused():
    assert PROTOCOL.window(0, 16, "interpolation").stride == 2
    assert PROTOCOL.window(0, 14, "interpolation").between == ()
    with pytest.raises(InputError, match="needs 8"):
        PROTOCOL.window(0, 7, "interpolation")
    with pytest.raises(InputError, match="needs 29"):
        RoomProtocol(stride=4).window(0, 24, "interpolation")
    with pytest.raises(InputError, match="references"):
        RoomProtocol(references=8)


def _clips(tmp_path):
    generator = torch.Generator().manual_seed(0)
    poses = torch.eye(4).repeat(6, 1, 1)
    poses[:, 0, 3] = torch.arange(6) * 0.1
    cameras = Cameras(poses, torch.tensor([[8.0, 0, 4], [0, 8, 4], [0, 0, 1]]).repeat(6, 1, 1), 8, 8)
    images = torch.randint(0, 255, (6, 3, 8, 8), dtype=torch.uint8, generator=generator)
    depth = (torch.arange(6 * 64).reshape(6, 8, 8) / 10).half()
    return RoomClips(images, depth, cameras, torch.tensor([0, 2]), torch.tensor([2, 4]))


def test_packed_sets_are_read_at_any_size_and_depth_is_never_mixed(tmp_path):
    clips = _clips(tmp_path)
    save_rooms(tmp_path / "test.safetensors", clips)
    assert is_room_set(tmp_path / "test.safetensors")
    walks = open_clips(tmp_path / "test.safetensors")
    assert [len(walk) for walk in walks] == [2, 4] and walks[1].name == "room-0001"
    views, depth = walks[1].frames([1, 3], 4)
    torch.testing.assert_close(views.cameras.centers[:, 0], torch.tensor([0.3, 0.5]))
    assert views.cameras.height == 4 and views.cameras.intrinsics[0, 0, 0] == 4
    assert set(depth.flatten().tolist()) <= set(clips.depth[[3, 5]].float().flatten().tolist())
    full, same = walks[1].frames([1], 8)
    assert torch.equal(full.images[0], clips.images[3] / 255) and torch.equal(same[0], clips.depth[3].float())


def test_clips_on_disk_are_found_by_split(tmp_path):
    clips = _clips(tmp_path)
    for split, depths in (("train", True), ("test", True), ("real", False)):
        walk = PackedClip(clips, 1)
        views, depth = walk.frames(range(4), 8)
        write_clip(
            tmp_path / split / f"{split}clip.txt", list(views.images.permute(0, 2, 3, 1).numpy()), views.cameras,
            url="fewview:rooms", depths=list(depth.numpy()) if depths else None, suffix=".png",
        )  # fmt: skip
    assert is_room_set(tmp_path) and is_room_set(tmp_path / "test") and is_room_set(tmp_path / "test" / "testclip.txt")
    assert [walk.name for walk in open_clips(tmp_path)] == ["testclip"]
    assert [walk.name for walk in open_clips(tmp_path / "real")] == ["realclip"]
    views, depth = open_clips(tmp_path / "test" / "testclip.txt")[0].frames([0, 2], 8)
    torch.testing.assert_close(depth, clips.depth[[2, 4]].float(), atol=1e-2, rtol=0)
    assert (open_clips(tmp_path / "real")[0].frames([1], 8)[1] == 0).all()
    assert len(open_clip(tmp_path / "test" / "testclip.txt")) == 4


def test_other_folders_are_no_room_sets(tmp_path):
    (tmp_path / "photos").mkdir()
    (tmp_path / "notes.txt").write_text("nothing")
    assert not is_room_set(tmp_path) and not is_room_set(tmp_path / "notes.txt")
