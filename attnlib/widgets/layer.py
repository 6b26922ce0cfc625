"""The query plane: keys, values and a query as points; drag any of them and watch scores, weights and output."""

import numpy as np

from attnlib import figures
from attnlib.codegen import Law
from attnlib.formulas import alpha, d, k, layer, n, q, s, v, w
from attnlib.layer import attention, scores, softmax
from attnlib.widgets.base import MISSED, Quantity, Widget, by_key, show


class QueryPlane(Widget):
    """Attention in the plane.

    Parameters
    ----------
    alpha : float in [0, 8]
        The inverse temperature.
    query : point, each coordinate in [-3, 3]
    key, value : n points each
        Key i carries value i.
    presets, name
        As in `Widget`.

    Examples
    --------
    >>> plane = QueryPlane(key=[[1, 0], [0, 1]], value=[[1, 0], [0, 1]], query=[1, 1])
    >>> plane.weights  # equal scores, equal weights
    array([0.5, 0.5])
    >>> plane.alpha = -1
    Traceback (most recent call last):
    ...
    traitlets.traitlets.TraitError: alpha must be a number within [0, 8]; got -1
    """

    kind = "layer"
    title = "The query plane"
    laws = (
        Law("scores", (q, k, n, d), scores=layer.score),
        Law("softmax", (alpha, n, s), weights=layer.weight),
        Law("output", (w, v, n, d), output=layer.output),
        MISSED,
    )
    shown = (layer.score, layer.weight, layer.output)

    alpha = Quantity(1.0, low=0, high=8, label="α")
    query = Quantity([1.2, 0.8], low=-3, high=3)
    key = Quantity([[1.6, 0.4], [0.5, 1.7], [-1.4, 1.1], [-1.1, -1.3], [1.3, -1.5]], low=-3, high=3, per_key=True)
    value = Quantity([[2.2, 1.0], [0.4, 2.3], [-2.1, 1.2], [-1.5, -2.0], [1.6, -1.8]], low=-3, high=3, per_key=True)

    @property
    def scores(self):
        """q·k for every key, shape (n,)."""
        return scores(np.array([self.query]), np.array(self.key), scale=1.0)[0]

    @property
    def weights(self):
        """The softmax of α times the scores, shape (n,); they sum to one."""
        return softmax(self.alpha * self.scores)

    @property
    def output(self):
        """The weighted mean of the values, shape (2,)."""
        return attention(np.array([self.query]), np.array(self.key), np.array(self.value), scale=self.alpha)[0]

    def results(self):
        """Scores, weights and output."""
        return {"scores": self.scores, "weights": self.weights, "output": self.output}

    def draw(self, left, right):
        weights, output = self.weights, self.output
        for axes, title in ((left, "Query and keys"), (right, "Values and output")):
            axes.set(xlim=(-3, 3), ylim=(-3, 3), aspect="equal", title=title)
            axes.grid(linewidth=0.5)
        for index, (key, value, weight) in enumerate(zip(self.key, self.value, weights, strict=True)):
            color = figures.KEYS[index % 8]
            left.plot([0, key[0]], [0, key[1]], color=color, linewidth=1)
            left.scatter(*key, s=60 + 900 * weight, color=color, alpha=0.25, linewidth=0)
            right.plot([output[0], value[0]], [output[1], value[1]], color=color, linewidth=12 * weight, alpha=0.4)
            for axes, point in ((left, key), (right, value)):
                figures.dot(axes, *point, index)
        left.annotate("", self.query, (0, 0), arrowprops={"arrowstyle": "->", "color": figures.INK, "linewidth": 2})
        left.text(*self.query, " q", color=figures.INK)
        right.scatter(*output, s=90, marker="D", color=figures.INK, zorder=5)

    def describe(self):
        output = ", ".join(f"{show(part)}" for part in self.output)
        return f"At α = {self.alpha:.4g} the weights are {by_key(self.weights)}; the output is ({output})."
