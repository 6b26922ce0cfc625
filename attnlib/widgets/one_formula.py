"""Four roads at once: the same scores, one parameter read in four ways, and four sets of weights that never differ."""

import numpy as np

from attnlib import evidence, figures, likelihood, maxent, transport
from attnlib.codegen import Law
from attnlib.formulas import alpha, beta, kappa, layer, n, s, target, tau
from attnlib.formulas import evidence as by_budget
from attnlib.formulas import likelihood as by_likelihood
from attnlib.formulas import maxent as by_entropy
from attnlib.formulas import one_formula as formulas
from attnlib.formulas import transport as by_transport
from attnlib.layer import softmax
from attnlib.widgets.base import Quantity, Widget
from attnlib.widgets.maxent import most_even


class FourRoads(Widget):
    """The weights of the same scores on four roads, each from its own parameter.

    Parameters
    ----------
    alpha : float in [0.2, 5]
        The inverse temperature. The other roads' parameters are read off the weights that it makes, and then each road
        finds its weights from its own parameter.
    scores : n numbers within [-3, 3]
    presets, name
        As in `Widget`.

    Examples
    --------
    >>> roads = FourRoads(scores=[2, 1, 0], alpha=1)
    >>> print(f"{roads.expectation:.4f} {roads.budget:.4f} {roads.temperature:.4f}")
    1.5752 0.2662 1.0000
    >>> bool(abs(roads.by_entropy - roads.by_transport).max() < 1e-12)
    True
    """

    kind = "one_formula"
    title = "Four roads, one formula"
    laws = (
        Law("precise", (alpha, kappa, n, s), weights=by_likelihood.share),
        Law("lowest", (tau, n, s), least=formulas.least_cost),
        Law("carried", (tau, n, s, by_transport.least), weights=formulas.weight_from_cost),
        Law("inverse", (alpha,), temperature=formulas.temperature),
        Law("balance", (alpha, target, n, s), slope=by_entropy.dual_slope),
        Law("tilted", (alpha, n, s), weights=layer.weight, expectation=layer.expected_score),
        Law("bought", (beta, n, s, by_budget.top), spent=by_budget.spent),
        Law("softmax", (beta, n, s), weights=by_budget.weight),
    )
    shown = (layer.weight, layer.expected_score, by_budget.spent, formulas.temperature)

    alpha = Quantity(1.0, low=0.2, high=5, label="α")
    scores = Quantity([2.0, 1.0, 0.0], low=-3, high=3, per_key=True)

    @property
    def temperature(self):
        """The reading of transport, 1/α."""
        return 1 / self.alpha

    @property
    def expectation(self):
        """The reading of maximum entropy: the expected score."""
        return float(softmax(self.alpha * np.array(self.scores)) @ np.array(self.scores))

    @property
    def budget(self):
        """The reading of the budget: the divergence from equal weights."""
        spent = float(maxent.kl_divergence(softmax(self.alpha * np.array(self.scores))))
        return min(max(spent, 0.0), float(evidence.largest_budget(self.scores)))

    @property
    def by_likelihood(self):
        """Precisions, normalised, shape (n,)."""
        precisions = np.exp(likelihood.log_precision(np.array(self.scores), alpha=self.alpha))
        return precisions / precisions.sum()

    @property
    def by_entropy(self):
        """The most even weights with this expected score, shape (n,)."""
        return most_even(self.scores, self.expectation).weights

    @property
    def by_budget(self):
        """The weights with the largest expected score within this budget, shape (n,)."""
        return evidence.route(self.scores, self.budget)

    @property
    def by_transport(self):
        """The cheapest plan at this temperature, shape (n,)."""
        return transport.plan(np.array(self.scores), temperature=self.temperature)

    def results(self):
        """The four readings, and the weights of the four roads."""
        return {
            "alpha": self.alpha,
            "temperature": self.temperature,
            "expectation": self.expectation,
            "budget": self.budget,
            "likelihood": self.by_likelihood,
            "entropy": self.by_entropy,
            "spending": self.by_budget,
            "weights": self.by_transport,
        }

    def draw(self, left, right):
        at = np.arange(len(self.scores))
        roads = ("likelihood", "entropy", "budget", "transport")
        for number, road in enumerate(roads):
            weights = getattr(self, f"by_{road}")
            colors = [figures.KEYS[key % 8] for key in at]
            left.bar(at + 1 + 0.2 * (number - 1.5), weights, 0.18, color=colors, alpha=1 - 0.2 * number)
        left.set(xlabel="key", xticks=at + 1, title="Four sets of weights (02 to 05)", ylim=(0, 1))
        readings = {"α": self.alpha, "t": self.expectation, "ρ": self.budget, "τ": self.temperature}
        right.barh(list(readings)[::-1], list(readings.values())[::-1], color=figures.ACCENT, height=0.5)
        right.set(title="One number, four readings")

    def describe(self):
        weights = ", ".join(f"key {at + 1} {weight:.4f}" for at, weight in enumerate(self.by_transport))
        return (
            f"α = {self.alpha:.4f}, expected score {self.expectation:.4f}, budget {self.budget:.4f} nats and "
            f"temperature {self.temperature:.4f} all give the weights {weights}."
        )
