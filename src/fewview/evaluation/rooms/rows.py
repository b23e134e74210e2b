"""Results on rooms as they lie on disk: a line for each clip, method and setting, and one for each set of renders."""

from dataclasses import dataclass
from pathlib import Path

from fewview.evaluation.rooms.regions import DepthScore, RegionScore
from fewview.evaluation.rooms.tsed import PairSed
from fewview.evaluation.rooms.windows import Kind, Setting
from fewview.evaluation.rows import read_keyed

RESULTS, SETS = "rooms.jsonl", "sets.jsonl"
Key = tuple[str, str, Setting]  # clip, method, setting


@dataclass(frozen=True)
class ViewScore:
    """One judged frame: over all pixels, over those of each class (None without true depth or pixels), and depth."""

    frame: int
    kind: Kind
    psnr: float
    ssim: float
    lpips: float | None
    seen: RegionScore | None
    occluded: RegionScore | None
    outside: RegionScore | None
    depth: DepthScore | None


@dataclass(frozen=True)
class RoomRow:
    """All judged frames of one clip by one method, and the agreement of frames a stride apart with the cameras."""

    clip: str
    method: str
    setting: Setting
    seconds: float  # of the reconstruction
    splats: int | None
    views: tuple[ViewScore, ...]
    generated_pairs: tuple[PairSed, ...]
    between_pairs: tuple[PairSed, ...]
    frame_pairs: tuple[PairSed, ...] | None = None  # of the generated frames themselves, not of renders of the scene

    @property
    def key(self) -> Key:
        return self.clip, self.method, self.setting

    def of(self, kind: Kind) -> list[ViewScore]:
        return [view for view in self.views if view.kind == kind]

    def pairs(self, kind: Kind) -> tuple[PairSed, ...]:
        return self.generated_pairs if kind == "generated" else self.between_pairs


@dataclass(frozen=True)
class SetRow:
    """Fidelity of all renders of a method, setting and kind against the true frames: N images on either side."""

    method: str
    setting: Setting
    kind: Kind
    trunk: str
    n: int
    clips: int
    kid: float
    kid_error: float  # standard error, bootstrap over clips
    fid: float


def read_rooms(path: Path) -> list[RoomRow]:
    """Rows of a rooms.jsonl."""
    return read_keyed(path, RoomRow)


def common(rows: list[RoomRow]) -> list[RoomRow]:
    """The rows of clips and settings that every method has."""
    methods = {row.method for row in rows}
    have: dict[tuple[str, str], set[str]] = {}
    for row in rows:
        have.setdefault((row.clip, row.setting), set()).add(row.method)
    return [row for row in rows if have[row.clip, row.setting] == methods]
