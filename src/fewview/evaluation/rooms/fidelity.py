"""KID and FID of all renders of a method against the true frames, from the pictures that an evaluation left."""

from collections.abc import Callable, Collection
from pathlib import Path

import torch
from jaxtyping import Float
from torch import Tensor

from fewview.evaluation.fidelity import Trunk, fid, kid, kid_error
from fewview.evaluation.rooms.pictures import load_strip
from fewview.evaluation.rooms.plan import TRUTH, read_plan, strip_path
from fewview.evaluation.rooms.rows import RESULTS, SETS, SetRow, read_rooms
from fewview.evaluation.rooms.windows import KINDS, Kind, Setting, Window
from fewview.evaluation.rows import read_lines, write_lines


def measure_sets(
    out: Path, trunk: Trunk, *, fresh: Collection[str] = (), progress: Callable[[str], None] | None = None
) -> list[SetRow]:
    """KID and FID of the renders on disk, over the clips that all methods have; rows of other trunks stay.

    What is known of as many clips is taken over, but for `fresh` methods, whose renders are new.
    """
    rows, (_, windows), before = read_rooms(out / RESULTS), read_plan(out), read_lines(out / SETS, SetRow)
    kept = [row for row in before if row.trunk != trunk.name]
    same = [row for row in before if row.trunk == trunk.name and row.method not in fresh]
    known = {(row.method, row.setting, row.kind, row.clips): row for row in same}
    methods, made = list(dict.fromkeys(row.method for row in rows)), []
    settings: dict[Setting, None] = {row.setting: None for row in rows}
    for setting in settings:
        have = {method: {r.clip for r in rows if (r.method, r.setting) == (method, setting)} for method in methods}
        clips = sorted(set.intersection(*have.values()))
        if len(clips) < 2:
            continue
        lazy = _Features(out, trunk, setting, clips, {clip: windows[clip][setting] for clip in clips})
        for method in methods:
            for kind in lazy.present:
                row = known.get((method, setting, kind, len(clips))) or lazy.row(method, kind)
                made.append(row)
            if progress is not None:
                progress(
                    f"{setting}: KID-{trunk.name} of {method} {made[-1].kid:.4f} (N = {made[-1].n}, {made[-1].kind})"
                )
    write_lines(out / SETS, [*kept, *made])
    return made


class _Features:
    """Features of the renders of one setting, and of the true frames, which are looked at once."""

    def __init__(self, out: Path, trunk: Trunk, setting: Setting, clips: list[str], windows: dict[str, Window]):
        self.out, self.trunk, self.clips = out, trunk, clips
        self.setting: Setting = setting
        self.cache: dict[str, Tensor] = {}
        lengths = [len(windows[clip].judged) for clip in clips]
        self.groups = torch.arange(len(clips)).repeat_interleave(torch.tensor(lengths))
        self.kinds = [f in windows[c].between for c in clips for f in windows[c].judged]
        self.present: list[Kind] = [kind for kind in KINDS if (kind == "between") in self.kinds]

    def of(self, method: str) -> Float[Tensor, "n d"]:
        if method not in self.cache:
            self.cache = {name: value for name, value in self.cache.items() if name == TRUTH}
            strips = [load_strip(strip_path(self.out, method, self.setting, clip=clip)) for clip in self.clips]
            self.cache[method] = self.trunk(torch.cat(strips))
        return self.cache[method]

    def row(self, method: str, kind: Kind) -> SetRow:
        chosen = torch.tensor(self.kinds) == (kind == "between")
        truth, renders = self.of(TRUTH)[chosen], self.of(method)[chosen]
        groups = self.groups[chosen]
        values = kid(renders, truth), kid_error(renders, truth, groups, groups_b=groups), fid(renders, truth)
        return SetRow(method, self.setting, kind, self.trunk.name, len(truth), len(self.clips), *values)
