"""The stages of GGS, one step each, on clips of coloured noise."""

import dataclasses
from pathlib import Path

import pytest
import torch
from ggs_rooms import MICRO
from test_cli import fewview, refused

from fewview.cameras import Cameras
from fewview.checkpoint import load_tensors, read_json, save_model
from fewview.data.packed_rooms import RoomClips, load_rooms, save_rooms
from fewview.data.realestate10k import write_clip
from fewview.errors import InputError
from fewview.ggs.method import GGSMethod
from fewview.nn.autoencoder import Autoencoder
from fewview.recipes.ggs import stages as ggs_stages
from fewview.recipes.ggs.stages import ClipBatching, clip_batches, clip_of, clips_of, run_stage
from fewview.recipes.runs import StageOptions
from fewview.training import TrainConfig, last_checkpoint

BRIEF = TrainConfig(steps=1, learning_rate=1e-4, ema=0.0, log_every=1, save_every=1, validate_every=100)
BATCHING = ClipBatching(scenes=1, references=(2,), views=4, novel=2, gaps=(6, 8))


def newest(run: Path) -> Path:
    folder = last_checkpoint(run)
    assert folder is not None
    return folder


def clips(count: int, size: int, seed: int = 0) -> RoomClips:
    """Walks along x before a wall 3 m away."""
    generator = torch.Generator().manual_seed(seed)
    images = torch.randint(256, (count * 8, 3, size, size), generator=generator, dtype=torch.uint8)
    centres = torch.tensor([[0.1 * i, 0.0, 0.0] for i in range(8)]).repeat(count, 1)
    cameras = Cameras.look_at(
        centres, centres + torch.tensor([0, 0, 1.0]), torch.tensor([0, -1.0, 0]), focal=size, height=size, width=size
    )
    depth = torch.full((count * 8, size, size), 3.0).half()
    return RoomClips(images, depth, cameras, torch.arange(count) * 8, torch.full((count,), 8))


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    root = tmp_path_factory.mktemp("rooms")
    for i, split in enumerate(("train", "test")):
        save_rooms(root / f"{split}.safetensors", clips(2, 2 * MICRO.height, i))
    return root


@pytest.fixture(scope="module")
def runs(data, tmp_path_factory):
    """All stages of the smallest model and its control without splats, one step each."""
    out = tmp_path_factory.mktemp("runs")
    with pytest.MonkeyPatch.context() as patch:
        for size in ("tiny", "small"):
            patch.setitem(ggs_stages.SIZES, size, lambda: MICRO)
        patch.setattr(ggs_stages, "find_lpips", lambda *_, **__: None)
        patch.setattr(ggs_stages, "ClipBatching", lambda: BATCHING)
        torch.manual_seed(0)
        save_model(out / "start", Autoencoder(MICRO.autoencoder), MICRO.autoencoder)
        run_stage("codec", data, out, options=StageOptions(training=BRIEF, autoencoder=out / "start"))
        for stage in ("denoiser", "decoder"):
            run_stage(stage, data, out, options=StageOptions(training=BRIEF))
        run_stage("denoiser", data, out, options=StageOptions(training=BRIEF), variant="no-3d")
        yield out


def test_the_last_stage_leaves_a_model_that_grows_scenes(runs):
    model = GGSMethod.from_pretrained(runs / "decoder" / "model").model
    assert model.config.scene and model.config.height == MICRO.height


def test_the_decoder_alone_learns_in_its_stage(runs):
    before, after = (load_tensors(newest(runs / s) / "model.safetensors") for s in ("denoiser", "decoder"))
    moved = {name.split(".")[0] for name, tensor in after.items() if not tensor.equal(before[name])}
    assert moved == {"decoder"}


def test_the_control_has_no_splats_and_a_folder_of_its_own(runs):
    names = load_tensors(newest(runs / "denoiser-no-3d") / "model.safetensors")
    assert not any(name.startswith("splats.") for name in names)
    assert read_json(runs / "denoiser-no-3d" / "config.json")["recipe"] == "ggs/denoiser/no-3d"


def test_the_codec_is_the_one_that_was_trained(runs):
    codec = load_tensors(newest(runs / "codec") / "ema.safetensors")
    inside = load_tensors(newest(runs / "denoiser") / "model.safetensors")
    assert all(inside[f"codec.{name}"].equal(tensor) for name, tensor in codec.items())


def test_batches_depend_on_their_generator_alone_and_keep_frames_apart(data):
    draw = clip_batches(clips_of(data, "train", MICRO.height), BATCHING)
    first, again, other = (draw(torch.Generator().manual_seed(seed)) for seed in (3, 3, 4))
    assert first.targets.images.equal(again.targets.images)
    assert not first.novel.cameras.world_from_cam.equal(other.novel.cameras.world_from_cam)
    poses = [v.cameras.centers[0] for v in (first.references, first.targets, first.novel)]
    places = torch.cat(poses).norm(dim=-1)
    assert len(places) == BATCHING.views + BATCHING.novel and len(places.round(decimals=3).unique()) >= 4
    assert first.input_depths is not None and (first.input_depths == 3).all()


def test_smaller_clips_are_averages_of_blocks(data):
    large = load_rooms(data / "train.safetensors")
    small = large.resized(MICRO.height)
    want = large.images[3, 1, 2:4, 6:8].float().mean()
    assert abs(small.images[3, 1, 1, 3].float() - want) <= 0.5
    point = torch.tensor([[0.4, -0.2, 2.0]])
    pixels, _ = large.cameras[5].project(point)
    torch.testing.assert_close(small.cameras[5].project(point)[0], pixels / 2)
    with pytest.raises(InputError, match="no multiple of 24"):
        large.resized(24)


