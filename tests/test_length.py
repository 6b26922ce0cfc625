"""Counts against a loop that counts, memory against the counts, and what `measure` promises."""

import json
import math
import threading
import tracemalloc

import numpy as np
import pytest
import torch

from attnlib import attention, length, streaming_attention
from attnlib.length import METHODS, cost, five_lines, measure, measurements, rates

RECORD = {
    "method",
    "length",
    "head_dim",
    "heads",
    "dtype",
    "seconds",
    "peak_bytes",
    "repeats",
    "machine",
    "versions",
    "date",
    "note",
}


class Counted:
    """A number that counts what is done with it."""

    done: dict = {}  # noqa: RUF012

    def __init__(self, value):
        self.value = float(value)

    def _count(self, name, value):
        self.done[name] = self.done.get(name, 0) + 1
        return Counted(value)

    def __mul__(self, other):
        return self._count("multiplications", self.value * other.value)

    def __add__(self, other):
        return self._count("additions", self.value + other.value)

    def __sub__(self, other):
        return self._count("additions", self.value - other.value)

    def __truediv__(self, other):
        return self._count("divisions", self.value / other.value)

    def __gt__(self, other):
        self._count("comparisons", 0)
        return self.value > other.value

    def exp(self):
        return self._count("exponentials", math.exp(self.value))


def total(terms):
    """Add up numbers, with one addition less than there are terms."""
    first, *others = terms
    for other in others:
        first = first + other
    return first


def plain_attention(query, key, value):
    """Attention with scale 1 as a loop would have it, on numbers that count."""
    rows = []
    for q in query:
        scores = [total([a * b for a, b in zip(q, k, strict=True)]) for k in key]
        top = scores[0]
        for s in scores[1:]:
            top = s if s > top else top
        weights = [(s - top).exp() for s in scores]
        normaliser = total(weights)
        rows.append(
            [total([w * v[c] for w, v in zip(weights, value, strict=True)]) / normaliser for c in range(len(value[0]))]
        )
    return rows


@pytest.mark.parametrize(("t", "d", "dv"), [(1, 1, 1), (2, 3, 5), (7, 4, 4), (12, 8, 3), (16, 1, 9)])
def test_counts_are_those_of_a_loop(t, d, dv, rng):
    arrays = [rng.normal(size=(t, width)) for width in (d, d, dv)]
    Counted.done = {}
    output = plain_attention(*([[Counted(x) for x in row] for row in array] for array in arrays))
    counts = cost(t, d, value_dim=dv)
    for name in ("multiplications", "additions", "exponentials", "comparisons", "divisions"):
        assert Counted.done.get(name, 0) == getattr(counts, name), name
    np.testing.assert_allclose([[x.value for x in row] for row in output], attention(*arrays, scale=1), rtol=1e-12)


def test_headline_and_limits_of_the_intensity():
    for t, d, b in ((64, 8, 4), (1000, 64, 2), (2**20, 128, 8)):
        counts = cost(t, d, bytes_per_number=b, query_block=128)
        assert counts.flops == 4 * t * t * d == 2 * counts.multiplications
        assert counts.memory_naive == 2 * b * t * t and counts.memory_streaming == 2 * b * t
    assert counts.intensity_naive == pytest.approx(d / b, rel=1e-3)
    assert counts.intensity_streaming == pytest.approx(2 * 128 / b, rel=1e-3)
    assert cost(100, 8, query_block=1).traffic_streaming > cost(100, 8, query_block=100).traffic_streaming
    assert cost(100, 8).traffic_streaming == 4 * 100 * 16 * 2  # one block of queries: each array crosses once


@pytest.mark.parametrize("name", ["length", "head_dim", "value_dim", "bytes_per_number", "query_block"])
@pytest.mark.parametrize("value", [0, -1, 2.5, "8", True])
def test_cost_refuses_what_is_no_count(name, value):
    options = {"length": 8, "head_dim": 8} | {name: value}
    with pytest.raises(ValueError, match=rf"{name} must be a whole number of at least 1; got {value!r}"):
        cost(**options)


