"""What an evaluation on rooms keeps on disk: the protocol with every clip's windows, and where renders lie."""

from collections.abc import Sequence
from pathlib import Path

from fewview.checkpoint import read_json, write_json
from fewview.config import from_json, to_json
from fewview.errors import InputError
from fewview.evaluation.objects.splits import file_name
from fewview.evaluation.rooms.rows import FAILURES, PLAN, RESULTS, read_rooms
from fewview.evaluation.rooms.windows import RoomProtocol, Setting, Walk, Window
from fewview.evaluation.rows import Failure, read_lines

TRUTH = "truth"  # the name of the true frames among the renders


def plan(walks: Sequence[Walk], protocol: RoomProtocol, out: Path) -> None:
    """Writes the protocol and every clip's windows, or checks that the folder holds the same ones."""
    windows: dict[str, dict[str, Window]] = {}
    for index, walk in enumerate(walks):
        if file_name(walk.name) in map(file_name, windows):
            raise InputError(f"Two clips are called {walk.name}; give each clip a name of its own.")
        try:
            windows[walk.name] = {s: protocol.window(index, len(walk), s) for s in protocol.settings}
        except InputError as error:
            raise InputError(f"{walk.name}: {error}") from None
    if (out / PLAN).exists():
        before, known = read_plan(out)
        if before != protocol or any(known.get(name, own) != own for name, own in windows.items()):
            raise InputError(f"{out / PLAN} is of another protocol or another order of clips; choose an empty folder.")
        windows = known | windows
    clips = {name: {setting: to_json(window) for setting, window in own.items()} for name, own in windows.items()}
    write_json(out / PLAN, {"rooms": to_json(protocol), "clips": clips})


def read_plan(out: Path) -> tuple[RoomProtocol, dict[str, dict[str, Window]]]:
    """The protocol of an evaluation's folder, and the windows of each clip by setting."""
    data = read_json(out / PLAN)
    if not isinstance(data, dict) or set(data) != {"rooms", "clips"} or not isinstance(data["clips"], dict):
        raise InputError(f"{out / PLAN} is not the protocol of an evaluation on rooms; choose the folder of one.")
    clips = {
        name: {setting: from_json(Window, window, f"{out / PLAN}.{name}") for setting, window in own.items()}
        for name, own in data["clips"].items()
    }
    return from_json(RoomProtocol, data["rooms"], f"{out / PLAN}.rooms"), clips


def is_rooms(out: Path) -> bool:
    """Whether a folder holds an evaluation on rooms."""
    data = read_json(out / PLAN) if (out / PLAN).exists() else None
    return isinstance(data, dict) and "rooms" in data


def strip_path(out: Path, method: str, setting: Setting, clip: str) -> Path:
    """Where the renders of a clip lie."""
    return out / "renders" / file_name(method) / setting / f"{file_name(clip)}.png"


def open_failures(out: Path) -> list[Failure]:
    """The last failure of each clip, setting and method that has not been made good since."""
    done = {(f"{row.clip}, {row.setting}", row.method) for row in read_rooms(out / RESULTS)}
    last = {(failure.scene, failure.method): failure for failure in read_lines(out / FAILURES, Failure)}
    return [failure for key, failure in last.items() if key not in done]
