"""Maximum-entropy dial: ask for an expected score, and see the most even weights that give it."""

from typing import ClassVar

import numpy as np

from attnlib import figures
from attnlib.codegen import Law
from attnlib.formulas import alpha, layer, n, s, target, w, x
from attnlib.formulas import maxent as formulas
from attnlib.layer import softmax
from attnlib.maxent import MaximumEntropy, entropy, maximum_entropy
from attnlib.widgets.base import MISSED, Quantity, Widget, by_key, show

APART = 1e-9  # scores nearer to each other count as equal


def most_even(scores, expectation):
    """The weights of largest entropy with an expected score, and α; equal weights and 0 where all scores are equal."""
    if np.ptp(scores) <= APART:
        return MaximumEntropy(np.full(len(scores), 1 / len(scores)), 0.0)
    return maximum_entropy(np.array(scores), expectation)


class MaximumEntropyDial(Widget):
    """Scores on a line, an expected score to be met, and the weights of largest entropy that meet it.

    Parameters
    ----------
    dial : float in [0.02, 0.98]
        Where the expected score lies between the smallest score (0) and the largest (1).
    scores : n numbers
        Within [-3, 3].
    presets, name
        As in `Widget`.

    Examples
    --------
    Scores 0, 1, 2 and the expectation 0 + 0.75 * (2 - 0) = 1.5:

    >>> dialled = MaximumEntropyDial(scores=[0.0, 1.0, 2.0], dial=0.75)
    >>> dialled.expectation, dialled.weights.round(4), round(dialled.alpha, 4)
    (1.5, array([0.1162, 0.2676, 0.6162]), 0.8341)
    """

    kind = "maxent"
    title = "Maximum-entropy dial"
    laws = (
        Law("asked", (formulas.dial, formulas.lowest, formulas.highest), expectation=formulas.asked),
        Law("balance", (alpha, target, n, s), slope=formulas.dual_slope),
        Law("tilted", (alpha, n, s), weights=layer.weight, mean=layer.expected_score),
        Law("bound", (alpha, target, n, s), dual=formulas.dual, share=formulas.exponential),
        Law("tangent", (alpha, target, formulas.bound, x), height=formulas.tangent),
        Law("evenness", (n, w), entropy=formulas.entropy),
        MISSED,
    )
    constants: ClassVar = {"apart": APART}
    shown = (formulas.asked, layer.weight, layer.expected_score, formulas.entropy, formulas.dual)

    dial = Quantity(0.75, low=0.02, high=0.98, label="dial", symbol="r")
    scores = Quantity([2.0, 1.0, 0.0], low=-3, high=3, per_key=True)

    @property
    def expectation(self):
        """The expected score that is asked for."""
        low, high = min(self.scores), max(self.scores)
        return low + self.dial * (high - low)

    @property
    def alpha(self):
        """The multiplier of the expected score: the inverse temperature; 0 if all scores are equal."""
        return float(most_even(self.scores, self.expectation).multipliers)

    @property
    def weights(self):
        """The weights of largest entropy with that expected score, shape (n,)."""
        return most_even(self.scores, self.expectation).weights

    @property
    def entropy(self):
        """The entropy of the weights, the largest that can be had."""
        return float(entropy(self.weights))

    @property
    def dual(self):
        """The dual at its minimum, log Z − αt; equal to the entropy."""
        return float(np.log(np.exp(self.alpha * (np.array(self.scores) - self.expectation)).sum()))

    def results(self):
        """The expected score, α, the weights, their entropy and the dual."""
        names = ("expectation", "alpha", "weights", "entropy", "dual")
        return {name: getattr(self, name) for name in names}

    def draw(self, left, right):
        for index, (score, weight) in enumerate(zip(self.scores, self.weights, strict=True)):
            color = figures.KEYS[index % 8]
            left.bar(score, weight, width=0.16, color=color, alpha=0.75)
            figures.dot(left, score, 0, index)
        left.scatter(self.expectation, -0.16, marker="^", s=120, color=figures.INK)
        left.set(xlabel="score", title="Weights, balanced at t", xlim=(-3.3, 3.3), ylim=(-0.24, 1.05))
        if min(self.scores) < max(self.scores):
            spread = max(self.scores) - min(self.scores)
            tilted = softmax(30 * np.linspace(-1, 1, 121)[:, None] ** 3 / spread * np.array(self.scores))
            right.plot(tilted @ self.scores, entropy(tilted), color=figures.ACCENT)
        line = np.array([-3.2, 3.2])
        right.plot(line, self.entropy - self.alpha * (line - self.expectation), color=figures.MUTED, linestyle="--")
        right.scatter(self.expectation, self.entropy, s=60, color=figures.INK, zorder=3)
        right.set(xlabel="expected score", title="Largest entropy, and its tangent", xlim=(-3.3, 3.3))
        right.set(ylim=(-0.1, np.log(len(self.scores)) + 0.4))

    def describe(self):
        return (
            f"For the expected score {show(self.expectation)} the weights are {by_key(self.weights)}; "
            f"α = {show(self.alpha)}, entropy {show(self.entropy)}, dual {show(self.dual)}."
        )
