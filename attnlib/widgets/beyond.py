"""The alternatives on one set of scores: another evenness, another noise, or a key that is not there."""

import numpy as np
from scipy import stats

from attnlib import beyond, figures
from attnlib.codegen import Law
from attnlib.formulas import alpha, kappa, layer, n, nu, s, v, w, x
from attnlib.formulas import beyond as formulas
from attnlib.layer import softmax
from attnlib.widgets.base import MISSED, Choice, Quantity, Widget, by_key, show

WAYS = ("evenness", "gaussian", "laplace", "student", "absent")


class Alternatives(Widget):
    """Softmax attention with one ingredient changed: its weights and its answer, beside those of softmax.

    Parameters
    ----------
    ingredient : 0, 1 or 2
        What is changed: the evenness, the noise of the values, or that a further key is there, of value 0.
    order : float in [1, 2]
        The order γ of the evenness; 1 is Shannon's entropy, and 2 is Gini's evenness by a factor.
    noise : 0, 1 or 2
        Gaussian, Laplace or Student's t.
    freedom : float in [1, 30]
        The degrees of freedom δ of Student's t.
    kappa : float in [1/64, 64]
        The precision of a value whose score is zero. It moves the answer by Student's t alone.
    absent : float in [-4, 4]
        The score of the further key.
    scores, values : n numbers each, within [-3, 3]
        A score is the logarithm of a precision: all is at temperature 1.
    presets, name
        As in `Widget`.

    Examples
    --------
    >>> alternatives = Alternatives(scores=[1.0, 0.5, -1.0], values=[2.0, 0.0, -3.0], order=2)
    >>> alternatives.weights, alternatives.answer  # sparsemax: 1 - 1/4, 1/2 - 1/4, nothing; 3/4 2 + 1/4 0
    (array([0.75, 0.25, 0.  ]), 1.5)
    >>> alternatives = Alternatives(ingredient=1, noise=1, scores=[0, 0, 0], values=[0, 1, 3])
    >>> alternatives.answer, round(alternatives.mean, 4)  # the median, and the mean
    (1.0, 1.3333)
    """

    kind = "beyond"
    title = "The alternatives on one set of scores"
    laws = (
        Law("softmax", (alpha, n, s), weights=layer.weight),
        Law(
            "ordered",
            (formulas.order, n, s, nu),
            weights=formulas.weight_of_order,
            mass=formulas.mass_of_order,
        ),
        Law("beside", (formulas.absent, n, s), weights=formulas.weight_beside_sink),
        Law(
            "likely",
            (formulas.freedom, kappa, n, s, v, x),
            gaussian=formulas.gaussian_log_likelihood,
            laplace=formulas.laplace_log_likelihood,
            student=formulas.student_log_likelihood,
        ),
        Law("pull", (formulas.freedom, kappa, n, s, v, x), slope=formulas.student_slope),
        Law("shares", (formulas.freedom, kappa, n, s, v, x), weights=formulas.student_share),
        Law("averaged", (n, w, v), mean=formulas.weighted_mean),
        MISSED,
    )
    shown = (
        formulas.weight_of_order,
        formulas.gaussian_log_likelihood,
        formulas.laplace_log_likelihood,
        formulas.student_log_likelihood,
        formulas.student_share,
        formulas.weight_beside_sink,
        formulas.weighted_mean,
    )

    ingredient = Choice("evenness", "noise", "an absent key", label="What is changed")
    noise = Choice("Gaussian", "Laplace", "Student’s t", label="Noise")
    order = Quantity(1.5, low=1, high=2, label="γ", symbol="gamma")
    freedom = Quantity(3.0, low=1, high=30, label="δ", symbol="delta")
    kappa = Quantity(1.0, low=1 / 64, high=64, label="κ", logarithmic=True)
    absent = Quantity(0.0, low=-4, high=4, label="s₀", symbol="s0")
    scores = Quantity([2.0, 1.4, 0.6, 0.0, -1.0], low=-3, high=3, per_key=True)
    values = Quantity([1.2, 0.6, 1.8, -2.4, -0.7], low=-3, high=3, per_key=True)

    @property
    def way(self):
        """What is changed, in a word of `WAYS`."""
        return WAYS[int((0, 1 + self.noise, 4)[int(self.ingredient)])]

    @property
    def plain(self):
        """The weights by softmax, shape (n,)."""
        return softmax(np.array(self.scores))

    @property
    def mean(self):
        """The answer by softmax."""
        return float(self.plain @ np.array(self.values))

    def _student(self):
        fit = beyond.student_t_value(
            np.array(self.values)[:, None], np.array(self.scores), dof=self.freedom, kappa=self.kappa
        )
        return float(fit.mean[0])

    @property
    def answer(self):
        """The answer with the ingredient changed."""
        if self.way == "laplace":
            return float(beyond.laplace_value(np.array(self.values)[:, None], np.array(self.scores))[0])
        return self._student() if self.way == "student" else float(self.weights @ np.array(self.values))

    @property
    def weights(self):
        """The weights with the ingredient changed, shape (n,); by Student's noise the shares at the answer.

        Beside an absent key they sum to less than one.
        """
        scores = np.array(self.scores)
        if self.way == "evenness":
            return beyond.entmax(scores, alpha=self.order)
        if self.way == "absent":
            return beyond.sink(scores, log_precision=self.absent)
        if self.way == "student":
            distances = np.exp(scores) * (self._student() - np.array(self.values)) ** 2
            return softmax(scores - np.log(self.freedom + self.kappa * distances))
        return self.plain

    def log_likelihood(self, places):
        """How likely each of some answers is by the noise that is chosen, as a logarithm, up to a constant."""
        precisions = self.kappa * np.exp(np.array(self.scores))
        family = {"gaussian": stats.norm, "laplace": stats.laplace, "student": stats.t(self.freedom)}[self.way]
        scales = 1 / (precisions if self.way == "laplace" else np.sqrt(precisions))
        return family.logpdf((np.asarray(places)[..., None] - np.array(self.values)) / scales).sum(axis=-1)

    def results(self):
        """Weights and answer, by softmax and with the ingredient changed."""
        return {name: getattr(self, name) for name in ("plain", "mean", "weights", "answer")}

    def draw(self, left, right):
        scores, values, weights = (np.array(part) for part in (self.scores, self.values, self.weights))
        noisy = self.ingredient == 1
        ends, row = (np.array([[self.answer, self.mean], [-4.0, -4.0]]), -9.3)
        if noisy:
            grid = np.unique(np.concatenate([np.linspace(-3.3, 3.3, 661), values, ends[0]]))
            height = self.log_likelihood(grid)
            right.plot(grid, height - height.max(), color=figures.INK)
            ends[1] = np.maximum(self.log_likelihood(ends[0]) - height.max(), -8)
        for key, (score, value, weight, plain) in enumerate(zip(scores, values, weights, self.plain, strict=True)):
            color = figures.KEYS[key % 8]
            left.vlines(score, 0, weight, color=color)
            left.scatter(score, plain, s=110, facecolor="none", edgecolor=color)
            figures.dot(left, score, weight, key)
            if not noisy:
                right.plot([value, self.answer], [row, -4], color=color, linewidth=8 * weight, alpha=0.5)
            figures.dot(right, value, row, key)
        if self.way == "absent":
            rest = 1 - weights.sum()
            right.plot([0, self.answer], [row, -4], color=figures.MUTED, linewidth=8 * rest, alpha=0.5)
            for axes, x, y in ((left, self.absent, rest), (right, 0, row)):
                axes.scatter(x, y, s=110, facecolor=figures.PAPER, edgecolor=figures.INK, zorder=3)
                axes.text(x, y, "0", ha="center", va="center", fontsize=8, zorder=4)
        right.scatter(*ends[:, 0], marker="D", s=40, color=figures.INK, zorder=5)
        right.scatter(*ends[:, 1], marker="D", s=110, facecolor="none", edgecolor=figures.INK, zorder=5)
        left.set(xlabel="score", title="Weight (rings: by softmax)", ylim=(-0.05, 1.05))
        title = "Log-likelihood of an answer" if noisy else "Values, and their answer"
        right.set(xlabel="value", title=f"{title} (hollow: softmax’s)", ylim=(-10.5, 0.8), xlim=(-3.3, 3.3))
        right.set_yticks([0, -2, -4, -6, -8] if noisy else [])

    def describe(self):
        changed = {
            "evenness": f"an evenness of order γ = {self.order:.4g}",
            "gaussian": "Gaussian noise, as softmax has it",
            "laplace": "Laplace noise",
            "student": f"Student’s noise of {self.freedom:.4g} degrees of freedom at κ = {self.kappa:.4g}",
            "absent": f"an absent key of score {self.absent:.4g} and value 0",
        }[self.way]
        shares = "shares at the answer" if self.way == "student" else "weights"
        return (
            f"With {changed}, the {shares} are {by_key(self.weights)}; "
            f"the answer is {show(self.answer)}, where softmax’s is {show(self.mean)}."
        )
