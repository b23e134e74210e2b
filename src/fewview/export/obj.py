"""A textured mesh as Wavefront files: NAME.obj, and NAME.mtl and NAME.png beside it; y is up.

A comment has the origin of a world that is far from its own: readers of the format keep float32.
"""

from pathlib import Path

import numpy as np
from jaxtyping import Float
from torch import Tensor

from fewview.checkpoint import atomic_path
from fewview.export.glb import png, y_up
from fewview.export.mesh import TexturedMesh
from fewview.geometry.origin import NO_ORIGIN, Origin


def write_obj(path: Path, mesh: TexturedMesh, up: Float[Tensor, "3"], *, origin: Origin = NO_ORIGIN) -> None:
    """Write a mesh turned so that `up` (world) becomes +y; the .obj comes last, when all that it names is there."""
    name = "_".join(path.stem.split())  # readers cut names at blanks
    turn = y_up(up.double()).cpu().numpy()
    positions = mesh.vertices.astype(np.float64) @ turn.T
    places = mesh.places * np.array([1, -1]) + np.array([0, 1])  # from the lower left corner
    corners = np.repeat(mesh.faces + 1, 2, axis=1)
    comment = "# origin {!r} {!r} {!r}".format(*(turn @ np.array(origin)).tolist())
    lines = [*([comment] if any(origin) else []), f"mtllib {name}.mtl", "usemtl surface"]
    lines += [f"v {x:.7g} {y:.7g} {z:.7g}" for x, y, z in positions.tolist()]
    lines += [f"vt {u:.6f} {v:.6f}" for u, v in places.tolist()]
    lines += ["f {}/{} {}/{} {}/{}".format(*row) for row in corners.tolist()]
    material = ["newmtl surface", "Ka 0 0 0", "Kd 1 1 1", "Ks 0 0 0", "illum 1", f"map_Kd {name}.png"]
    with atomic_path(path.with_name(f"{name}.png")) as temporary:
        temporary.write_bytes(png(mesh.texture))
    for target, text in ((path.with_name(f"{name}.mtl"), material), (path, lines)):
        with atomic_path(target) as temporary:
            temporary.write_text("\n".join([*text, ""]))
