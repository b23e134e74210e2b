"""Files of splats for three.js (.ksplat 0.1), written here by the published layout at its three levels."""

import struct
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest

from fewview.errors import InputError
from fewview.export.ksplat import read_ksplat
from fewview.export.scenes import load_scene

COUNT, BLOCK, STEPS = 7, 4.0, 32767
BUCKETS = ((3, (1.0, 2.0, 3.0)), (3, (-3.0, 2.0, 3.0)), (1, (1.0, -2.0, 3.0)))  # two full ones of 3, one of 1
NUMBERS = (0, 9, 24)  # harmonics of a splat by degree, all channels


@dataclass
class Wanted:
    """What the file should hold, a row for each splat."""

    means: np.ndarray
    scales: np.ndarray
    turns: np.ndarray
    bytes_: np.ndarray
    harmonics: np.ndarray  # as stored: red, green, blue of degree 1, then of degree 2


def wanted(degree: int) -> Wanted:
    draw = np.random.default_rng(degree)
    centres = np.repeat([centre for _, centre in BUCKETS], [count for count, _ in BUCKETS], axis=0)
    turns = draw.normal(size=(COUNT, 4))
    return Wanted(
        centres + draw.uniform(-BLOCK / 2, BLOCK / 2, (COUNT, 3)),
        draw.uniform(0.01, 2, (COUNT, 3)),
        turns / np.linalg.norm(turns, axis=-1, keepdims=True),
        draw.integers(0, 256, (COUNT, 4)),
        draw.uniform(-0.8, 0.9, (COUNT, NUMBERS[degree])),
    )


def section(level: int, degree: int, want: Wanted, *, steps: int = STEPS) -> tuple[bytes, bytes]:
    """The header and the content of a section."""
    buckets = BUCKETS if level else ()
    partial = [count for count, _ in buckets if count != 3]
    layout = (3 * bool(level), len(buckets), BLOCK, 12 * bool(level), steps, 0, 2 * bool(level), len(partial), degree)
    head = struct.pack("<IIIIfHxxIIIIH", COUNT, COUNT, *layout).ljust(1024, b"\0")
    body = struct.pack(f"<{len(partial)}I", *partial)
    body += b"".join(struct.pack("<3f", *centre) for _, centre in buckets)
    owners = np.repeat(np.arange(3), [count for count, _ in BUCKETS])
    for i in range(COUNT):
        form = "f" if level == 0 else "e"
        if level:
            shares = (want.means[i] - BUCKETS[owners[i]][1]) / (BLOCK / 2)
            body += struct.pack("<3H", *(round(x * STEPS) + STEPS for x in shares))
        else:
            body += struct.pack("<3f", *want.means[i])
        body += struct.pack(f"<3{form}4{form}", *want.scales[i], *want.turns[i]) + bytes(want.bytes_[i].tolist())
        if level == 2:
            body += bytes(round((x + 1) / 2 * 255) for x in want.harmonics[i])
        else:
            body += struct.pack(f"<{len(want.harmonics[i])}{form}", *want.harmonics[i])
    return head, body


def ksplat(path: Path, level: int, *sections: tuple[bytes, bytes], count: int, limits=(-1.0, 1.0)) -> Path:
    head = struct.pack("<BBxxIIIIHxx3f2f", 0, 1, len(sections), len(sections), count, count, level, 0, 0, 0, *limits)
    heads, bodies = zip(*sections)
    path.write_bytes(head.ljust(4096, b"\0") + b"".join(heads) + b"".join(bodies))
    return path