def test_memory_grows_with_the_square_and_with_the_length():
    lengths = [2**power for power in range(10, 14)]
    peaks = {}
    for method in ("numpy naive", "numpy streaming"):
        peaks[method] = np.array([one["peak_bytes"] for one in measurements(lengths, method=method, repeats=1)])
    naive, streaming = peaks.values()
    assert abs(np.polyfit(np.log(lengths), np.log(naive), 1)[0] - 2) < 0.05
    np.testing.assert_allclose(naive, [cost(t, 64).memory_naive for t in lengths], rtol=0.02)
    results = 4 * 64 * np.array(lengths)
    promised = [4 * t * length._NumPy("numpy streaming", "float32").held(t) for t in lengths]
    assert (streaming >= results).all() and (streaming <= results + promised).all()
    assert streaming[-1] < naive[-1] / 20


def test_the_five_lines_are_attention(rng):
    arrays = rng.normal(size=(3, 2, 50, 8))
    before = arrays.copy()
    np.testing.assert_allclose(five_lines(*arrays), attention(*arrays), rtol=1e-12)
    np.testing.assert_array_equal(arrays, before)
    assert five_lines(*arrays.astype("float32")).dtype == "float32"


def test_a_million_keys_fit_for_one_block_of_queries():
    rng = np.random.default_rng(0)
    key, value = rng.standard_normal((2, 2**20, 64), dtype=np.float32)
    query = rng.standard_normal((16, 64), dtype=np.float32)
    tracemalloc.start()
    output = streaming_attention(query, key, value)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak + key.nbytes + value.nbytes < 2e9 and peak < 20e6
    wanted = attention(*(x.astype(np.float64) for x in (query[:2], key, value)))
    np.testing.assert_allclose(output[:2], wanted, atol=2e-6)


@pytest.mark.parametrize("method", METHODS)
def test_records(method):
    if "cuda" in method and not torch.cuda.is_available():
        with pytest.raises(ValueError, match=f"method '{method}' needs a CUDA device"):
            measurements([8], method=method)
        pytest.skip("torch sees no CUDA device here")
    small, large = measure([16, 128], method=method, heads=2, repeats=3, dtype="float32")
    assert set(small) == set(large) == RECORD
    assert small["seconds"] > 0 and small["repeats"] == 3 and small["note"] == ""
    assert (large["method"], large["length"], large["heads"], large["head_dim"]) == (method, 128, 2, 64)
    assert ("torch" in large["versions"]) == ("torch" in method) and large["versions"]["numpy"] == np.__version__
    assert large["peak_bytes"] is None if method == "torch cpu" else large["peak_bytes"] >= 2 * 128 * 64 * 4
    assert large["machine"] and len(large["date"]) == 10


def test_what_does_not_fit_is_refused_before_it_is_tried(monkeypatch):
    tried = []
    monkeypatch.setattr(length, "five_lines", lambda q, k, v: tried.append(q.shape[-2]))
    records = list(measurements([16, 2**20, 32], method="numpy naive", repeats=1, memory_limit=1e9))
    assert set(tried) == {1, 16, 32}  # 1: what a first call loads
    assert records[1]["seconds"] is None and records[1]["peak_bytes"] is None and records[1]["repeats"] == 0
    needed = 2**20 * (4 * 64 + 2 * 2**20) * 4
    assert records[1]["note"] == f"not tried: it needs {needed:.3e} bytes, and 1.000e+09 may be used"
    monkeypatch.setattr(length._NumPy, "free", lambda self: 100)
    (record,) = measurements([16], method="numpy streaming", memory_limit=1e9)
    assert record["note"].endswith("and 1.000e+02 may be used")


def test_what_would_take_too_long_is_refused(monkeypatch):
    now = [0.0]
    monkeypatch.setattr(length.time, "perf_counter", lambda: now[0])

    def slow(query, key, value):
        now[0] += (query.shape[-2] / 1000) ** 2

    monkeypatch.setattr(length, "five_lines", slow)
    records = list(measurements([1000, 2000, 4000, 1000], method="numpy naive", repeats=3, time_limit=30))
    assert [record["seconds"] for record in records] == [1, 4, None, 1]  # 4 s before, so 4 * 4 * 2 = 32 s for two calls
    assert [record["repeats"] for record in records] == [3, 3, 0, 3]
    assert records[2]["note"] == "not tried: it would take about 32.0 s, and 10.0 s are left"
    now[0] = 0.0
    (record,) = measurements([4000], method="numpy naive", repeats=5, time_limit=40)
    assert record["repeats"] == 1 and record["seconds"] == pytest.approx(
        16
    )  # the first call took 16 s, one more reaches 32


