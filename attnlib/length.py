"""What length costs: operations, memory and traffic of attention over T keys, counted and measured.

`measure` and `measurements` time a method on this machine; they need psutil, and torch for the methods that name it.
"""

import datetime
import functools
import math
import os
import platform
import statistics
import threading
import time
import tracemalloc
from collections.abc import Callable, Iterable, Iterator
from importlib import metadata
from pathlib import Path
from typing import NamedTuple

import numpy as np
import threadpoolctl  # noqa: F401 (used by the layer: what it takes to load is no part of what a length takes)

from attnlib._arrays import number, whole
from attnlib.layer import attention, streaming_attention

__all__ = ["METHODS", "Cost", "cost", "measure", "measurements", "rates"]

METHODS = ("numpy naive", "numpy streaming", "torch cpu", "torch cuda", "torch cuda naive")
_TRACING = threading.Lock()  # tracemalloc is one for all threads
_BYTES = {"float64": 8, "float32": 4, "float16": 2, "bfloat16": 2}


class Cost(NamedTuple):
    """What attention of T queries over T keys takes, for one head."""

    flops: int  # of the two matrix products
    multiplications: int
    additions: int
    exponentials: int
    comparisons: int
    divisions: int
    traffic_naive: int  # bytes to and from memory; scores and weights are written and read again
    traffic_streaming: int  # keys and values are read once for each block of queries
    memory_naive: int  # bytes beside inputs and result: scores and weights
    memory_streaming: int  # two numbers a query; the block at work is on the chip and does not grow with T
    intensity_naive: float  # flops for each byte of traffic
    intensity_streaming: float


def cost(
    length: int, head_dim: int, *, value_dim: int | None = None, bytes_per_number: int = 4, query_block: int = 128
) -> Cost:
    """Count what attention takes for T queries and T keys: operations, bytes moved, bytes held.

    Parameters
    ----------
    length : int
        T, at least 1.
    head_dim, value_dim : int
        Coordinates of a query and key, and of a value; values have as many as keys unless `value_dim` is given.
    bytes_per_number : int
        4 for float32.
    query_block : int
        Queries that a streaming method holds at a time while it reads all keys and values.

    Returns
    -------
    Cost
        The counts of operations are exact for the plain loop: a dot product of d terms takes d multiplications and
        d - 1 additions; the largest score is subtracted before the exponential, and the sum of the values divided at
        the end. `flops` counts 2 for each term of the two matrix products: 4 T^2 d, if values are as long as keys.

    Raises
    ------
    ValueError
        If an argument is not a whole number of at least 1.

    Examples
    --------
    T = 8192 and d = 128 in 16 bits: 4 * 8192^2 * 128 = 34 GFLOP; scores and weights take 2 * 2 * 8192^2 bytes:

    >>> made = cost(8192, 128, bytes_per_number=2)
    >>> made.flops, made.memory_naive
    (34359738368, 268435456)
    >>> round(made.intensity_naive), round(made.intensity_streaming)
    (63, 126)

    References
    ----------
    Dao et al. (2022), "FlashAttention", section 3.2, for the traffic.
    """
    value_dim = head_dim if value_dim is None else value_dim
    given = {
        "length": length,
        "head_dim": head_dim,
        "value_dim": value_dim,
        "bytes_per_number": bytes_per_number,
        "query_block": query_block,
    }
    t, d, dv, b, rows = (whole(name, value) for name, value in given.items())
    flops = 2 * t * t * (d + dv)
    traffic_naive = b * (2 * t * d + 2 * t * dv + 4 * t * t)
    traffic_streaming = b * t * (d + dv) * (1 + math.ceil(t / rows))
    return Cost(
        flops=flops,
        multiplications=t * t * (d + dv),
        additions=t * t * (d - 1) + t * t + t * (t - 1) + t * dv * (t - 1),
        exponentials=t * t,
        comparisons=t * (t - 1),
        divisions=t * dv,
        traffic_naive=traffic_naive,
        traffic_streaming=traffic_streaming,
        memory_naive=2 * b * t * t,
        memory_streaming=2 * b * t,
        intensity_naive=flops / traffic_naive,
        intensity_streaming=flops / traffic_streaming,
    )


