#!/usr/bin/env bash
# gaussforge 0.6.0 (PyPI): .ply to .sog and back.
# Guess: rotations survive to about a degree. Quaternions in a PLY need not have length 1 (training leaves them as they
#   are, and renderers normalise), so a writer that packs the three smallest components normalises first.
# Seen: for .sog it does not, and rotations come back up to 96 degrees wrong. The same splats are right through .spz and
#   .splat, and unit quaternions are through .sog.
# Output:
#   degrees off for quaternions of length 1: sog 0.6, spz 0.1, splat 0.6
#   degrees off for quaternions of length 2: sog 96.0, spz 0.1, splat 0.6
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
python3 -m venv env
env/bin/pip install --quiet --disable-pip-version-check numpy==2.4.6 gaussforge==0.6.0
cat > rotations.py <<'END'
import gaussforge
import numpy as np

forge = gaussforge.GaussForge()
names = "x y z f_dc_0 f_dc_1 f_dc_2 opacity scale_0 scale_1 scale_2 rot_0 rot_1 rot_2 rot_3".split()
header = ["ply", "format binary_little_endian 1.0", "element vertex 4", *(f"property float {name}" for name in names)]
unit = np.array([[4, 3, 2, 1], [1, 2, -3, 4], [2, 0, 5, 1], [-3, 1, 2, 2]], float)
unit /= np.linalg.norm(unit, axis=1, keepdims=True)


def degrees_off(length, ending):
    """The worst angle between a rotation and what it is after a round trip; x tells the splats apart."""
    rows = np.zeros((4, 14), "<f4")
    rows[:, 0], rows[:, 7:10], rows[:, 10:] = range(4), -3, unit * length
    ply = "\n".join([*header, "end_header\n"]).encode() + rows.tobytes()
    packed = forge.convert(ply, "ply", ending)["data"]
    head, body = forge.convert(packed, ending, "ply")["data"].split(b"end_header\n", 1)
    fields = [line.split()[2] for line in head.decode().splitlines() if line.startswith("property float ")]
    table = np.frombuffer(body, "<f4").reshape(4, -1)
    table = table[table[:, fields.index("x")].argsort()]
    back = np.stack([table[:, fields.index(f"rot_{i}")] for i in range(4)], axis=1).astype(float)
    back /= np.linalg.norm(back, axis=1, keepdims=True)
    return np.degrees(2 * np.arccos(np.abs((back * unit).sum(axis=1)).clip(0, 1))).max()


for length in (1, 2):
    off = {ending: degrees_off(length, ending) for ending in ("sog", "spz", "splat")}
    print(f"degrees off for quaternions of length {length}:", ", ".join(f"{e} {angle:.1f}" for e, angle in off.items()))
    assert off["spz"] < 1 and off["splat"] < 1.5
    assert (off["sog"] < 1.5) == (length == 1) and (off["sog"] > 20) == (length == 2)
END
env/bin/python rotations.py | grep -v '^.SPZ'  # less the library's own log
