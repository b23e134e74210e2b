"""`fewview evaluate` on rooms, with the smallest networks."""

import json
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from ggs_rooms import MICRO, lively, painted, plane_depth
from test_cli import fewview, refused

from fewview.cameras import Cameras
from fewview.checkpoint import save_model
from fewview.commands.room_methods import Named, named_methods, room_reconstructors
from fewview.data.packed_rooms import pack_rooms, save_rooms
from fewview.data.realestate10k import open_clip, write_clip
from fewview.errors import InputError
from fewview.ggs.model import GGS
from fewview.sparsefusion.method import SparseFusionConfig

pytest.importorskip("cv2")


@pytest.fixture(scope="module", autouse=True)
def no_lpips():
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("fewview.evaluation.perceptual.find_lpips", lambda *_, **__: None)
        yield


@pytest.fixture(scope="module")
def rooms(tmp_path_factory) -> Path:
    """A set of two clips before a painted wall, on disk and packed, and two models."""
    root = tmp_path_factory.mktemp("rooms")
    for i in range(2):
        centers = torch.tensor([[0.15 * frame, 0.1 * i, 0.0] for frame in range(7)])
        cameras = Cameras.look_at(
            centers, torch.tensor([0.2, 0, 4]), torch.tensor([0.0, -1, 0]), focal=20.0, height=16, width=16
        )
        pictures = list(painted(cameras).images.permute(0, 2, 3, 1).numpy())
        depths = list(plane_depth(cameras).numpy())
        write_clip(root / "set" / "test" / f"clip{i}.txt", pictures, cameras, url="fewview:test", depths=depths)
    clips = [open_clip(path) for path in sorted((root / "set" / "test").glob("*.txt"))]
    save_rooms(root / "packed.safetensors", pack_rooms(clips, 16))
    for name, config in (("ggs", MICRO), ("no3d", replace(MICRO, no_3d=True))):
        save_model(root / name, lively(GGS(config)), config)
    return root


def test_rooms_are_known_by_their_format_and_methods_by_label_kind_and_weights(rooms, capsys):
    out = rooms / "out"
    methods = f"ggs,fine:ggs-d3d={rooms / 'ggs'},regressor"
    more = ("--frames", 4, "--preset", "fast", "--weights", rooms / "ggs", "--methods", methods)
    assert fewview("evaluate", rooms / "set", "-o", out, *more) == 0
    rows = [json.loads(line) for line in (out / "rooms.jsonl").read_text().splitlines()]
    assert {(r["clip"], r["method"], r["setting"]) for r in rows} == {
        (clip, method, setting)
        for clip in ("clip0", "clip1")
        for method in ("ggs", "fine", "regressor")
        for setting in ("interpolation", "extrapolation")
    }
    text = (out / "tables.md").read_text()
    assert "| fine |" in text and "renders between the generated frames" in text
    assert len(list((out / "pictures").glob("*.png"))) == 4
    capsys.readouterr()
    assert fewview("tables", out) == 0
    assert capsys.readouterr().out == text


def test_a_packed_set_is_read_and_scenes_are_spread(rooms):
    out = rooms / "packed"
    more = ("--frames", 4, "--preset", "fast", "--weights", rooms / "ggs", "--methods", "regressor", "--scenes", 1)
    assert fewview("evaluate", rooms / "packed.safetensors", "-o", out, *more) == 0
    rows = [json.loads(line) for line in (out / "rooms.jsonl").read_text().splitlines()]
    assert [row["clip"] for row in rows] == ["room-0000"] * 2


def test_entries_are_labels_kinds_and_weights():
    assert named_methods("ggs, a b:no3d=C:/x=y", "tiny") == [
        Named("ggs", "ggs", "tiny"),
        Named("a b", "no3d", "C:/x=y"),
    ]
    with pytest.raises(InputError, match="eft"):
        named_methods("ggs,eft", "tiny")
    with pytest.raises(InputError, match="called ggs"):
        named_methods("ggs=a,ggs=b", "tiny")


def test_kinds_are_told_apart(rooms):
    text = f"ggs,ggs-d3d,regressor,regressor-d3d,no3d={rooms / 'no3d'},ggs-distill"
    methods, height = room_reconstructors(text, str(rooms / "ggs"), "fast")
    assert height == 16
    flags = {name: (m.config.decoder, m.config.regressor) for name, m in methods.items() if name != "ggs-distill"}
    assert flags == {
        "ggs": (False, False), "ggs-d3d": (True, False), "regressor": (False, True), "regressor-d3d": (True, True),
        "no3d": (False, False),
    }  # fmt: skip
    assert methods["ggs-distill"].config.distill.steps == SparseFusionConfig.preset("fast").distill.steps


def test_weights_of_the_wrong_kind_and_options_of_objects_are_refused(rooms, tmp_path, capsys):
    base = ("evaluate", rooms / "set", "-o", tmp_path / "out", "--weights")
    assert "no_3d" in refused(capsys, *base, rooms / "ggs", "--methods", "no3d")
    assert "no_3d" in refused(capsys, *base, rooms / "no3d", "--methods", "ggs")
    assert "for rooms" in refused(capsys, *base, rooms / "ggs", "--methods", "sparsefusion")
    assert "too few" in refused(capsys, *base, rooms / "ggs", "--methods", "ggs")
    assert not (tmp_path / "out").exists()