def test_out_of_memory_is_a_note_and_other_errors_are_raised(monkeypatch):
    def hungry(query, key, value):
        if query.shape[-2] > 1:
            raise MemoryError("no room")

    monkeypatch.setattr(length, "five_lines", hungry)
    first, second = measurements([8, 16], method="numpy naive")
    assert first["seconds"] is None and first["note"] == second["note"] == "ran out of memory: no room"

    def broken(query, key, value):
        if query.shape[-2] > 1:
            raise errors.pop(0)

    errors = [torch.cuda.OutOfMemoryError("CUDA"), RuntimeError("can't allocate memory"), RuntimeError("broken")]
    monkeypatch.setattr(length, "attention", broken)
    run = measurements([8, 16, 32], method="torch cpu")
    assert next(run)["note"] == "ran out of memory: CUDA"
    assert next(run)["note"] == "ran out of memory: can't allocate memory"
    with pytest.raises(RuntimeError, match="broken"):
        next(run)
    assert not tracemalloc.is_tracing()


def test_a_run_can_be_left_between_two_lengths_and_in_a_thread():
    lengths = []

    def work():
        for record in measurements([8, 16, 32], method="numpy streaming", repeats=1):
            lengths.append(record["length"])
            if len(lengths) == 2:
                return

    thread = threading.Thread(target=work)
    thread.start()
    thread.join(30)
    assert lengths == [8, 16]


def test_runs_in_several_threads_do_not_spoil_each_others_memory():
    records = []

    def work():
        records.extend(measurements([64, 128, 256] * 5, method="numpy naive", repeats=1))

    threads = [threading.Thread(target=work) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert len(records) == 45 and not tracemalloc.is_tracing()
    assert all(record["peak_bytes"] >= cost(record["length"], 64).memory_naive for record in records)


def test_who_traces_memory_already_keeps_on():
    tracemalloc.start()
    try:
        np.zeros(10**6)  # a peak before
        run = measurements([256], method="numpy naive", heads=4, repeats=1)
        assert 1 <= next(run)["peak_bytes"] / (4 * cost(256, 64).memory_naive) < 2
        assert tracemalloc.is_tracing() and tracemalloc.get_traced_memory()[0] < 4 * 256 * 64 * 4  # no array is held
    finally:
        tracemalloc.stop()


def test_records_are_json():
    records = measurements(np.array([8, 16]), method="numpy naive", head_dim=np.int64(4), repeats=np.int8(2))
    assert [record["length"] for record in json.loads(json.dumps(list(records)))] == [8, 16]


def test_measure_shows_its_progress(capsys):
    assert len(measure([8, 16], method="numpy naive", repeats=1)) == 2
    assert "2/2" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"method": "numpy fast"}, "method must be one of numpy naive, .*; got 'numpy fast'"),
        ({"dtype": "bfloat16"}, "dtype must be one of float32, float64 for numpy naive; got 'bfloat16'"),
        ({"dtype": np.dtype("float32")}, r"dtype must be one of float32, float64 .*; got dtype\('float32'\)"),
        ({"heads": 0}, "heads must be a whole number of at least 1; got 0"),
        ({"head_dim": 1.5}, "head_dim must be a whole number"),
        ({"repeats": -1}, "repeats must be a whole number"),
        ({"time_limit": 0}, "time_limit must be a finite number above zero; got 0"),
        ({"memory_limit": "all"}, "memory_limit must be a finite number above zero; got 'all'"),
        ({"lengths": [8, 0]}, "lengths must be a whole number of at least 1; got 0"),
    ],
)
def test_bad_options_are_refused_before_anything_runs(options, message):
    with pytest.raises(ValueError, match=message):
        measurements(**({"lengths": [8], "method": "numpy naive"} | options))


def test_rates_count_both_ways_of_a_copy(monkeypatch):
    monkeypatch.setattr(length._NumPy, "seconds", lambda self, call: 1.0)
    measured = rates("numpy naive", "float64")
    assert measured["flops_per_second"] == 2 * 1536**3 and measured["bytes_per_second"] == 2 * 2**24 * 8


def test_rates_of_the_machine():
    for method in ("numpy naive", "torch cpu"):
        measured = rates(method)
        assert 1e8 < measured["flops_per_second"] < 1e16 and 1e7 < measured["bytes_per_second"] < 1e14
        assert measured["library"] in method and measured["dtype"] == "float32" and measured["machine"]
    with pytest.raises(ValueError, match="dtype must be one of"):
        rates("numpy naive", "int8")
