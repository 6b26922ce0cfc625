"""The simplex of plans: every point of the triangle is a plan for three keys, and its cost shows how far it is off."""

import numpy as np

from attnlib import figures
from attnlib.beyond import sparsemax
from attnlib.codegen import Law
from attnlib.formulas import n, nu, p, s, tau, w
from attnlib.formulas import transport as formulas
from attnlib.maxent import kl_divergence
from attnlib.transport import objective, plan
from attnlib.widgets.base import MISSED, Quantity, Switch, Widget, by_key, show


class PlanSimplex(Widget):
    """All plans of one query for three keys as the points of a triangle, with the levels of their cost.

    Parameters
    ----------
    tau : float in [0.1, 5]
        The temperature, the price of evenness.
    gini : 0 or 1
        0: evenness is Shannon's entropy. 1: it is Gini's, one less the sum of squares.
    point : two numbers within [0, 1]
        The plan p that is tried, as a place in the triangle: p_3 is the second number, and p_2 the first less half the
        second. A point beside the triangle stands for the nearest one at its height.
    scores : three numbers within [-3, 3]
    presets, name
        As in `Widget`.

    Examples
    --------
    >>> simplex = PlanSimplex(scores=[0.0, 0.0, 0.0], tau=1.0, point=[0.5, 0.5])
    >>> simplex.plan.round(4), simplex.weights.round(4)
    (array([0.25, 0.25, 0.5 ]), array([0.3333, 0.3333, 0.3333]))
    >>> print(f"{simplex.excess:.4f} {simplex.divergence:.4f}")  # 2/4 log(3/4) + 1/2 log(3/2) = 0.5 log(9/8)
    0.0589 0.0589
    >>> PlanSimplex(scores=[1.2, 1.0, 0.0], tau=0.5, gini=1).weights  # some weights are exactly zero
    array([0.6, 0.4, 0. ])
    """

    kind = "transport"
    title = "The simplex of plans"
    laws = (
        Law(
            "place",
            (formulas.across, formulas.height),
            first=formulas.first_of_three,
            second=formulas.second_of_three,
            third=formulas.third_of_three,
        ),
        Law("cheapest", (tau, n, s), weights=formulas.plan),
        Law("price", (tau, n, s, p), cost=formulas.cost),
        Law("least", (tau, n, s), cost=formulas.least_cost),
        Law("apart", (tau, n, p, w), divergence=formulas.dearness),
        Law("giniPrice", (tau, n, s, p), cost=formulas.gini_cost),
        Law("giniCheapest", (tau, n, s, nu), weights=formulas.gini_plan, mass=formulas.gini_mass),
        MISSED,
    )
    shown = (formulas.cost, formulas.plan, formulas.gini_cost, formulas.gini_plan)

    tau = Quantity(1.0, low=0.1, high=5, label="τ")
    gini = Switch(label="evenness is Gini’s, 1 − Σ p²: the cost G in place of J", symbol="G")
    point = Quantity([0.5, 0.4], low=0, high=1)
    scores = Quantity([2.0, 1.0, 0.0], low=-3, high=3)

    @property
    def plan(self):
        """The plan at the point, shape (3,)."""
        x, y = self.point
        second = min(max(x - y / 2, 0), 1 - y)
        return np.array([1 - y - second, second, y])

    @property
    def weights(self):
        """The cheapest plan, shape (3,)."""
        if not self.gini:
            return plan(self.scores, temperature=self.tau)
        return sparsemax(np.array(self.scores), temperature=2 * self.tau)

    def _cost(self, plans):
        if not self.gini:
            return objective(plans, np.array(self.scores), temperature=self.tau)
        return -(plans @ np.array(self.scores)) - self.tau * (1 - (plans**2).sum(axis=-1))

    @property
    def cost(self):
        """The cost at the point."""
        return float(self._cost(self.plan))

    @property
    def excess(self):
        """The cost at the point, less the least cost."""
        return self.cost - float(self._cost(self.weights))

    @property
    def divergence(self):
        """The divergence of the plan from softmax, times the temperature; by Shannon's evenness it is `excess`."""
        return self.tau * float(kl_divergence(self.plan, plan(self.scores, temperature=self.tau)))

    def results(self):
        """The plan at the point, the cheapest one, and how much dearer the first is."""
        names = ("plan", "weights", "cost", "excess", "divergence")
        return {name: getattr(self, name) for name in names}

    def draw(self, left, right):
        side = np.linspace(0, 1, 61)
        third, share = (part.ravel() for part in np.meshgrid(side, side))
        plans = np.stack([(1 - third) * (1 - share), (1 - third) * share, third], axis=-1)[third < 1]
        plans = np.concatenate([plans, [[0.0, 0.0, 1.0]]])
        height = np.sqrt(3) / 2
        flat = lambda plans: (plans[..., 1] + plans[..., 2] / 2, height * plans[..., 2])  # noqa: E731
        above = self._cost(plans) - self._cost(self.weights)
        left.plot(*flat(np.eye(3)[[0, 1, 2, 0]]), color=figures.LINE, linewidth=1)
        rings = left.tricontour(
            *flat(plans), above, levels=0.05 * np.arange(1, 7) ** 2, colors=figures.MUTED, linewidths=0.8
        )
        left.clabel(rings, fmt="+%.2g", fontsize=7)
        for key, (x, y) in enumerate(zip(*flat(np.eye(3)), strict=True)):
            figures.dot(left, x, y, key)
        left.scatter(*flat(self.weights), marker="D", s=60, color=figures.INK, zorder=5)
        left.scatter(*flat(self.plan), s=60, facecolor=figures.PAPER, edgecolor=figures.INK, zorder=5)
        left.set(title="Plans (circle: p, diamond: w)", aspect="equal", xticks=[], yticks=[])
        left.spines[["left", "bottom"]].set_visible(False)
        grid = np.linspace(0, 1, 101)[:, None]
        right.plot(grid, self._cost((1 - grid) * self.weights + grid * self.plan), color=figures.INK)
        right.plot([0, 1], [self._cost(self.weights), self.cost], "o", color=figures.ACCENT)
        right.set(title="Cost on the way from w to p", xticks=[0, 1], xticklabels=["w", "p"])

    def describe(self):
        how = "by Gini’s evenness" if self.gini else "by Shannon’s"
        return (
            f"At τ = {self.tau:.4g}, {how}, the cheapest plan is {by_key(self.weights)}. "
            f"The plan {by_key(self.plan)} costs {show(self.excess)} more; "
            f"τ times its divergence from softmax is {show(self.divergence)}."
        )
