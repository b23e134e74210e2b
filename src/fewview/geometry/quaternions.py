"""Rotations as quaternions (w, x, y, z)."""

import torch
from jaxtyping import Float
from torch import Tensor


def rotations(quaternions: Float[Tensor, "n 4"]) -> Float[Tensor, "n 3 3"]:
    """Rotation matrices of (w, x, y, z), which need not have length one."""
    w, x, y, z = torch.nn.functional.normalize(quaternions, dim=-1).unbind(-1)
    rows = [
        1 - 2 * (y * y + z * z), 2 * (x * y - w * z), 2 * (x * z + w * y),
        2 * (x * y + w * z), 1 - 2 * (x * x + z * z), 2 * (y * z - w * x),
        2 * (x * z - w * y), 2 * (y * z + w * x), 1 - 2 * (x * x + y * y),
    ]  # fmt: skip
    return torch.stack(rows, dim=-1).reshape(-1, 3, 3)


def quaternions_of(matrices: Float[Tensor, "n 3 3"]) -> Float[Tensor, "n 4"]:
    """Unit quaternions (w >= 0) of rotation matrices: the top eigenvector of Bar-Itzhack's K (2000)."""
    (a, b, c), (d, e, f), (g, h, i) = (row.unbind(-1) for row in matrices.unbind(-2))
    k = torch.stack([
        a + e + i, h - f, c - g, d - b,
        h - f, a - e - i, b + d, c + g,
        c - g, b + d, e - a - i, f + h,
        d - b, c + g, f + h, i - a - e,
    ], dim=-1).reshape(-1, 4, 4)  # fmt: skip
    quaternions = torch.linalg.eigh(k).eigenvectors[..., -1]
    return torch.where(quaternions[:, :1] < 0, -quaternions, quaternions)


def multiply(a: Float[Tensor, "#n 4"], b: Float[Tensor, "#n 4"]) -> Float[Tensor, "n 4"]:
    """Hamilton product: the rotation b, then a."""
    (aw, ax, ay, az), (bw, bx, by, bz) = a.unbind(-1), b.unbind(-1)
    return torch.stack(
        [
            aw * bw - ax * bx - ay * by - az * bz,
            aw * bx + ax * bw + ay * bz - az * by,
            aw * by - ax * bz + ay * bw + az * bx,
            aw * bz + ax * by - ay * bx + az * bw,
        ],
        dim=-1,
    )
