"""Splat files: round trips, files of independent tools, and hostile ones."""

import gzip
import math
import pickle
import struct
from pathlib import Path

import numpy as np
import pytest
import torch

from fewview.errors import InputError
from fewview.export.compressed_ply import write_compressed_ply
from fewview.export.glb import write_splat_glb
from fewview.export.ply import COLUMNS, SH_DC, write_ply
from fewview.export.scenes import READERS, load_scene
from fewview.export.sog import write_sog
from fewview.export.splat import read_splat, write_splat
from fewview.export.spz import HEADER, NAME, SpzLayout, read_spz, write_spz
from fewview.render.asset import GaussianAsset
from fewview.render.gaussians import Gaussians

WRITERS = {
    ".ply": write_ply,
    ".compressed.ply": write_compressed_ply,
    ".spz": write_spz,
    ".sog": write_sog,
    ".splat": write_splat,
    ".glb": lambda path, splats: write_splat_glb(path, splats, UP),
    ".gltf": lambda path, splats: write_splat_glb(path, splats, UP),
}
CAPTURED = Path(__file__).parents[3] / "shared" / "data" / "splats_captured"
UP, STEPS_16 = torch.tensor([0.0, -1, 0]), 65535
STEPS = {  # half a step of each format's quantisation: means, log scales, 1 - |cos| of rotations, opacities, colours
    ".ply": (0, 1e-6, 1e-6, 1e-6, 1e-6),
    ".spz": (2**-20, 0.5 / 16 + 1e-5, 2e-5, 0.5 / 255 + 1e-6, 0.5 * SH_DC / (0.15 * 255) + 1e-6),
    ".splat": (0, 1e-6, 2e-4, 0.5 / 255 + 1e-6, 0.5 / 255 + 1e-6),
    ".compressed.ply": (6 / 1023, 8 / 1023, 2e-6, 0.5 / 255 + 1e-6, 0.5 / 255 + 1e-6),  # half steps of the bounds
    ".sog": (6 / STEPS_16 * 4, 8 / 255, 5e-5, 0.5 / 255 + 1e-6, 1.0 / 255 + 1e-6),
    ".glb": (0, 1e-6, 1e-6, 1e-6, 1e-6),
    ".gltf": (0, 1e-6, 1e-6, 1e-6, 1e-6),
}
COARSE = (0, 1e-5, 3e-4, 1.01 / 255, 1.01 / 255)  # of writers of .splat that cut digits off instead of rounding
FINE = {suffix: (max(steps[0], 2**-12), *steps[1:]) for suffix, steps in STEPS.items()}  # SPZ with 12 bits
FLIP, TURN = torch.tensor([1.0, -1, -1]), torch.tensor([1.0, 1, -1, -1])  # between axes of PLY and of SPZ


@pytest.fixture
def splats(generator) -> Gaussians:
    def normal(*shape):
        return torch.randn(*shape, generator=generator)

    colours = torch.rand(50, 3, generator=generator)
    return Gaussians(normal(50, 3), normal(50, 3).exp(), normal(50, 4), torch.rand(50, generator=generator), colours)


def assert_same(a: Gaussians, b: Gaussians, steps) -> None:
    """In any order: packed formats follow a curve."""
    means, logs, angles, opacities, colours = steps
    nearest = torch.cdist(a.means, b.means, compute_mode="donot_use_mm_for_euclid_dist").argmin(1)
    assert len(a) == len(b) == len(nearest.unique())
    b = b[nearest]
    torch.testing.assert_close(a.means, b.means, atol=means, rtol=1e-6)
    torch.testing.assert_close(a.scales.log(), b.scales.log(), atol=logs, rtol=0)
    one, two = (torch.nn.functional.normalize(g.quaternions, dim=-1) for g in (a, b))
    assert 1 - (one * two).sum(-1).abs().min() <= angles
    torch.testing.assert_close(a.opacities, b.opacities, atol=opacities, rtol=0)
    torch.testing.assert_close(a.features, b.features, atol=colours, rtol=0)


@pytest.mark.parametrize("suffix", WRITERS)
def test_reading_inverts_writing_within_the_quantisation(tmp_path, splats, suffix):
    WRITERS[suffix](tmp_path / f"x{suffix}", splats)
    assert_same(load_scene(tmp_path / f"x{suffix}").gaussians, splats, STEPS[suffix])