@pytest.mark.parametrize("degree", [0, 1, 2])
@pytest.mark.parametrize("level", [0, 1, 2])
def test_every_level_is_read_to_its_own_steps(tmp_path, level, degree):
    want = wanted(degree)
    found = load_scene(ksplat(tmp_path / "x.ksplat", level, section(level, degree, want), count=COUNT)).gaussians
    half = 6e-4 if level else 1e-6  # of the numbers' size: eleven bits
    np.testing.assert_allclose(found.means, want.means, atol=BLOCK / 2 / STEPS if level else 1e-6)
    np.testing.assert_allclose(found.scales, want.scales, rtol=half)
    np.testing.assert_allclose(found.quaternions, want.turns, atol=half)
    np.testing.assert_allclose(found.features, want.bytes_[:, :3] / 255, atol=1e-6)
    np.testing.assert_allclose(found.opacities, want.bytes_[:, 3] / 255, atol=1e-6)
    assert found.degree == degree
    for k in range(NUMBERS[degree] // 3):
        for channel in range(3):
            place = 3 * channel + k if k < 3 else 9 + 5 * channel + k - 3
            stored = want.harmonics[:, place]
            step = (6e-4, 6e-4, 0.5 / 127)[level] if level else 1e-6
            np.testing.assert_allclose(found.harmonics[:, k, channel], stored, atol=step)


def test_sections_follow_each_other_each_of_its_own_degree(tmp_path):
    plain, shiny = wanted(0), wanted(1)
    path = ksplat(tmp_path / "x.ksplat", 1, section(1, 0, plain), section(1, 1, shiny), count=2 * COUNT)
    found = load_scene(path).gaussians
    assert len(found) == 2 * COUNT and found.degree == 1 and not found.harmonics[:COUNT].any()
    np.testing.assert_allclose(found.means[COUNT:], shiny.means, atol=1e-3)


def test_steps_that_a_section_does_not_state_are_those_of_its_level(tmp_path):
    path = ksplat(tmp_path / "x.ksplat", 1, section(1, 0, wanted(0), steps=0), count=COUNT)
    np.testing.assert_allclose(load_scene(path).gaussians.means, wanted(0).means, atol=1e-3)


def test_limits_of_harmonics_that_are_not_stated_are_one_and_a_half(tmp_path):
    path = ksplat(tmp_path / "x.ksplat", 2, section(2, 1, wanted(1)), count=COUNT, limits=(0.0, 0.0))
    found = load_scene(path).gaussians.harmonics
    np.testing.assert_allclose(found[:, 1, 2], 1.5 * wanted(1).harmonics[:, 7], atol=0.01)


@pytest.mark.parametrize(
    ("at", "change", "words"),
    [
        (0, b"\x01", "version 1.1"),
        (1, b"\x02", "version 0.2"),
        (20, b"\x03", "level 3"),
        (4, b"\xff\xff\xff\x00", "sections, which it cannot"),
        (16, b"\x08", "has 7 splats, its header says 8"),
        (4096, b"\xff\xff", "ends before the splats"),
        (4096 + 4, b"\xff\xff", "ends before the splats"),
        (4096 + 12, b"\x01", "fewer than it fills"),
        (4096 + 32, b"\x09", "fewer than it fills"),
        (4096 + 40, b"\x03", "harmonics of degree 3"),
        (5120, b"\x09", "more splats than it holds"),
        (5120, b"\x00", "of which 6 are in buckets"),
    ],
)
def test_a_damaged_file_is_refused_in_a_sentence(tmp_path, at, change, words):
    path = ksplat(tmp_path / "x.ksplat", 1, section(1, 0, wanted(0)), count=COUNT)
    data = bytearray(path.read_bytes())
    data[at : at + len(change)] = change
    path.write_bytes(data)
    with pytest.raises(InputError, match=words):
        load_scene(path)


@pytest.mark.parametrize("share", [0.0, 0.4, 0.999])
def test_what_is_left_of_a_file_is_refused(tmp_path, share):
    path = ksplat(tmp_path / "x.ksplat", 2, section(2, 2, wanted(2)), count=COUNT)
    path.write_bytes(path.read_bytes()[: int(share * path.stat().st_size)])
    with pytest.raises(InputError, match="copy it again"):
        load_scene(path)


def test_a_header_that_says_no_splats_is_not_believed(tmp_path):
    with pytest.raises(InputError, match="has 7 splats, its header says 0"):
        read_ksplat(ksplat(tmp_path / "x.ksplat", 0, section(0, 0, wanted(0)), count=0))
