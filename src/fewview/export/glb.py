"""Meshes and splats as .glb and .gltf files: y is up, lengths are those of the world (glTF says metres).

Meshes have the unlit material (KHR_materials_unlit), for a reconstruction's colours hold the light already. Vertex
colours are linear, in 16 bits, for dark sRGB tones collapse in 8 linear bits; that is why this is not trimesh's
exporter. Splats follow KHR_gaussian_splatting (Khronos, ratified): scales and opacities as they are, quaternions
(x, y, z, w), colour as harmonics of degree 0 to 3, turned with the splats, display-referred sRGB. COLOR_0, which
programs without splats show, is linear there too, as glTF has all vertex colours.

Vertices are float32. The origin of a world that is far from its own is the translation of the node, which JSON has in
float64, and with it vertices are in the input's world, turned.
"""

import io
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float, UInt16
from PIL import Image
from torch import Tensor

from fewview.export.gltf import Gltf
from fewview.export.mesh import Mesh, TexturedMesh
from fewview.export.ply import arrays, harmonics_array, unit_quaternions
from fewview.export.srgb import linear_of
from fewview.geometry.harmonics import COUNTS, SH_DC
from fewview.geometry.origin import NO_ORIGIN, Origin
from fewview.render.gaussians import Gaussians

UNLIT, SPLATTING = "KHR_materials_unlit", "KHR_gaussian_splatting"
LINEAR, MIPMAPPED, CLAMPED = 9729, 9987, 33071  # sampler settings
POINTS = 0  # primitive mode


def write_glb(path: Path, mesh: Mesh | TexturedMesh, up: Float[Tensor, "3"], *, origin: Origin = NO_ORIGIN) -> None:
    """Write a mesh turned so that `up` (world) becomes +y, which its node's extras name; sizes and the origin stay.

    ValueError if it has no faces.
    """
    if not len(mesh.faces):
        raise ValueError("a mesh needs at least one face")
    file = Gltf(UNLIT)
    positions = (mesh.vertices.astype(np.float64) @ y_up(up).double().cpu().numpy().T).astype("<f4")
    attributes = {"POSITION": file.attribute(positions, limits=True)}
    surface: dict = {"metallicFactor": 0.0}
    parts: dict[str, list[dict]] = {}
    if isinstance(mesh, TexturedMesh):
        attributes["TEXCOORD_0"] = file.attribute(mesh.places.astype("<f4"))
        surface["baseColorTexture"] = {"index": 0}
        parts["images"] = [{"bufferView": file.picture(png(mesh.texture)), "mimeType": "image/png"}]
        parts["samplers"] = [{"magFilter": LINEAR, "minFilter": MIPMAPPED, "wrapS": CLAMPED, "wrapT": CLAMPED}]
        parts["textures"] = [{"source": 0, "sampler": 0}]
    else:
        attributes["COLOR_0"] = file.attribute(_vertex_colours(mesh.colours / 255, np.ones(len(mesh.colours))))
    parts["materials"] = [{"pbrMetallicRoughness": surface, "extensions": {UNLIT: {}}}]
    primitive = {"attributes": attributes, "indices": file.indices(mesh.faces), "material": 0}
    extras = {"extras": {"up": up.tolist()}}
    file.save(path, primitive, {**extras, **_node(up, origin)}, **parts)


def write_splat_glb(path: Path, gaussians: Gaussians, up: Float[Tensor, "3"], *, origin: Origin = NO_ORIGIN) -> None:
    """Write RGB splats turned so that `up` (world) becomes +y; other programs see coloured points. ValueError if empty
    or not RGB."""
    if not len(gaussians):
        raise ValueError("a file needs at least one splat")
    turn = torch.eye(4).to(gaussians.means)
    turn[:3, :3] = y_up(up)
    turned = replace(gaussians, quaternions=unit_quaternions(gaussians.quaternions)).transformed(turn)
    means, scales, quaternions, opacities, features = arrays(turned)
    file = Gltf(SPLATTING)
    attributes = {
        "POSITION": file.attribute(means, limits=True),
        "COLOR_0": file.attribute(_vertex_colours(features, opacities)),
        f"{SPLATTING}:ROTATION": file.attribute(np.roll(quaternions, -1, axis=-1)),
        f"{SPLATTING}:SCALE": file.attribute(scales),
        f"{SPLATTING}:OPACITY": file.attribute(opacities),
        f"{SPLATTING}:SH_DEGREE_0_COEF_0": file.attribute(((features - 0.5) / SH_DC).astype("<f4")),
    }
    rest = harmonics_array(turned)
    for degree in range(1, turned.degree + 1):
        for i in range(2 * degree + 1):
            values = np.ascontiguousarray(rest[:, COUNTS[degree - 1] + i])
            attributes[f"{SPLATTING}:SH_DEGREE_{degree}_COEF_{i}"] = file.attribute(values)
    kind = {"kernel": "ellipse", "colorSpace": "srgb_rec709_display"}
    primitive = {"attributes": attributes, "mode": POINTS, "extensions": {SPLATTING: kind}}
    file.save(path, primitive, _node(up, origin))


def _vertex_colours(srgb: Float[np.ndarray, "n 3"], opacities: Float[np.ndarray, " n"]) -> UInt16[np.ndarray, "n 4"]:
    """sRGB and opacities, clipped to [0, 1], as the linear colours of glTF."""
    rgba = np.column_stack([linear_of(srgb.astype(np.float64).clip(0, 1)), opacities])
    return np.round(rgba.clip(0, 1) * 65535).astype("<u2")


def _node(up: Float[Tensor, "3"], origin: Origin) -> dict[str, object]:
    """The translation to the input's world, where there is one."""
    if not any(origin):
        return {}
    return {"translation": (y_up(up.double()).cpu() @ torch.tensor(origin, dtype=torch.float64)).tolist()}


def png(pixels: np.ndarray) -> bytes:
    """8-bit pixels as a PNG file."""
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, format="PNG", optimize=True)
    return buffer.getvalue()


def y_up(up: Float[Tensor, "3"]) -> Float[Tensor, "3 3"]:
    """The smallest rotation that takes the direction `up` to +y."""
    y = torch.nn.functional.normalize(up.detach().double().cpu(), dim=0)
    target = torch.tensor([0.0, 1.0, 0.0], dtype=torch.float64)
    if y[1] < -1 + 1e-9:
        return torch.diag(torch.tensor([1.0, -1.0, -1.0], dtype=torch.float64)).to(up)
    cross = torch.linalg.cross(y, target)
    skew = torch.stack([torch.linalg.cross(cross, axis) for axis in torch.eye(3, dtype=torch.float64)], dim=1)
    return (torch.eye(3, dtype=torch.float64) + skew + skew @ skew / (1 + y[1])).to(up)
