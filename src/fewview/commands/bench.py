"""`fewview bench`: the CPU kernels beside their PyTorch twins."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Bench:
    """Time the CPU kernels, forward and backward, beside their PyTorch twins."""

    def run(self) -> None:
        raise NotImplementedError