def five_lines(query: np.ndarray, key: np.ndarray, value: np.ndarray) -> np.ndarray:
    """Compute attention as one writes it in NumPy without a library, in place: what others are measured against."""
    scores = query @ key.mT * query.shape[-1] ** -0.5
    scores -= scores.max(-1, keepdims=True)
    np.exp(scores, out=scores)
    scores /= scores.sum(-1, keepdims=True)
    return scores @ value


def measurements(
    lengths: Iterable[int],
    *,
    method: str,
    head_dim: int = 64,
    heads: int = 1,
    dtype: str = "float32",
    repeats: int = 5,
    time_limit: float = 60.0,
    memory_limit: float | None = None,
) -> Iterator[dict]:
    """Time a method at one length after another; each record comes as soon as it is there.

    A length is refused before it is tried, if its arrays would not fit in memory or if, by the length before, its time
    would pass the limit. Whoever iterates may stop between two lengths.

    Parameters
    ----------
    lengths : ints of at least 1
        Best in increasing order.
    method : str
        One of `METHODS`. "numpy naive" is `five_lines`, "numpy streaming" is `streaming_attention`; "torch cpu" and
        "torch cuda" are `attention` on tensors, that is, torch's fused kernel.
    head_dim, heads : int
        Coordinates of queries, keys and values; heads of one sequence.
    dtype : str
        "float32" or "float64"; with torch also "float16" and "bfloat16".
    repeats : int
        Timed calls a length, after one call that is not timed. One is enough where the limit allows no more.
    time_limit : float
        Seconds for all lengths together, with what the caller does in between.
    memory_limit : float, optional
        Bytes that a length may take. None: what is free on the device when it is tried.

    Yields
    ------
    dict
        "method", "length", "head_dim", "heads", "dtype"; "seconds", the median of the timed calls; "peak_bytes", the
        most memory that a call held beside its inputs, or None where nobody can tell; "repeats"; "machine",
        "versions", "date"; "note". Where a length was refused or did not fit, "seconds" is None and "note" says why.

    Raises
    ------
    ValueError
        If an argument is not as above, or the method needs what this machine lacks.

    Examples
    --------
    >>> first, second = measurements([8, 10**6], method="numpy naive", memory_limit=1e9)
    >>> first["seconds"] > 0, first["note"], second["seconds"]
    (True, '', None)
    >>> second["note"]  # scores and weights of 10^12 numbers, 4 bytes each, beside four arrays of 64 * 10^6
    'not tried: it needs 8.001e+12 bytes, and 1.000e+09 may be used'
    """
    lengths = [whole("lengths", length) for length in lengths]
    head_dim, heads, repeats = whole("head_dim", head_dim), whole("heads", heads), whole("repeats", repeats)
    time_limit = number("time_limit", time_limit, above_zero=True)
    memory_limit = None if memory_limit is None else number("memory_limit", memory_limit, above_zero=True)
    return _sweep(_place(method, dtype), lengths, head_dim, heads, repeats, time_limit, memory_limit)


def measure(lengths: Iterable[int], **options) -> list[dict]:
    """Time a method at one length after another, with a progress bar; the records in a list.

    Arguments, records and errors are those of `measurements`. Needs tqdm.

    Examples
    --------
    >>> [record["length"] for record in measure([8, 16], method="numpy streaming")]
    [8, 16]
    """
    from tqdm.auto import tqdm

    lengths = list(lengths)
    return list(tqdm(measurements(lengths, **options), total=len(lengths), desc=options.get("method")))


