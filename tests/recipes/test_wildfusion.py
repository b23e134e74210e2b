"""The stages on a set of painted balls in the layout of CO3Dv2, and the sizes of the recipes."""

import math

import numpy as np
import pytest
import torch
import wild_balls
import worlds

from fewview.cameras import Cameras
from fewview.checkpoint import load_model, load_tensors, read_json
from fewview.data.co3d_writer import write_annotations, write_sequence
from fewview.errors import InputError
from fewview.recipes import wildfusion
from fewview.recipes.runs import StageOptions
from fewview.recipes.wildfusion import stages, training
from fewview.recipes.wildfusion.packed import class_names, packed_photos, view_from_world
from fewview.recipes.wildfusion.stages import run_stage, schedule
from fewview.training import TrainConfig, last_checkpoint
from fewview.wildfusion.frame import FRONT
from fewview.wildfusion.gan import GANConfig, PlaneGAN
from fewview.wildfusion.latent import LatentConfig
from fewview.wildfusion.whole import WholeConfig, WildFusion

BRIEF = TrainConfig(
    steps=2, learning_rate=1e-3, ema=0.0, log_every=1, save_every=1, validate_every=2, betas=(0.5, 0.95)
)
FRAMES = 12


def sequence(root, category: str, name: str) -> None:
    seen = worlds.Balls().render(worlds.ring(FRAMES, 24))
    frames = [
        (image.movedim(0, -1).numpy(), alpha[0].numpy(), depth[0].numpy())
        for image, alpha, depth in zip(seen.image, seen.alpha, seen.depth)
    ]
    write_sequence(
        root, (category, name), frames, cameras=worlds.ring(FRAMES, 24), cloud=(np.zeros((4, 3)), np.zeros((4, 3)))
    )


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    root = tmp_path_factory.mktemp("set")
    for category, split in (("egg", "train"), ("ball", "train"), ("ape", "test")):
        sequence(root, category, f"0_{category}")
        sequence(root, category, f"1_{category}")
        write_annotations(root, category, {f"0_{category}": split, f"1_{category}": "test"})
    return root


@pytest.fixture(scope="module")
def runs(data, tmp_path_factory):
    out = tmp_path_factory.mktemp("runs")
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(stages.SIZES, "tiny", lambda: wild_balls.MICRO)
        patch.setitem(stages.LATENTS, "tiny", lambda names: LatentConfig(wild_balls.PRIOR.unet, names))
        patch.setitem(stages.GANS, "tiny", lambda names: GANConfig(wild_balls.MICRO, names, 8, 16, (8,)))
        patch.setattr(training, "find_lpips", lambda *_, **__: None)
        for stage in stages.STAGES:
            run_stage(stage, data, out, options=StageOptions(training=BRIEF))
        yield out


def test_packed_photos_are_in_view_space_and_their_training_classes_come_first(runs, data):
    packed = packed_photos(data, runs / stages.PHOTOS, "train", size=16)
    assert class_names(data) == packed.classes == ("ball", "egg", "ape")
    photos = packed.photos(torch.arange(len(packed)))
    assert len(packed) == 2 * FRAMES and sorted(set(photos.labels.tolist())) == [0, 1]
    means = [float(z[z != 0].mean()) for z in photos.depth]
    assert means == pytest.approx([-FRONT] * len(means), abs=0.02)
    wide = (photos.masks > 0.5).any(2)[:, 0].sum(1)  # the longer side of a mask takes 1 / 1.3 of the photo
    tall = (photos.masks > 0.5).any(3)[:, 0].sum(1)
    assert all(abs(int(side) - 16 / 1.3) <= 2 for side in torch.maximum(wide, tall))


def test_view_space_puts_the_surface_before_the_origin_on_the_cameras_axis():
    camera = Cameras.look_at(
        torch.tensor([[3.0, 1.0, 2.0]]),
        torch.tensor([0.5, 0, 0]),
        torch.tensor([0.0, 0, 1]),
        focal=50.0,
        height=40,
        width=40,
    )
    camera = camera.cropped(4, -3, 20, 20)
    middle = torch.tensor([2.5])
    scale = 2 * 50.0 / (20 * middle)
    view = view_from_world(camera, middle, scale)
    moved = camera.transformed(view)
    pixels, depth = moved.project(torch.tensor([[[0.0, 0, 0], [0, 0, -FRONT]]]))
    torch.testing.assert_close(pixels[0], torch.full((2, 2), 10.0), atol=1e-3, rtol=0)
    ray = camera.in_cam(torch.tensor([[[10.0, 10.0]]]))[0, 0]
    assert float((moved.centers[0] - torch.tensor([0, 0, -FRONT])).norm()) == pytest.approx(
        float(scale * middle * ray.norm()), rel=1e-4
    )
    assert float(moved.centers[0, :2].abs().max()) < 1e-4 and float(depth.min()) > 0


