"""The simplex of plans: every point of the triangle is a plan for three keys, and its cost shows how far it is off."""

import numpy as np

from attnlib import figures
from attnlib.codegen import Law
from attnlib.formulas import n, p, pi0, s, tau
from attnlib.formulas import transport as formulas
from attnlib.maxent import kl_divergence
from attnlib.transport import objective, plan
from attnlib.widgets.base import Quantity, Switch, Widget

PRIOR = [0.1, 0.3, 0.6]


class PlanSimplex(Widget):
    """All plans of one query for three keys as the points of a triangle, with the contours of their cost.

    Parameters
    ----------
    tau : float in [0.1, 5]
        The temperature, the price of one nat of divergence from the prior.
    prior : 0 or 1
        0: equal prior weights. 1: the prior weights 0.1, 0.3, 0.6.
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
        Law("cheapest", (tau, n, s, pi0), weights=formulas.plan_from_prior),
        Law("price", (tau, n, s, pi0, p), cost=formulas.cost, excess=formulas.excess),
        Law("apart", (tau, n, p, formulas.cheapest), divergence=formulas.dearness),
    )
    shown = (formulas.cost, formulas.plan_from_prior, formulas.dearness)

    tau = Quantity(1.0, low=0.1, high=5, label="τ")
    prior = Switch(label="Prior weights 0.1, 0.3, 0.6 in place of equal ones")
    point = Quantity([0.5, 0.4], low=0, high=1)
    scores = Quantity([2.0, 1.0, 0.0], low=-3, high=3)

    @property
    def prior_weights(self):
        """The prior's weights, shape (3,)."""
        return np.array(PRIOR) if self.prior else np.full(3, 1 / 3)

    @property
    def plan(self):
        """The plan at the point, shape (3,)."""
        x, y = self.point
        second = min(max(x - y / 2, 0), 1 - y)
        return np.array([1 - y - second, second, y])

    @property
    def weights(self):
        """The cheapest plan, shape (3,)."""
        return plan(self.scores, temperature=self.tau, prior=self.prior_weights)

    def _cost(self, p):
        return float(objective(p, self.scores, temperature=self.tau, prior=self.prior_weights))

    @property
    def cost(self):
        """J at the point."""
        return self._cost(self.plan)

    @property
    def excess(self):
        """J at the point, less J at the cheapest plan."""
        return self.cost - self._cost(self.weights)

    @property
    def divergence(self):
        """The divergence of the plan from the cheapest one, times the temperature; it equals `excess`."""
        return self.tau * float(kl_divergence(self.plan, self.weights))

    def results(self):
        """The plan at the point, the cheapest one, and how much dearer the first is, twice."""
        names = ("plan", "weights", "cost", "excess", "divergence")
        return {name: getattr(self, name) for name in names}

    def draw(self, left, right):
        side = np.linspace(0, 1, 61)
        third, share = (part.ravel() for part in np.meshgrid(side, side))
        plans = np.stack([(1 - third) * (1 - share), (1 - third) * share, third], axis=-1)[third < 1]
        plans = np.concatenate([plans, [[0.0, 0.0, 1.0]]])
        height = np.sqrt(3) / 2
        flat = lambda plans: (plans[..., 1] + plans[..., 2] / 2, height * plans[..., 2])  # noqa: E731
        costs = objective(plans, np.array(self.scores), temperature=self.tau, prior=self.prior_weights)
        left.plot(*flat(np.eye(3)[[0, 1, 2, 0]]), color=figures.LINE, linewidth=1)
        levels = self._cost(self.weights) + 0.05 * np.arange(1, 7) ** 2
        left.tricontour(*flat(plans), costs, levels=levels, colors=figures.MUTED, linewidths=0.8)
        for at, (x, y) in enumerate(zip(*flat(np.eye(3)), strict=True)):
            left.scatter(x, y, s=90, color=figures.KEYS[at], zorder=3)
            left.text(x, y, f"{at + 1}", color=figures.PAPER, ha="center", va="center", fontsize=8, zorder=4)
        left.scatter(*flat(self.weights), marker="D", s=60, color=figures.INK, zorder=5)
        left.scatter(*flat(self.plan), s=60, facecolor=figures.PAPER, edgecolor=figures.INK, zorder=5)
        left.set(title="Plans (circle: p, diamond: w)", aspect="equal", xticks=[], yticks=[])
        left.spines[["left", "bottom"]].set_visible(False)
        rows = ["J(p) − J(w)", "τ KL(p ‖ w)"]
        right.barh(rows[::-1], [self.divergence, self.excess], color=[figures.ACCENT, figures.INK], height=0.5)
        right.set(title="How much dearer p is")

    def describe(self):
        say = lambda plan: ", ".join(f"key {at + 1} {weight:.4f}" for at, weight in enumerate(plan))  # noqa: E731
        return (
            f"At τ = {self.tau:.4g} the cheapest plan is {say(self.weights)}. The plan {say(self.plan)} costs "
            f"{self.excess:.4f} more, and τ KL(p ‖ w) is {self.divergence:.4f}."
        )
