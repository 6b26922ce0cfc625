"""What attention costs on this machine: NumPy in five lines and in blocks, torch, and torch's kernel called directly.

    python benchmarks/length.py              # lengths 2^10 to 2^15, with CUDA to 2^17; some minutes
    python benchmarks/length.py 256 1024     # other lengths
    python benchmarks/length.py --record attnlib/records/length.json

The time is the median of at most five calls, after one that is not timed. "of product" is what the machine's own matrix
product reaches in the same run; "to kernel" is the time of `attention` on tensors with eight heads against torch's
kernel, called directly in turn with it. A second table holds the library against the five lines of NumPy that one
writes in its place, all called in turn, with all cores and with one. With --record, the series that were measured
replace their like in the file, which the chapter shows; series of other methods stay.
"""

import argparse
import functools
import json
import os
import statistics
import time
import tracemalloc
from pathlib import Path

import numpy as np
import threadpoolctl
import torch

from attnlib import attention, length, streaming_attention

WIDTH = 64


def in_turn(calls: list, turns: int, rest: float = 0.0) -> list[float]:
    """Median seconds of calls in turn, each after a rest; the first of each is not timed."""
    times: list[list[float]] = [[] for _ in calls]
    for turn in range(turns):
        for which in range(len(calls)) if turn % 2 else reversed(range(len(calls))):
            time.sleep(rest)
            start = time.perf_counter()
            calls[which]()
            times[which].append(time.perf_counter() - start)
    return [statistics.median(each[1:]) for each in times]


