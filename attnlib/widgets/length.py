"""Scaling with sequence length: operations, bytes and time of attention, predicted and measured."""

import threading

import numpy as np
import traitlets

from attnlib import figures
from attnlib.codegen import Law
from attnlib.formulas import d, head_count, number_size, sequence_length
from attnlib.formulas import length as formulas
from attnlib.length import METHODS, cost, measurements, rates
from attnlib.widgets.base import Quantity, Widget

TILE = 128  # as `cost` has it
MACHINES = {"phone": 8e9, "laptop": 16e9, "workstation": 64e9, "H200": 141e9}  # bytes, by the vendors' figures
DTYPES = {2: "float16", 4: "float32", 8: "float64"}
GPU = {"flops_per_second": 9.89e14, "bytes_per_second": 4.8e12, "machine": "H200, 16 bits, by its vendor"}
NOMINAL = {"flops_per_second": 1e11, "bytes_per_second": 2e10, "machine": "a machine assumed to do 100 GFLOP/s"}


class LengthScaling(Widget):
    """What attention over T keys takes, naive and streaming: bytes held, operations, bytes moved, and time.

    Parameters
    ----------
    length : float in [2^6, 2^20]
        T queries and as many keys. This and the next two are rounded to whole numbers.
    head_dim : float in [16, 256]
        Coordinates of queries, keys and values, in each head.
    heads : float in [1, 64]
    bytes_per_number : float in [2, 8]
        2 for 16 bits, 4 for float32, 8 for float64; rounded.
    rates : dict, optional
        What the machine does at most: "flops_per_second", "bytes_per_second", "machine", as `attnlib.length.rates`
        gives them. Without it, round numbers that say that they are assumed.
    points : list of dict
        What was measured, as `attnlib.length.measurements` gives it.
    presets, name
        As in `Widget`.

    Examples
    --------
    >>> wide = LengthScaling(length=8192, head_dim=128, bytes_per_number=2)
    >>> wide.flops, wide.naive_held - wide.streaming_held  # 4 T^2 d, and 2 b T^2 - 2 b T
    (34359738368, 268402688)
    >>> wide.naive_limits.round()  # where that fills 8, 16, 64, 141 GB
    array([ 44594.,  63118., 126363., 187622.])
    """

    kind = "length"
    title = "Scaling with sequence length"
    page_data = ("points", "rates", "_methods", "_machines", "_query_block", "_gpu")
    laws = (
        Law(
            "counted",
            (sequence_length, d, head_count, number_size, formulas.query_block),
            flops=formulas.flops,
            naive_held=formulas.naive_held,
            streaming_held=formulas.streaming_held,
            naive_traffic=formulas.naive_traffic,
            streaming_traffic=formulas.streaming_traffic,
        ),
        Law("moved", (formulas.operations, formulas.traffic), intensity=formulas.intensity),
        Law(
            "roofline",
            (formulas.operations, formulas.traffic, formulas.speed, formulas.bandwidth),
            seconds=formulas.roofline,
        ),
        Law(
            "limits",
            (formulas.capacity, d, head_count, number_size),
            naive=formulas.naive_limit,
            streaming=formulas.streaming_limit,
        ),
    )
    shown = (formulas.flops, formulas.naive_held, formulas.streaming_held, formulas.roofline)

    length = Quantity(4096.0, low=2**6, high=2**20, step=1, logarithmic=True, label="T", symbol="T")
    head_dim = Quantity(64.0, low=16, high=256, step=1, logarithmic=True, label="d", symbol="d")
    heads = Quantity(1.0, low=1, high=64, step=1, logarithmic=True, label="h", symbol="h")
    bytes_per_number = Quantity(4.0, low=2, high=8, step=1, logarithmic=True, label="b", symbol="b")

    points: traitlets.List = traitlets.List().tag(sync=True)
    rates = traitlets.Dict().tag(sync=True)
    progress = traitlets.Dict({"running": False, "done": 0, "of": 1, "says": ""}).tag(sync=True)
    _gpu = traitlets.Dict(GPU).tag(sync=True)
    _query_block = traitlets.Int(TILE).tag(sync=True)
    _methods = traitlets.List(list(METHODS)).tag(sync=True)
    _machines = traitlets.List([list(machine) for machine in MACHINES.items()]).tag(sync=True)

    def __init__(self, *, points=(), rates=None, **state):
        super().__init__(**state)
        self.points = list(points)
        self.rates = dict(NOMINAL if rates is None else rates)
        self._stopped, self._thread = threading.Event(), None
        self.on_msg(self._hear)

    @property
    def _whole(self):
        return [int(np.floor(part + 0.5)) for part in (self.length, self.head_dim, self.heads, self.bytes_per_number)]

    @property
    def _cost(self):
        keys, width, count, size = self._whole
        return count, 4 * size * count * width * keys, cost(keys, width, bytes_per_number=size, query_block=TILE)

    @property
    def flops(self):
        """Operations of the two matrix products, all heads."""
        count, _held, single_head = self._cost
        return count * single_head.flops

    @property
    def naive_held(self):
        """Bytes of queries, keys, values and output, and of all scores and weights."""
        count, held, single_head = self._cost
        return held + count * single_head.memory_naive

    @property
    def streaming_held(self):
        """Bytes of queries, keys, values and output, and of two numbers a query."""
        count, held, single_head = self._cost
        return held + count * single_head.memory_streaming

    @property
    def traffic(self):
        """Bytes moved, naive and streaming, shape (2,)."""
        count, _held, single_head = self._cost
        return np.array([count * single_head.traffic_naive, count * single_head.traffic_streaming], dtype=float)

    @property
    def intensity(self):
        """Operations for each byte moved, naive and streaming, shape (2,)."""
        single_head = self._cost[2]
        return np.array([single_head.intensity_naive, single_head.intensity_streaming])

    @property
    def seconds(self):
        """The floor that the machine's rates put under the time of either schedule, naive and streaming, shape (2,)."""
        return np.maximum(self.flops / self.rates["flops_per_second"], self.traffic / self.rates["bytes_per_second"])

    @property
    def naive_limits(self):
        """The T at which what the naive method holds fills each of the machines, shape (4,)."""
        return self._limits("naive")

    @property
    def streaming_limits(self):
        """The same for the streaming method, shape (4,)."""
        return self._limits("streaming")

    def _limits(self, which):
        law = self.laws[3].numpy()
        return np.array([law(capacity, *self._whole[1:])[which] for capacity in MACHINES.values()], dtype=float)

    def measure(self, method, *, time_limit=20.0, memory_limit=2e9):
        """Measure a method on this machine at T = 64, 128, ... and add the points, in the background.

        Parameters
        ----------
        method : str
            One of `attnlib.length.METHODS`.
        time_limit : float
            Seconds for all lengths together.
        memory_limit : float
            Bytes that a length may take; what takes more is not tried.
        """
        if self._thread is not None and self._thread.is_alive():
            raise RuntimeError("a measurement is under way; stop it first")
        self._stopped.clear()
        self.progress = {"running": True, "done": 0, "of": 15, "says": f"{method}: starting"}
        self._thread = threading.Thread(target=self._measure, args=(method, time_limit, memory_limit), daemon=True)
        self._thread.start()

    def stop(self):
        """Stop measuring after the length that is being timed."""
        self._stopped.set()

    def _measure(self, method, time_limit, memory_limit):
        done, says = 0, "no length was measured"
        _keys, width, count, size = self._whole
        try:
            if size not in DTYPES:
                raise ValueError(f"bytes_per_number must be 2, 4 or 8 to measure; got {size}")
            records = measurements(
                [2**power for power in range(6, 21)],
                method=method,
                head_dim=width,
                heads=count,
                dtype=DTYPES[size],
                time_limit=time_limit,
                memory_limit=memory_limit,
            )
            self.rates = rates(method, DTYPES[size])
            for record in records:
                self.points = [*self.points, record | {"own": True}]
                if record["seconds"] is None:  # the next length takes more of what this one had too little of
                    says = f"T = {record['length']} {record['note']}"
                    break
                done += 1
                says = f"T = {record['length']} took {record['seconds']:.3g} s"
                self.progress = self.progress | {"done": done, "says": f"{method}: {says}"}
                if self._stopped.is_set():
                    says = f"stopped after T = {record['length']}"
                    break
        except Exception as error:  # whatever it is, the reader must see it: nobody else looks at this thread
            says = f"{type(error).__name__}: {error}"
        self.progress = self.progress | {"running": False, "says": f"{method}: {says}; {done} lengths measured"}

    def _hear(self, _widget, content, _buffers):
        if content.get("do") == "stop":
            self.stop()
        elif content.get("do") == "measure":
            try:
                limits = float(content["seconds"]), float(content["gigabytes"]) * 1e9
                self.measure(str(content["method"]), time_limit=limits[0], memory_limit=limits[1])
            except (KeyError, TypeError, ValueError, RuntimeError) as error:
                self.progress = self.progress | {"says": str(error)}

    def results(self):
        """What is counted and predicted at these settings."""
        names = ("flops", "naive_held", "streaming_held", "traffic", "intensity", "naive_limits", "streaming_limits")
        return {name: getattr(self, name) for name in names}

    def draw(self, left, right):
        law, _, roof, _ = (law.numpy() for law in self.laws)
        grid = 2.0 ** np.arange(6, 21)
        counts = [law(keys, *self._whole[1:], TILE) for keys in grid]
        for which, color, style in (("naive", figures.KEYS[1], "-"), ("streaming", figures.KEYS[0], "--")):
            left.loglog(grid, [count[f"{which}_held"] for count in counts], style, color=color, label=which)
            pace = self.rates["flops_per_second"], self.rates["bytes_per_second"]
            seconds = [roof(count["flops"], count[f"{which}_traffic"], *pace)["seconds"] for count in counts]
            right.loglog(grid, seconds, style, color=color, label=f"floor, {which}")
            pace = GPU["flops_per_second"], GPU["bytes_per_second"]
            seconds = [roof(count["flops"], count[f"{which}_traffic"], *pace)["seconds"] for count in counts]
            right.loglog(grid, seconds, style, color=figures.ACCENT, linewidth=0.8)
        for name, capacity in MACHINES.items():
            left.axhline(capacity, color=figures.LINE, linewidth=0.8)
            left.text(64, capacity, f"{name} {capacity / 1e9:.0f} GB", fontsize=7, va="bottom")
        shapes = dict(zip(METHODS, "os^Dv", strict=True))
        for method in METHODS:
            measured = [point for point in self.points if point["method"] == method and point["seconds"] is not None]
            if measured:
                x, y = [point["length"] for point in measured], [point["seconds"] for point in measured]
                color = figures.KEYS[2 + METHODS.index(method)]
                right.loglog(x, y, shapes[method], markersize=4, color=color, label=method)
        for axes in (left, right):
            axes.axvline(self._whole[0], color=figures.MUTED, linewidth=1, linestyle=":")
            axes.set(xlabel="T")
            axes.legend(fontsize=7)
        left.set(ylabel="bytes held", title="Memory")
        right.set(ylabel="seconds", title="Time: floor, and measured")

    def describe(self):
        keys, width, count, size = self._whole
        limits = ", ".join(f"{name} {int(reach)}" for name, reach in zip(MACHINES, self.naive_limits, strict=True))
        return (
            f"T = {keys}, d = {width}, {count} head{'s' * (count != 1)}, {size} bytes a number: {self.flops:.4g} "
            f"operations; {self.naive_held:.4g} bytes held by the naive method, {self.streaming_held:.4g} by the "
            f"streaming one; {self.intensity[0]:.4g} and {self.intensity[1]:.4g} operations a byte; at least "
            f"{self.seconds[0]:.3g} and {self.seconds[1]:.3g} s on {self.rates['machine']}. The naive method fills "
            f"each machine at T: {limits}. {self._measured}"
        )

    @property
    def _measured(self):
        counts = {method: sum(point["method"] == method for point in self.points) for method in METHODS}
        kept = [f"{method}: {count} recorded points" for method, count in counts.items() if count]
        absent = [method for method, count in counts.items() if not count]
        return (
            ". ".join(["; ".join(kept)] * bool(kept) + [f"No recorded points: {', '.join(absent)}"] * bool(absent))
            + "."
        )
