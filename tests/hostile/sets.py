"""Photos without cameras, films, masks, packed sets, depth maps, and libraries of furniture."""

import math
import shutil
import struct
from pathlib import Path

import numpy as np
import torch
import worlds
from data.test_co3d import write_set
from data.test_video import COUNT, frame, patched
from hostile.clips import NOWHERE, clip
from hostile.colmap import IMAGES
from hostile.kit import (
    Damage,
    Reader,
    any_file,
    edited,
    grown,
    json_file,
    labelled,
    pickled,
    picture_file,
    png,
    put,
    replaced,
    without,
    zeros,
)
from hostile.posed import SIZE, inspect, word
from hostile.scenes import tensor_file, tensors
from PIL import Image
from poses.test_estimate import arc
from poses.test_estimate import folder as noise_photos

from fewview.data.co3d import open_co3d, open_sequence
from fewview.data.packed import load_packed, pack, save_packed
from fewview.data.packed_rooms import pack_rooms, save_rooms
from fewview.data.realestate10k import open_clip, write_clip
from fewview.export.video import write_video
from fewview.poses.cache import write_cache
from fewview.poses.estimate import Estimated

NO_FILE = ("folder", "pipe", "circle of links")


# Photos


def photos(root: Path) -> None:
    views = worlds.photograph(worlds.ring(3, SIZE))
    assert views.masks is not None
    for i, (image, mask) in enumerate(zip(views.images, views.masks)):
        worlds.save_image(root / "images" / f"{i}.png", image)
        worlds.save_image(root / "masks" / f"{i}.png", mask)


def beside(name: str, content: bytes) -> Damage:
    """One more photo."""
    return lambda root: (root / "images" / name).write_bytes(content)


PHOTOS = Reader(
    photos,
    inspect,
    {
        **picture_file("images/1.png"),
        **labelled(
            "mask", without(picture_file("masks/1.png"), *(f"picture is a {what}" for what in NO_FILE))
        ),  # without a file there is no mask
        "script": beside("a.png", b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n(/etc/passwd) (r) file\n"),
        "drawing": beside("a.png", b'<svg xmlns="http://www.w3.org/2000/svg"><image href="/etc/passwd"/></svg>'),
        "WebP of 2^28 pixels": beside("a.webp", b"RIFF\x16\0\0\0WEBPVP8L\x0a\0\0\0/\xff\xff\xff\x0f" + bytes(8)),
        "BMP of 2^60 pixels": beside("a.bmp", b"BM" + bytes(12) + struct.pack("<IiiHHI", 40, 2**30, 2**30, 1, 24, 0)),
        "PPM of 10^18 pixels": beside("a.ppm", b"P6 1000000000 1000000000 255\n"),
        "PPM of -1 pixels": beside("a.ppm", b"P6 -1 -1 255\n"),
        "TIFF that names itself": beside("a.tif", b"II*\0\x08\0\0\0\0\0\x08\0\0\0"),
        "line break in a name": beside("a\n\x1b[2J.png", b""),
        "half a character in a name": lambda root: (root / "images" / "\udcff.png").write_bytes(b""),
    },
)


def heic(root: Path) -> None:
    from pillow_heif import from_pillow

    (root / "images").mkdir()
    for i in range(2):
        noise = np.random.default_rng(i).integers(0, 255, (64, 64, 3), dtype=np.uint8)
        from_pillow(Image.fromarray(noise)).save(root / "images" / f"{i}.heic")


SHOT = "images/1.heic"


def box(kind: bytes, offset: int, content: bytes) -> Damage:
    return replaced(SHOT, lambda data: patched(data, kind, offset, content))


HEIC = Reader(
    heic,
    inspect,
    {
        **without(any_file(SHOT), "all but the end"),
        **labelled("other", {c: replaced(SHOT, p) for c, p in (("PNG", png(4, 4)), ("bomb", png(2**15, 2**15)))}),
        "2^62 pixels": box(b"ispe", 4, struct.pack(">II", 2**31 - 1, 2**31 - 1)),
        "2^64 pixels": box(b"ispe", 4, struct.pack(">II", 2**32 - 1, 2**32 - 1)),
        "no pixels": box(b"ispe", 4, bytes(8)),
        "huge box": box(b"meta", -8, struct.pack(">I", 2**32 - 1)),
        "place beyond the file": box(b"iloc", 0, b"\xff" * 24),
        "header alone": replaced(SHOT, lambda data: data[:64]),
        "damaged pictures": replaced(SHOT, lambda d: d[: d.index(b"mdat") + 4] + b"\xff" * 900),
        "many boxes": replaced(SHOT, lambda data: data[:24] + struct.pack(">I4s", 8, b"free") * 50_000),
    },
    needs=("pillow_heif",),
)


def film(root: Path) -> None:
    write_video(root / "film.mp4", [frame(i) for i in range(COUNT)])


def movie(kind: bytes, offset: int, content: bytes) -> Damage:
    return replaced("film.mp4", lambda data: patched(data, kind, offset, content))


VIDEO = Reader(
    film,
    lambda folder, out: inspect(folder / "film.mp4", out),
    {
        **without(any_file("film.mp4"), "all but the end"),
        "list of files": replaced("film.mp4", b"ffconcat version 1.0\nfile '/etc/hostname'\n"),
        "playlist of an address": replaced("film.mp4", b"#EXTM3U\n#EXTINF:9,\nhttp://127.0.0.1:9/x.ts\n"),
        "description of a stream": replaced("film.mp4", b"v=0\no=- 0 0 IN IP4 127.0.0.1\nm=video 9 RTP/AVP 96\n"),
        "2^32 samples": movie(b"stsz", 8, struct.pack(">I", 2**32 - 1)),
        "chunks beyond the file": movie(b"stco", 8, struct.pack(">I", 2**32 - 1)),
        "box of 2^64 bytes": movie(b"moov", -8, struct.pack(">I4sQ", 1, b"moov", 2**64 - 1)),
        "decoder of nothing": movie(b"avc1", 0, b"\xff\xff"),
        "pictures of noise": replaced("film.mp4", lambda d: d[: d.index(b"mdat") + 4] + b"\x5a" * len(d)),
        "bomb": replaced("film.mp4", zeros()),
        "a picture": replaced("film.mp4", png(2**15, 2**15)),
    },
)


# Masks by a model


def onnx_model(shape: tuple[int, ...] = (1, 3, 32, 32), nodes=None, kind: int = 1, weights=()) -> bytes:
    """A model that answers the red channel, or what `nodes` make of `image` and call `map`."""
    from onnx import helper

    if nodes is None:
        nodes = [helper.make_node("ReduceMean", ["image"], ["map"], axes=[1], keepdims=1)]
    entry = helper.make_tensor_value_info("image", kind, shape)
    answers = [helper.make_tensor_value_info("map", 1, None)]
    graph = helper.make_graph(nodes, "model", [entry], answers, list(weights))
    made = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=8)
    return made.SerializeToString()