def ratio_to_kernel(count: int) -> float:
    """The time of `attention` on tensors over that of torch's kernel, called in turn."""
    tensors = torch.randn(3, 1, 8, count, WIDTH)
    kernels = attention, torch.nn.functional.scaled_dot_product_attention
    turns = min(200, max(6, 200 * 1024**2 // count**2))
    ours, theirs = in_turn([functools.partial(kernel, *tensors) for kernel in kernels], turns)
    return ours / theirs


def against_five_lines(lengths: list[int]) -> None:
    """Print how many times as fast as five lines of NumPy the library is, with all cores and with one."""
    methods = {"five lines": length.five_lines, "streaming": streaming_attention, "attention": attention}
    print(f"{'cores':>5}{'length':>8}" + "".join(f"{name + ', ms':>16}" for name in methods), end="")
    print("".join(f"{name:>12}" for name in list(methods)[1:]) + "   times as fast")
    for cores in sorted({1, os.cpu_count() or 1}, reverse=True):
        with threadpoolctl.threadpool_limits(cores, user_api="blas"):
            for count in lengths:
                arrays = np.random.default_rng(0).standard_normal((3, count, WIDTH), dtype=np.float32)
                calls = [functools.partial(method, *arrays) for method in methods.values()]
                # Threads of a BLAS wait at full speed for some hundredths of a second, at the cost of what comes next.
                found = in_turn(calls, 15 if count < 10_000 else 6, rest=0.1)
                print(f"{cores:5}{count:8}" + "".join(f"{1e3 * seconds:16.2f}" for seconds in found), end="")
                print("".join(f"{found[0] / seconds:12.2f}" for seconds in found[1:]))


def million_keys() -> tuple[float, float]:
    """Seconds, and GB with the inputs, of one block of 128 queries over 2^20 keys."""
    rng = np.random.default_rng(0)
    query, key, value = (rng.standard_normal((n, WIDTH), dtype=np.float32) for n in (128, 2**20, 2**20))
    tracemalloc.start()
    streaming_attention(query, key, value)
    peak = tracemalloc.get_traced_memory()[1] + key.nbytes + value.nbytes
    tracemalloc.stop()
    start = time.perf_counter()
    streaming_attention(query, key, value)
    return time.perf_counter() - start, peak / 1e9


def slope(points: list[dict], what: str) -> tuple[float, float]:
    """The growth's exponent, fitted through all points, and the largest distance from the fit, as a factor."""
    x, y = np.log([point["length"] for point in points]), np.log([point[what] for point in points])
    fit, at_zero = np.polyfit(x, y, 1)
    return fit, float(np.exp(np.abs(y - fit * x - at_zero).max()))


def record(path: Path, rates: list[dict], points: list[dict]) -> None:
    """Replace the series that were measured in a file of records, and keep the others."""
    kept = json.loads(path.read_text("utf-8")) if path.exists() else {"rates": [], "points": []}
    new = {"rates": rates, "points": points}
    for name, keys in (("rates", ("library", "dtype")), ("points", ("method", "dtype"))):
        series = {tuple(record[key] for key in keys) for record in new[name]}
        new[name] = [record for record in kept[name] if tuple(record[key] for key in keys) not in series] + new[name]
    path.write_text(json.dumps(new, indent=1) + "\n", "utf-8")


def main(lengths: list[int], path: Path | None) -> None:
    cuda = torch.cuda.is_available()
    series = [(method, "float32", 1) for method in length.METHODS[:3]]
    if cuda:
        series += [(method, dtype, 16) for dtype in ("float32", "bfloat16") for method in length.METHODS[3:]]
    rates, points = [], []
    print(f"{'method':17}{'dtype':10}{'heads':>5}{'length':>8}{'ms':>11}{'GFLOP/s':>10}{'of product':>11}", end="")
    print(f"{'peak MB':>10}{'to kernel':>10}")
    for method, dtype, heads in series:
        rate = length.rates(method, dtype)
        if not any((old["library"], old["dtype"]) == (rate["library"], dtype) for old in rates):
            rates.append(rate)
        there = [*lengths, *(lengths[-1] * 2**more for more in (1, 2) if "cuda" in method)]
        for point in length.measurements(
            there, method=method, dtype=dtype, heads=heads, head_dim=WIDTH, time_limit=300
        ):
            points.append(point)
            print(f"{method:17}{dtype:10}{heads:5}{point['length']:8}", end="")
            if point["note"]:
                print(f"  {point['note']}")
                continue
            speed = heads * length.cost(point["length"], WIDTH).flops / point["seconds"]
            held = "" if point["peak_bytes"] is None else f"{point['peak_bytes'] / 1e6:.1f}"
            print(f"{point['seconds'] * 1e3:11.2f}{speed / 1e9:10.1f}{speed / rate['flops_per_second']:11.2f}", end="")
            kernel = method == "torch cpu" and point["length"] <= 8192
            print(f"{held:>10}" + (f"{ratio_to_kernel(point['length']):10.3f}" if kernel else ""))
    for rate in rates:
        print(
            f"{rate['library']}, {rate['dtype']}: matrix product {rate['flops_per_second'] / 1e9:.1f} GFLOP/s, ", end=""
        )
        print(f"copy {rate['bytes_per_second'] / 1e9:.1f} GB/s; {rate['machine']}, {rate['versions']}, {rate['date']}")

    if path:
        record(path, rates, points)
    naive, streaming = ([p for p in points if p["method"] == name and p["seconds"]] for name in length.METHODS[:2])
    for name, measured in (("naive", naive), ("streaming", streaming)):
        if len(measured) < 2:
            continue  # no slope
        print(f"memory, {name}: exponent {slope(measured, 'peak_bytes')[0]:.3f}", end="; ")
        print(
            "time over the three largest: exponent {:.2f}, off by at most a factor {:.2f}".format(
                *slope(measured[-3:], "seconds")
            )
        )
    against_five_lines([count for count in lengths if count <= 16384])
    print("128 queries over 2^20 keys: {:.1f} s, {:.2f} GB with the inputs".format(*million_keys()))


if __name__ == "__main__":
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("lengths", nargs="*", type=int, default=[2**power for power in range(10, 16)])
    options.add_argument("--record", type=Path)
    given = options.parse_args()
    main(given.lengths, given.record)