def test_each_stage_leaves_a_model_that_loads(runs):
    first = load_model(runs / "wildfusion-autoencoder" / "model", WildFusion, WholeConfig)
    second = load_model(runs / "wildfusion-latent" / "model", WildFusion, WholeConfig)
    assert first.latent is None and second.prior.config.classes == ("ball", "egg")
    for name, tensor in first.autoencoder.state_dict().items():
        assert tensor.equal(second.autoencoder.state_dict()[name])
    assert load_model(runs / "wildfusion-gan" / "model", PlaneGAN, GANConfig).config.classes == ("ball", "egg")


def test_latents_of_the_training_photos_have_unit_variance(runs):
    kept = load_tensors(runs / "wildfusion-latent" / "latents.safetensors")
    detail = kept["latents"][:, : wild_balls.MICRO.latents].float()
    assert float(detail.std()) == pytest.approx(1, rel=0.05)
    assert len(kept["latents"]) == 2 * 2 * FRAMES == len(kept["labels"])


def test_a_stopped_run_goes_on_to_the_same_weights(runs, data, tmp_path, monkeypatch):
    """The game's counter of steps is resumed too."""
    monkeypatch.setitem(stages.SIZES, "tiny", lambda: wild_balls.MICRO)
    from dataclasses import replace

    out = tmp_path / "again"
    run_stage("wildfusion-autoencoder", data, out, options=StageOptions(training=replace(BRIEF, minutes=0.0)))
    assert last_checkpoint(out / "wildfusion-autoencoder").name == "00000001"
    run_stage("wildfusion-autoencoder", data, out, options=StageOptions(training=BRIEF))
    ends = [load_tensors(last_checkpoint(r / "wildfusion-autoencoder") / "model.safetensors") for r in (runs, out)]
    assert int(ends[0]["steps"]) == 2 and all(torch.equal(ends[0][name], ends[1][name]) for name in ends[0])
    assert read_json(out / "wildfusion-autoencoder" / "config.json")["recipe"] == "wildfusion-autoencoder"


def test_stages_that_lack_their_start_and_unknown_sizes_are_refused(data, tmp_path):
    with pytest.raises(InputError, match="train wildfusion-autoencoder"):
        run_stage("wildfusion-latent", data, tmp_path)
    with pytest.raises(InputError, match="no size 'small'"):
        run_stage("wildfusion-autoencoder", data, tmp_path, options=StageOptions(size="small"))


def parameters(model: torch.nn.Module) -> int:
    return sum(p.numel() for p in model.parameters())


def test_the_tiny_family_fits_in_twelve_megabytes_and_its_control_is_as_large():
    with torch.device("meta"):
        whole = WildFusion(WholeConfig(wildfusion.tiny(), wildfusion.tiny_latent(("a",) * 7)))
        control = PlaneGAN(wildfusion.tiny_gan(("a",) * 7))
    assert 1.9e6 < parameters(whole.autoencoder) < 2.2e6 and 2 * parameters(whole) < 12e6
    assert parameters(control) == pytest.approx(parameters(whole), rel=0.1)


def test_the_paper_size_has_its_shapes():
    """On the meta device, where nothing is computed: 256 px to 32x32x4 latents to planes of 128 cells, and back."""
    config = wildfusion.paper()
    with torch.device("meta"):
        model = WildFusion(WholeConfig(config, wildfusion.paper_latent(("a",) * 1000)))
        images, masks = torch.zeros(1, 3, 256, 256), torch.zeros(1, 1, 256, 256)
        latents = model.autoencoder.encode(images, masks, masks)
        planes = model.autoencoder.planes(latents)
        v = model.prior.v(latents, torch.zeros(1), torch.zeros(1, dtype=torch.long))
        judged = wildfusion.adversaries(config).image(torch.zeros(1, 6, 256, 256))
    assert latents.shape == v.shape == (1, 4, 32, 32) and planes.shape == (1, 3, 32, 128, 128) and judged.shape == (1,)
    assert 45e6 < parameters(model.autoencoder) < 60e6 and 3.5e8 < parameters(model.prior) < 4.5e8


@pytest.mark.slow
def test_the_paper_size_takes_a_training_step():
    from fewview.wildfusion.losses import LossConfig
    from fewview.wildfusion.model import WildAutoencoder
    from fewview.wildfusion.tasks import AutoencoderTask, Game

    torch.manual_seed(0)
    game, ball = (
        Game(WildAutoencoder(wildfusion.paper()), wildfusion.adversaries(wildfusion.paper())),
        wild_balls.photos(1, 256),
    )
    losses = AutoencoderTask(game, lambda _: ball, ball, LossConfig(start=0)).loss(torch.Generator().manual_seed(0))
    losses["loss"].backward()
    norms = [p.grad.norm() for p in game.parameters() if p.grad is not None]
    assert math.isfinite(float(torch.stack(norms).norm())) and len(norms) > 200


def test_schedules_are_games_where_there_are_two_players():
    assert schedule("wildfusion-gan", "tiny").betas[0] < schedule("wildfusion-latent", "tiny").betas[0]
    assert schedule("wildfusion-autoencoder", "paper").steps > schedule("wildfusion-autoencoder", "tiny").steps