def asked(*arguments: object, **options: object) -> Damage:
    return lambda root: (root / "model.onnx").write_bytes(onnx_model(*arguments, **options))  # type: ignore[arg-type]


def chain(*links: tuple[str, dict], constants: tuple = ()) -> Damage:
    """A model of operators one after the other, from `image` to `map`."""

    def damage(root: Path) -> None:
        from onnx import helper, numpy_helper

        names = ["image", *(f"between{i}" for i in range(len(links) - 1)), "map"]
        nodes, weights = [], []
        for i, (operator, settings) in enumerate(links):
            more = [name for name, _ in settings.get("inputs", ())]
            weights += [numpy_helper.from_array(np.asarray(v), n) for n, v in settings.get("inputs", ())]
            given = {k: v for k, v in settings.items() if k not in ("inputs", "alone")}
            start = [] if settings.get("alone") else [names[i]]
            nodes.append(helper.make_node(operator, [*start, *more], [names[i + 1]], **given))
        (root / "model.onnx").write_bytes(onnx_model(nodes=nodes, weights=weights))

    return damage


def external(location: str) -> Damage:
    """A model whose numbers are said to lie in another file."""

    def damage(root: Path) -> None:
        from onnx import TensorProto, helper

        weight = TensorProto(name="w", data_type=1, dims=[1], data_location=TensorProto.EXTERNAL)
        weight.external_data.add(key="location", value=location)
        nodes = [helper.make_node("Mul", ["image", "w"], ["map"])]
        (root / "model.onnx").write_bytes(onnx_model(nodes=nodes, weights=[weight]))

    return damage


def with_model(root: Path) -> None:
    worlds.write_transforms(root, worlds.photograph(worlds.ring(3, SIZE)))
    asked()(root)