@pytest.mark.parametrize("suffix", [".spz", ".splat", ".compressed.ply"])
def test_a_second_round_trip_changes_nothing(tmp_path, splats, suffix):
    paths = [tmp_path / f"{i}{suffix}" for i in range(3)]
    for path, before in zip(paths, [None, *paths]):
        WRITERS[suffix](path, splats if before is None else load_scene(before).gaussians)
    assert paths[1].read_bytes() == paths[2].read_bytes()


def test_spz_is_as_fine_as_the_scene_is_small(tmp_path, splats):
    for scale, step in ((1e-3, 2**-21), (1.0, 2**-21), (1e4, 2**-9)):
        wide = Gaussians(splats.means * scale, *list(splats.tensors().values())[1:])
        write_spz(tmp_path / "x.spz", wide)
        again = read_spz(tmp_path / "x.spz").gaussians.means
        assert (again - wide.means).abs().max() <= step + 1e-7 * scale


def test_spz_remembers_antialiasing(tmp_path, splats):
    for flag in (True, False):
        write_spz(tmp_path / "x.spz", splats, antialiased=flag)
        assert load_scene(tmp_path / "x.spz").antialiased is flag


@pytest.mark.parametrize("version", [1, 2])
def test_old_versions_of_spz_are_read(tmp_path, version):
    """One splat at (1, -2, 3), opacity 1, grey, of size 1, turned by (w, x, y, z) = (0, 1, 0, 0)."""
    place = np.array([1, 2, -3], "<f2").tobytes() if version == 1 else _fixed(1, 2, -3)
    rest = bytes([255, 128, 128, 128, 160, 160, 160, 255, 128, 128])
    header = HEADER.pack(NAME, version, 1, 0, 12, 0, 0)
    (tmp_path / "x.spz").write_bytes(gzip.compress(header + place + rest))
    splat = read_spz(tmp_path / "x.spz").gaussians
    assert splat.means.tolist() == [[1, -2, 3]] and splat.scales.tolist() == [[1, 1, 1]]
    torch.testing.assert_close(splat.quaternions.abs(), torch.tensor([[0.0, 1, 0, 0]]), atol=0.01, rtol=0)
    torch.testing.assert_close(splat.features, torch.full((1, 3), 0.5), atol=0.005, rtol=0)


def _fixed(*values: int) -> bytes:
    return b"".join((value << 12).to_bytes(3, "little", signed=True) for value in values)


def test_gsply_reads_the_same_from_our_spz_and_we_from_its(tmp_path, splats):
    gsply = pytest.importorskip("gsply", reason="gsply is an independent reader of splat files, used in tests alone")
    for version, turned in ((3, True), (4, False)):
        write_spz(tmp_path / "ours.spz", splats, layout=SpzLayout(version))
        assert_same(_gsply(gsply.read_spz(str(tmp_path / "ours.spz")), turned), splats, STEPS[".spz"])
    write_ply(tmp_path / "x.ply", splats)
    theirs = gsply.plyread(str(tmp_path / "x.ply"))
    for version in (3, 4):
        gsply.write_spz(str(tmp_path / "theirs.spz"), theirs, version=version)
        again = read_spz(tmp_path / "theirs.spz").gaussians
        if version == 4:  # it leaves a PLY's axes as they are, and those of version 4 are a PLY's unless stated
            assert_same(again, splats, FINE[".spz"])
            continue
        again = Gaussians(again.means * FLIP, again.scales, again.quaternions * TURN, again.opacities, again.features)
        assert_same(again, splats, FINE[".spz"])


def _gsply(data, turned: bool) -> Gaussians:
    """Axes turned to ours, for gsply leaves those of the file as they are: in version 3 the README's."""
    flip, turn = (FLIP, TURN) if turned else (1, 1)
    parts = (torch.from_numpy(np.array(x, np.float32)) for x in (data.means, data.scales, data.quats, data.opacities))
    means, logs, quaternions, logits = parts
    colours = torch.from_numpy(np.array(data.sh0, np.float32)).reshape(-1, 3) * SH_DC + 0.5
    return Gaussians(means * flip, logs.exp(), quaternions * turn, logits.reshape(-1).sigmoid(), colours)


