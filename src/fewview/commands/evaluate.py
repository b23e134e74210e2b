"""`fewview evaluate` and `fewview tables`."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, ClassVar, TypeVar

from tyro.conf import Positional, arg

from fewview.commands.console import say
from fewview.commands.methods import Preset, reconstructors, trained_size
from fewview.commands.targets import check_folder
from fewview.errors import InputError

if TYPE_CHECKING:
    from fewview.evaluation.rows import Failure
    from fewview.nn.lpips import Lpips
    from fewview.views import Scene

T = TypeVar("T")
DEFAULT = "no-prior,eft,vldm,sparsefusion"


@dataclass(frozen=True)
class Evaluate:
    """Reconstruct scenes from a few views and judge the others: PSNR, SSIM, LPIPS, tables and pictures; rooms also by
    what the views had seen, KID, FID, TSED and depth."""

    data: Annotated[Positional[Path], arg(metavar="DATA")]
    """Objects: a set in the layout of CO3Dv2, or one scene of any format. Rooms: a set in the format of RealEstate10K,
    one clip of it (.txt), or a packed set (.safetensors)."""
    out: Annotated[Path, arg(aliases=["-o"], metavar="OUT")]
    """Folder for the results (JSONL), tables.md and pictures; results that are there are kept, and not made again."""
    methods: Annotated[str | None, arg(metavar="A,B")] = None
    """Which to compare. Objects: sparsefusion, eft, vldm, no-prior (these by default), vldm-from-eft, whose samples
    begin with EFT's image, and the fields fitted to images, eft-field and vldm-field; sparsefusion-no-lpips,
    eft-field-lpips and vldm-field-lpips swap the perceptual loss; the rows of Table 5.5, such as
    pixel-single-step-perceptual; baselines are NAME, or NAME=FOLDER where they are trained (docs/evaluation.md). Rooms:
    [LABEL:]KIND[=WEIGHTS] with the kinds ggs, ggs-d3d (by default), ggs-lifted, no3d, regressor, regressor-d3d and
    ggs-distill."""
    scenes: Annotated[int | None, arg(metavar="N")] = None
    """Take N scenes, spread evenly over the set."""
    views: Annotated[int, arg(metavar="N")] = 2
    """Input views of each scene."""
    frames: Annotated[int | None, arg(metavar="N")] = None
    """Objects: evenly spread frames of each scene that input and held-out views are drawn from (32). Rooms: frames of a
    clip that are given or generated, evenly spread over a window (8); those between are judged too."""
    size: Annotated[int | None, arg(metavar="PIXELS")] = None
    """Side of the judged images; the size of the weights unless given."""
    weights: str = "tiny"
    """Shipped weights by name, or a model folder."""
    preset: Preset = "default"
    """How long to distill, or to denoise."""
    seed: int = 0
    """Of the choice of input views, and of the methods."""
    subset: str = "fewview_dev"
    """Set list of CO3Dv2, and ..."""
    split: str = "test"
    """... the part of it, or of a set of rooms."""
    inception: Annotated[Path | None, arg(metavar="FILE")] = None
    """Rooms: pytorch-fid's weights of Inception v3 for KID and FID, which are taken of VGG16's features without."""

    interrupted: ClassVar[str] = "the same command goes on with the scenes that are missing"

    def run(self) -> None:
        check_folder(self.out)
        from fewview.checkpoint import atomic_path
        from fewview.evaluation.perceptual import find_lpips
        from fewview.evaluation.rooms.windows import is_room_set
        from fewview.evaluation.weights import HELP

        lpips = find_lpips("vgg")
        if lpips is None:
            say(HELP)
        rooms = not any(self.data.glob("*/frame_annotations.jgz")) and is_room_set(self.data)
        failures = self.rooms(lpips) if rooms else self.objects(lpips)
        text = summary_of(self.out)
        with atomic_path(self.out / "tables.md") as temporary:
            temporary.write_text(text)
        print(f"\n{text}")
        say(f"Rows, tables and pictures are in {self.out}.")
        if failures:
            raise SystemExit(1)

    def objects(self, lpips: "Lpips | None") -> "list[Failure]":
        """Scenes of one object each."""
        from fewview.evaluation.objects.protocol import evaluate
        from fewview.evaluation.objects.splits import Protocol
        from fewview.evaluation.perceptual import ALEX_LEAST, find_lpips

        if self.inception is not None:
            raise InputError("--inception is for KID and FID, which are taken of rooms; leave it out.")
        names = (self.methods or DEFAULT).split(",")
        methods = reconstructors([name.strip() for name in names], self.weights, self.preset)
        size = self.size or trained_size(self.weights)
        scenes = self.chosen(size)
        protocol = Protocol(context=self.views, views=self.frames or 32, size=size, seed=self.seed)
        say(f"Evaluating {', '.join(methods)} on {len(scenes)} scenes, {self.views} input views, {size} pixels")
        alex = find_lpips("alex") if size >= ALEX_LEAST else None
        return evaluate(methods, scenes, protocol, out=self.out, lpips=lpips, alex=alex, progress=say)

    def rooms(self, lpips: "Lpips | None") -> "list[Failure]":
        """Walks through rooms."""
        from fewview.commands import room_methods
        from fewview.evaluation.rooms.protocol import evaluate_rooms
        from fewview.evaluation.rooms.windows import RoomProtocol, open_clips
        from fewview.evaluation.trunks import inception_trunk, vgg_trunk

        text = self.methods or room_methods.DEFAULT
        methods, height = room_methods.room_reconstructors(text, self.weights, self.preset)
        protocol = RoomProtocol(self.views, self.frames or 8, size=self.size or height, seed=self.seed)
        clips = spread(open_clips(self.data, self.split), self.scenes)
        trunk = None if lpips is None else vgg_trunk(lpips)
        if self.inception is not None:
            trunk = inception_trunk(self.inception)
        if trunk is None:
            say("There is no KID and no FID either: their features are those of LPIPS' VGG16, or of --inception FILE.")
        say(f"Evaluating {', '.join(methods)} on {len(clips)} rooms, {self.views} references, {protocol.size} pixels")
        return evaluate_rooms(methods, clips, protocol, out=self.out, lpips=lpips, trunk=trunk, progress=say)

    def chosen(self, size: int) -> "Sequence[Scene]":
        """The scenes to judge."""
        from fewview.data import open_scene
        from fewview.data.co3d import open_co3d

        if not any(self.data.glob("*/frame_annotations.jgz")):
            return [open_scene(self.data)]
        scenes = open_co3d(self.data, None, self.subset, split=self.split, size=size)
        if not scenes:
            raise InputError(f"{self.data} has no scene in '{self.split}' of {self.subset}; name another --split.")
        return spread(scenes, self.scenes)


@dataclass(frozen=True)
class Tables:
    """Print the tables of an evaluation as Markdown."""

    results: Annotated[Positional[Path], arg(metavar="RESULTS")]
    """The folder of an evaluation, or its results.jsonl."""

    def run(self) -> None:
        folder = self.results.parent if self.results.suffix == ".jsonl" else self.results
        if not any((folder / name).exists() for name in ("results.jsonl", "rooms.jsonl")):
            raise InputError(f"{folder / 'results.jsonl'} does not exist; name the folder of `fewview evaluate`.")
        print(summary_of(folder), end="")


def spread(items: "Sequence[T]", count: int | None) -> "Sequence[T]":
    """`count` of the items, evenly spread; all without a count."""
    if count is None or count >= len(items):
        return items
    if count < 1:
        raise InputError("--scenes must be at least 1.")
    return [items[i * len(items) // count] for i in range(count)]


def summary_of(folder: Path) -> str:
    """The tables of an evaluation's folder, of objects or of rooms."""
    from fewview.evaluation.objects import tables
    from fewview.evaluation.rooms import tables as room_tables
    from fewview.evaluation.rooms.plan import is_rooms

    return room_tables.summary(folder) if is_rooms(folder) else tables.summary(folder)
