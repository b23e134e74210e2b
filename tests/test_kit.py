"""The kit for machines with a GPU: what travels comes back, and the rehearsal leaves weights."""

import json
import sys
from dataclasses import replace
from functools import partial
from pathlib import Path

import pytest
import torch
from worlds import smallest, smallest_model

from fewview.cameras import Cameras
from fewview.checkpoint import load_model, save_model, save_tensors
from fewview.data.packed import PackedScenes
from fewview.data.packed_rooms import RoomClips
from fewview.recipes.sparsefusion.stages import SIZES, run_stage
from fewview.recipes.wildfusion.packed import PackedPhotos
from fewview.sparsefusion.vldm import VLDM, VLDMConfig

KIT = Path(__file__).parents[1] / "papers" / "kit"


@pytest.fixture
def kit(monkeypatch):
    """The folder's scripts as modules."""
    monkeypatch.syspath_prepend(str(KIT))
    import packing
    import run

    yield {"packing": packing, "run": run}
    for name in ("packing", "run"):
        del sys.modules[name]


def smooth(frames: int, channels: int, size: int) -> torch.Tensor:
    """Pictures that WebP holds well."""
    coarse = torch.rand(frames, channels, 3, 3, generator=torch.Generator().manual_seed(1))
    large = torch.nn.functional.interpolate(coarse, (size, size), mode="bicubic", align_corners=False)
    return (255 * large.clamp(0, 1)).byte()


def around(frames: int, size: int) -> Cameras:
    angle = torch.arange(frames) * (2 * torch.pi / frames)
    centres = 4 * torch.stack([angle.sin(), angle.cos(), 0 * angle + 0.2], dim=1)
    return Cameras.look_at(
        centres, torch.zeros(3), torch.tensor([0.0, 0, 1]), focal=1.5 * size, height=size, width=size
    )


def objects(size: int, scenes: int = 2, frames: int = 6) -> PackedScenes:
    images = smooth(scenes * frames, 4, size)
    images[:, 3] = 0
    images[:, 3, size // 4 : -size // 4, size // 4 : -size // 4] = 255
    images[:, :3] *= images[:, 3:] > 0
    n = scenes * frames
    counts = torch.full((scenes,), frames)
    starts = counts.cumsum(0) - counts
    return PackedScenes(
        images, around(n, size), torch.full((n, 2), size / 2), torch.full((n,), size / 4), starts, counts
    )


def test_pictures_and_cameras_survive_and_later_frames_stay_behind(kit):
    data = objects(32)
    back = kit["packing"].unpacked(kit["packing"].packed(data, 4, 90))
    kept = torch.tensor([0, 1, 2, 3, 6, 7, 8, 9])
    assert back.counts.tolist() == [4, 4] and back.starts.tolist() == [0, 4]
    assert back.cameras.world_from_cam.equal(data.cameras.world_from_cam[kept])
    assert back.deviations.equal(data.deviations[kept])
    assert (back.images[:, 3] > 127).equal(data.images[kept, 3] > 127)
    assert (back.images.float() - data.images[kept].float()).abs().mean() < 6


def test_depth_is_off_by_half_a_step_and_unknown_stays_unknown(kit):
    n, size = 5, 16
    metres = 0.1 * 500 ** torch.rand(n, size // 2, size // 2, generator=torch.Generator().manual_seed(2))
    metres[:, 0] = 0
    whole = metres.repeat_interleave(2, 1).repeat_interleave(2, 2).half()
    counts = torch.tensor([n])
    rooms = RoomClips(smooth(n, 3, size), whole, around(n, size), torch.tensor([0]), counts)
    back = kit["packing"].unpacked(kit["packing"].packed(rooms, 9, 90))
    assert back.depth[:, :2].abs().max() == 0
    torch.testing.assert_close(back.depth.float(), whole.float(), rtol=0.016, atol=0)
    z = 2.4 * torch.rand(n, size, size, generator=torch.Generator().manual_seed(3)) - 1.2
    extra = torch.arange(n), torch.zeros(n, dtype=torch.long)
    photos = PackedPhotos(
        smooth(n, 4, size), z.half(), *extra, around(n, size), torch.eye(4).repeat(n, 1, 1), ("ball",)
    )
    again = kit["packing"].unpacked(kit["packing"].packed(photos, 9, 90), ("ball",))
    torch.testing.assert_close(again.depth.float(), z, rtol=0, atol=0.006)
    assert again.classes == ("ball",) and again.labels.equal(photos.labels)


def test_a_rehearsal_leaves_half_precision_weights_of_a_trained_model(kit, tmp_path, monkeypatch):
    size = smallest().size
    monkeypatch.setitem(SIZES, "small", lambda: smallest())
    folder, out = tmp_path / "sparsefusion", tmp_path / "out"
    for split in ("train", "test"):
        save_tensors(folder / f"{split}.safetensors", kit["packing"].packed(objects(size), 6, 90))
    save_model(folder / "weights", smallest_model(), smallest())
    root = tmp_path / "root"
    out.mkdir()
    kit["run"].unpack(folder, root, root / "runs")
    plan = replace(kit["run"].PLANS["sparsefusion"], run=partial(run_stage, "joint"), batch=1)
    kit["run"].trained(plan, folder, root, out, seconds=3.0, device="cpu", batch=1)
    rows = [json.loads(line) for line in (out / "log.jsonl").read_text().splitlines()]
    made = load_model(out / "model", VLDM, VLDMConfig)
    assert rows[-1]["step"] >= 1 and "captured_eft_psnr" in rows[-1]
    before = smallest_model().state_dict()
    assert any(not tensor.equal(before[name]) for name, tensor in made.state_dict().items() if name.startswith("unet."))
