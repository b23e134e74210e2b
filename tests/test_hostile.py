"""Malformed and hostile inputs of every reader: each ends in one sentence, at once, without memory and without a file.

The valid input beside each of them is read, so that a refusal is due to the damage alone.
"""

import shutil
import sys
from pathlib import Path

import pytest
import torch
import worlds
from hostile import clips, colmap, furniture, kit, posed, scenes, sets
from hostile.kit import Reader
from test_cli import fewview

from fewview.errors import InputError

READERS = {
    "transforms.json": posed.NERFSTUDIO,
    "Blender": posed.BLENDER,
    "splits": posed.SPLITS,
    "COLMAP text": colmap.COLMAP_TEXT,
    "COLMAP binary": colmap.COLMAP_BINARY,
    "CO3D": clips.CO3D,
    "RealEstate10K frames": clips.CLIP_FRAMES,
    "RealEstate10K film": clips.CLIP_FILM,
    "LLFF": posed.LLFF,
    "photos": sets.PHOTOS,
    "HEIC": sets.HEIC,
    "video": sets.VIDEO,
    "mask model": sets.ONNX,
    "estimated cameras": sets.CACHE,
    "depth of clips": sets.CLIP_DEPTH,
    "depth of CO3D": sets.CO3D_DEPTH,
    "packed rooms": sets.ROOMS,
    "packed objects": sets.PACKED,
    "furniture libraries": furniture.LIBRARY,
    "furniture models": furniture.PIECES,
    "PLY": scenes.PLY,
    "SPZ": scenes.SPZ,
    ".splat": scenes.SPLAT,
    "scene of splats": scenes.GAUSSIANS,
    "scene of a field": scenes.FIELD,
    "weights": scenes.WEIGHTS,
    "camera path": scenes.PATH,
}
LEAST = 12
CASES = [pytest.param(name, case, id=f"{name}: {case}") for name, reader in READERS.items() for case in reader.damages]


@pytest.fixture(scope="module")
def originals(tmp_path_factory):
    """A folder that gets each reader's valid input when it is first asked for."""
    made = tmp_path_factory.mktemp("originals")

    def original(name: str) -> Path:
        folder = made / str(list(READERS).index(name))
        if not folder.exists():
            folder.mkdir()
            READERS[name].make(folder)
        return folder

    return original


@pytest.fixture(autouse=True)
def nothing_long(monkeypatch):
    """No cameras are estimated and nothing is rendered for a set: what would start that has read its input."""

    def estimated(photos, **_):
        raise InputError(f"The cameras of {photos.paths[0]} are estimated anew.")

    def rendered(root, config, *_):
        raise InputError(f"{config.furniture} is rendered.")

    monkeypatch.setattr("fewview.pipeline.photos.estimate_cameras", estimated)
    monkeypatch.setattr("fewview.synthetic.objects.build.render_sequences", rendered)


@pytest.fixture
def place(tmp_path, originals):
    """A copy of a reader's valid input, with a picture beside it that is none of its business."""

    def copied(name: str) -> Path:
        for package in READERS[name].needs:
            pytest.importorskip(package, reason=f"{package} is optional")
        worlds.save_image(tmp_path / kit.SECRET, torch.zeros(3, 16, 16))
        return Path(shutil.copytree(originals(name), tmp_path / "in"))

    return copied


def run(reader: Reader, folder: Path) -> int:
    """The exit code of the reader's command."""
    try:
        words = reader.command(folder, folder.parent / "out")
    except InputError as error:
        words = None
        return refusal(error)
    return 0 if words is None else fewview(*words)


def refusal(error: InputError) -> int:
    """What the command line makes of it."""
    print(f"fewview: {error}", file=sys.stderr)
    return 2


@pytest.mark.parametrize("name", READERS)
def test_the_valid_input_is_read_and_enough_is_wrong_with_others(name, place, capsys):
    reader = READERS[name]
    assert len(reader.damages) >= LEAST
    code, said = run(reader, place(name)), capsys.readouterr()
    assert (code, said.err) == (0, "") if reader.valid is None else code == 2 and reader.valid in said.err


@pytest.mark.parametrize(("name", "case"), CASES)
@pytest.mark.filterwarnings("ignore:invalid value encountered in cast:RuntimeWarning")
def test_a_hostile_input_is_refused_in_one_sentence_and_nothing_is_written(name, case, place, tmp_path, capsys):
    reader, folder = READERS[name], place(name)
    reader.damages[case](folder)
    before = kit.snapshot(tmp_path)
    with kit.limited():
        code = run(reader, folder)
    text = capsys.readouterr().err.strip()
    assert code == 2 and text.startswith("fewview: ") and text.endswith(".") and text.isprintable()
    assert str(folder) in text and (reader.names or "") in text and (reader.valid or "Traceback") not in text
    assert kit.snapshot(tmp_path) == before