def test_what_is_missing_is_said(data, runs, tmp_path, capsys):
    with pytest.raises(InputError, match="train the codec first"):
        run_stage("denoiser", data, tmp_path, options=StageOptions(training=BRIEF))
    with pytest.raises(InputError, match="train the denoiser"):
        run_stage("decoder", data, runs, options=StageOptions(training=BRIEF), variant="regressor")
    with pytest.raises(InputError, match="has no clips in 'train'"):
        run_stage("codec", tmp_path, tmp_path, options=StageOptions(training=BRIEF))
    with pytest.raises(InputError, match="belongs to another model"):
        run_stage(
            "denoiser",
            data,
            runs,
            options=StageOptions(training=BRIEF, size="small", autoencoder=runs / "codec" / "model"),
        )
    assert "--variant belongs to GGS" in refused(
        capsys, "train", "eft", "--data", data, "-o", tmp_path, "--variant", "no-3d"
    )


def test_paper_size_trains_on_clips_of_its_own_shape(runs, tmp_path, monkeypatch):
    """The paper's frames are no squares: they are read from clips, and packed squares are refused in words."""
    wide = dataclasses.replace(MICRO, height=16, width=24)
    monkeypatch.setitem(ggs_stages.SIZES, "paper", lambda: wide)
    monkeypatch.setattr(ggs_stages, "PAPER", BATCHING)
    monkeypatch.setattr(ggs_stages, "find_lpips", lambda *_, **__: None)
    packed = clips(1, 24)
    for split in ("train", "test"):
        save_rooms(tmp_path / f"{split}.safetensors", packed)
    codec = runs / "codec" / "model"
    with pytest.raises(InputError, match="square frames"):
        run_stage(
            "denoiser",
            tmp_path,
            tmp_path / "out",
            options=StageOptions(size="paper", training=BRIEF, autoencoder=codec),
        )
    for split in ("train", "test"):
        pictures = [frame.permute(1, 2, 0).numpy() / 255 for frame in packed.images]
        depths = [depth.float().numpy() for depth in packed.depth]
        url = {"url": "x", "depths": depths, "suffix": ".png"}
        write_clip(tmp_path / split / "a.txt", pictures, packed.cameras, **url)
    run_stage(
        "denoiser", tmp_path, tmp_path / "out", options=StageOptions(size="paper", training=BRIEF, autoencoder=codec)
    )
    model = GGSMethod.from_pretrained(tmp_path / "out" / "denoiser" / "model").model
    assert (model.config.height, model.config.width) == (16, 24)
    shape = clips_of(tmp_path, "train", (16, 24)).images.shape
    assert tuple(shape) == (8, 3, 16, 24)


def test_frames_of_a_wide_batch_are_not_squares():
    batching = ggs_stages.PAPER
    assert (batching.scenes, batching.views, batching.gaps[1]) == (1, 8, 80)


def test_a_pretrained_video_model_is_for_the_denoiser(data, tmp_path, capsys):
    said = refused(capsys, "train", "decoder", "--data", data, "-o", tmp_path, "--init", tmp_path)
    assert "--init belongs to eft, unet, joint, GGS's denoiser and baselines" in said


def test_the_command_trains_a_stage(data, runs):
    command = ("train", "denoiser", "--data", data, "-o", runs, "--variant", "no-depth", "--steps", 1)
    assert fewview(*command) == 0
    assert (runs / "denoiser-no-depth" / "model" / "config.json").exists()


@pytest.mark.parametrize("references", [1, 2])
def test_clips_have_depth_pictures_and_poses_of_the_same_frames_each_in_one_role(references):
    """Frame i of clip c is as bright, as deep, and as far along x, as its number says."""
    number = torch.arange(18)
    images = (10 * number).byte()[:, None, None, None].expand(18, 3, 8, 8)
    centres = torch.stack([number.float(), torch.zeros(18), torch.zeros(18)], dim=-1)
    ahead, up = torch.tensor([0.0, 0, 1]), torch.tensor([0.0, -1, 0])
    cameras = Cameras.look_at(centres, centres + ahead, up, focal=8.0, height=8, width=8)
    depth = (1 + number).half()[:, None, None].expand(18, 8, 8)
    data = RoomClips(images, depth, cameras, torch.tensor([0, 9]), torch.tensor([9, 9]))
    batching, generator = ClipBatching(views=4, novel=2, gaps=(7, 9)), torch.Generator().manual_seed(1)
    clip = clip_of(data, torch.tensor([1, 0]), references, batching=batching, generator=generator)
    parts = [clip.references, clip.targets, clip.novel]
    shown = [(part.images[:, :, 0, 0, 0] * 25.5).round().long() for part in parts]
    for part, frames, depths in zip(parts, shown, clip.depths):
        assert torch.equal(part.cameras.centers[..., 0].long(), frames)
        assert torch.equal(depths[..., 0, 0].long(), 1 + frames)
    frames = torch.cat(shown, dim=1)
    assert [len(set(row)) for row in frames.tolist()] == [6, 6]
    assert (frames[0] >= 9).all() and (frames[1] < 9).all()
    assert (shown[0].diff(dim=1) > 0).all() and (shown[1].diff(dim=1) > 0).all()
    assert [part.cameras.shape for part in parts] == [(2, references), (2, 4 - references), (2, 2)]
