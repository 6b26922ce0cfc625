"""torch's fused kernel, behind the promises of `attention`. Imported for a caller who has tensors."""

import math
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch.autograd import forward_ad

from attnlib._arrays import own_arithmetic


def attention(
    query: torch.Tensor, key: torch.Tensor, value: torch.Tensor, unfused: Callable, *options: Any
) -> torch.Tensor:
    """Return what `unfused(query, key, value)` does, by the kernel, which has first derivatives backward alone."""
    if torch.compiler.is_compiling():
        return _kernel(query, key, value, *options)
    transforms = torch._C._functorch.get_interpreter_stack() or []  # of torch.func, which has no public way to ask
    kinds = [str(transform.key()).rsplit(".", 1)[-1] for transform in transforms]
    given = (query, key, value)
    if kinds not in ([], ["Grad"]) or any(forward_ad.unpack_dual(x).tangent is not None for x in given):
        return unfused(*given)
    output = _kernel(*given, *options)
    if not kinds and torch.is_grad_enabled() and any(x.requires_grad for x in given):
        output = _Differentiable.apply(output, *given, unfused)
    return output


class _Differentiable(torch.autograd.Function):
    """The kernel's output, whose gradient is the kernel's own unless it shall be differentiated in turn."""

    @staticmethod
    def forward(ctx, output: torch.Tensor, query, key, value, unfused: Callable) -> torch.Tensor:
        ctx.save_for_backward(query, key, value)
        ctx.unfused = unfused
        return output.detach()

    @staticmethod
    def backward(ctx, gradient: torch.Tensor) -> tuple:
        if not torch.is_grad_enabled():
            return gradient, None, None, None, None
        _, pull_back = torch.func.vjp(own_arithmetic(ctx.unfused), *ctx.saved_tensors)
        return None, *pull_back(gradient), None


def _kernel(
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    scale: float,
    mask: torch.Tensor | None,
    causal: bool,
    batch: Sequence[int],
) -> torch.Tensor:
    kernel = torch.nn.functional.scaled_dot_product_attention
    length, keys = query.shape[-2], key.shape[-2]
    if scale <= 0:  # the kernel puts -inf where causality forbids, then scales: inf or nan
        query, scale = (-query, -scale) if scale else (0 * query, 1.0)
    # Fused kernels take four dimensions; these are views unless there are more.
    lead = (math.prod(batch[:-1]), math.prod(batch[-1:]))
    query, key, value = (
        x if x.shape[:-2] == lead else x.expand(*batch, *x.shape[-2:]).reshape(*lead, *x.shape[-2:])
        for x in (query, key, value)
    )
    if mask is None:
        return kernel(query, key, value, is_causal=causal, scale=scale).reshape(*batch, length, value.shape[-1])
    if causal:
        mask = mask & torch.ones(length, keys, dtype=torch.bool, device=query.device).tril()
    if mask.shape != (length, keys):  # a mask for all heads alike is read faster as it is
        mask = mask.expand(*batch, length, keys).reshape(*lead, length, keys)
    # A row that may attend nowhere is nan in some releases, forward or backward. Let it attend everywhere, then
    # replace it: its gradient is exactly zero.
    alive = mask.view(torch.uint8).amax(-1, keepdim=True).bool()
    if query.device.type == "cpu" and alive.all():  # elsewhere, looking would stall the accelerator
        output = kernel(query, key, value, attn_mask=mask, scale=scale)
    else:
        output = torch.where(alive, kernel(query, key, value, attn_mask=mask | ~alive, scale=scale), 0.0)
    return output.reshape(*batch, length, value.shape[-1])