@pytest.mark.parametrize("suffix", [".spz", ".sog", ".splat", ".compressed.ply", ".ply"])
def test_gaussforge_turns_every_format_into_the_same_splats(tmp_path, splats, suffix):
    """Both ways: it reads our file and writes PLY, and it writes from our PLY what we read."""
    judge = pytest.importorskip("gaussforge", reason="gaussforge converts splat files, used in tests alone")
    forge = judge.GaussForge()
    path, plain = tmp_path / f"x{suffix}", tmp_path / "plain.ply"
    rest = (splats.opacities, splats.features)
    WRITERS[suffix](path, splats)
    kind = suffix[1:]
    ways = ((path, kind, "ply", "a.ply"), (_ply(plain, splats), "ply", kind, f"b{suffix}"))
    for source, had, target, out in ways:
        made = forge.convert(source.read_bytes(), had, target)
        assert "error" not in made, made
        (tmp_path / out).write_bytes(bytes(made["data"]))
        turned = suffix == ".spz" and out == "b.spz"  # it leaves a PLY's axes, in a file that says nothing
        want = Gaussians(splats.means * FLIP, splats.scales, splats.quaternions * TURN, *rest) if turned else splats
        assert_same(load_scene(tmp_path / out).gaussians, want, COARSE if suffix == ".splat" else FINE[suffix])


def _ply(path: Path, splats: Gaussians) -> Path:
    write_ply(path, splats)
    return path


def test_ply2splat_writes_what_we_read(tmp_path, splats):
    judge = pytest.importorskip("ply2splat", reason="ply2splat converts splat files, used in tests alone")
    judge.convert(str(_ply(tmp_path / "x.ply", splats)), str(tmp_path / "x.splat"), sort=False)
    assert_same(read_splat(tmp_path / "x.splat").gaussians, splats, COARSE)


