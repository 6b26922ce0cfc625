"""One ingredient changed at a time (chapter 10); scores are logarithms of precisions here, at temperature 1."""

from sympy import Abs, Max, Symbol, exp, log, sign

from attnlib.formulas.formula import Formula
from attnlib.formulas.likelihood import answer
from attnlib.formulas.symbols import Weight, declare, i, j, kappa, nu, over_keys, p, s, v, w, x
from attnlib.formulas.transport import gini_mass

order = declare(Symbol("gamma", positive=True), "order of the evenness")
freedom = declare(Symbol("delta", positive=True), "degrees of freedom")
absent = declare(Symbol("s0", real=True), "score of a key that is not there")
log_likelihood = declare(Symbol("L", real=True), "log-likelihood")
slope = declare(Symbol("L'", real=True), "slope of the log-likelihood")

evenness = Formula(
    "evenness of an order",
    declare(Symbol("H_gamma", real=True), "evenness of an order"),
    (1 - over_keys(p[j] ** order)) / (order * (order - 1)),
    "Half of Gini's at order 2; it tends to Shannon's entropy as the order tends to 1.",
)
weight_of_order = Formula(
    "weight by an evenness of an order",
    w[i],
    Max(0, (order - 1) * s[i] - nu) ** (1 / (order - 1)),
    "Entmax: a key whose score is not above a threshold gets exactly nothing.",
)
mass_of_order = Formula(
    "all weight by an evenness of an order",
    gini_mass.letter,
    over_keys(Max(0, (order - 1) * s[j] - nu) ** (1 / (order - 1))),
    "It falls with ν; the weights sum to one at one ν.",
)
gaussian_log_likelihood = Formula(
    "log-likelihood by Gaussian noise",
    log_likelihood,
    -kappa / 2 * over_keys(exp(s[j]) * (x - v[j]) ** 2),
    "Up to a constant; a far value costs the square of its distance.",
)
laplace_log_likelihood = Formula(
    "log-likelihood by Laplace noise",
    log_likelihood,
    -kappa * over_keys(exp(s[j]) * Abs(x - v[j])),
    "Up to a constant; a far value costs its distance.",
)
laplace_slope = Formula(
    "slope of the log-likelihood by Laplace noise",
    slope,
    -over_keys(Weight(j, 1) * sign(x - v[j])),
    "In units of all precision: the weight of the values above, less that of the values below.",
)
student_log_likelihood = Formula(
    "log-likelihood by Student's noise",
    log_likelihood,
    -(over_keys(log(1 + kappa * exp(s[j]) * (x - v[j]) ** 2 / freedom)) * (freedom + 1)) / 2,
    "Up to a constant; far values cost the logarithm of their distance, not its square.",
)
student_slope = Formula(
    "slope of the log-likelihood by Student's noise",
    slope,
    over_keys((freedom + 1) * kappa * exp(s[j]) * (v[j] - x) / (freedom + kappa * exp(s[j]) * (x - v[j]) ** 2)),
    "Each value pulls by its precision and its distance, less and less where it is far.",
)
student_share = Formula(
    "say of a value by Student's noise",
    w[i],
    exp(s[i])
    / (freedom + kappa * exp(s[i]) * (x - v[i]) ** 2)
    / over_keys(exp(s[j]) / (freedom + kappa * exp(s[j]) * (x - v[j]) ** 2)),
    "At the answer: the shares with which the values are averaged there.",
)
weight_beside_sink = Formula(
    "weight beside an absent key",
    w[i],
    exp(s[i]) / (exp(absent) + over_keys(exp(s[j]))),
    "The weights of the real keys sum to less than one.",
    stable=1 / (exp(absent - s[i]) + over_keys(exp(s[j] - s[i]))),
)
weighted_mean = Formula(
    "weighted mean of the values", answer, over_keys(w[j] * v[j]), "What the layer puts out, for any weights."
)
