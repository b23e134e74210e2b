"""Values and places of a mesh's corners evened out over their neighbours."""

from dataclasses import replace

import numpy as np
import torch
from jaxtyping import Float, Int
from scipy import sparse
from torch import Tensor

from fewview.export.mesh import Mesh, normals

SHRINK, GROW = 0.5, -0.53  # Taubin 1995, "A signal processing approach to fair surface design": smooth, do not shrink


def neighbours(faces: Int[np.ndarray, "f 3"], count: int) -> sparse.csr_matrix:
    """What makes of values at `count` corners the means over their neighbours."""
    edges = np.concatenate([faces[:, [0, 1]], faces[:, [1, 2]], faces[:, [2, 0]]])
    edges = np.concatenate([edges, edges[:, ::-1]])
    joined = sparse.coo_matrix((np.ones(len(edges), np.float32), edges.T), shape=(count, count)).tocsr()
    joined.data[:] = 1
    degrees = np.asarray(joined.sum(1)).ravel()
    return sparse.csr_matrix(sparse.diags(1 / np.maximum(degrees, 1)) @ joined, dtype=np.float32)


def smoothed(mesh: Mesh, rounds: int) -> Mesh:
    """The mesh without its smallest bumps, of hardly another size."""
    average, places = neighbours(mesh.faces, len(mesh.vertices)), mesh.vertices.astype(np.float32)
    for _ in range(rounds):
        for share in (SHRINK, GROW):
            places = places + np.float32(share) * (average @ places - places)
    return replace(mesh, vertices=places)


def smooth_normals(vertices: Float[Tensor, "v 3"], faces: Int[np.ndarray, "f 3"], rounds: int) -> Float[Tensor, "v 3"]:
    """Outward unit normals that small bumps do not turn: each the mean over so many rings of neighbours."""
    average = neighbours(faces, len(vertices))
    outward = normals(vertices, torch.from_numpy(faces)).cpu().numpy()
    for _ in range(rounds):
        outward = 0.5 * outward + 0.5 * (average @ outward)
    return torch.nn.functional.normalize(torch.from_numpy(outward).to(vertices), dim=-1)