@pytest.mark.parametrize("name", ["plant", "academic_tarot_cards"])
def test_captured_scenes_are_read_and_survive_every_format(tmp_path, name):
    path = CAPTURED / f"{name}.splat"
    if not path.exists():
        pytest.skip("the captured scenes in ../shared are not here")
    scene = load_scene(path).gaussians
    assert len(scene) == path.stat().st_size // 32
    some = scene[:: len(scene) // 5000]
    grids = (".compressed.ply", ".sog")  # on which some of a capture's splats share a place
    for suffix, write in ((suffix, write) for suffix, write in WRITERS.items() if suffix not in grids):
        write(tmp_path / f"x{suffix}", some)
        again = load_scene(tmp_path / f"x{suffix}").gaussians
        means, _, *rest = STEPS[suffix]
        small = some.scales.log().clamp(min=-10 - 1e-6).sub(some.scales.log()).max() if suffix == ".spz" else 0
        steps = (max(means, 1e-6), STEPS[suffix][1] + float(small), *rest)
        assert_same(again, some, (steps[0], steps[1], max(steps[2], 2e-4), *steps[3:]))


def spz(version: int = 3, count: int = 2, degree: int = 0, bits: int = 12, body: bytes = bytes(40)) -> bytes:
    return gzip.compress(HEADER.pack(NAME, version, count, degree, bits, 0, 0) + body)


def ply(count: object, row: bytes = bytes(17 * 4), form: str = "binary_little_endian") -> bytes:
    names = [name for group in COLUMNS.values() for name in group]
    lines = ["ply", f"format {form} 1.0", f"element vertex {count}", *(f"property float {name}" for name in names)]
    return "\n".join([*lines, "end_header", ""]).encode() + row


def splat_row(mean: float = 0.0, scale: float = 1.0, rotation: bytes = b"\xff\x80\x80\x80") -> bytes:
    return struct.pack("<6f", *[mean] * 3, *[scale] * 3) + b"\x80\x80\x80\xff" + rotation


HOSTILE = {
    "truncated.ply": ply(2),
    "huge_count.ply": ply(10**15),
    "huge_text_count.ply": ply(10**12, b"0 " * 17, "ascii"),
    "negative_count.ply": ply(-5),
    "nan.ply": ply(1, struct.pack("<17f", *[math.nan] * 17)),
    "wrong_magic.ply": b"plyx" + bytes(400),
    "mesh.ply": b"ply\nformat ascii 1.0\nelement vertex 1\nproperty float x\nend_header\n1\n",
    "empty_scene.ply": ply(0, b""),
    "pickle.ply": pickle.dumps(np.zeros(64)),
    "huge_scale.ply": ply(1, struct.pack("<17f", *[0.0] * 10, *[999.0] * 3, 1.0, 0, 0, 0)),
    "truncated.spz": spz()[:-20],
    "short.spz": spz(body=bytes(39)),
    "huge_count.spz": spz(count=2**32 - 1),
    "many.spz": spz(count=9_999_999),
    "none.spz": spz(count=0),
    "wrong_magic.spz": gzip.compress(b"PSNG" + bytes(60)),
    "version.spz": spz(version=9),
    "version_4.spz": NAME + bytes(60),
    "unpacked_version_3.spz": gzip.decompress(spz()),
    "packed_version_4.spz": spz(version=4),
    "no_streams.spz": HEADER.pack(NAME, 4, 2, 0, 12, 0, 0) + bytes(100),
    "huge_streams.spz": HEADER.pack(NAME, 4, 2, 0, 12, 0, 5) + (32).to_bytes(4, "little") + bytes(12) + b"\xff" * 80,
    "far_table.spz": HEADER.pack(NAME, 4, 2, 0, 12, 0, 255) + b"\xff" * 100,
    "degree.spz": spz(degree=200),
    "nan.spz": spz(version=1, count=1, body=np.array([math.nan] * 3, "<f2").tobytes() + bytes(20)),
    "not_gzip.spz": bytes(1000),
    "pickle.spz": pickle.dumps([1, 2, 3]),
    "gzip_of_nothing.spz": gzip.compress(b""),
    "truncated.splat": splat_row()[:-1],
    "empty.splat": b"",
    "nan.splat": splat_row(mean=math.nan),
    "infinite.splat": splat_row(scale=math.inf),
    "negative.splat": splat_row(scale=-1.0),
    "no_rotation.splat": splat_row(rotation=b"\x80" * 4),
    "pickle.splat": pickle.dumps(np.arange(64.0), 4)[:640].ljust(640, b"."),
    "text.splat": (b"A chair in the middle of a room, seen by three cameras. " * 16)[:640],
    "scene.ksplat": bytes(64),
}


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_files_are_refused_in_one_sentence_that_names_them(tmp_path, name):
    path = tmp_path / name
    path.write_bytes(HOSTILE[name])
    with pytest.raises(InputError, match=name.replace(".", r"\.")):
        load_scene(path)


@pytest.mark.parametrize("suffix", READERS)
def test_what_is_no_file_is_refused(tmp_path, suffix):
    with pytest.raises(InputError, match="does not exist"):
        load_scene(tmp_path / f"none{suffix}")
    (tmp_path / f"folder{suffix}").mkdir()
    with pytest.raises(InputError, match="folder"):
        load_scene(tmp_path / f"folder{suffix}")


def test_a_gzip_bomb_is_not_unpacked(tmp_path):
    """64 MiB of zeros in 64 KiB: an honest header stops the reader early, a header that claims them is not believed."""
    resource = pytest.importorskip("resource")
    zeros = bytes(2**26)
    (tmp_path / "small.spz").write_bytes(spz(count=1, body=bytes(19) + b"\xc0" + zeros))
    (tmp_path / "large.spz").write_bytes(spz(count=2**26 // 20, body=zeros))
    del zeros
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    assert len(load_scene(tmp_path / "small.spz").gaussians) == 1
    with pytest.raises(InputError, match="claims to hold"):
        load_scene(tmp_path / "large.spz")
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 8 * 1024


def test_a_scene_of_another_program_renders(tmp_path, splats):
    from fewview.cameras import Cameras

    write_splat(tmp_path / "x.splat", splats)
    centre, up = torch.tensor([0.0, 0, -8]), torch.tensor([0.0, -1, 0])
    camera = Cameras.look_at(centre, torch.zeros(3), up, focal=24.0, height=24, width=24)
    seen, truth = load_scene(tmp_path / "x.splat").render(camera), GaussianAsset(splats).render(camera)
    torch.testing.assert_close(seen.image, truth.image, atol=0.03, rtol=0)
