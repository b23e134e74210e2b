"""A model in several processes: copies whose gradients are averaged (DDP), or one that is cut into shards (FSDP2)."""

from collections.abc import Callable
from typing import Any, TypeVar

import torch
from jaxtyping import Float, Shaped
from torch import Tensor, nn
from torch import distributed as dist

from fewview.nn.layers import TransformerLayer
from fewview.nn.unet import ResBlock
from fewview.processes import here

T = TypeVar("T")
SHARDED = (ResBlock, TransformerLayer)  # a shard each, gathered while it computes; the rest is one more


class Spread:
    """A model that trains in all processes of the group: what calls it, in any way, goes through this."""

    def __init__(self, module: nn.Module | None = None):
        self.module = module

    def __call__(self, work: Callable[[], T]) -> T:
        return work() if self.module is None else self.module(work)

    def gather(self) -> None:
        """A model that was cut into shards is whole again, in every process."""
        for module in [] if self.module is None else list(self.module.modules()):
            if hasattr(module, "unshard"):
                module.unshard()  # type: ignore[operator]


def spread(model: nn.Module, *, shard: bool = False) -> Spread:
    """Changes the model in place for the group that this process is in; with `shard`, each keeps a part of it."""
    group = here()
    if group.count == 1:
        return Spread()
    statistics = dist.new_group()
    for module in list(model.modules()):
        if isinstance(module, nn.BatchNorm2d):
            module.__class__ = SharedBatchNorm
            module.group = statistics  # type: ignore[assignment]
    inside = _Inside(model)
    if not shard:
        return Spread(nn.parallel.DistributedDataParallel(inside, find_unused_parameters=True))
    from torch.distributed.fsdp import fully_shard

    trained = [m for m in model.modules() if isinstance(m, SHARDED) and any(p.requires_grad for p in m.parameters())]
    for module in trained:
        fully_shard(module)
    fully_shard(inside)
    return Spread(inside)


def full(tensor: Shaped[Tensor, "..."]) -> Shaped[Tensor, "..."]:
    """The whole of a tensor that may be in shards; all processes must ask."""
    return tensor.full_tensor() if hasattr(tensor, "full_tensor") else tensor  # type: ignore[operator]


def cut_as(tensor: Shaped[Tensor, "..."], like: Shaped[Tensor, "..."]) -> Shaped[Tensor, "..."]:
    """A whole tensor cut as another one is, on its device."""
    tensor = tensor.to(like.device)
    if not hasattr(like, "full_tensor") or tensor.shape != like.shape:  # counts of steps are whole everywhere
        return tensor
    from torch.distributed.tensor import distribute_tensor

    return distribute_tensor(tensor, like.device_mesh, like.placements)  # type: ignore[attr-defined]


class _Inside(nn.Module):
    """Work inside of a module's forward, for that is what DDP and FSDP watch; tasks call parts of models."""

    def __init__(self, model: nn.Module):
        super().__init__()
        self.model = model

    def forward(self, work: Callable[[], Any]) -> Any:
        return work()


class SharedBatchNorm(nn.BatchNorm2d):
    """Statistics of the whole batch while training, on any device (torch's SyncBatchNorm asks for a GPU)."""

    group: dist.ProcessGroup

    def forward(self, input: Float[Tensor, "b c h w"]) -> Float[Tensor, "b c h w"]:
        if not self.training:
            return super().forward(input)
        x = input.float()
        total = input[:, 0].numel() * dist.get_world_size(self.group)
        mean = _sum(x.sum((0, 2, 3)), self.group) / total
        centred = x - mean[:, None, None]
        var = _sum(centred.square().sum((0, 2, 3)), self.group) / total
        self._follow(mean.detach(), var.detach() * total / max(total - 1, 1))
        scale = self.weight * (var + self.eps).rsqrt()
        return (centred * scale[:, None, None] + self.bias[:, None, None]).to(input.dtype)

    @torch.no_grad()
    def _follow(self, mean: Float[Tensor, " c"], var: Float[Tensor, " c"]) -> None:
        assert self.running_mean is not None and self.running_var is not None and self.momentum is not None
        assert self.num_batches_tracked is not None
        self.running_mean.lerp_(mean, self.momentum)
        self.running_var.lerp_(var, self.momentum)
        self.num_batches_tracked += 1


class _Sum(torch.autograd.Function):
    """Sum over processes, whose gradient is the sum of theirs."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, group: dist.ProcessGroup) -> Tensor:
        ctx.group = group
        x = x.clone()
        dist.all_reduce(x, group=group)
        return x

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, None]:  # type: ignore[override]
        grad = grad.contiguous().clone()
        dist.all_reduce(grad, group=ctx.group)
        return grad, None


def _sum(x: Float[Tensor, " c"], group: dist.ProcessGroup) -> Float[Tensor, " c"]:
    return _Sum.apply(x, group)  # type: ignore[return-value]
