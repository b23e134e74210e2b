"""Rigid transforms and similarities as 4x4 matrices that act on column vectors."""

import torch
from jaxtyping import Float
from torch import Tensor


def normalise(vectors: Float[Tensor, "*batch 3"]) -> Float[Tensor, "*batch 3"]:
    """Unit vectors; a zero vector stays zero."""
    return torch.nn.functional.normalize(vectors, dim=-1, eps=1e-12)


def apply(a_from_b: Float[Tensor, "*#batch 4 4"], points: Float[Tensor, "*#batch n 3"]) -> Float[Tensor, "*batch n 3"]:
    """Points of frame b in frame a."""
    return points @ a_from_b[..., :3, :3].mT + a_from_b[..., None, :3, 3]


def inverse_rigid(a_from_b: Float[Tensor, "*batch 4 4"]) -> Float[Tensor, "*batch 4 4"]:
    """Inverse of a rotation and translation."""
    rotation = a_from_b[..., :3, :3].mT
    translation = -rotation @ a_from_b[..., :3, 3:]
    return torch.cat([torch.cat([rotation, translation], dim=-1), a_from_b[..., 3:, :]], dim=-2)


def scale_of(a_from_b: Float[Tensor, "*batch 4 4"]) -> Float[Tensor, "*batch"]:
    """The factor by which a similarity multiplies lengths."""
    return torch.linalg.det(a_from_b[..., :3, :3]).abs() ** (1 / 3)


def similarity(scale: float | Tensor, centre: Float[Tensor, "3"]) -> Float[Tensor, "4 4"]:
    """new_from_old that moves `centre` (old frame) to the origin, then multiplies lengths by `scale`."""
    matrix = torch.eye(4, dtype=centre.dtype, device=centre.device)
    matrix[:3, :3] *= scale
    matrix[:3, 3] = -scale * centre
    return matrix


def axis_angle(axis: Float[Tensor, "*batch 3"], angle: Float[Tensor, "*batch"]) -> Float[Tensor, "*batch 3 3"]:
    """Rotation about a unit axis by an angle in radians (Rodrigues)."""
    x, y, z = axis.unbind(-1)
    zero = torch.zeros_like(x)
    cross = torch.stack([zero, -z, y, z, zero, -x, -y, x, zero], dim=-1).reshape(*axis.shape, 3)
    sin, cos = angle.sin()[..., None, None], angle.cos()[..., None, None]
    eye = torch.eye(3, dtype=axis.dtype, device=axis.device)
    return eye + sin * cross + (1 - cos) * (cross @ cross)