ONNX = Reader(
    with_model,
    lambda folder, out: ["reconstruct", folder, "-o", out, "--mask", folder / "model.onnx", "--weights", NOWHERE],
    {
        **any_file("model.onnx"),
        "input of 10^18 pixels": asked((1, 3, 10**9, 10**9)),
        "input of 10^9 photos": asked((10**9, 3, 32, 32)),
        "input of one pixel too few": asked((1, 3, 0, 0)),
        "input without a shape": asked(()),
        "input of integers": asked(kind=7),
        "input of four channels": asked((1, 4, 32, 32)),
        "no input": lambda root: (root / "model.onnx").write_bytes(_without_input()),
        "answer of NaN": chain(
            ("ReduceMean", {"axes": [1], "keepdims": 1}), ("Sub", {"inputs": [("w", np.float32("nan"))]})
        ),
        "answer of no map": chain(("ReduceMean", {"axes": [1, 2], "keepdims": 0})),
        "answer of nothing": chain(
            ("Slice", {"inputs": [("a", np.array([0])), ("b", np.array([0])), ("c", np.array([2]))]})
        ),
        "answer of 10^12 numbers": chain(
            ("ConstantOfShape", {"inputs": [("s", np.array([1, 1, 10**6, 10**6]))], "alone": True})
        ),
        "unknown operator": chain(("Backdoor", {})),
        "numbers in an absolute file": external("/etc/hostname"),
        "numbers upwards": external("../secret.png"),
    },
    valid=NOWHERE,
    needs=("onnx", "onnxruntime"),
)


def _without_input() -> bytes:
    from onnx import helper

    answer = helper.make_tensor_value_info("map", 1, [1, 1, 2, 2])
    node = helper.make_node("Constant", [], ["map"], value=helper.make_tensor("v", 1, [1, 1, 2, 2], [0.0] * 4))
    graph = helper.make_graph([node], "model", [], [answer])
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=8).SerializeToString()


# Cameras that were estimated before


def cached(root: Path) -> None:
    found = noise_photos(root / "photos")
    cameras = {i: camera for i, camera in ((0, arc(2).resized(12, 16)[0]), (2, arc(2).resized(12, 16)[1]))}
    made = Estimated(found.posed(cameras), (0, 2), tuple(found.names), np.eye(3, dtype=np.int64), torch.rand(5, 3), 0.3)
    write_cache(root / "out.cameras", found, made)


def reconstruct_again(folder: Path, out: Path) -> list[object]:
    return ["reconstruct", folder / "photos", "-o", folder / "out", "--mask", "none", "--weights", NOWHERE]


RECORD, KEPT = "out.cameras/poses.json", f"out.cameras/{IMAGES}.txt"
CACHE = Reader(
    cached,
    reconstruct_again,
    {
        **json_file(RECORD),
        "numbers of photos that are not there": edited(RECORD, put("registered", value=[0, 10**12])),
        "negative numbers": edited(RECORD, put("registered", value=[0, -1])),
        "numbers of text": edited(RECORD, put("registered", value="02")),
        "a photo twice": edited(RECORD, put("registered", value=[0, 0])),
        "names of numbers": edited(RECORD, put("names", value=[1, 2, 3])),
        "a name too few": edited(RECORD, put("names", value=["0.png", "2.png"])),
        "counts beyond 64 bits": edited(RECORD, put("counts", value=[[2**70] * 3] * 3)),
        "counts of one photo": edited(RECORD, put("counts", value=[[1]])),
        "NaN error": edited(RECORD, put("error", value=math.nan)),
        "error of text": edited(RECORD, put("error", value="little")),
        "path upwards": word(KEPT, 9, "../../photos/images/0.png"),
        "absolute path": word(KEPT, 9, "/etc/hostname"),
        "NaN pose": word(KEPT, 5, "nan"),
        **picture_file("out.cameras/images/0002.png"),
    },
    valid=NOWHERE,
)


# Packed sets


def rooms(root: Path) -> None:
    """Enough clips for `fewview train`, which then misses the codec."""
    cameras = worlds.ring(12, 8)
    pictures = [np.full((8, 8, 3), i / 12) for i in range(12)]
    write_clip(root / "a.txt", pictures, cameras, url="x", depths=[np.full((8, 8), 2.0)] * 12, suffix=".png")
    packed = pack_rooms([open_clip(root / "a.txt")] * 2, 64)
    for split in ("train", "test"):
        save_rooms(root / f"{split}.safetensors", packed)


