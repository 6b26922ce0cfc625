"""What a call of the layer costs: attnlib with the full score matrix and in blocks, against torch's fused kernel.

    python benchmarks/layer.py               # lengths 256, 1024 and 4096
    python benchmarks/layer.py 64 128        # other lengths

The time is the fastest of at least three calls, after one that is not counted; the ratio is to torch's fused kernel.
The import is timed in a fresh process.
"""

import platform
import subprocess
import sys
import time

import numpy as np
import torch

import attnlib

HEADS, WIDTH = 4, 64  # and one sequence: torch takes its fused kernel only for arrays of four dimensions


def import_seconds(module: str) -> float:
    """Seconds that a fresh process takes to import a module."""
    code = f"import time; start = time.perf_counter(); import {module}; print(time.perf_counter() - start)"
    return float(subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout)


def call_seconds(call) -> float:
    """Seconds of the fastest of at least three calls, and of as many as half a second holds."""
    call()
    times = []
    while len(times) < 3 or sum(times) < 0.5:
        start = time.perf_counter()
        call()
        times.append(time.perf_counter() - start)
    return min(times)


def main(lengths: list[int]) -> None:
    print(f"{platform.machine()}, {torch.get_num_threads()} threads, Python {platform.python_version()}, ", end="")
    print(f"numpy {np.__version__}, torch {torch.__version__}; {HEADS} heads of {WIDTH}, float32")
    for module in ("numpy", "attnlib", "torch"):
        print(f"import {module:8} {import_seconds(module) * 1e3:9.1f} ms")
    print(f"\n{'length':>6}  {'call':36}{'ms':>9}{'ratio':>8}")
    for length in lengths:
        arrays = np.random.default_rng(0).normal(size=(3, 1, HEADS, length, WIDTH)).astype(np.float32)
        tensors = torch.from_numpy(arrays)
        calls = {
            "torch scaled_dot_product_attention": lambda t=tensors: torch.nn.functional.scaled_dot_product_attention(
                *t
            ),
            "attnlib.attention, torch": lambda t=tensors: attnlib.attention(*t),
            "attnlib.streaming_attention, torch": lambda t=tensors: attnlib.streaming_attention(*t),
            "attnlib.attention, NumPy": lambda a=arrays: attnlib.attention(*a),
            "attnlib.streaming_attention, NumPy": lambda a=arrays: attnlib.streaming_attention(*a),
        }
        seconds = {name: call_seconds(call) for name, call in calls.items()}
        fused = next(iter(seconds.values()))
        for name, taken in seconds.items():
            print(f"{length:6}  {name:36}{taken * 1e3:9.2f}{taken / fused:8.2f}")


if __name__ == "__main__":
    main([int(text) for text in sys.argv[1:]] or [256, 1024, 4096])
