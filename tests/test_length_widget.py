"""Measuring from the widget: what its button asks of Python, what comes back, how it stops and how it fails."""

import numpy as np
import pytest

import attnlib.widgets.length as module
from attnlib.widgets import BlockPooling, LengthScaling

RATES = {"flops_per_second": 1e10, "bytes_per_second": 1e9, "machine": "a test"}


@pytest.fixture
def widget(monkeypatch):
    """A widget that takes the machine's rates for granted: to measure them takes seconds."""
    monkeypatch.setattr(module, "rates", lambda method, dtype: RATES)
    return LengthScaling(head_dim=16)


def ask(widget, **content):
    """Send what the page's button sends, and wait until the measurement is over."""
    widget._handle_custom_msg(content, [])
    if widget._thread is not None:
        widget._thread.join(60)
        assert not widget._thread.is_alive()
    return widget.progress


def test_measured_points_arrive_with_their_machine_until_memory_is_used_up(widget):
    heard = []
    widget.observe(lambda change: heard.append(change["new"]["done"]), "progress")
    progress = ask(widget, do="measure", method="numpy naive", seconds="30", gigabytes="0.001")
    *done, last = widget.points
    assert [point["length"] for point in done] == [64, 128, 256] and last["length"] == 512
    assert all(point["seconds"] > 0 and point["machine"] and point["own"] for point in done)
    assert all(point["head_dim"] == 16 and point["dtype"] == "float32" for point in done)
    assert last["seconds"] is None and "it needs" in last["note"] and last["note"] in progress["says"]
    assert not progress["running"] and progress["done"] == 3 and {0, 1, 2, 3} <= set(heard)
    assert widget.rates == RATES and widget.seconds[0] >= widget.flops / 1e10


def test_it_stops_after_the_length_under_way(widget, monkeypatch):
    def endless(lengths, **options):
        for length in lengths:
            if length == 256:
                widget._handle_custom_msg({"do": "stop"}, [])
            yield {"method": options["method"], "length": length, "seconds": 1.0, "note": ""}

    monkeypatch.setattr(module, "measurements", endless)
    progress = ask(widget, do="measure", method="numpy streaming", seconds=1, gigabytes=1)
    assert [point["length"] for point in widget.points] == [64, 128, 256]
    assert "stopped after T = 256" in progress["says"] and not progress["running"]


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ({"method": "abacus"}, "method must be one of numpy naive"),
        ({"seconds": "soon"}, "could not convert string to float: 'soon'"),
        ({"seconds": "-1"}, "time_limit must be a finite number above zero; got -1.0"),
        ({"gigabytes": "nan"}, "memory_limit must be a finite number above zero"),
    ],
)
def test_what_cannot_be_measured_is_said(widget, content, words):
    wanted = {"do": "measure", "method": "numpy naive", "seconds": "5", "gigabytes": "1"} | content
    progress = ask(widget, **wanted)
    assert words in progress["says"] and not progress["running"] and widget.points == []


def test_sixteen_bits_are_refused_by_numpy_and_odd_sizes_by_all(widget):
    widget.bytes_per_number = 2
    assert "dtype must be one of" in ask(widget, do="measure", method="numpy naive", seconds=5, gigabytes=1)["says"]
    widget.bytes_per_number = 3
    assert "must be 2, 4 or 8" in ask(widget, do="measure", method="numpy naive", seconds=5, gigabytes=1)["says"]


def test_one_measurement_at_a_time(widget, monkeypatch):
    def asks_again(lengths, **options):
        widget._handle_custom_msg({"do": "measure", "method": "numpy naive", "seconds": 1, "gigabytes": 1}, [])
        assert "under way" in widget.progress["says"]
        return iter(())

    monkeypatch.setattr(module, "measurements", asks_again)
    assert "no length was measured" in ask(widget, do="measure", method="numpy naive", seconds=1, gigabytes=1)["says"]


def test_points_and_rates_travel_with_the_page():
    point = {"method": "numpy naive", "length": 64, "seconds": 1e-3}
    page = LengthScaling(points=[point], rates=RATES)._repr_mimebundle_()[0]["text/html"]
    assert '"length": 64' in page and "a test" in page and "H200" in page


def test_a_block_needs_a_key():
    with pytest.raises(ValueError, match="scores must hold at least 4 keys, one for each block; got 3"):
        BlockPooling(scores=[0, 0, 0], value=[0, 0, 0])


def test_every_order_of_merging_gives_the_answer():
    rng = np.random.default_rng(0)
    whole = BlockPooling().answer
    for _ in range(50):
        pooling = BlockPooling(places=rng.uniform(0, 8, 4), reach=rng.uniform(0, 8))
        assert pooling.answer == pytest.approx(whole, rel=1e-13)
        assert sum(pooling.weights[estimate] for estimate in pooling.standing) == pytest.approx(1, rel=1e-13)
        assert sorted("".join(pooling.members[estimate] for estimate in pooling.standing)) == list("ABCD")