def packed_file(name: str) -> dict[str, Damage]:
    """What may be wrong with frames, poses and counts that are kept as tensors."""
    return {
        **tensor_file(name),
        "NaN pose": tensors(name, lambda found: found["world_from_cam"].fill_(math.nan)),
        "far pose": tensors(name, lambda found: found["world_from_cam"].mul_(1e38)),
        "no focal length": tensors(name, lambda found: found["intrinsics"].zero_()),
        "10^18 frames": tensors(name, lambda found: found["counts"].fill_(10**18)),
        "2^63 frames": tensors(name, lambda found: found["counts"].fill_(2**63 - 1)),
        "no frames": tensors(name, lambda found: found["counts"].zero_()),
        "negative start": tensors(name, lambda found: found["starts"].fill_(-1)),
        "start beyond the end": tensors(name, lambda found: found["starts"].fill_(10**12)),
        "fewer poses": tensors(name, lambda found: found.update(world_from_cam=torch.zeros(1, 4, 4))),
        "counts of fractions": tensors(name, lambda found: found.update(counts=found["counts"].float())),
        "images of floats": tensors(name, lambda found: found.update(images=found["images"].float())),
        "images of one row": tensors(name, lambda found: found.update(images=found["images"][:, :, :1].clone())),
        "no sets": tensors(name, lambda found: found.update({k: found[k][:0].clone() for k in ("starts", "counts")})),
        "no images": tensors(name, lambda found: found.pop("images")),
    }


ROOMS = Reader(
    rooms,
    lambda folder, out: ["train", "denoiser", "--data", folder, "--out", out],
    {
        **without(packed_file("train.safetensors"), "a folder", "a pipe"),
        "NaN depth": tensors("train.safetensors", lambda found: found["depth"].fill_(math.nan)),
        "depth of another size": tensors(
            "test.safetensors", lambda found: found.update(depth=found["depth"][:1].clone())
        ),
        **labelled("test", {"noise": any_file("test.safetensors")["noise"], "a pickle": pickled("test.safetensors")}),
    },
    valid="train the codec first",
)


def objects(root: Path) -> None:
    write_set(root / "set", frames=11)
    save_packed(root / "packed.safetensors", pack(open_co3d(root / "set", size=8, crop=False)))
    shutil.rmtree(root / "set")


PACKED = Reader(
    objects,
    lambda folder, out: [] if load_packed(folder / "packed.safetensors") is None else None,
    packed_file("packed.safetensors"),
)


# Depth maps


def clip_depth(folder: Path, out: Path) -> None:
    open_clip(folder / "walk.txt").read_depth([0, 1, 2])


def picture(name: str, size: tuple[int, int], mode: str) -> Damage:
    return lambda root: Image.new(mode, size).save(root / name)


DEPTH = "walk/1.depth.png"
CLIP_DEPTH = Reader(
    clip,
    clip_depth,
    {
        **picture_file(DEPTH),
        "of 8 bits": picture(DEPTH, (SIZE, SIZE), "L"),
        "of colours": picture(DEPTH, (SIZE, SIZE), "RGB"),
        "of another size": picture(DEPTH, (5, 9), "I;16"),
        "of one pixel": picture(DEPTH, (1, 1), "I;16"),
        "not there": lambda root: (root / DEPTH).unlink(),
    },
)


def sequence_depth(folder: Path, out: Path) -> None:
    scene = open_sequence(folder / "hydrant" / "1_2_3", size=16, crop=False)
    scene.read_depth([0, 1], scene.read([0, 1]).cameras)


FLOATS = "hydrant/1_2_3/depths/frame000001.png"
CO3D_DEPTH = Reader(
    lambda root: write_set(root, frames=2),
    sequence_depth,
    {
        **without(picture_file(FLOATS), *(f"picture is a {what}" for what in NO_FILE)),
        "of 8 bits": picture(FLOATS, (60, 40), "L"),
        "of colours": picture(FLOATS, (60, 40), "RGB"),
        "of another size": picture(FLOATS, (40, 60), "I;16"),
        "of one pixel": picture(FLOATS, (1, 1), "I;16"),
        "a script": replaced(FLOATS, b"%!PS-Adobe-3.0 EPSF-3.0\n"),
        "a terabyte": lambda root: [replaced(FLOATS, b"")(root), grown(FLOATS)(root)],
    },
)
