"""Temperature sharpening: the same scores at two temperatures, and over how many keys the weights are spread."""

import numpy as np
from sympy import IndexedBase, Pow, Symbol, cos, exp, log, pi, sqrt

from attnlib import figures, formulas, maxent
from attnlib.codegen import Law
from attnlib.formulas import alpha, d, i, j, k, n, over_keys, p, q, w
from attnlib.layer import softmax
from attnlib.widgets.base import Quantity, Widget

_z = IndexedBase("z", real=True)  # scores over sqrt(d): over their standard deviation, for fresh keys
_gamma = Symbol("gamma", positive=True)
_factor, _scaled = Symbol("r", positive=True), Symbol("scaled", nonnegative=True)
_top, _chance, _turn = Symbol("top", real=True), Symbol("chance", positive=True), Symbol("turn", positive=True)
_scaling = Pow(sqrt(d), 1 - _scaled, evaluate=False)
_H = Symbol("H", real=True)


def _weight(rate):
    return 1 / over_keys(exp(rate * _factor * (_z[j] - _z[i])))


_logit = alpha * _factor * (_z[j] - _top)
_masses = over_keys(exp(_logit))
_entropy = log(_masses) - over_keys(_logit * exp(_logit)) / _masses


class TemperatureSharpening(Widget):
    """The weights of the same scores at two inverse temperatures, and the number of keys that they are spread over.

    Parameters
    ----------
    alpha, gamma : float in [1/16, 16]
        The two inverse temperatures.
    head_dim : float in [1, 256]
        The number d of coordinates of query and keys.
    scaled : 0 or 1
        Whether the layer divides scores by sqrt(d).
    scores : n numbers within [-4, 4]
        Scores over sqrt(d), which is the standard deviation of the scores of fresh keys. A layer that does not divide
        multiplies them by r = sqrt(d).
    presets, name
        As in `Widget`.

    Examples
    --------
    >>> sharp = TemperatureSharpening(scores=[2, 1, 0], alpha=1, gamma=4)
    >>> sharp.weights.round(4), sharp.others.round(4), sharp.entropies.round(4)
    (array([0.6652, 0.2447, 0.09  ]), array([9.817e-01, 1.800e-02, 3.000e-04]), array([0.8324, 0.093 ]))
    """

    kind = "temperature"
    title = "Temperature sharpening"
    laws = (
        Law("scaling", (d, _scaled), {"factor": _scaling}),
        Law("sharpened", (alpha, _factor, n, _z), {"weights": (_weight(alpha), (i, 1, n))}),
        Law(
            "evenness",
            (alpha, _factor, n, _z, _top),
            {"entropy": _entropy, "effective": exp(_entropy), "divergence": log(n) - _entropy},
        ),
        Law("gaussian", (_chance, _turn), {"number": sqrt(-2 * log(_chance)) * cos(2 * pi * _turn)}),
        Law("drawn", (d, n, q, k), {"scores": (formulas.score / sqrt(d), (i, 1, n))}),
    )
    formula = (
        (w[i], _weight(alpha)),
        (p[i], _weight(_gamma)),
        (_factor, _scaling),
        (_H, -over_keys(w[j] * log(w[j]))),
    )
    legend = (
        ["z", "z", "scores over √d"],
        ["alpha", "α", "inverse temperature, left"],
        ["w", "w", "weights at α"],
        ["gamma", "γ", "inverse temperature, right"],
        ["p", "p", "weights at γ"],
        ["d", "d", "coordinates"],
        ["r", "r", "√d, or 1 if scaled"],
        ["scaled", "scaled", "1: yes, 0: no"],
        ["H", "H", "entropy; eᴴ effective keys, KL = log n − H"],
    )

    alpha = Quantity(1.0, low=1 / 16, high=16, step=1 / 16, logarithmic=True, label="α")
    gamma = Quantity(4.0, low=1 / 16, high=16, step=1 / 16, logarithmic=True, label="γ")
    head_dim = Quantity(1.0, low=1, high=256, step=2, logarithmic=True, label="d", symbol="d")
    scaled = Quantity(1.0, low=0, high=1, step=1, label="scaled: the layer divides scores by √d")
    scores = Quantity([2.0, 1.0, 0.0], low=-4, high=4, per_key=True)

    @property
    def factor(self):
        """What scores over sqrt(d) are multiplied by: 1 if the layer divides, sqrt(d) if not."""
        return self.head_dim ** ((1 - self.scaled) / 2)

    def _at(self, rate):
        return softmax(rate * self.factor * np.array(self.scores))

    @property
    def weights(self):
        """The weights at alpha, shape (n,)."""
        return self._at(self.alpha)

    @property
    def others(self):
        """The weights at gamma, shape (n,)."""
        return self._at(self.gamma)

    @property
    def entropies(self):
        """The entropies of both, shape (2,)."""
        return maxent.entropy(np.stack([self.weights, self.others]))

    @property
    def effective(self):
        """Over how many keys both are spread, shape (2,)."""
        return maxent.effective_keys(np.stack([self.weights, self.others]))

    @property
    def divergences(self):
        """The divergences of both from equal weights, shape (2,)."""
        return maxent.kl_divergence(np.stack([self.weights, self.others]))

    def draw(self, left, right):
        at = np.arange(len(self.scores))
        colors = [figures.KEYS[key % 8] for key in at]
        left.bar(at + 0.8, self.weights, 0.36, color=colors)
        left.bar(at + 1.2, self.others, 0.36, color=colors, alpha=0.5)
        left.set(xlabel="key", xticks=at + 1, ylim=(0, 1), title="Weights at α, and (pale) at γ")
        grid = np.geomspace(1 / 16, 16, 129)
        spread = maxent.effective_keys(softmax(grid[:, None] * self.factor * np.array(self.scores)))
        right.semilogx(grid, spread, color=figures.INK, base=2)
        for rate, keys, letter in zip((self.alpha, self.gamma), self.effective, "αγ", strict=True):
            right.plot(rate, keys, "o", color=figures.ACCENT)
            right.annotate(letter, (rate, keys), xytext=(5, 5), textcoords="offset points", color=figures.ACCENT)
        ticks = [1 / 16, 1 / 4, 1, 4, 16]
        right.set(xlabel="inverse temperature", xticks=ticks, xticklabels=["1/16", "1/4", "1", "4", "16"])
        right.set(ylim=(0.9, at.size * 1.05), title="Effective number of keys")

    def describe(self):
        def one(letter, rate, weights, place):
            listed = ", ".join(f"key {at + 1} {weight:.4f}" for at, weight in enumerate(weights))
            return (
                f"At {letter} = {rate:.4g} the weights are {listed}: entropy {self.entropies[place]:.4f}, "
                f"{self.effective[place]:.4f} effective keys, divergence from equal weights "
                f"{self.divergences[place]:.4f}."
            )

        layer = f"d = {self.head_dim:g}, scores {'' if self.scaled else 'not '}divided by √d."
        sides = one("α", self.alpha, self.weights, 0), one("γ", self.gamma, self.others, 1)
        return " ".join([layer, *sides])