def rates(method: str, dtype: str = "float32") -> dict:
    """Measure what the machine can do at most: its own matrix product, and its own copy from memory to memory.

    Parameters
    ----------
    method, dtype
        As in `measurements`; the product and the copy are those of the library and the device that the method names.

    Returns
    -------
    dict
        "flops_per_second" of a product of two square matrices, "bytes_per_second" read and written by a copy, both
        the fastest of 6; "library", with torch its device too; "dtype", "machine", "versions", "date".

    Raises
    ------
    ValueError
        As `measurements`.

    Examples
    --------
    >>> found = rates("numpy naive")
    >>> found["library"], found["flops_per_second"] > 0, found["bytes_per_second"] > 0
    ('numpy', True, True)
    """
    place = _place(method, dtype)
    size, numbers = (8192, 2**28) if method.startswith("torch cuda") else (1536, 2**24)
    left, right = place.random(2, size, size)
    product = min(place.seconds(lambda: left @ right) for _ in range(6))
    source, target = place.random(2, numbers)
    copied = min(place.seconds(lambda: place.copy(target, source)) for _ in range(6))
    return {
        "library": place.library,
        "dtype": dtype,
        "flops_per_second": 2 * size**3 / product,
        "bytes_per_second": 2 * numbers * _BYTES[dtype] / copied,
        **place.provenance(),
    }


def _place(method: str, dtype: str) -> "_NumPy":
    return _Torch(method, dtype) if method in METHODS[2:] else _NumPy(method, dtype)


def _sweep(
    place: "_NumPy",
    lengths: list[int],
    head_dim: int,
    heads: int,
    repeats: int,
    time_limit: float,
    memory_limit: float | None,
) -> Iterator[dict]:
    place.attend(*place.random(3, 1, 1, 1, head_dim))  # what a first call loads is not counted
    start, last = time.perf_counter(), None
    left = lambda: time_limit - (time.perf_counter() - start)  # noqa: E731
    for length in lengths:
        needed = heads * length * (4 * head_dim + place.held(length)) * _BYTES[place.dtype]
        allowed = min(place.free(), memory_limit or math.inf)
        expected = 2 * last[1] * (length / last[0]) ** 2 if last else 0.0  # two calls; time grows with the square
        seconds, peak, note = None, None, ""
        times: list[float] = []
        call: Callable | None = None
        if needed > allowed:
            note = f"not tried: it needs {needed:.3e} bytes, and {allowed:.3e} may be used"
        elif expected > left():
            note = f"not tried: it would take about {expected:.1f} s, and {max(left(), 0):.1f} s are left"
        else:
            try:
                call = functools.partial(place.attend, *place.random(3, 1, heads, length, head_dim))
                peak = place.peak(call)
                while len(times) < repeats and (not times or left() > times[-1]):
                    times.append(place.seconds(call))
                seconds = statistics.median(times)
                last = length, seconds
            except (MemoryError, RuntimeError) as error:
                if not place.ran_out(error):
                    raise
                note = f"ran out of memory: {error}"
        call = None  # the arrays are not held while the caller has its turn, nor beside the next
        yield {
            "method": place.method,
            "length": length,
            "head_dim": head_dim,
            "heads": heads,
            "dtype": place.dtype,
            "seconds": seconds,
            "peak_bytes": peak,
            "repeats": len(times),
            "note": note,
            **place.provenance(),
        }


def _processor() -> str:
    """The processor's name; Linux tells it in a file, other systems to `platform`."""
    try:
        lines = Path("/proc/cpuinfo").read_text("utf-8").splitlines()
    except OSError:
        lines = []
    names = (line.split(":", 1)[1].strip() for line in lines if line.startswith("model name"))
    return next(names, platform.processor() or platform.machine())


