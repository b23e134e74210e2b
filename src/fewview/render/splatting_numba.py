"""Splatting on the CPU: what compiled kernels project and blend, as functions that autograd knows."""

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from fewview.cameras import Cameras
from fewview.render import blending_numba as kernels
from fewview.render import harmonics_numba as harmonics
from fewview.render import projection_numba as projection
from fewview.render.gaussians import Gaussians
from fewview.render.threads import share
from fewview.render.tiles_numba import GEOMETRY, tiles_of

Picture = tuple[
    Float[Tensor, "channels height width"], Float[Tensor, "1 height width"], Float[Tensor, "1 height width"]
]


def project(gaussians: Gaussians, camera: Cameras, *, antialiased: bool) -> Float[Tensor, "n columns"]:
    """What `blend` takes, a row for each splat; zeros for those that the camera (batch shape ()) does not see."""
    pose, pinhole = numpy_of(camera.world_from_cam), numpy_of(camera.intrinsics)
    view = projection.view_of(pose, pinhole, (camera.height, camera.width))
    return _Project.apply(view, antialiased, *gaussians.tensors().values())  # type: ignore[return-value]


class _Project(torch.autograd.Function):
    @staticmethod
    def forward(ctx, view, antialiased, *tensors):
        arrays = _arrays(tensors)
        channels = arrays[4].shape[1]
        footprints = np.zeros((len(arrays[0]), GEOMETRY + channels + 1), np.float32)
        share(projection.project, len(footprints), view, arrays[:4], antialiased, footprints)
        means, like = arrays[0], (0,) * channels
        share(harmonics.show, len(footprints), view[0], means, *arrays[4:], footprints, like)
        ctx.view, ctx.antialiased, ctx.footprints = view, antialiased, footprints
        ctx.save_for_backward(*tensors)
        return torch.from_numpy(footprints).to(tensors[0])

    @staticmethod
    def backward(ctx, *gradients):
        arrays, of = _arrays(ctx.saved_tensors), numpy_of(gradients[0])
        made, like = tuple(np.zeros_like(array) for array in arrays), (0,) * arrays[4].shape[1]
        share(projection.pull, len(of), ctx.view, arrays[:4], ctx.antialiased, ctx.footprints, of, made[:4])
        colours = made[0], *made[4:]
        share(harmonics.pull, len(of), ctx.view[0], arrays[0], *arrays[4:], ctx.footprints, of, colours, like)
        return None, None, *(torch.from_numpy(array).to(t) for array, t in zip(made, ctx.saved_tensors))


def _arrays(tensors) -> tuple[np.ndarray, ...]:
    """Those of a set of Gaussians; without harmonics, none of each splat."""
    arrays = tuple(numpy_of(tensor) for tensor in tensors)
    return arrays if len(arrays) == 6 else (*arrays, np.empty((len(arrays[0]), 0, arrays[4].shape[1]), np.float32))


def blend(footprints: Float[Tensor, "n columns"], size: tuple[int, int]) -> Picture:
    """Channels, alpha and depth (0 where nothing is) of a picture of `size` (height, width) in pixels.

    Columns are centre (2), conic (3), opacity, channels and depth, as in `splatting.Footprints`, in any order of
    footprints; those of opacity 0 are not seen.
    """
    return _Blend.apply(footprints, size)  # type: ignore[return-value]


class _Blend(torch.autograd.Function):
    @staticmethod
    def forward(ctx, footprints, size):
        ctx.set_materialize_grads(False)
        rows = numpy_of(footprints)
        tiles = tiles_of(rows, *size)
        channels = rows.shape[1] - GEOMETRY
        image = np.empty((channels - 1, *size), np.float32)
        alpha, depth = (np.empty(size, np.float32) for _ in range(2))
        lists = tiles.shapes, tiles.starts, tiles.owners
        share(kernels.forward, len(tiles.starts) - 1, lists, rows, image, alpha, depth, (0,) * channels)
        ctx.tiles, ctx.seen = tiles, (image, alpha, depth)
        ctx.save_for_backward(footprints)
        return tuple(torch.from_numpy(array).to(footprints) for array in (image, alpha[None], depth[None]))

    @staticmethod
    def backward(ctx, *gradients):
        (footprints,) = ctx.saved_tensors
        tiles, seen, rows = ctx.tiles, ctx.seen, numpy_of(footprints)
        asked = rows.shape[1] - GEOMETRY - (gradients[2] is None)  # channels that have gradients
        of = tuple(
            np.zeros_like(array) if g is None else numpy_of(g).reshape(array.shape) for g, array in zip(gradients, seen)
        )
        per_entry = np.empty((len(tiles.owners), GEOMETRY + asked), np.float32)
        lists = tiles.shapes, tiles.starts, tiles.owners
        share(kernels.backward, len(tiles.starts) - 1, lists, rows, seen, of, per_entry, (0,) * asked)
        summed = np.zeros(rows.shape, np.float32)
        share(kernels.gather, len(rows), tiles.firsts, tiles.entries, per_entry, summed)
        return torch.from_numpy(summed).to(footprints), None


def numpy_of(tensor: Tensor) -> np.ndarray:
    return tensor.detach().to("cpu", torch.float32).contiguous().numpy()
