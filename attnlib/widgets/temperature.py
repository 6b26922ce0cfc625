"""Temperature sharpening: scores and one temperature; weights, their entropy and over how many keys they are spread."""

import numpy as np

from attnlib import figures, maxent
from attnlib.codegen import Law
from attnlib.formulas import n, s, tau, transport
from attnlib.formulas import temperature as formulas
from attnlib.layer import softmax
from attnlib.widgets.base import MISSED, Quantity, Widget, by_key, show


class TemperatureSharpening(Widget):
    """The weights of some scores at one temperature, and their entropy and effective number of keys at all.

    Parameters
    ----------
    tau : float in [1/16, 16]
        The temperature.
    scores : n numbers within [-4, 4]
    presets, name
        As in `Widget`.

    Examples
    --------
    >>> sharp = TemperatureSharpening(scores=[2, 1, 0], tau=0.25)
    >>> sharp.weights.round(4), round(sharp.entropy, 4), round(sharp.effective, 4)
    (array([9.817e-01, 1.800e-02, 3.000e-04]), 0.093, 1.0975)
    """

    kind = "temperature"
    title = "Temperature sharpening"
    laws = (
        Law("softmax", (tau, n, s), weights=transport.plan),
        Law("evenness", (tau, n, s, formulas.top), entropy=formulas.entropy, effective=formulas.effective_keys),
        MISSED,
    )
    shown = (transport.plan, formulas.entropy, formulas.effective_keys)

    tau = Quantity(1.0, low=1 / 16, high=16, step=1 / 16, logarithmic=True, label="τ")
    scores = Quantity([2.0, 1.0, 0.0], low=-4, high=4, per_key=True)

    @property
    def weights(self):
        """softmax(scores / τ), shape (n,)."""
        return softmax(np.array(self.scores), temperature=self.tau)

    @property
    def entropy(self):
        """Their entropy, from 0 to log n."""
        return float(maxent.entropy(self.weights))

    @property
    def effective(self):
        """Over how many keys they are spread, from 1 to n."""
        return float(maxent.effective_keys(self.weights))

    def results(self):
        """Weights, entropy and effective number of keys."""
        weights = np.where(self.weights < 1e-300, 0, self.weights)  # below, floats have fewer digits
        return {"weights": weights, "entropy": self.entropy, "effective": self.effective}

    def draw(self, left, right):
        colors = [figures.KEYS[key % 8] for key in range(len(self.scores))]
        left.vlines(self.scores, 0, self.weights, color=colors)
        for key, place in enumerate(zip(self.scores, self.weights, strict=True)):
            figures.dot(left, *place, key)
        left.set(xlabel="score", ylabel="weight", xlim=(-4.3, 4.3), ylim=(0, 1.05), title="Weight of each score")
        grid = np.geomspace(1 / 16, 16, 129)
        spread = softmax(np.array(self.scores) / grid[:, None])
        right.semilogx(grid, maxent.effective_keys(spread), color=figures.INK, base=2, label="$e^H$ effective keys")
        right.semilogx(grid, maxent.entropy(spread), color=figures.ACCENT, base=2, label="$H$ entropy")
        right.plot([self.tau] * 2, [self.effective, self.entropy], "o", color=figures.INK)
        ticks = [1 / 16, 1 / 4, 1, 4, 16]
        right.set(xlabel="temperature τ", xticks=ticks, xticklabels=["1/16", "1/4", "1", "4", "16"])
        right.set(ylim=(-0.05, len(self.scores) * 1.08), title="How evenly, at every temperature")
        right.legend(loc="upper left", fontsize=8)

    def describe(self):
        return (
            f"At τ = {self.tau:.4g} the weights are {by_key(self.weights)}: entropy {show(self.entropy)}, "
            f"{show(self.effective)} effective keys."
        )
