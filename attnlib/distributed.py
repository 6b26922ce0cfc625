"""Attention past one machine: every process holds its share of the keys, and their estimates are pooled.

    torchrun --nproc-per-node 4 -m attnlib.distributed

runs it on four processes and compares it with one. This module needs torch.
"""

from __future__ import annotations  # the reference page is made without torch

import datetime
import os

import torch
import torch.distributed as dist

from attnlib._arrays import floats, own_arithmetic, require_no_gradient
from attnlib.layer import attention, running_estimate

__all__ = ["pooled_attention"]


@own_arithmetic
def pooled_attention(
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    *,
    scale: float | None = None,
    group: dist.ProcessGroup | None = None,
) -> torch.Tensor:
    """Compute attention over keys and values that are spread over processes.

    Each process reads its own keys, and what it then knows of a query is its estimate: the average of its values, its
    largest score, and the sum of exponentials relative to it. These dv + 2 numbers a query are all that it sends. The
    estimates are pooled as two blocks of `streaming_attention` are: sums add, averages average by their sums.

    Parameters
    ----------
    query : tensor (..., L, d)
        The same in every process.
    key : tensor (..., S, d)
        This process's share; S may differ from one process to another, and may be 0.
    value : tensor (..., S, dv)
    scale : float, optional
        As for `attention`.
    group : process group, optional
        None means all processes.

    Returns
    -------
    tensor (..., L, dv)
        In every process, what `attention` gives for all keys and values in one place, up to rounding.

    Raises
    ------
    ValueError
        As `attention`, and if a tensor asks for its gradient, which would not cross to the other processes.

    Examples
    --------
    One process with all keys is attention itself:

    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     dist.init_process_group("gloo", init_method=f"file://{folder}/meet", rank=0, world_size=1)
    ...     pooled_attention(torch.zeros(1, 2), torch.ones(2, 2), torch.tensor([[1.0], [3.0]]))
    ...     dist.destroy_process_group()
    tensor([[2.]])

    References
    ----------
    Dao et al. (2023), "Flash-Decoding", pools blocks of one machine so; Liu et al. (2023), "Ring Attention", sends
    keys and values around instead.
    """
    require_no_gradient(query=query, key=key, value=value)
    _, dtype, (query, key, value) = floats(query=query, key=key, value=value)
    average, top, total = running_estimate(query, key, value, scale=scale)
    mine = torch.cat([average, top, total], dim=-1)
    everyone = [torch.empty_like(mine) for _ in range(dist.get_world_size(group))]
    dist.all_gather(everyone, mine, group=group)
    average, top, total = torch.stack(everyone).split([value.shape[-1], 1, 1], dim=-1)
    share = total * torch.exp(top - top.amax(0))  # sums relative to the largest score of all
    share = share / share.sum(0).clamp_min(torch.finfo(share.dtype).tiny)  # no keys anywhere: zero, not nan
    return (share * average).sum(0).to(dtype)


def main() -> None:
    """Compare the answer of all processes with that of one; every process prints what it sent."""
    cuda = torch.cuda.is_available() and torch.cuda.device_count() >= int(os.environ["LOCAL_WORLD_SIZE"])
    device = torch.device("cuda", int(os.environ["LOCAL_RANK"])) if cuda else torch.device("cpu")
    dist.init_process_group("nccl" if cuda else "gloo", timeout=datetime.timedelta(seconds=20))
    rank, world = dist.get_rank(), dist.get_world_size()
    torch.manual_seed(0)  # the same numbers everywhere, so that each process can check the whole
    query, key, value = (torch.randn(8, n, 64, dtype=torch.float64, device=device) for n in (16, 4096, 4096))
    mine = slice(4096 * rank // world, 4096 * (rank + 1) // world)
    pooled = pooled_attention(query, key[:, mine], value[:, mine])
    wanted: torch.Tensor = attention(query, key, value)
    worst = float(((pooled - wanted).abs() / wanted.abs().max()).max())
    sent = query.shape[:-1].numel() * (value.shape[-1] + 2)
    print(
        f"rank {rank} of {world}: {mine.stop - mine.start} keys, {sent} numbers sent, differs by {worst:.1e}",
        flush=True,
    )
    dist.barrier()
    dist.destroy_process_group()
    if worst > 1e-12:
        raise SystemExit(f"rank {rank}: the pooled answer differs from the single one by {worst:.1e}")


if __name__ == "__main__":
    main()
