"""Attention over several processes: the answer of one, and a clear end when a process dies."""

import os
import subprocess
import sys

import pytest
import torch

from attnlib.distributed import pooled_attention

RUN = [sys.executable, "-m", "torch.distributed.run", "--standalone"]
START = """
import datetime, os, signal, sys
import torch, torch.distributed as dist
from attnlib import attention
from attnlib.distributed import pooled_attention
dist.init_process_group("gloo", timeout=datetime.timedelta(seconds=20))
rank, world = dist.get_rank(), dist.get_world_size()
"""
AGREE = """
torch.manual_seed(0)
for number in range(30):
    heads, length, keys, d, dv = (int(torch.randint(1, high, ())) for high in (4, 70, 60, 33, 9))
    query, key, value = torch.randn(heads, length, d), torch.randn(keys, d), torch.randn(heads, keys, dv)
    scale = None
    if number % 2:  # products that float32 holds exactly, up to 1e4
        query, key, scale = (4 * query).round(), (4 * key).round(), 0.5
        key = (key * min(2e4 / max(float((query @ key.mT).abs().max()), 1), 64)).round()
    ends = sorted(int(end) for end in torch.randint(0, keys + 1, (world - 1,)))  # some shares are empty
    mine = slice([0, *ends][rank], [*ends, keys][rank])
    wanted = attention(*(x.double() for x in (query, key, value)), scale=scale)
    for dtype in (torch.float32, torch.float64, torch.bfloat16):
        q, k, v = (x.to(dtype) for x in (query, key[mine], value[:, mine]))
        found = pooled_attention(q, k, v, scale=scale)
        assert found.dtype == dtype
        with torch.autocast("cpu", dtype=torch.bfloat16):
            assert torch.equal(pooled_attention(q, k, v, scale=scale), found)
        if dtype == torch.bfloat16:
            rounded = attention(*(x.to(dtype).double() for x in (query, key, value)), scale=scale)
            assert (found - rounded).abs().max() <= 2**-8 * value.abs().max()
            continue
        tolerance = {torch.float64: 1e-12, torch.float32: 2e-6}[dtype]
        assert (found - wanted).abs().max() <= tolerance * value.abs().max()  # false for nan too
none = pooled_attention(torch.ones(2, 3), torch.ones(0, 3), torch.ones(0, 4))
assert none.shape == (2, 4) and not none.any()
mixed = pooled_attention(torch.ones(2, 3, dtype=torch.int64), torch.ones(1, 3), torch.full((1, 1), rank + 0.25))
assert mixed.dtype == torch.float32 and (mixed == (world - 1) / 2 + 0.25).all(), mixed
alone = [dist.new_group([one]) for one in range(world)][rank]
own = pooled_attention(torch.ones(1, 1), torch.ones(1, 1), torch.full((1, 1), float(rank)), group=alone)
assert own == rank
print("agreed")
dist.barrier()
dist.destroy_process_group()
"""
DIE = """
pooled_attention(torch.ones(2, 3), torch.ones(4, 3), torch.ones(4, 3))
if rank == 1:
    os.kill(os.getpid(), signal.SIGKILL)
pooled_attention(torch.ones(2, 3), torch.ones(4, 3), torch.ones(4, 3))
print("never reached", flush=True)
"""


def torchrun(processes: int, *what: str, timeout: float) -> subprocess.CompletedProcess:
    """Run a program in several processes, each with one thread."""
    command = [*RUN, f"--nproc-per-node={processes}", *what]
    environment = os.environ | {"OMP_NUM_THREADS": "1", "CUDA_VISIBLE_DEVICES": ""}
    return subprocess.run(command, capture_output=True, text=True, env=environment, timeout=timeout)


@pytest.mark.parametrize("processes", [2, 4])
def test_processes_together_give_the_answer_of_one(processes, tmp_path):
    script = tmp_path / "agree.py"
    script.write_text(START + AGREE)
    done = torchrun(processes, str(script), timeout=300)
    assert done.returncode == 0, done.stderr[-3000:]
    assert done.stdout.count("agreed") == processes


def test_the_module_runs_and_says_what_was_sent():
    done = torchrun(2, "-m", "attnlib.distributed", timeout=300)
    assert done.returncode == 0, done.stderr[-3000:]
    assert done.stdout.count("2048 keys, 8448 numbers sent") == 2  # 8 heads, 16 queries, 64 + 2


def test_a_killed_process_ends_the_others_with_an_error(tmp_path):
    script = tmp_path / "die.py"
    script.write_text(START + DIE)
    done = torchrun(4, str(script), timeout=60)  # 30 s for the others to end, and as much to start on a slow machine
    assert done.returncode != 0 and "never reached" not in done.stdout
    assert "Signal 9 (SIGKILL)" in done.stderr and "rank      : 1" in done.stderr


def test_gradients_are_refused():
    leaf = torch.ones(2, 3, requires_grad=True)
    with pytest.raises(ValueError, match="query must not ask for its gradient"):
        pooled_attention(leaf, torch.ones(2, 3), torch.ones(2, 3))
