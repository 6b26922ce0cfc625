"""Where the four roads agree and part (chapter 07)."""

from sympy import exp, log

from attnlib.formulas.formula import Formula
from attnlib.formulas.symbols import alpha, i, j, over_keys, s, tau, w
from attnlib.formulas.transport import least

temperature = Formula("temperature", tau, 1 / alpha, "One over the inverse temperature.")
least_cost = Formula(
    "least cost with equal priors",
    least,
    -tau * log(over_keys(exp(s[j] / tau))),
    "The value of the transport problem, up to τ log n.",
)
weight_from_cost = Formula(
    "weight from the least cost", w[i], exp((s[i] + least) / tau), "What the least cost makes of a score."
)
