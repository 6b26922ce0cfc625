"""What the backward pass says (chapter 06)."""

from sympy import IndexedBase, Sum, Symbol

from attnlib.formulas.formula import Formula
from attnlib.formulas.symbols import c, d, declare, eta, g, i, j, over_keys, s, tau, u, v, w

advantages = declare(IndexedBase("A", real=True), "advantages")
gradients = declare(IndexedBase("delta", real=True), "scores’ gradient ∂ℒ/∂s")

utility = Formula(
    "utility of a key", u[i], Sum(g[c] * v[i, c], (c, 1, d)), "The loss's derivative with respect to the key's weight."
)
baseline = Formula(
    "mean utility", Symbol("ubar", real=True), over_keys(w[j] * u[j]), "The mean of the utilities under the weights."
)
advantage = Formula(
    "advantage of a key", advantages[i], u[i] - over_keys(w[j] * u[j]), "The utility, less the mean utility."
)
score_gradient = Formula(
    "gradient of a score",
    gradients[i],
    w[i] * advantages[i] / tau,
    "The loss's derivative with respect to the key's score.",
)
plain_step = Formula(
    "plain step",
    IndexedBase("s^plain", real=True)[i],
    s[i] - eta * gradients[i],
    "A step against the scores' gradient.",
)
natural_step = Formula(
    "natural step",
    IndexedBase("s^natural", real=True)[i],
    s[i] - eta * tau * advantages[i],
    "A step against the gradient divided by the Fisher matrix.",
)
