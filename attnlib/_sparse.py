"""The gradient of `sparsemax` and `entmax` in closed form. Imported for a caller who has tensors."""

from collections.abc import Callable
from typing import Any

import torch


class Weights(torch.autograd.Function):
    """Weights p that a search finds in scores along the last axis, and their Jacobian, (diag r - r r' / sum r) / T.

    r = p^(2 - alpha) on the support. The Jacobian is symmetric, so that it serves both modes of differentiation.
    """

    generate_vmap_rule = True

    @staticmethod
    def forward(scores: torch.Tensor, search: Callable, alpha: float, temperature: float) -> torch.Tensor:
        return search(scores)

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple, output: torch.Tensor) -> None:
        ctx.save_for_backward(output)
        ctx.save_for_forward(output)
        ctx.options = inputs[2:]

    @staticmethod
    def backward(ctx: Any, gradient: torch.Tensor) -> tuple:
        (p,) = ctx.saved_tensors
        return _product(p, gradient, *ctx.options), None, None, None

    @staticmethod
    def jvp(ctx: Any, tangent: torch.Tensor, *_: None) -> torch.Tensor:
        (p,) = ctx.saved_tensors
        return _product(p, tangent, *ctx.options)


def _product(p: torch.Tensor, vector: torch.Tensor, alpha: float, temperature: float) -> torch.Tensor:
    """Multiply by the Jacobian. Where one r is far larger than the others, and perhaps too large for the dtype, its
    row would be the small difference of large numbers: but columns add up to zero, so it has what the others leave.
    """
    support = p > 0
    r = torch.where(support, torch.where(support, p, 1.0) ** (2 - alpha), 0.0)
    largest = r.argmax(-1, keepdim=True)
    rest, gaps = r.scatter(-1, largest, 0.0), vector - vector.gather(-1, largest)
    total = r.sum(-1, keepdim=True)
    mean = (rest * gaps).sum(-1, keepdim=True) / torch.where(total > 0, total, 1.0)
    others = rest * (gaps - mean)
    return others.scatter(-1, largest, -others.sum(-1, keepdim=True)) / temperature
