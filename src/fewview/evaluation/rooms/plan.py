"""What an evaluation on rooms keeps on disk: the protocol with every clip's windows, and where renders lie."""

from collections.abc import Sequence
from pathlib import Path

from fewview.checkpoint import read_json
from fewview.config import from_json, to_json
from fewview.evaluation.plans import PLAN, file_name, keep_plan, planned, read_plan_data
from fewview.evaluation.rooms.rows import RESULTS, read_rooms
from fewview.evaluation.rooms.windows import Clip, RoomProtocol, Setting, Window
from fewview.evaluation.rows import Failure
from fewview.evaluation.runner import open_failures

KEYS = ("rooms", "clips")  # of protocol.json
TRUTH = "truth"  # the name of the true frames among the renders


def plan(clips: Sequence[Clip], protocol: RoomProtocol, out: Path) -> None:
    """Writes the protocol and every clip's windows, or checks that the folder holds the same ones."""
    windows = lambda index, count: {s: to_json(protocol.window(index, count, s)) for s in protocol.settings}
    keep_plan(out, KEYS, protocol, plans=planned(clips, windows, kind="clip"))


def read_plan(out: Path) -> tuple[RoomProtocol, dict[str, dict[str, Window]]]:
    """The protocol of an evaluation's folder, and the windows of each clip by setting."""
    head, body = read_plan_data(out, KEYS)
    clips = {
        name: {setting: from_json(Window, window, f"{out / PLAN}.{name}") for setting, window in own.items()}
        for name, own in body.items()
    }
    return from_json(RoomProtocol, head, f"{out / PLAN}.rooms"), clips


def is_rooms(out: Path) -> bool:
    """Whether a folder holds an evaluation on rooms."""
    data = read_json(out / PLAN) if (out / PLAN).exists() else None
    return isinstance(data, dict) and "rooms" in data


def strip_path(out: Path, method: str, setting: Setting, *, clip: str) -> Path:
    """Where the renders of a clip lie."""
    return out / "renders" / file_name(method) / setting / f"{file_name(clip)}.png"


def unmended(out: Path) -> list[Failure]:
    """The last failure of each clip, setting and method that has not been made good since."""
    done = {(f"{row.clip}, {row.setting}", row.method) for row in read_rooms(out / RESULTS)}
    return open_failures(out, lambda failure: (failure.scene, failure.method) in done)
