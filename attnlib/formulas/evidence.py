"""A budget on leaving ignorance (chapter 05)."""

from sympy import Symbol, exp, log

from attnlib.formulas.formula import Formula
from attnlib.formulas.symbols import Weight, alpha, beta, declare, i, j, n, over_keys, rho, s, stable_weight, target, w

top = Symbol("top", real=True)  # the largest score; any number gives the same, but with this one nothing overflows
error = declare(Symbol("varepsilon", positive=True), "error")

_masses = over_keys(exp(beta * (s[j] - top)))

weight = Formula(
    "weight at a price",
    w[i],
    exp(beta * s[i]) / over_keys(exp(beta * s[j])),
    "The best weights within a budget are a softmax; one over β is the price of a nat.",
    stable=stable_weight(i).subs(alpha, beta),
)
spent = Formula(
    "budget that is spent",
    rho,
    over_keys(Weight(j, beta) * log(n * Weight(j, beta))),
    "The divergence of the weights from equal ones.",
    stable=beta * over_keys((s[j] - top) * exp(beta * (s[j] - top))) / _masses - log(_masses / n),
)
expectation = Formula(
    "expected score that is bought",
    target,
    over_keys(Weight(j, beta) * s[j]),
    "The largest expected score within the budget.",
    stable=over_keys(s[j] * exp(beta * (s[j] - top))) / _masses,
)
price = Formula(
    "price of a nat",
    Symbol("eta", positive=True),
    1 / beta,
    "What a little more budget adds to the expected score, for each nat.",
)
draws = Formula(
    "mean wait for evidence",
    declare(Symbol("m", positive=True), "draws"),
    log(1 / error) / rho,
    "At least so many draws, on average, until the weights are one over ε times as likely as equal ones.",
)
