"""Gaussian variance against score: each key's value as a noisy reading of one answer, and the readings pooled."""

import numpy as np
from scipy.stats import norm

from attnlib import figures, likelihood
from attnlib.codegen import Law
from attnlib.formulas import alpha, kappa, layer, mean, n, s, spread, v, x
from attnlib.formulas import likelihood as formulas
from attnlib.layer import softmax
from attnlib.widgets.base import MISSED, Quantity, Widget, by_key, show


class VarianceAgainstScore(Widget):
    """Every key as a Gaussian reading: its score sets its variance, its value the place of its bell.

    Parameters
    ----------
    alpha : float in [0, 3]
        How fast the precision grows with the score.
    kappa : float in [0.1, 10]
        The precision of a key whose score is zero; it scales every width and moves no weight.
    scores, value : n numbers each
        Scores within [-3, 3], value within [-4, 4].
    presets, name
        As in `Widget`.

    Examples
    --------
    >>> fusion = VarianceAgainstScore(scores=[0.0, 0.0], value=[-1.0, 1.0], kappa=2.0)
    >>> fusion.variances, fusion.estimate.mean, fusion.standard_deviation  # two readings of variance 1/2
    (array([0.5, 0.5]), array([0.]), 0.5)
    """

    kind = "likelihood"
    title = "Gaussian variance against score"
    laws = (
        Law("density", (x, mean, spread), density=formulas.density),
        Law("readings", (alpha, kappa, n, s), variances=formulas.variance, deviations=formulas.deviation),
        Law(
            "pooled",
            (alpha, kappa, n, s, v),
            weights=layer.weight,
            estimate=formulas.estimate,
            deviation=formulas.standard_deviation,
        ),
        MISSED,
    )
    shown = (formulas.variance, layer.weight, formulas.estimate)
    precise = ("weights", "variances", "deviation")

    alpha = Quantity(1.0, low=0, high=3, label="α")
    kappa = Quantity(1.0, low=0.1, high=10, label="κ")
    scores = Quantity([2.0, 1.0, 0.0], low=-3, high=3, per_key=True)
    value = Quantity([1.0, 0.0, -1.0], low=-4, high=4, per_key=True)

    @property
    def variances(self):
        """exp(−αs)/κ, shape (n,)."""
        return likelihood.variance(np.array(self.scores), alpha=self.alpha, kappa=self.kappa)

    @property
    def weights(self):
        """Each key's share of the precision, shape (n,); they sum to one."""
        return softmax(self.alpha * np.array(self.scores))

    @property
    def estimate(self):
        """The maximum-likelihood estimate and the logarithm of its precision."""
        return likelihood.estimate(
            np.array(self.value)[:, None], np.array(self.scores), alpha=self.alpha, kappa=self.kappa
        )

    @property
    def standard_deviation(self):
        """The estimate's standard deviation."""
        return float(np.exp(-self.estimate.log_precision / 2))

    def results(self):
        """Weights, variances, the estimate and its standard deviation."""
        return {
            "weights": self.weights,
            "variances": self.variances,
            "estimate": self.estimate.mean[0],
            "deviation": self.standard_deviation,
        }

    def draw(self, left, right):
        line = np.array([-3.2, 3.2])
        left.semilogy(line, likelihood.variance(line, alpha=self.alpha, kappa=self.kappa), color=figures.MUTED)
        left.set(xlabel="score", title="Variance against score", xlim=line)
        estimate, deviation = self.estimate.mean[0], self.standard_deviation
        tails = np.minimum(8, 3 * np.sqrt(self.variances))
        low, high = min(-4.5, *(self.value - tails)), max(4.5, *(self.value + tails))
        grid = np.linspace(low, high, 801)
        for index, (score, variance, value) in enumerate(zip(self.scores, self.variances, self.value, strict=True)):
            color = figures.KEYS[index % 8]
            figures.dot(left, score, variance, index)
            right.plot(grid, norm.pdf(grid, value, np.sqrt(variance)), color=color, linewidth=1.4)
        right.plot(grid, norm.pdf(grid, estimate, deviation), color=figures.INK, linewidth=2.6)
        right.axvline(estimate, color=figures.INK, linewidth=1)
        right.set(xlabel="value", title="Each key’s Gaussian, and the pooled one", yticks=[])

    def describe(self):
        return (
            f"At α = {self.alpha:.4g} and κ = {self.kappa:.4g} the weights are {by_key(self.weights)}; "
            f"the estimate is {show(self.estimate.mean[0])} ± {show(self.standard_deviation)}."
        )
