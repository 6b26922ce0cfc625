"""Advantage of each key: an upstream gradient turned into the scores' gradient, and one step along it."""

import numpy as np

from attnlib import backward, figures
from attnlib.codegen import Law
from attnlib.formulas import backward as formulas
from attnlib.formulas import d, eta, g, layer, n, s, tau, transport, u, v, w
from attnlib.layer import softmax
from attnlib.widgets.base import Quantity, Widget, by_key


class KeyAdvantage(Widget):
    """Three keys, the loss's gradient at their output, and what it makes of their scores.

    Parameters
    ----------
    tau : float in [0.2, 4]
        Temperature.
    eta : float in [0, 8]
        Size of the two steps.
    gradient : two numbers within [-1, 1]
        The loss's derivative with respect to the output.
    scores : three numbers within [-3, 3]
    value : three points within [-2.4, 2.4]
    presets, name
        As in `Widget`.

    Examples
    --------
    >>> equal = KeyAdvantage(scores=[0, 0, 0], gradient=[1, 0], value=[[1, 0], [0, 0], [-1, 0]])
    >>> equal.utilities, (3 * equal.gradients).round(6)  # each weight is a third, and the mean utility zero
    (array([ 1.,  0., -1.]), array([ 1.,  0., -1.]))
    """

    kind = "backward"
    title = "Advantage of each key"
    laws = (
        Law("softmax", (tau, n, s), weights=transport.plan),
        Law("output", (w, v, n, d), output=layer.output),
        Law("valued", (g, v, n, d), utilities=formulas.utility),
        Law("credit", (n, w, u), baseline=formulas.baseline, advantages=formulas.advantage),
        Law("passed", (tau, n, w, formulas.advantages), gradients=formulas.score_gradient),
        Law(
            "steps",
            (tau, eta, n, s, formulas.gradients, formulas.advantages),
            plain=formulas.plain_step,
            natural=formulas.natural_step,
        ),
    )
    shown = (
        transport.plan,
        formulas.utility,
        formulas.advantage,
        formulas.score_gradient,
        formulas.plain_step,
        formulas.natural_step,
    )

    tau = Quantity(1.0, low=0.2, high=4, label="τ")
    eta = Quantity(1.0, low=0, high=8, label="η")
    gradient = Quantity([0.6, 0.3], low=-1, high=1)
    scores = Quantity([2.0, 1.0, 0.0], low=-3, high=3)
    value = Quantity([[2.0, -1.0], [0.0, 1.2], [-2.0, -0.6]], low=-2.4, high=2.4)

    @property
    def weights(self):
        """softmax(scores / τ), shape (3,)."""
        return softmax(np.array(self.scores), temperature=self.tau)

    @property
    def output(self):
        """The weighted mean of the values, shape (2,)."""
        return self.weights @ np.array(self.value)

    @property
    def utilities(self):
        """The loss's derivative with respect to each weight, shape (3,)."""
        return np.array(self.value) @ np.array(self.gradient)

    @property
    def advantages(self):
        """Utilities less their mean under the weights, shape (3,)."""
        return backward.advantage(self.weights, self.utilities)

    @property
    def gradients(self):
        """The loss's derivative with respect to each score, shape (3,)."""
        return backward.score_gradient(self.weights, self.utilities, temperature=self.tau)

    @property
    def plain(self):
        """The weights after one step of size η against the scores' gradient, shape (3,)."""
        return softmax(np.array(self.scores) - self.eta * self.gradients, temperature=self.tau)

    @property
    def natural(self):
        """The weights after one step of size η against the natural gradient, shape (3,)."""
        return softmax(np.array(self.scores) - self.eta * self.tau * self.advantages, temperature=self.tau)

    def results(self):
        """Weights, output, utilities, advantages, the scores' gradient, and the weights after either step."""
        names = ("weights", "output", "utilities", "advantages", "gradients", "plain", "natural")
        return {name: getattr(self, name) for name in names}

    def draw(self, left, right):
        index = np.arange(3)
        for shift, numbers, label in (
            (-0.27, self.utilities, "utility"),
            (0, self.advantages, "advantage"),
            (0.27, self.gradients, "gradient"),
        ):
            left.bar(
                index + 1 + shift,
                numbers,
                0.24,
                color=figures.KEYS[:3],
                alpha={-0.27: 0.3, 0: 0.6, 0.27: 1}[shift],
                label=label,
            )
        left.axhline(0, color=figures.MUTED, linewidth=0.8)
        left.set(xlabel="key", xticks=index + 1, title="Utility, advantage, gradient (from pale to full)")
        corners = np.array([[0, 0], [1, 0], [0.5, 0.75**0.5]])
        right.fill(*corners.T, facecolor="none", edgecolor=figures.LINE)
        start = self.weights @ corners
        for number, (corner, put) in enumerate(zip(corners, ((0, -0.09), (0, -0.09), (0, 0.05)), strict=True)):
            right.text(*(corner + put), f"{number + 1}", color=figures.KEYS[number], ha="center")
        for weights, style, label in ((self.plain, "-", "plain"), (self.natural, "--", "natural")):
            right.plot(
                *zip(start, weights @ corners, strict=True),
                linestyle=style,
                color=figures.INK,
                marker="o",
                ms=4,
                label=label,
            )
        right.set(title="One step on the simplex", xticks=[], yticks=[], aspect="equal", ylim=(-0.12, 1))
        right.spines[:].set_visible(False)
        right.legend(frameon=False, loc="upper left")

    def describe(self):
        return (
            f"At τ = {self.tau:.4g} the weights are {by_key(self.weights)}; the advantages {by_key(self.advantages)}; "
            f"the scores’ gradient {by_key(self.gradients)}. One step of size {self.eta:.4g} leads to the weights "
            f"{by_key(self.plain)}; a natural step to {by_key(self.natural)}."
        )
