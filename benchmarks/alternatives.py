"""How long sparsemax takes in NumPy, beside the package entmax on torch's CPU, which sorts.

    python benchmarks/alternatives.py    # some twenty seconds

Both turn 4096 rows of 1024 normal scores into weights; the time is the median of ten calls, in turn, after one of each
that is not timed.
"""

import functools

import entmax
import numpy as np
import torch
from length import in_turn

from attnlib.beyond import sparsemax

SHAPE = (4096, 1024)


def main() -> None:
    print(f"{'dtype':10}{'sd':>5}{'attnlib, ms':>14}{'entmax, ms':>14}{'times as fast':>16}")
    for dtype in ("float32", "float64"):
        for deviation in (1, 10):
            scores = (deviation * np.random.default_rng(0).normal(size=SHAPE)).astype(dtype)
            calls = [functools.partial(sparsemax, scores), functools.partial(entmax.sparsemax, torch.tensor(scores))]
            ours, theirs = in_turn(calls, turns=11)
            print(f"{dtype:10}{deviation:5}{1e3 * ours:14.1f}{1e3 * theirs:14.1f}{theirs / ours:16.1f}")


if __name__ == "__main__":
    main()
