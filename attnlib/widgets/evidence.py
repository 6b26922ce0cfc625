"""KL budget: how far the weights may leave ignorance, what that buys, and at which price."""

from typing import ClassVar

import numpy as np

from attnlib import evidence, figures
from attnlib.codegen import Law
from attnlib.formulas import beta, n, rho, s
from attnlib.formulas import evidence as formulas
from attnlib.layer import softmax
from attnlib.maxent import kl_divergence
from attnlib.widgets.base import MISSED, Quantity, Widget, by_key, show


class KLBudget(Widget):
    """Weights within a budget on their divergence from equal weights, and the curve of what a budget buys.

    Parameters
    ----------
    budget : float in [0, 2.8]
        In nats. What exceeds the largest useful budget is not spent.
    scores : n numbers within [-3, 3]
    presets, name
        As in `Widget`.

    Examples
    --------
    >>> even = KLBudget(scores=[1, 0], budget=0)
    >>> even.weights, even.expectation, even.draws  # no budget, no preference, nothing to find out
    (array([0.5, 0.5]), 0.5, inf)
    """

    kind = "evidence"
    title = "KL budget"
    laws = (
        Law("softmax", (beta, n, s), weights=formulas.weight),
        Law(
            "bought",
            (beta, n, s, formulas.top),
            spent=formulas.spent,
            expectation=formulas.expectation,
            price=formulas.price,
        ),
        Law("testing", (formulas.error, rho), draws=formulas.draws),
        MISSED,
    )
    shown = (formulas.weight, formulas.spent)

    budget = Quantity(0.3, low=0, high=2.8, label="ρ", symbol="rho")
    scores = Quantity([2.0, 1.0, 0.0], low=-3, high=3, per_key=True)

    error = 0.05  # how often an observer who waits for 20 to 1 is misled, at most
    constants: ClassVar = {"error": error}

    @property
    def spent(self):
        """The budget, or the largest that buys score."""
        return min(self.budget, float(evidence.largest_budget(self.scores)))

    @property
    def beta(self):
        """The inverse temperature that spends it; 0 where nothing is spent, inf where a larger budget buys no more."""
        return float(evidence.inverse_temperature(self.scores, self.spent))

    @property
    def price(self):
        """What a little more budget adds to the expected score, for each nat."""
        return np.inf if self.beta == 0 else 1 / self.beta

    @property
    def weights(self):
        """The best weights within the budget, shape (n,)."""
        return evidence.route(self.scores, self.spent)

    @property
    def expectation(self):
        """The expected score."""
        return float(self.weights @ np.array(self.scores))

    @property
    def draws(self):
        """How many draws an observer waits on average, at the least, for one to `error` against equal weights."""
        return float(evidence.samples_to_reject(self.weights, error=self.error))

    def results(self):
        """Weights, the budget that is spent, what it buys, its price, and the least mean wait of an observer."""
        names = ("weights", "spent", "expectation", "price", "draws")
        return {name: getattr(self, name) for name in names}

    def draw(self, left, right):
        index = np.arange(len(self.scores))
        left.bar(index + 1, self.weights, color=[figures.KEYS[key % 8] for key in index])
        left.axhline(1 / index.size, color=figures.MUTED, linestyle="--", linewidth=1)
        left.set(xlabel="key", xticks=index + 1, ylabel="weight", ylim=(0, 1), title="Weights; dashed, equal ones")
        scores = np.array(self.scores)
        grid = np.append(np.geomspace(1e-3, 200, 200), 1e6)[:, None] / max(np.ptp(scores), 1e-9)
        weights = softmax(grid * scores)
        right.plot(kl_divergence(weights), weights @ scores, color=figures.INK)
        ends = np.array([max(self.spent - 0.5, 0), self.spent + 0.5])
        if np.isfinite(self.price):
            right.plot(ends, self.expectation + self.price * (ends - self.spent), color=figures.ACCENT, linewidth=1.2)
        right.plot(self.spent, self.expectation, "o", color=figures.INK)
        right.set(
            xlabel="budget ρ", ylabel="expected score", xlim=(0, np.log(index.size) + 0.3), title="What a budget buys"
        )

    def describe(self):
        return (
            f"A budget of {self.budget:.4g} nats, of which {show(self.spent)} are of use, buys β = {self.beta:.4g} "
            f"and the expected score {show(self.expectation)}; the weights are {by_key(self.weights)}. "
            f"An observer of draws waits for evidence of {1 / self.error:.0f} to 1 against equal weights, on average "
            f"at least {self.draws:.3g} draws."
        )
