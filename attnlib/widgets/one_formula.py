"""Four roads: one set of weights, until the scores move; then each road holds its own number, and they part."""

from typing import ClassVar

import numpy as np
import traitlets
from scipy.optimize import brentq

from attnlib import evidence, figures, likelihood, maxent, transport
from attnlib.codegen import Law
from attnlib.formulas import alpha, layer, n, pi0, s, target, tau, w
from attnlib.formulas import one_formula as formulas
from attnlib.formulas import transport as plans
from attnlib.layer import softmax
from attnlib.widgets.base import Quantity, Switch, Widget, show

MARGIN = 1e-6  # nearer to an end of the scores, as a share of their range, rounding would decide about the weights
ROADS = ("likelihood", "entropy", "budget", "transport")


class FourRoads(Widget):
    """The weights of four roads, each with its own number as it was read off before the scores moved.

    Parameters
    ----------
    alpha : float in [0.2, 5]
        The inverse temperature at which all numbers are read off: α itself, the expected score, the divergence from
        equal weights, and the temperature.
    stretch : float in [1/2, 2]
    shift : float in [-2, 2]
        Afterwards all scores are multiplied by the one, and the other is added.
    prior : 0 or 1
        1: afterwards each key has twice the prior weight of the one before. Likelihood knows of none.
    shares : 0 or 1
        1: afterwards the weight that each key receives is fixed to its prior weight. Transport alone is told so here.
    scores : n numbers within [-3, 3]
    presets, name
        As in `Widget`.

    Examples
    --------
    >>> roads = FourRoads(scores=[2, 1, 0], alpha=1)
    >>> print(f"{roads.expectation:.4f} {roads.spent:.4f} {roads.temperature:.4f}")
    1.5752 0.2662 1.0000
    >>> bool(abs(roads.by_entropy - roads.by_transport).max() < 1e-12)
    True
    >>> roads.stretch = 2  # a fixed budget does not see it, a fixed α does
    >>> roads.by_budget.round(4), roads.by_likelihood.round(4)
    (array([0.6652, 0.2447, 0.09  ]), array([0.8668, 0.1173, 0.0159]))
    """

    kind = "one_formula"
    title = "Four roads, one formula"
    page_data = ("_prior",)
    constants: ClassVar = {"margin": MARGIN}
    laws = (
        Law("moved", (formulas.scale, formulas.shift, n, s), scores=formulas.moved_score),
        Law("softmax", (alpha, n, s), weights=layer.weight),
        Law("tilted", (alpha, n, s, pi0), weights=formulas.weight_with_prior),
        Law("balance", (alpha, target, n, s, pi0), slope=formulas.slope_with_prior),
        Law("cheapest", (tau, n, s, pi0), weights=plans.plan_from_prior),
        Law("inverse", (alpha,), temperature=formulas.temperature),
        Law("expected", (n, w, s), expectation=formulas.expectation),
        Law("straying", (n, w, pi0), spent=formulas.budget),
    )
    shown = (formulas.weight_with_prior, formulas.expectation, formulas.budget, formulas.temperature)

    alpha = Quantity(1.0, low=0.2, high=5, label="α")
    stretch = Quantity(1.0, low=0.5, high=2, label="scores times", symbol="a")
    shift = Quantity(0.0, low=-2, high=2, label="scores plus", symbol="b")
    prior = Switch(label="prior weights, twice as large from key to key", symbol="pi")
    shares = Switch(label="what each key receives is fixed to its prior weight")
    scores = Quantity([2.0, 1.0, 0.0], low=-3, high=3, per_key=True)

    _prior: traitlets.List = traitlets.List().tag(sync=True)

    def __init__(self, **state):
        super().__init__(**state)
        doubling = 2.0 ** np.arange(len(self.scores))
        self._prior = (doubling / doubling.sum()).tolist()

    @property
    def temperature(self):
        """What transport holds: 1/α."""
        return 1 / self.alpha

    @property
    def before(self):
        """The weights before anything moved, on every road, shape (n,)."""
        return softmax(self.alpha * np.array(self.scores))

    @property
    def expectation(self):
        """What maximum entropy holds: the expected score before."""
        return float(self.before @ np.array(self.scores))

    @property
    def spent(self):
        """What the budget road holds: the divergence from equal weights before."""
        return max(float(maxent.kl_divergence(self.before)), 0.0)

    @property
    def moved(self):
        """The scores afterwards, shape (n,)."""
        return self.stretch * np.array(self.scores) + self.shift

    @property
    def prior_weights(self):
        """The prior weights afterwards, shape (n,)."""
        count = len(self.scores)
        return np.array(self._prior) if self.prior else np.full(count, 1 / count)

    @property
    def by_likelihood(self):
        """Precisions at α, normalised, shape (n,)."""
        precisions = np.exp(likelihood.log_precision(self.moved, alpha=self.alpha))
        return precisions / precisions.sum()

    @property
    def by_entropy(self):
        """The weights nearest to the prior with the expected score t, or the nearest that can be had, shape (n,)."""
        low, high = self.moved.min(), self.moved.max()
        margin = MARGIN * (high - low)
        if low + margin < self.expectation < high - margin:
            return maxent.maximum_entropy(self.moved, self.expectation, prior=self.prior_weights).weights
        best = self.prior_weights * (self.moved == (low if self.expectation < (low + high) / 2 else high))
        return best / best.sum()

    @property
    def by_budget(self):
        """The weights of largest expected score within the budget ρ around the prior, shape (n,)."""
        if not self.prior:
            return evidence.route(self.moved, min(self.spent, float(evidence.largest_budget(self.moved))))
        prior, best = self.prior_weights, self.moved == self.moved.max()
        if self.spent >= -np.log(prior[best].sum()):
            return prior * best / prior[best].sum()

        def weights(beta):
            return softmax(beta * self.moved + np.log(prior))

        high = 1.0
        while maxent.kl_divergence(weights(high), prior) < self.spent:
            high *= 2
        left = lambda beta: float(maxent.kl_divergence(weights(beta), prior)) - self.spent  # noqa: E731
        return weights(brentq(left, 0, high, xtol=1e-14, rtol=1e-15))

    @property
    def by_transport(self):
        """The cheapest plan at the temperature τ, shape (n,)."""
        if self.shares:
            return self.prior_weights
        return transport.plan(self.moved, temperature=self.temperature, prior=self.prior_weights)

    def results(self):
        """The four numbers that are held, and the weights of the four roads."""
        numbers = {"temperature": self.temperature, "expectation": self.expectation, "spent": self.spent}
        return numbers | {road: getattr(self, f"by_{road}") for road in ROADS}

    def draw(self, left, right):
        keys = np.arange(len(self.scores))
        for number, road in enumerate(ROADS):
            colors = [figures.KEYS[key % 8] for key in keys]
            place = keys + 1 + 0.2 * (number - 1.5)
            left.bar(place, getattr(self, f"by_{road}"), 0.18, color=colors, alpha=1 - 0.2 * number)
        left.hlines(self.before, keys + 0.6, keys + 1.4, color=figures.INK, linewidth=1)
        left.set(xlabel="key", xticks=keys + 1, title="Weights of four roads; lines: before", ylim=(0, 1))
        held = {"α": self.alpha, "t": self.expectation, "ρ": self.spent, "τ": self.temperature}
        right.barh(list(held)[::-1], list(held.values())[::-1], color=figures.ACCENT, height=0.5)
        right.set(title="What each road holds")

    def describe(self):
        roads = "; ".join(
            f"{road} " + ", ".join(f"{show(weight)}" for weight in getattr(self, f"by_{road}")) for road in ROADS
        )
        further = ", a prior" * bool(self.prior) + ", fixed shares" * bool(self.shares)
        return (
            f"At α = {show(self.alpha)}, expected score {show(self.expectation)}, budget {show(self.spent)} nats and "
            f"temperature {show(self.temperature)} all roads have the same weights. "
            f"With scores times {self.stretch:.4g} plus {self.shift:.4g}{further}: {roads}."
        )
