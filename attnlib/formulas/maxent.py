"""The most even weights for an expected score (chapter 03)."""

from sympy import Symbol, exp, log

from attnlib.formulas.formula import Formula
from attnlib.formulas.symbols import LogOrZero, alpha, declare, j, over_keys, s, target, w, x

dial = declare(Symbol("r", real=True), "dial")
lowest, highest = (
    declare(Symbol("s_min", real=True), "smallest score"),
    declare(Symbol("s_max", real=True), "largest score"),
)
spread_out = declare(Symbol("H", real=True), "entropy")
bound = declare(Symbol("D", real=True), "dual")

asked = Formula(
    "expected score that is asked for",
    target,
    lowest + dial * (highest - lowest),
    "The dial goes from the smallest score to the largest.",
)
entropy = Formula(
    "entropy",
    spread_out,
    -over_keys(w[j] * log(w[j])),
    "How evenly the weights are spread; weights of zero count nothing.",
    stable=-over_keys(w[j] * LogOrZero(w[j])),
)
dual = Formula(
    "dual of the entropy",
    bound,
    log(over_keys(exp(alpha * s[j]))) - alpha * target,
    "At no α is it below the entropy of weights with this expected score; at one α it is the largest of these.",
    stable=log(over_keys(exp(alpha * (s[j] - target)))),
)
dual_slope = Formula(
    "slope of the dual, times a positive sum",
    Symbol("D'", real=True),
    over_keys((s[j] - target) * exp(alpha * (s[j] - target))),
    "It grows with α, and is zero where the weights have the expected score.",
)
exponential = Formula(
    "exponential through the weights",
    Symbol("w(t)", positive=True),
    exp(-dual.expression),
    "The weight of a key with the score t, over the same sum.",
    stable=1 / over_keys(exp(alpha * (s[j] - target))),
)
tangent = Formula(
    "tangent of the largest entropy",
    Symbol("H(x)", real=True),
    bound + alpha * (target - x),
    "The dual at one α is a straight line in the expected score.",
)