class _NumPy:
    """How to make arrays, call, time and watch memory with NumPy."""

    library = "numpy"
    dtypes: tuple[str, ...] = ("float32", "float64")

    def __init__(self, method: str, dtype: str):
        if method not in METHODS:
            raise ValueError(f"method must be one of {', '.join(METHODS)}; got {method!r}")
        if not isinstance(dtype, str) or dtype not in self.dtypes:  # NumPy's dtypes equal their names
            raise ValueError(f"dtype must be one of {', '.join(self.dtypes)} for {method}; got {dtype!r}")
        self.method, self.dtype = method, dtype
        self.attend: Callable = {"numpy naive": five_lines, "numpy streaming": streaming_attention}.get(
            method, attention
        )

    def held(self, length: int) -> float:
        """How many numbers a query the method holds at most beside inputs and result."""
        if self.method.endswith("naive"):
            return 2 * length  # scores before and after they are scaled, or scores and weights
        if self.method == "numpy streaming":  # two numbers a query, and a block at work on every core
            return 2 + 2 * 2**17 * (os.cpu_count() or 1) / length
        return 0

    def ran_out(self, error: Exception) -> bool:
        """Tell whether an error says that memory is used up."""
        return isinstance(error, MemoryError)

    def random(self, *shape: int) -> np.ndarray:
        return np.random.default_rng(0).standard_normal(shape, dtype=self.dtype)

    def copy(self, target, source) -> None:
        np.copyto(target, source)

    def seconds(self, call: Callable) -> float:
        start = time.perf_counter()
        call()
        return time.perf_counter() - start

    def peak(self, call: Callable) -> int | None:
        """The most bytes that a call holds at a time, other threads' too; it takes longer meanwhile."""
        with _TRACING:
            nested = tracemalloc.is_tracing()
            if not nested:
                tracemalloc.start()
            try:
                tracemalloc.reset_peak()
                before = tracemalloc.get_traced_memory()[0]
                call()
                most = tracemalloc.get_traced_memory()[1]
                return most - before if tracemalloc.is_tracing() else None  # None: somebody else has stopped it
            finally:
                if not nested:
                    tracemalloc.stop()

    def free(self) -> int:
        import psutil

        return psutil.virtual_memory().available

    def provenance(self) -> dict:
        libraries = ["numpy", "torch"] if self.library.startswith("torch") else ["numpy"]
        versions = {name: metadata.version(name) for name in libraries}
        return {
            "machine": self.machine(),
            "versions": {"python": platform.python_version(), **versions},
            "date": datetime.date.today().isoformat(),
        }

    def machine(self) -> str:
        import psutil

        memory = psutil.virtual_memory().total / 1e9
        return f"{_processor()}, {os.cpu_count()} cores, {memory:.0f} GB, {platform.system()}"


class _Torch(_NumPy):
    """The same with torch, on its CPU or a GPU."""

    dtypes = tuple(_BYTES)

    def __init__(self, method: str, dtype: str):
        super().__init__(method, dtype)
        try:
            import torch
        except ImportError as error:
            raise ValueError(f"method {method!r} needs torch, which is not installed") from error
        self.torch, self.device = torch, method.split()[1]
        self.library = f"torch {self.device}"
        if self.device == "cuda":
            if not torch.cuda.is_available():
                raise ValueError(f"method {method!r} needs a CUDA device; torch sees none")
            if method.endswith("naive"):
                self.attend = lambda q, k, v: torch.softmax(q * q.shape[-1] ** -0.5 @ k.mT, -1) @ v

    def ran_out(self, error: Exception) -> bool:
        used_up = MemoryError, self.torch.cuda.OutOfMemoryError
        return isinstance(error, used_up) or "can't allocate memory" in str(error)

    def random(self, *shape: int):
        return self.torch.randn(*shape, dtype=getattr(self.torch, self.dtype), device=self.device)

    def copy(self, target, source) -> None:
        target.copy_(source)

    def seconds(self, call: Callable) -> float:
        if self.device == "cpu":
            return super().seconds(call)
        self.torch.cuda.synchronize()
        return super().seconds(lambda: (call(), self.torch.cuda.synchronize()))

    def peak(self, call: Callable) -> int | None:
        if self.device == "cpu":
            call()
            return None  # torch does not count what it holds on a CPU
        self.torch.cuda.synchronize()
        self.torch.cuda.reset_peak_memory_stats()
        before = self.torch.cuda.memory_allocated()
        call()
        self.torch.cuda.synchronize()
        return self.torch.cuda.max_memory_allocated() - before

    def free(self) -> int:
        if self.device == "cpu":
            return super().free()
        cuda = self.torch.cuda  # torch keeps what it has freed, for itself
        return cuda.mem_get_info()[0] + cuda.memory_reserved() - cuda.memory_allocated()

    def machine(self) -> str:
        return super().machine() if self.device == "cpu" else self.torch.cuda.get_device_name()
